"""The likelihood surface: matched-filter power of every cell, transmitter and Doppler shift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.search_grid import SearchGrid

DOPPLER_OVERSAMPLING = 2

# Share of a path's energy that the suppression of static paths must leave at a Doppler shift for it
# to be searched: below, noise is amplified by the normalization, and single cells differ from the
# average share.
LEAST_STATIC_SHARE = 0.1


@dataclass(frozen=True)
class Surface:
    """power: [num_tx, num_cells], float32, largest matched-filter power over Doppler, in noise
    variances (Exp(1) in pure noise); doppler_hz: [num_tx, num_cells], where it lies.
    """

    power: np.ndarray
    doppler_hz: np.ndarray


def doppler_bins(
    reference: StreamReference, max_doppler_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """FFT bins (indices) within +-max_doppler_hz and their Doppler shifts [Hz]."""
    period_s = reference.block * reference.frame.grid.symbol_period_s
    return _bins(reference.num_blocks, period_s, max_doppler_hz)


@lru_cache(maxsize=64)
def _bins(
    num_blocks: int, block_period_s: float, max_doppler_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same of blocks of a length; read-only, since callers share it."""
    length = num_blocks * DOPPLER_OVERSAMPLING
    shifts_hz = fft.fftfreq(length, block_period_s)
    half_a_bin_hz = 0.5 / (length * block_period_s)
    chosen = np.flatnonzero(np.abs(shifts_hz) <= max_doppler_hz + half_a_bin_hz)
    chosen_hz = shifts_hz[chosen]
    chosen.flags.writeable = False
    chosen_hz.flags.writeable = False
    return chosen, chosen_hz


def static_weights(reference: StreamReference, doppler_hz: np.ndarray) -> np.ndarray:
    """What matched-filter power is multiplied by because suppression of static paths took a share
    of the energy.

    doppler_hz: [num_shifts], float64, Hz
    Returns [num_shifts], float32; 0 where too little is left, 1 where nothing is suppressed.
    """
    shares = reference.static_share(doppler_hz).astype(np.float32)
    return np.where(
        shares < LEAST_STATIC_SHARE, np.float32(0), 1 / np.maximum(shares, LEAST_STATIC_SHARE)
    )


def likelihood_surface(
    grid: SearchGrid,
    reference: StreamReference,
    correlation: np.ndarray,
    noise_power_w: float,
    max_doppler_hz: float,
) -> Surface:
    """Evaluate |u^H y|^2 / (sigma^2 ||u||^2) of single paths over the whole search grid.

    correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], from
    StreamReference.correlate.
    """
    num_rx_ant, num_subcarriers, num_streams, num_blocks = correlation.shape
    num_cells = len(grid.points_m)
    shape = (len(grid.delay_phases), num_cells)
    power = np.zeros(shape, np.float32)
    doppler_hz = np.zeros(shape)

    # The echo behind each beam.
    beams = grid.beams @ correlation.reshape(num_rx_ant, -1)
    beams = beams.reshape(-1, num_subcarriers * num_streams, num_blocks)

    # Doppler shifts that are tried, and what suppression of static paths does to each.
    bins, shifts_hz = doppler_bins(reference, max_doppler_hz)
    weights = static_weights(reference, shifts_hz)

    for index, phases in enumerate(grid.delay_phases):
        gains = reference.frame.stream_gains(index, grid.departures[index])
        replica = _replica(phases, gains)

        # Matched filters of all cells, beam by beam.
        filtered = np.empty((num_cells, num_blocks), np.complex64)
        for beam, (start, stop) in enumerate(zip(grid.starts[:-1], grid.starts[1:])):
            np.matmul(replica[start:stop], beams[beam], out=filtered[start:stop])

        # Strongest Doppler shift of each cell.
        spectrum = reference.spectrum(filtered, num_blocks * DOPPLER_OVERSAMPLING)[:, bins]
        squared = (spectrum.real**2 + spectrum.imag**2) * weights
        best = squared.argmax(axis=1)
        strongest = np.take_along_axis(squared, best[:, None], 1)[:, 0]
        power[index] = strongest / (_energy(gains, reference) * noise_power_w)
        doppler_hz[index] = shifts_hz[best]
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


def _energy(gains: np.ndarray, reference: StreamReference) -> np.ndarray:
    """Energy ||u||^2 of each cell's replica, with the frame's own stream powers.

    gains: [num_groups, num_cells, num_streams], complex64, of Signal.stream_gains
    Returns [num_cells], float32.
    """
    num_streams = gains.shape[-1]
    gram = reference.gram.reshape(len(gains), -1, num_streams, num_streams).sum(axis=1)
    weighted = gains @ gram.swapaxes(1, 2)
    return np.einsum("gck,gck->c", gains.conj(), weighted).real
