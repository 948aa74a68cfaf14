"""Assignment of estimates to true targets."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def pairwise_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs of points.

    first: [num_first, dim], float64
    second: [num_second, dim], float64, in the same unit
    Returns [num_first, num_second], float64.
    """
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def match_within(distances: np.ndarray, cutoff: float) -> list[tuple[int, int]]:
    """Pairs (row, column) closer than a cutoff.

    As many pairs as possible, and of those assignments the one with the least sum of distances.

    distances: [num_rows, num_columns], float64
    cutoff: in the unit of the distances
    """
    if distances.size == 0:
        return []

    # A pair beyond the cutoff costs more than all pairs within it together.
    too_far = cutoff * (min(distances.shape) + 1.0)
    costs = np.where(distances < cutoff, distances, too_far)
    rows, columns = linear_sum_assignment(costs)
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns)
        if distances[row, column] < cutoff
    ]


def match_within_each(distances: np.ndarray, cutoffs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) as match_within, with a cutoff for each row.

    distances: [num_rows, num_columns], float64
    cutoffs: [num_rows], float64, in the unit of the distances
    """
    if distances.size == 0:
        return []

    # Pairs beyond the cutoff of their row have no distance; the largest cutoff admits all others.
    near = np.where(distances < cutoffs[:, None], distances, np.inf)
    return match_within(near, float(cutoffs.max()))
