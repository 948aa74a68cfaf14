"""Detection of a second path beside a first one: theory of matching pursuit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import ncx2

import cooperative_isac.estimation.checks as checks
from cooperative_isac.estimation.channel_matrix import (
    MATRIX_REMEDY,
    ChannelMatrix,
    path_response,
)
from cooperative_isac.estimation.path_likelihood import path_likelihood, used_elements
from cooperative_isac.estimation.range_doppler import estimate_path, search_grid
from cooperative_isac.estimation.recovery import statistic_threshold


def second_path_energy(
    matrix: ChannelMatrix,
    amplitudes: np.ndarray,
    delays_s: np.ndarray,
    path_speeds_mps: np.ndarray,
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
) -> float:
    """Energy of the echo of two paths that no single path explains.

    matrix: the grid; its values are not used
    amplitudes: [2], complex128, of the paths
    delays_s: [2], float64, s
    path_speeds_mps: [2], float64, m/s, speeds at which the paths shorten
    delay_window_s: least and greatest delay of the single path, s
    speed_window_mps: least and greatest speed of it, m/s
    Returns the energy on all resource elements in use, over the noise power of one of them.
    """
    clean = _two_paths(matrix, amplitudes, delays_s, path_speeds_mps)

    # The single path that is nearest to both, and what it leaves.
    nearest = estimate_path([clean], delay_window_s, speed_window_mps)
    explained = np.count_nonzero(matrix.mask) * abs(nearest.amplitudes[0]) ** 2
    left = np.sum(np.abs(clean.values) ** 2) - explained
    return float(max(left, 0.0) / matrix.noise_power)


def second_path_probability(
    matrix: ChannelMatrix,
    amplitudes: np.ndarray,
    delays_s: np.ndarray,
    path_speeds_mps: np.ndarray,
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
    false_alarm_rate: float = 1e-2,
) -> float:
    """Probability that `newtonized_omp` detects the second of two paths.

    All energy that the nearest single path leaves counts as that of one more path, the power of
    which is noncentral chi-square. Maxima of noise near the second path are left out.

    matrix: the grid; its values are not used
    amplitudes: [2], complex128, of the paths
    delays_s: [2], float64, s
    path_speeds_mps: [2], float64, m/s, speeds at which the paths shorten
    delay_window_s: least and greatest delay of the search, s
    speed_window_mps: least and greatest speed of the search, m/s
    false_alarm_rate: probability of a path under noise alone
    Raises ValueError if a window is longer than the unambiguous span of the grid.
    Source: Kay, "Fundamentals of Statistical Signal Processing" II, section 6.4 and chapter 7.
    """
    energy = second_path_energy(
        matrix, amplitudes, delays_s, path_speeds_mps, delay_window_s, speed_window_mps
    )
    false_alarm_rate = checks.probability("false_alarm_rate", false_alarm_rate)

    # Threshold of the search.
    searched_s, searched_mps = search_grid([matrix], delay_window_s, speed_window_mps)
    num_cells = len(searched_s) * len(searched_mps)
    threshold = statistic_threshold(num_cells, false_alarm_rate, 1)

    # Power of the second path above it: half of a noncentral chi-square variable.
    return float(ncx2.sf(2 * threshold, 2, 2 * energy))


def two_path_bound(
    matrix: ChannelMatrix,
    amplitudes: np.ndarray,
    delays_s: np.ndarray,
    path_speeds_mps: np.ndarray,
) -> np.ndarray:
    """Cramer-Rao bound of delays and speeds of two paths that are estimated together.

    matrix: the grid; its values are not used
    amplitudes: [2], complex128, of the paths
    delays_s: [2], float64, s
    path_speeds_mps: [2], float64, m/s, speeds at which the paths shorten
    Returns [4, 4], float64, covariance of delay in s and speed in m/s of the first path, then of
    the second.
    Raises ValueError for paths without power, and for two paths of one delay and speed.
    """
    clean = _two_paths(matrix, amplitudes, delays_s, path_speeds_mps)
    if not np.all(amplitudes):
        raise ValueError(
            "amplitudes has the entry 0: a path without power has no bound; take path_information "
            "of the other alone"
        )
    if delays_s[0] == delays_s[1] and path_speeds_mps[0] == path_speeds_mps[1]:
        raise ValueError(
            f"delays_s and path_speeds_mps of both paths are equal, {delays_s[0]:g} s and "
            f"{path_speeds_mps[0]:g} m/s: they cannot be separated; move one of them"
        )
    parameters = np.stack([delays_s, path_speeds_mps], axis=1).ravel()
    _, _, information = path_likelihood([used_elements(clean)], parameters)
    return np.linalg.inv(information)


def _two_paths(
    matrix: ChannelMatrix,
    amplitudes: np.ndarray,
    delays_s: np.ndarray,
    path_speeds_mps: np.ndarray,
) -> ChannelMatrix:
    """Channel of two paths without noise; its arguments are checked."""
    checks.instance("matrix", matrix, ChannelMatrix, MATRIX_REMEDY)
    amplitudes = checks.array("amplitudes", amplitudes, "2")
    delays_s = checks.reals("delays_s", delays_s, "2")
    path_speeds_mps = checks.reals("path_speeds_mps", path_speeds_mps, "2")
    for name, values in (
        ("amplitudes", amplitudes),
        ("delays_s", delays_s),
        ("path_speeds_mps", path_speeds_mps),
    ):
        checks.shape(name, values, (2,), "two paths")

    values = np.zeros(matrix.mask.shape, complex)
    for amplitude, delay_s, speed_mps in zip(amplitudes, delays_s, path_speeds_mps, strict=True):
        values += amplitude * path_response(matrix, delay_s, speed_mps)
    return replace(matrix, values=values)
