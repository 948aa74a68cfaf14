"""Which estimate stands for which true target."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def pairwise_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances [num_first, num_second]; arguments: [num, dim], float64."""
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def match_within(distances: np.ndarray, cutoff: float) -> list[tuple[int, int]]:
    """Pairs (row, column) closer than cutoff: as many as can be, and of those the least sum of
    distances.

    distances: [num_rows, num_columns], float64, in the unit of cutoff.
    """
    if distances.size == 0:
        return []
    apart = cutoff * (min(distances.shape) + 1.0)
    rows, columns = linear_sum_assignment(np.where(distances < cutoff, distances, apart))
    return [(int(r), int(c)) for r, c in zip(rows, columns) if distances[r, c] < cutoff]


def match_within_each(distances: np.ndarray, cutoffs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs as of match_within with a cutoff for each row.

    distances: [num_rows, num_columns], float64; cutoffs: [num_rows], float64, in the same unit.
    """
    if distances.size == 0:
        return []
    near = np.where(distances < cutoffs[:, None], distances, np.inf)
    return match_within(near, float(cutoffs.max()))
