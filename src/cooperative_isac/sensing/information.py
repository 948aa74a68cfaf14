"""Fisher information of a path's location and Doppler shift, its amplitude unknown (CF eqs.
22-28).
"""

from __future__ import annotations

from typing import overload

import numpy as np

from cooperative_isac.scene.band import OfdmGrid

LEAST_INFORMATION = 1e-12  # 1/Hz^2, of a Doppler shift that nothing is known of
LEAST_LOCATION_INFORMATION = 1e-12  # 1/m^2: a location known to 1000 km
RIDGE = 1e-6  # share of its diagonal that is added to a matrix: what float32 leaves uncertain

# Least share of a waveform's energy that the suppression of static paths leaves: below, the average
# over random streams is no measure of a single frame.
LEAST_ENERGY = 1e-3

# Doppler shifts below this share of a resolution cell are confused with their negative; their
# standard deviation then is this share of a cell, beside twice the shift.
AMBIGUOUS_CELLS = 0.4
AMBIGUOUS_STD_CELLS = 0.1


def positive_definite(information: np.ndarray) -> np.ndarray:
    """The nearest sound matrix to an information matrix that rounding made asymmetric or
    indefinite.

    information: [D, D], float64, 1/m^2
    Returns [D, D], float64, symmetric and positive definite.
    """
    diagonal = np.maximum(np.diag(information), LEAST_LOCATION_INFORMATION)
    scale = np.sqrt(np.outer(diagonal, diagonal))
    correlation = (information + information.T) / 2 / scale
    np.fill_diagonal(correlation, 1.0)
    ridge = RIDGE + max(-np.linalg.eigvalsh(correlation)[0], 0.0)
    return scale * (correlation + ridge * np.eye(len(correlation)))


@overload
def doppler_information(grid: OfdmGrid, power: float) -> float: ...
@overload
def doppler_information(grid: OfdmGrid, power: np.ndarray) -> np.ndarray: ...
def doppler_information(grid: OfdmGrid, power: float | np.ndarray) -> float | np.ndarray:
    """Fisher information of paths' Doppler shifts, 1/Hz^2 (CF eq. 23, one unknown path).

    power: any shape, float64, coherent SNR
    """
    # Variance of the symbols' times.
    variance_s2 = grid.symbol_period_s**2 * (grid.num_symbols**2 - 1) / 12
    return 2 * power * (2 * np.pi) ** 2 * variance_s2


def shift_information(
    grid: OfdmGrid, power: np.ndarray, doppler_hz: np.ndarray, static_paths: str
) -> np.ndarray:
    """Fisher information of measured Doppler shifts, [num_paths], 1/Hz^2.

    static_paths: keep | project | learn, of the scene. A packet does not say how much of a
    background was learned when it was sent: with `learn` the lesser of both others applies.
    power: [num_paths], float64, coherent SNR
    doppler_hz: [num_paths], float64, Hz
    """
    kept = doppler_information(grid, power)
    if static_paths == "keep":
        return kept
    projected = suppressed_doppler_information(grid, power, doppler_hz)
    return projected if static_paths == "project" else np.minimum(kept, projected)


def suppressed_doppler_information(
    grid: OfdmGrid, power: np.ndarray, doppler_hz: np.ndarray
) -> np.ndarray:
    """Fisher information of Doppler shifts when static paths of unknown amplitude are projected
    out.

    The waveform x = exp(j 2 pi f t) and its slope are projected onto what is orthogonal to a
    constant, the average of the projection over random streams.

    power: [num_paths], float64, coherent SNR after the projection
    doppler_hz: [num_paths], float64, Hz
    Returns [num_paths], float64, 1/Hz^2.
    """
    times = grid.symbol_times_s - grid.symbol_times_s.mean()
    waveform = np.exp(2j * np.pi * np.asarray(doppler_hz)[:, None] * times)

    # Projected inner products: energy of the waveform, of its slope, and of both together.
    mean = waveform.mean(axis=1)
    slope_mean = (waveform * times).mean(axis=1)
    energy = 1 - np.abs(mean) ** 2
    slope_energy = np.mean(times**2) - np.abs(slope_mean) ** 2
    crossed = np.abs(mean * slope_mean) ** 2
    left = np.maximum(slope_energy * energy - crossed, 0) / np.maximum(energy, LEAST_ENERGY) ** 2
    information = 2 * power * (2 * np.pi) ** 2 * left

    # Near zero, shifts of either sign leave the same waveform, a ramp: the likelihood has two
    # peaks.
    slow = np.abs(doppler_hz) < AMBIGUOUS_CELLS * grid.doppler_resolution_hz
    between_peaks = np.hypot(
        2 * np.asarray(doppler_hz), AMBIGUOUS_STD_CELLS * grid.doppler_resolution_hz
    )
    information = np.maximum(information, LEAST_INFORMATION)
    information[slow] = 1 / (1 / information[slow] + between_peaks[slow] ** 2)
    return information


def location_information(receive: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Information of the location per unit of 2 SNR, amplitude and Doppler unknown, [num_paths, D,
    D].

    receive: [num_paths, 1 + D, num_rx_ant]; gram: [num_paths, 1 + D, 1 + D].
    """
    beams = receive.conj() @ receive.swapaxes(1, 2)
    energy = gram[:, 0, 0].real[:, None, None]
    crossed = beams[:, 1:, :1] * gram[:, :1, 1:]
    inner = beams[:, 1:, 1:] * energy + crossed + crossed.conj().swapaxes(1, 2) + gram[:, 1:, 1:]
    along = beams[:, 0, 1:] * energy[:, 0] + gram[:, 0, 1:]
    return np.real(inner - along[:, :, None].conj() * along[:, None, :] / energy) / energy
