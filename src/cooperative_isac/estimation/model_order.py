"""Number of sources by information criteria on the eigenvalues of a covariance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import cooperative_isac.estimation.checks as checks


def num_sources_aic(eigenvalues: np.ndarray, num_snapshots: int) -> int:
    """Number of sources by Akaike's information criterion.

    Tends to overestimate as snapshots grow, but finds weak sources earlier than MDL.

    eigenvalues: [num_sensors], float64, of the sample covariance, in any order
    num_snapshots: independent snapshots in the sample covariance
    Returns a number from 0 to num_sensors - 1.
    Raises ValueError if eigenvalues are not all positive.
    Source: Wax, Kailath, IEEE Trans. ASSP 33(2), 1985, eq. (16).
    """
    return _minimizer(eigenvalues, num_snapshots, lambda parameters: 2 * parameters)


def num_sources_mdl(eigenvalues: np.ndarray, num_snapshots: int) -> int:
    """Number of sources by Rissanen's minimum description length.

    Consistent: the right number with probability one as snapshots grow.

    eigenvalues: [num_sensors], float64, of the sample covariance, in any order
    num_snapshots: independent snapshots in the sample covariance
    Returns a number from 0 to num_sensors - 1.
    Raises ValueError if eigenvalues are not all positive.
    Source: Wax, Kailath, IEEE Trans. ASSP 33(2), 1985, eq. (17).
    """
    return _minimizer(
        eigenvalues, num_snapshots, lambda parameters: parameters * np.log(num_snapshots)
    )


def _minimizer(
    eigenvalues: np.ndarray, num_snapshots: int, penalty: Callable[[np.ndarray], np.ndarray]
) -> int:
    """Number of sources that minimizes twice the negative log-likelihood plus a penalty."""
    remedy = "such as numpy.linalg.eigvalsh(covariance)"
    found = checks.reals("eigenvalues", eigenvalues, "num_sensors", remedy)
    num_snapshots = checks.whole("num_snapshots", num_snapshots)
    descending = np.sort(found)[::-1]
    if descending[-1] <= 0:
        raise ValueError(
            f"the smallest eigenvalue is {descending[-1]:.3g}: eigenvalues must all be positive; "
            f"take at least as many snapshots as sensors ({len(descending)}), or smooth the "
            "covariance"
        )

    # With k sources the smallest num_sensors - k eigenvalues are noise of one power: the ratio of
    # their geometric to their arithmetic mean measures how equal they are.
    num_sensors = len(descending)
    num_sources = np.arange(num_sensors)
    criterion = np.empty(num_sensors)
    for k in num_sources:
        noise = descending[k:]
        log_ratio = np.mean(np.log(noise)) - np.log(np.mean(noise))
        criterion[k] = -2 * num_snapshots * len(noise) * log_ratio

    # Free parameters: k real eigenvalues, the noise power, and k complex orthonormal eigenvectors.
    parameters = num_sources * (2 * num_sensors - num_sources) + 1
    return int(np.argmin(criterion + penalty(parameters)))
