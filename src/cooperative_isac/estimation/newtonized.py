"""Newtonized orthogonal matching pursuit: sparse recovery of paths off the grid.

A grid finds the next path of the residual. Delays and speeds of all paths are then refined
together, by Fisher scoring of the likelihood concentrated over the amplitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

import cooperative_isac.estimation.checks as checks
from cooperative_isac.estimation.channel_matrix import ChannelMatrix
from cooperative_isac.estimation.path_likelihood import (
    UsedElements,
    fit_amplitudes,
    path_likelihood,
    used_elements,
)
from cooperative_isac.estimation.peaks import vertex
from cooperative_isac.estimation.range_doppler import PathEstimate, checked_search, search_grid
from cooperative_isac.estimation.recovery import statistic_threshold
from cooperative_isac.estimation.scoring import fisher_scoring

# Values of a table of phasors: products of two tables of this length make up the search grid.
TABLE_SIZE = 16

# Length of a scoring step, standard deviations, below which paths are refined: what a step leaves
# out adds less than a thousandth to the variance.
NEGLIGIBLE_STEP = 0.02


@dataclass(frozen=True)
class _Search:
    """Grid of delays and speeds, and the transform of one band to it.

    Single precision: it rounds 120 dB below the strongest path of a residual, which it looks for.

    over_frequency: [num_delays, num_subcarriers], complex64
    over_time: [num_symbols, num_speeds], complex64
    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    scale: of the squared correlation, one over the noise energy on the elements in use
    """

    over_frequency: np.ndarray
    over_time: np.ndarray
    mask: np.ndarray
    scale: float

    def statistic(self, residual: np.ndarray) -> np.ndarray:
        """Detection statistic of one path in a residual on the elements in use.

        residual: [num_elements], complex128
        Returns [num_delays, num_speeds], float32.
        """
        values = np.zeros(self.mask.shape, np.complex64)
        values[self.mask] = residual
        correlation = self.over_frequency @ (values @ self.over_time)
        return self.scale * (correlation.real**2 + correlation.imag**2)


def newtonized_omp(
    matrices: Sequence[ChannelMatrix],
    delay_window_s: tuple[float, float],
    speed_window_mps: tuple[float, float],
    false_alarm_rate: float = 1e-2,
    max_paths: int = 20,
) -> list[PathEstimate]:
    """Gridless matching pursuit: after each new path all of them are refined off the grid.

    Several bands share delays and speeds (block sparsity); amplitudes are their own.

    matrices: one channel matrix a band
    delay_window_s: least and greatest delay, s
    speed_window_mps: least and greatest speed at which a path shortens, m/s
    false_alarm_rate: probability of a path under noise alone
    max_paths: paths at most
    Returns the paths, in the order in which they were found (the strongest first).
    Raises ValueError if a window is longer than the unambiguous span of the grids.
    Source: Mamandipoor, Ramasamy, Madhow, IEEE Trans. SP 64(19), 2016; here with several bands, and
    with a step for all paths together (variable projection) in place of one path after the other.
    """
    matrices, delay_window_s, speed_window_mps = checked_search(
        matrices, delay_window_s, speed_window_mps
    )
    false_alarm_rate = checks.probability("false_alarm_rate", false_alarm_rate)
    max_paths = checks.whole("max_paths", max_paths)

    delays_s, path_speeds_mps = search_grid(matrices, delay_window_s, speed_window_mps)
    num_cells = len(delays_s) * len(path_speeds_mps)
    threshold = statistic_threshold(num_cells, false_alarm_rate, len(matrices))
    searches = [_search(matrix, delays_s, path_speeds_mps) for matrix in matrices]
    bands = [used_elements(matrix) for matrix in matrices]

    parameters = np.empty(0)
    information = np.empty((0, 0))
    amplitudes: list[np.ndarray] = []
    residuals = [band.measured for band in bands]
    while len(parameters) < 2 * min(max_paths, _num_determined(bands)):
        # Detect the strongest path of the residual on the grid.
        statistics = [
            search.statistic(residual) for search, residual in zip(searches, residuals, strict=True)
        ]
        peak, path = _highest(np.sum(statistics, axis=0), delays_s, path_speeds_mps)
        if peak < threshold:
            break

        # Refine it and all paths before it together.
        parameters, information = fisher_scoring(
            lambda trial: path_likelihood(bands, trial),
            np.append(parameters, path),
            NEGLIGIBLE_STEP,
        )

        # The residual with joint least squares of all amplitudes.
        fits = [fit_amplitudes(band, parameters) for band in bands]
        amplitudes = [fit[0] for fit in fits]
        residuals = [fit[1] for fit in fits]
    return _paths(parameters, information, amplitudes)


def _num_determined(bands: Sequence[UsedElements]) -> int:
    """Most paths that the elements determine: delay, speed, and an amplitude in each band."""
    sizes = [len(band.measured) for band in bands]
    return min(*sizes, sum(sizes) // (1 + len(bands)))


def _highest(
    statistic: np.ndarray, delays_s: np.ndarray, path_speeds_mps: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """Greatest value on a grid, and the delay and speed of the peak there."""
    highest = int(np.argmax(statistic))
    row, column = divmod(highest, len(path_speeds_mps))
    delay_s = _between_points(delays_s, statistic[:, column], row)
    path_speed_mps = _between_points(path_speeds_mps, statistic[row], column)
    return float(statistic[row, column]), (delay_s, path_speed_mps)


def _between_points(points: np.ndarray, samples: np.ndarray, index: int) -> float:
    """Place of a peak by the parabola through the highest of regular points and its neighbors."""
    # Peak of the parabola; at an edge the sample itself stands for its missing neighbor.
    last = len(points) - 1
    before = samples[max(index - 1, 0)]
    after = samples[min(index + 1, last)]
    offset, _ = vertex(before, samples[index], after)

    # Its place.
    span = points[-1] - points[0]
    step = span / max(last, 1)
    return float(points[index] + offset * step)


def _search(matrix: ChannelMatrix, delays_s: np.ndarray, path_speeds_mps: np.ndarray) -> _Search:
    """Transform of a band to a regular grid; migration through delay cells is left out."""
    doppler_per_mps = matrix.carrier_hz / LIGHT_SPEED_MPS
    return _Search(
        over_frequency=_phasors(delays_s, matrix.frequency_hz),
        over_time=_phasors(path_speeds_mps, -doppler_per_mps * matrix.time_s).T,
        mask=matrix.mask,
        scale=1 / (np.count_nonzero(matrix.mask) * matrix.noise_power),
    )


def _phasors(points: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Phasors exp(2j pi point frequency) of regular points, as products of two short tables.

    points: [num_points], float64, at equal distances
    frequencies: [num_frequencies], float64
    Returns [num_points, num_frequencies], complex64.
    """
    # Every TABLE_SIZE-th point, and the points from the first one to the next of these.
    far_points = points[::TABLE_SIZE]
    near_points = points[:TABLE_SIZE] - points[0]
    far_turns = np.multiply.outer(far_points, frequencies)
    near_turns = np.multiply.outer(near_points, frequencies)

    # A phasor of each.
    full_turn = 2j * np.pi
    far = np.exp(full_turn * far_turns).astype(np.complex64)
    near = np.exp(full_turn * near_turns).astype(np.complex64)

    # Their products, of which the last may be beyond the points.
    products = far[:, None] * near
    phasors = products.reshape(-1, len(frequencies))
    return phasors[: len(points)]


def _paths(
    parameters: np.ndarray, information: np.ndarray, amplitudes: Sequence[np.ndarray]
) -> list[PathEstimate]:
    """Estimates of all paths, with the covariance of each beside all others.

    amplitudes: [num_paths], complex128, of each band
    """
    covariance = np.linalg.inv(information)
    paths = []
    for index, (delay_s, path_speed_mps) in enumerate(parameters.reshape(-1, 2)):
        own = slice(2 * index, 2 * index + 2)
        paths.append(
            PathEstimate(
                delay_s=float(delay_s),
                path_speed_mps=float(path_speed_mps),
                amplitudes=np.array([of_band[index] for of_band in amplitudes]),
                covariance=covariance[own, own],
            )
        )
    return paths
