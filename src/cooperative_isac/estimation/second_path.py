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
from cooperative_isac.estimation.range_doppler import checked_search, estimate_path, search_grid
from cooperative_isac.estimation.recovery import statistic_threshold

# Relative phases of both paths over which the probability is averaged: it changes with the sine and
# cosine of the phase, and of a few harmonics where the paths are close.
NUM_PHASES = 8


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

    # Echo of both without noise.
    echo = sum(
        amplitude * path_response(matrix, delay_s, path_speed_mps)
        for amplitude, delay_s, path_speed_mps in zip(
            amplitudes, delays_s, path_speeds_mps, strict=True
        )
    )

    # The single path that is nearest to it, and what it leaves.
    clean = replace(matrix, values=echo)
    nearest = estimate_path([clean], delay_window_s, speed_window_mps)
    explained = np.count_nonzero(matrix.mask) * abs(nearest.amplitudes[0]) ** 2
    left = np.sum(np.abs(echo) ** 2) - explained
    return float(max(left, 0.0) / matrix.noise_power)


def second_path_probability(
    matrix: ChannelMatrix,
    snrs: np.ndarray,
    delays_s: np.ndarray,
    path_speeds_mps: np.ndarray,
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
    false_alarm_rate: float = 1e-2,
) -> float:
    """Probability that `newtonized_omp` detects the second of two paths, on average over phases.

    All energy that the nearest single path leaves counts as that of one more path, the power of
    which is noncentral chi-square. Maxima of noise near the second path are left out.

    matrix: the grid; its values and noise are not used
    snrs: [2], float64, power ratios of the paths to the noise on one resource element
    delays_s: [2], float64, s
    path_speeds_mps: [2], float64, m/s, speeds at which the paths shorten
    delay_window_s: least and greatest delay of the search, s
    speed_window_mps: least and greatest speed of the search, m/s
    false_alarm_rate: probability of a path under noise alone
    Raises ValueError if a window is longer than the unambiguous span of the grid.
    Source: Kay, "Fundamentals of Statistical Signal Processing" II, section 6.4 and chapter 7.
    """
    checks.instance("matrix", matrix, ChannelMatrix, MATRIX_REMEDY)
    (matrix,), delay_window_s, speed_window_mps = checked_search(
        [matrix], delay_window_s, speed_window_mps
    )
    snrs = checks.positives("snrs", snrs, "2")
    checks.shape("snrs", snrs, (2,), "two paths")
    false_alarm_rate = checks.probability("false_alarm_rate", false_alarm_rate)

    # Threshold of the search.
    searched_s, searched_mps = search_grid([matrix], delay_window_s, speed_window_mps)
    num_cells = len(searched_s) * len(searched_mps)
    threshold = statistic_threshold(num_cells, false_alarm_rate, 1)

    # Power of the second path above it: half of a noncentral chi-square variable.
    unit = replace(matrix, noise_power=1.0)
    probabilities = []
    for turn in np.arange(NUM_PHASES) / NUM_PHASES:
        amplitudes = np.sqrt(snrs) * np.array([1.0, np.exp(2j * np.pi * turn)])
        energy = second_path_energy(
            unit, amplitudes, delays_s, path_speeds_mps, delay_window_s, speed_window_mps
        )
        probabilities.append(ncx2.sf(2 * threshold, 2, 2 * energy))
    return float(np.mean(probabilities))
