"""The likelihood surface: matched-filter power of every cell, transmitter and Doppler shift."""

from __future__ import annotations

from dataclasses import dataclass

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
    length = reference.num_blocks * DOPPLER_OVERSAMPLING
    period = reference.block * reference.frame.grid.symbol_period_s
    shifts = fft.fftfreq(length, period)
    chosen = np.flatnonzero(np.abs(shifts) <= max_doppler_hz + 0.5 / (length * period))
    return chosen, shifts[chosen]


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
    beams = (grid.beams @ correlation.reshape(num_rx_ant, -1)).reshape(
        -1, num_subcarriers * num_streams, num_blocks
    )
    bins, shifts = doppler_bins(reference, max_doppler_hz)
    weights = static_weights(reference, shifts)
    shape = (len(grid.delay_phases), len(grid.points_m))
    power, doppler = np.zeros(shape, np.float32), np.zeros(shape)
    for index, phases in enumerate(grid.delay_phases):
        gains = reference.frame.stream_gains(index, grid.departures[index]).transpose(1, 0, 2)
        energy = _energy(gains, reference)
        replica = _replica(phases, gains, num_subcarriers)
        filtered = np.empty((shape[1], num_blocks), np.complex64)
        for beam, (start, stop) in enumerate(zip(grid.starts[:-1], grid.starts[1:])):
            np.matmul(replica[start:stop], beams[beam], out=filtered[start:stop])
        spectrum = reference.spectrum(filtered, num_blocks * DOPPLER_OVERSAMPLING)[:, bins]
        squared = (spectrum.real**2 + spectrum.imag**2) * weights
        best = squared.argmax(axis=1)
        power[index] = np.take_along_axis(squared, best[:, None], 1)[:, 0] / (
            energy * noise_power_w
        )
        doppler[index] = shifts[best]
    return Surface(power, doppler)


def _replica(phases: np.ndarray, gains: np.ndarray, num_subcarriers: int) -> np.ndarray:
    """Conjugate replica of each cell over (subcarrier, stream), [num_cells, num_subcarriers *
    num_streams].
    """
    num_cells, num_groups, num_streams = gains.shape
    grouped = phases.reshape(num_cells, num_groups, -1, 1) * gains.conj()[:, :, None, :]
    return grouped.reshape(num_cells, num_subcarriers * num_streams)


def _energy(gains: np.ndarray, reference: StreamReference) -> np.ndarray:
    """Energy ||u||^2 of each cell's replica, [num_cells], with the frame's own stream powers."""
    gram = reference.gram.reshape(gains.shape[1], -1, *reference.gram.shape[1:]).sum(axis=1)
    return np.einsum("cgk,gkl,cgl->c", gains.conj(), gram, gains, optimize=True).real
