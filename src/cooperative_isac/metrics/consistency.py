"""Consistency of errors with the covariances and bounds that were stated for them."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv


def nees(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Normalized estimation error squared e^T P^-1 e, [num] (Bar-Shalom, Li, Kirubarajan 2001, sec.
    5.4.2).

    errors: [num, dim], covariances: [num, dim, dim], float64, of one set of units.
    """
    return np.sum(errors * np.linalg.solve(covariances, errors[..., None])[..., 0], axis=-1)


def nees_interval(num: int, dim: int, probability: float = 0.95) -> tuple[float, float]:
    """Interval of the mean NEES of num independent consistent estimates (Bar-Shalom 2001, sec.
    5.4.2).
    """
    # The quantiles of chi-square as scipy.stats has them, which takes half a second to load.
    tails = np.array([(1 - probability) / 2, (1 + probability) / 2])
    low, high = 2 * gammaincinv(num * dim / 2, tails) / num
    return float(low), float(high)


def rmse(errors: np.ndarray) -> float:
    """Root mean square of the lengths of errors [num, dim], in their unit; nan without errors."""
    return float(np.sqrt(np.mean(np.sum(errors**2, axis=-1)))) if len(errors) else float("nan")


def median_error(errors: np.ndarray) -> float:
    """Median of the lengths of errors [num, dim], in their unit; nan without errors."""
    return float(np.median(np.linalg.norm(errors, axis=-1))) if len(errors) else float("nan")


def error_to_bound(errors: np.ndarray, bounds: np.ndarray) -> float:
    """Root mean square of errors [num, dim] over that of their root bounds [num]; nan without."""
    return rmse(errors) / float(np.sqrt(np.mean(bounds**2))) if len(errors) else float("nan")
