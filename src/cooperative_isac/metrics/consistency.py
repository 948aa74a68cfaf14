"""Consistency of errors with the covariances and bounds that were stated for them."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaincinv


def nees(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Normalized estimation error squared, e^T P^-1 e.

    errors: [num, dim], float64
    covariances: [num, dim, dim], float64, in squares of the units of the errors
    Returns [num], float64.
    Source: Bar-Shalom, Li, Kirubarajan 2001, section 5.4.2.
    """
    weighted = np.linalg.solve(covariances, errors[..., None])[..., 0]
    return np.sum(errors * weighted, axis=-1)


def nees_interval(num: int, dim: int, probability: float = 0.95) -> tuple[float, float]:
    """Interval of the mean NEES of num independent consistent estimates.

    Source: Bar-Shalom, Li, Kirubarajan 2001, section 5.4.2.
    """
    tails = np.array([(1 - probability) / 2, (1 + probability) / 2])

    # Quantiles of chi-square with num x dim degrees of freedom; scipy.stats has them, too, but
    # takes half a second to load.
    low, high = 2 * gammaincinv(num * dim / 2, tails) / num
    return float(low), float(high)


def rmse(errors: np.ndarray) -> float:
    """Root mean square of the lengths of errors; nan without errors.

    errors: [num, dim], float64
    """
    if len(errors) == 0:
        return float("nan")
    return float(np.sqrt(np.mean(np.sum(errors**2, axis=-1))))


def median_error(errors: np.ndarray) -> float:
    """Median of the lengths of errors; nan without errors.

    errors: [num, dim], float64
    """
    if len(errors) == 0:
        return float("nan")
    return float(np.median(np.linalg.norm(errors, axis=-1)))


def error_to_bound(errors: np.ndarray, bounds: np.ndarray) -> float:
    """Ratio of the root mean square error to the root mean square bound; nan without errors.

    errors: [num, dim], float64
    bounds: [num], float64, root CRLB of each error, in its unit
    """
    if len(errors) == 0:
        return float("nan")
    return rmse(errors) / float(np.sqrt(np.mean(bounds**2)))
