"""Likelihood surface: matched-filter power of every cell, transmitter and Doppler shift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import fft

from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.keystone import KeystoneReference
from cooperative_isac.sensing.sample_reference import SampleReference
from cooperative_isac.sensing.search_grid import SearchGrid

# Doppler bins per resolution cell of the search: a path between two bins loses 0.9 dB.
SEARCH_DOPPLER_OVERSAMPLING = 2

# Share of a path's energy that the suppression of static paths must leave, so that it is searched:
# below, the normalization amplifies noise, and single cells differ from the average share.
LEAST_STATIC_SHARE = 0.1

# Beams of which replicas and samples are matched at a time: those of the usual 16 cells and of one
# transmitter take 0.4 MB then, and stay in the cache of a core.
BEAMS_IN_CACHE = 8


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
    num_blocks = reference.num_blocks
    shape = (len(grid.delay_phases), len(grid.points_m))
    power = np.zeros(shape, np.float32)
    doppler_hz = np.zeros(shape)

    # Doppler shifts, and their normalization after the suppression of static paths.
    bins, shifts_hz = doppler_bins(reference, max_doppler_hz)
    weights = static_weights(reference, shifts_hz)

    if isinstance(reference, SampleReference):
        matched = _matched_samples(grid, reference, correlation)
    elif isinstance(reference, KeystoneReference):
        # Each subcarrier's spectrum at its own frequency, before subcarriers are summed.
        matched = _matched_streams(grid, reference, reference.spectra(correlation, shifts_hz))
    else:
        matched = _matched_streams(grid, reference, correlation)
    for index, (filtered, energy) in enumerate(matched):
        # Strongest Doppler shift of each cell.
        if isinstance(reference, KeystoneReference):
            spectrum = filtered
        else:
            num_bins = num_blocks * SEARCH_DOPPLER_OVERSAMPLING
            spectrum = reference.spectrum(filtered, num_bins)[:, bins]
        squared = _squared(spectrum) * weights
        best = squared.argmax(axis=1)
        peak = np.take_along_axis(squared, best[:, None], 1)[:, 0]
        power[index] = peak / (energy * noise_power_w)
        doppler_hz[index] = shifts_hz[best]
    return Surface(power, doppler_hz)


def _squared(values: np.ndarray) -> np.ndarray:
    """Squared magnitudes of complex values [num_rows, n], complex64; float32."""
    parts = np.ascontiguousarray(values).view(np.float32).reshape(*values.shape, 2)
    squares = parts * parts
    return squares[..., 0] + squares[..., 1]


def _matched_streams(
    grid: SearchGrid, reference: StreamReference, correlation: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Matched filters of all cells in a correlation with streams, transmitter by transmitter.

    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64; or spectra, with
        Doppler shifts instead of blocks
    Yields their outputs [num_cells, num_blocks], complex64, and energies [num_cells], float32.
    """
    num_rx_ant, _, _, num_blocks = correlation.shape
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
        filtered = np.empty((len(replica), num_blocks), np.complex64)
        _filter(grid.starts, replica, own_beams, filtered)
        yield filtered, _energy(gains, reference.gram[:, own, own])


def _matched_samples(
    grid: SearchGrid, reference: SampleReference, samples: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Matched filters of all cells in the samples of an echo, transmitter by transmitter.

    samples: [num_rx_ant, num_subcarriers, 1, num_symbols], complex64
    Yields their outputs [num_cells, num_symbols], complex64, and energies [num_cells], float32.
    """
    frame = reference.frame
    num_groups = len(frame.precoders)
    num_cells = len(grid.points_m)
    num_symbols = samples.shape[-1]

    # Samples behind all receive beams, [num_beams, 1, num_subcarriers, num_symbols].
    beams = grid.beams @ samples.reshape(len(samples), -1)
    beams = beams.reshape(len(beams), *samples.shape[1:]).swapaxes(1, 2)

    for index, phases in enumerate(grid.delay_phases):
        # Conjugate streams that the transmitter sends.
        own = frame.streams_of(index)
        own_streams = reference.streams[:, own].swapaxes(0, 1)
        streams = np.ascontiguousarray(own_streams).conj()

        # Their weights toward the cells: stream by stream, then group by group of subcarriers that
        # share a precoder.
        precoders = frame.precoders[:, frame.antennas[index], own].transpose(1, 2, 0)
        departures = grid.departures[index]
        num_ant = departures.shape[1]
        gains = departures @ precoders.reshape(num_ant, -1)

        # Conjugate weights on every subcarrier.
        spread = np.repeat(gains.conj(), frame.group_size, axis=1)
        spread = spread.reshape(num_cells, *streams.shape[:2])

        # Replicas and samples of a few beams at a time.
        filtered = np.empty((num_cells, num_symbols), np.complex64)
        for first in range(0, len(beams), BEAMS_IN_CACHE):
            last = first + BEAMS_IN_CACHE
            starts = grid.starts[first : last + 1]
            cells = slice(starts[0], starts[-1])
            replica = phases[cells, None] * spread[cells]
            replica = replica.reshape(len(replica), -1)
            own_beams = beams[first:last] * streams
            own_beams = own_beams.reshape(len(own_beams), -1, num_symbols)
            _filter(starts - starts[0], replica, own_beams, filtered[cells])

        grams = reference.gram[:, own, own]
        yield filtered, _group_energy(gains, grams, num_groups)


def _filter(
    starts: np.ndarray, replica: np.ndarray, beams: np.ndarray, filtered: np.ndarray
) -> None:
    """Matched filters of all cells, beam by beam.

    starts: [num_beams + 1], int, first cell of each beam
    replica: [num_cells, n], complex64, conjugate
    beams: [num_beams, n, num_blocks], complex64
    filtered: [num_cells, num_blocks], complex64, for the outputs
    """
    for beam, (start, stop) in enumerate(pairwise(starts)):
        np.matmul(replica[start:stop], beams[beam], out=filtered[start:stop])


def _group_energy(gains: np.ndarray, grams: np.ndarray, num_groups: int) -> np.ndarray:
    """Energy ||u||^2 of each cell's replica, by one matrix product.

    gains: [num_cells, num_streams * num_groups], complex64
    grams: [num_subcarriers, num_streams, num_streams], complex64, Gram matrices of these streams
    Returns [num_cells], float32.
    """
    # Sums over the subcarriers of each group.
    num_streams = grams.shape[-1]
    of_groups = grams.reshape(num_groups, -1, num_streams, num_streams)
    by_group = of_groups.sum(axis=1)

    # Gram matrices of all groups in one, with nothing between groups.
    size = num_streams * num_groups
    whole = np.zeros((num_streams, num_groups, num_streams, num_groups), np.complex64)
    groups = np.arange(num_groups)
    whole[:, groups, :, groups] = by_group.swapaxes(1, 2)
    weighted = gains @ whole.reshape(size, -1)

    # Real part of the inner products, from real and imaginary parts.
    products = weighted.view(np.float32) * gains.view(np.float32)
    return np.sum(products, axis=1)


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
