"""Delay and speed of a path from the channel matrices of one or several bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.ndimage import maximum_filter

from cooperative_isac.estimation.channel_matrix import ChannelMatrix
from cooperative_isac.estimation.path_likelihood import (
    fit_amplitudes,
    path_likelihood,
    phase_slopes,
    used_elements,
)
from cooperative_isac.estimation.scoring import fisher_scoring

# Points of the search grid per resolution cell: with 2 the worst loss of a peak between points is
# 0.9 dB in each dimension, and scoring starts within the main lobe.
GRID_OVERSAMPLING = 2

# Share of a peak's height that the points of the grid keep at least: twice 0.9 dB. Lower peaks of
# the grid are hardly the highest. Of the others as many are refined at most: below the threshold,
# where there are more, noise decides among them.
LEAST_PEAK_SHARE = 0.66
MAX_CANDIDATES = 5


@dataclass(frozen=True)
class PathEstimate:
    """Estimated path.

    delay_s: delay at time zero, s
    path_speed_mps: speed at which the path shortens, m/s
    amplitudes: [num_bands], complex128, of each band
    covariance: [2, 2], float64, of (delay_s, path_speed_mps) by the Fisher information at the
        estimate
    """

    delay_s: float
    path_speed_mps: float
    amplitudes: np.ndarray
    covariance: np.ndarray


def delay_speed_map(
    matrix: ChannelMatrix, delays_s: np.ndarray, path_speeds_mps: np.ndarray
) -> np.ndarray:
    """Correlation of a channel matrix with paths on a grid of delays and speeds.

    For a regular grid without holes this is the two-dimensional discrete Fourier transform.
    Migration through delay cells is left out.

    matrix: channel on the resource elements
    delays_s: [num_delays], float64, s
    path_speeds_mps: [num_speeds], float64, m/s
    Returns [num_delays, num_speeds], complex128.
    """
    # Turns of the phase of each path over the elements.
    doppler_hz = matrix.carrier_hz * path_speeds_mps / LIGHT_SPEED_MPS
    delay_turns = np.multiply.outer(delays_s, matrix.frequency_hz)
    doppler_turns = np.multiply.outer(matrix.time_s, doppler_hz)

    # Transforms over frequency and time that undo them.
    over_frequency = np.exp(2j * np.pi * delay_turns)
    over_time = np.exp(-2j * np.pi * doppler_turns)
    return over_frequency @ matrix.values @ over_time


def detection_statistic(
    matrices: Sequence[ChannelMatrix], delays_s: np.ndarray, path_speeds_mps: np.ndarray
) -> np.ndarray:
    """Generalized likelihood ratio of one path, with unknown amplitude and phase in each band.

    Under noise alone each entry is a sum of num_bands unit exponential variables.

    matrices: one channel matrix a band
    delays_s: [num_delays], float64, s
    path_speeds_mps: [num_speeds], float64, m/s
    Returns [num_delays, num_speeds], float64.
    """
    total = np.zeros((len(delays_s), len(path_speeds_mps)))
    for matrix in matrices:
        correlation = delay_speed_map(matrix, delays_s, path_speeds_mps)
        energy = np.count_nonzero(matrix.mask)
        total += np.abs(correlation) ** 2 / (energy * matrix.noise_power)
    return total


def search_grid(
    matrices: Sequence[ChannelMatrix],
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Delays and speeds of a grid that samples the main lobe of the finest band.

    matrices: one channel matrix a band
    delay_window_s: least and greatest delay, s
    speed_window_mps: least and greatest speed at which the path shortens, m/s
    Returns delays [num_delays], s, and speeds [num_speeds], m/s, float64.
    """
    bandwidth_hz = max(np.ptp(matrix.frequency_hz) for matrix in matrices)
    turns_per_mps = max(
        matrix.carrier_hz * np.ptp(matrix.time_s) / LIGHT_SPEED_MPS for matrix in matrices
    )
    delays_s = _axis(delay_window_s, bandwidth_hz)
    path_speeds_mps = _axis(speed_window_mps, turns_per_mps)
    return delays_s, path_speeds_mps


def estimate_path(
    matrices: Sequence[ChannelMatrix],
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
) -> PathEstimate:
    """Maximum likelihood estimate of the strongest path from all bands together.

    Bands may differ in carrier, subcarrier spacing, symbol duration and holes; the phase of the
    path in each is unknown. The bands are weighted by their Fisher information.

    matrices: one channel matrix a band
    delay_window_s: least and greatest delay, s
    speed_window_mps: least and greatest speed at which the path shortens, m/s
    Source: DC section III-C2.
    """
    # Coarse search over the window.
    delays_s, path_speeds_mps = search_grid(matrices, delay_window_s, speed_window_mps)
    statistic = detection_statistic(matrices, delays_s, path_speeds_mps)

    # Peaks of the grid, any of which may be the highest one between its points.
    is_peak = statistic == maximum_filter(statistic, size=3)
    is_peak &= statistic >= LEAST_PEAK_SHARE * statistic.max()
    peaks = np.argwhere(is_peak)
    highest = peaks[np.argsort(-statistic[is_peak])[:MAX_CANDIDATES]]

    # Refinement of each off the grid, and the most likely of those that stay in the window: a peak
    # at its edge may belong to a maximum outside.
    starts = np.stack([delays_s[highest[:, 0]], path_speeds_mps[highest[:, 1]]], axis=-1)
    paths = [refine_path(matrices, start) for start in starts]
    inside = [
        path
        for path in paths
        if _is_within(path.delay_s, delays_s) and _is_within(path.path_speed_mps, path_speeds_mps)
    ]
    return max(inside or paths, key=lambda path: _explained(matrices, path))


def _is_within(value: float, points: np.ndarray) -> bool:
    """Whether a value is between regular points or within half of their distance beyond."""
    margin = (points[-1] - points[0]) / max(len(points) - 1, 1) / 2
    return points[0] - margin <= value <= points[-1] + margin


def _explained(matrices: Sequence[ChannelMatrix], path: PathEstimate) -> float:
    """Energy in noise variances that a path explains: its detection statistic."""
    energies = [
        np.count_nonzero(matrix.mask) * abs(amplitude) ** 2 / matrix.noise_power
        for matrix, amplitude in zip(matrices, path.amplitudes, strict=True)
    ]
    return float(sum(energies))


def refine_path(matrices: Sequence[ChannelMatrix], start: np.ndarray) -> PathEstimate:
    """Maximum likelihood estimate near a start, by Fisher scoring with step control.

    matrices: one channel matrix a band
    start: [2], float64, delay in s and path speed in m/s, within the main lobe
    """
    bands = [used_elements(matrix) for matrix in matrices]
    parameters, information = fisher_scoring(
        lambda trial: path_likelihood(bands, trial), np.asarray(start, float)
    )
    amplitudes = np.concatenate([fit_amplitudes(band, parameters)[0] for band in bands])
    return PathEstimate(
        delay_s=float(parameters[0]),
        path_speed_mps=float(parameters[1]),
        amplitudes=amplitudes,
        covariance=np.linalg.inv(information),
    )


def path_information(
    matrices: Sequence[ChannelMatrix], snrs: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Fisher information about delay and speed, with an unknown complex amplitude in each band.

    matrices: the grids; their values and noise are not used
    snrs: [num_bands], float64, power ratio of the path to the noise on one resource element
    Returns [2, 2], float64, of (delay in s, speed in m/s); its inverse is the Cramer-Rao bound.
    """
    total = np.zeros((2, 2))
    for matrix, snr in zip(matrices, snrs, strict=True):
        slopes = phase_slopes(matrix)
        centered = slopes - slopes.mean(axis=1, keepdims=True)
        total += 2 * snr * centered @ centered.T
    return total


def _axis(window: tuple[float, float], span: float) -> np.ndarray:
    """Grid points from the least to the greatest value, GRID_OVERSAMPLING a cell of 1 / span."""
    least, greatest = window
    if greatest < least:
        raise ValueError(f"the window from {least:g} to {greatest:g} is empty: swap its ends")
    num_points = int(np.ceil((greatest - least) * span * GRID_OVERSAMPLING)) + 1
    return np.linspace(least, greatest, num_points)
