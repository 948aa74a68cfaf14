"""Validity of states: finite, within limits, with a positive definite covariance."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.limits import (
    LARGEST_CONDITION,
    LARGEST_POSITION_M,
    LARGEST_SPEED_MPS,
    LARGEST_VARIANCE,
    SMALLEST_VARIANCE,
    SYMMETRY_TOLERANCE,
    state_problem,
)

# det C <= smallest eigenvalue x (mean of the other five)^5 for a correlation matrix C, whose
# eigenvalues add up to 6.
OTHER_EIGENVALUES = (6 / 5) ** 5


def state_problems(
    means: np.ndarray, covariances: np.ndarray, margin: float = 1.0
) -> dict[int, str]:
    """Reasons why states are unfit for a filter, in the words of `state_problem`, by their index.

    Most states are found valid by bounds that take one Cholesky factorization of all of them; only
    the others are checked one by one.

    means: [num_states, 6], float64, position and velocity, SI, map
    covariances: [num_states, 6, 6], float64, SI
    margin: factor by which every limit is exceeded at most
    """
    problems = {}
    for index in np.flatnonzero(~_surely_valid(means, covariances)):
        mean = means[index]
        problem = state_problem(mean[:3], mean[3:], covariances[index], margin)
        if problem is not None:
            problems[int(index)] = problem
    return problems


def _surely_valid(means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Mask [num_states] of states that are certainly within the limits without margin."""
    # Finite numbers; stand-ins for the others, so that the checks below have some.
    has_finite_mean = np.all(np.isfinite(means), axis=1)
    has_finite_covariance = np.all(np.isfinite(covariances), axis=(1, 2))
    finite = has_finite_mean & has_finite_covariance
    states = np.where(finite[:, None], means, 0.0)
    matrices = np.where(finite[:, None, None], covariances, np.eye(6))

    # Positions and velocities.
    positions_m = np.abs(states[:, :3])
    velocities_mps = np.abs(states[:, 3:])
    near = (positions_m <= LARGEST_POSITION_M).all(axis=1)
    slow = (velocities_mps <= LARGEST_SPEED_MPS).all(axis=1)

    # Symmetry of the covariances.
    differences = np.abs(matrices - np.swapaxes(matrices, 1, 2))
    largest_entries = np.abs(matrices).max(axis=(1, 2))
    asymmetries = differences.max(axis=(1, 2))
    symmetric = asymmetries <= SYMMETRY_TOLERANCE * largest_entries

    # Correlations.
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    scales = np.sqrt(np.where(variances > 0, variances, 1.0))
    products = scales[:, :, None] * scales[:, None, :]
    correlations = matrices / products

    # Their determinant bounds their smallest eigenvalue.
    try:
        factors = np.linalg.cholesky(correlations)
    except np.linalg.LinAlgError:
        return np.zeros(len(means), bool)  # one of them is not positive definite
    diagonals = np.diagonal(factors, axis1=1, axis2=2)
    determinants = np.prod(diagonals, axis=1) ** 2

    # Bounds of the eigenvalues of the covariances: the smallest is at least that of the
    # correlations times the smallest variance, the largest at most the trace.
    smallest = variances.min(axis=1) * determinants / OTHER_EIGENVALUES
    largest = variances.sum(axis=1)
    sized = (smallest >= SMALLEST_VARIANCE) & (largest <= LARGEST_VARIANCE)
    conditioned = largest <= LARGEST_CONDITION * smallest
    return finite & near & slow & symmetric & sized & conditioned
