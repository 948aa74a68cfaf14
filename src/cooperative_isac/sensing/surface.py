"""Likelihood surface: matched-filter power of every cell, transmitter and Doppler shift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.search_grid import SearchGrid

# Doppler bins per resolution cell of the search: a path between two bins loses 0.9 dB.
SEARCH_DOPPLER_OVERSAMPLING = 2

# Share of a path's energy that the suppression of static paths must leave, so that it is searched:
# below, the normalization amplifies noise, and single cells differ from the average share.
LEAST_STATIC_SHARE = 0.1


@dataclass(frozen=True)
class Surface:
    """Peaks of the matched-filter power over Doppler shifts.

    power: [num_tx, num_cells], float32, in noise variances; a single bin is Exp(1) in noise
    doppler_hz: [num_tx, num_cells], float64, Hz, shift of the peak
    """

    power: np.ndarray
    doppler_hz: np.ndarray


def doppler_bins(
    reference: StreamReference, max_doppler_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """FFT bins within the Doppler shifts of targets.

    reference: known streams of the frame
    max_doppler_hz: largest Doppler shift of a target, Hz
    Returns indices [num_bins], int, and Doppler shifts [num_bins], float64, Hz; both read-only.
    """
    period_s = reference.block * reference.frame.grid.symbol_period_s
    return _bins(reference.num_blocks, period_s, max_doppler_hz)


@lru_cache(maxsize=64)
def _bins(
    num_blocks: int, block_period_s: float, max_doppler_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bins for blocks of a length; read-only, because callers share the cached arrays."""
    num_shifts = num_blocks * SEARCH_DOPPLER_OVERSAMPLING
    shifts_hz = fft.fftfreq(num_shifts, block_period_s)
    half_bin_hz = 0.5 / (num_shifts * block_period_s)
    bins = np.flatnonzero(np.abs(shifts_hz) <= max_doppler_hz + half_bin_hz)
    bins_hz = shifts_hz[bins]
    bins.flags.writeable = False
    bins_hz.flags.writeable = False
    return bins, bins_hz


def static_weights(reference: StreamReference, doppler_hz: np.ndarray) -> np.ndarray:
    """Factors of the matched-filter power for the energy that static suppression removes.

    reference: known streams of the frame
    doppler_hz: [num_shifts], float64, Hz
    Returns [num_shifts], float32; 0 where too little is left, 1 where nothing is suppressed.
    """
    shares = reference.static_share(doppler_hz).astype(np.float32)
    normalization = 1 / np.maximum(shares, LEAST_STATIC_SHARE)
    return np.where(shares < LEAST_STATIC_SHARE, np.float32(0), normalization)


def likelihood_surface(
    grid: SearchGrid,
    reference: StreamReference,
    correlation: np.ndarray,
    noise_power_w: float,
    max_doppler_hz: float,
) -> Surface:
    """Evaluate |u^H y|^2 / (sigma^2 ||u||^2) of single paths u over the whole search grid.

    grid: cells of the area
    reference: known streams of the frame
    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64, of the echo with
        the streams (StreamReference.correlate)
    noise_power_w: per antenna and resource element, W
    max_doppler_hz: largest Doppler shift of a target, Hz
    """
    num_rx_ant, _, _, num_blocks = correlation.shape
    num_cells = len(grid.points_m)
    shape = (len(grid.delay_phases), num_cells)
    power = np.zeros(shape, np.float32)
    doppler_hz = np.zeros(shape)

    # Doppler shifts, and their normalization after the suppression of static paths.
    bins, shifts_hz = doppler_bins(reference, max_doppler_hz)
    weights = static_weights(reference, shifts_hz)

    beams = np.empty(0)
    received: slice | None = None
    for index, phases in enumerate(grid.delay_phases):
        # Receive beams of the streams that the transmitter sends, which several may have in common.
        own = reference.frame.streams_of(index)
        if own != received:
            beams = grid.beams @ correlation[:, :, own].reshape(num_rx_ant, -1)
            received = own
        gains = reference.frame.stream_gains(index, grid.departures[index])[..., own]
        replica = _replica(phases, gains)
        own_beams = beams.reshape(len(grid.beams), replica.shape[1], num_blocks)

        # Matched filters of all cells, beam by beam.
        filtered = np.empty((num_cells, num_blocks), np.complex64)
        for beam, (start, stop) in enumerate(zip(grid.starts[:-1], grid.starts[1:])):
            np.matmul(replica[start:stop], own_beams[beam], out=filtered[start:stop])

        # Strongest Doppler shift of each cell.
        num_bins = num_blocks * SEARCH_DOPPLER_OVERSAMPLING
        spectrum = reference.spectrum(filtered, num_bins)[:, bins]
        squared = (spectrum.real**2 + spectrum.imag**2) * weights
        best = squared.argmax(axis=1)
        peak = np.take_along_axis(squared, best[:, None], 1)[:, 0]
        doppler_hz[index] = shifts_hz[best]

        # Its power over that of noise behind the filter.
        energy = _energy(gains, reference.gram[:, own, own])
        power[index] = peak / (energy * noise_power_w)
    return Surface(power, doppler_hz)


def _replica(phases: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Conjugate replica of each cell over subcarriers and streams.

    phases: [num_cells, num_subcarriers], complex64, exp(+j 2 pi f_i tau)
    gains: [num_groups, num_cells, num_streams], complex64, of Signal.stream_gains
    Returns [num_cells, num_subcarriers * num_streams], complex64.
    """
    num_cells, num_subcarriers = phases.shape
    num_groups, _, num_streams = gains.shape
    conjugate = gains.conj()
    replica = np.empty((num_cells, num_subcarriers, num_streams), np.complex64)
    for stream in range(num_streams):
        of_stream = np.ascontiguousarray(conjugate[..., stream].T)
        spread = np.repeat(of_stream, num_subcarriers // num_groups, axis=1)
        np.multiply(phases, spread, out=replica[..., stream])
    return replica.reshape(num_cells, -1)


def _energy(gains: np.ndarray, grams: np.ndarray) -> np.ndarray:
    """Energy ||u||^2 of each cell's replica, with the stream powers of this frame.

    gains: [num_groups, num_cells, num_streams], complex64, of Signal.stream_gains
    grams: [num_subcarriers, num_streams, num_streams], complex64, Gram matrices of these streams
    Returns [num_cells], float32.
    """
    num_streams = gains.shape[-1]
    gram = grams.reshape(len(gains), -1, num_streams, num_streams).sum(axis=1)
    weighted = gains @ gram.swapaxes(1, 2)
    return np.einsum("gck,gck->c", gains.conj(), weighted).real
