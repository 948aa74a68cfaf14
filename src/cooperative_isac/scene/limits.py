"""Limits of what may enter the chain: positions, velocities and their covariances, and echoes.

Within them a Kalman filter in float64 stays positive definite: an update loses about
condition x 1e-16 of the smallest eigenvalue, a prediction adds process noise only. Real detections
have standard deviations between 0.1 mm and 10 km and conditions below 1e9.
"""

from __future__ import annotations

import numpy as np

LARGEST_POSITION_M = 1e7  # along each axis of map: coordinates of a national grid are below it
LARGEST_SPEED_MPS = 1e4  # along each axis: faster than what stays in the air
SMALLEST_VARIANCE = 1e-13  # m^2 and (m/s)^2, smallest eigenvalue: below a micrometer
LARGEST_VARIANCE = 1e11  # m^2 and (m/s)^2, largest eigenvalue: above a hundred kilometers
LARGEST_CONDITION = 1e12  # ratio of both: a filter keeps four digits of the smallest eigenvalue
LARGEST_SNR_DB = 300.0  # either side of 0 dB
# An echo's largest sample over the noise: above is no echo, and would overflow in float32.
LARGEST_ECHO_DB = 200.0
TRACK_MARGIN = 100.0  # a track may go so far beyond what a detection may: it combines several
SYMMETRY_TOLERANCE = 1e-6  # share of a covariance's largest entry


def state_problem(
    position_m: np.ndarray, velocity_mps: np.ndarray, covariance: np.ndarray, margin: float = 1.0
) -> str | None:
    """What makes a state unfit for a filter, in words, or None.

    position_m: [3], float64, m, in map
    velocity_mps: [3], float64, m/s, in map
    covariance: [6, 6], float64, of position and velocity, SI
    margin: factor by which every limit is exceeded at most; TRACK_MARGIN for tracks
    """
    vectors = (
        ("position_m", position_m, margin * LARGEST_POSITION_M, "m"),
        ("velocity_mps", velocity_mps, margin * LARGEST_SPEED_MPS, "m/s"),
    )
    for name, vector, limit, unit in vectors:
        if not np.isfinite(vector).all():
            return f"{name} is not finite"
        if np.abs(vector).max() > limit:
            return f"{name} is beyond {limit:g} {unit}"
    return covariance_problem(covariance, margin)


def covariance_problem(covariance: np.ndarray, margin: float = 1.0) -> str | None:
    """What makes a covariance unfit for a filter, in words, or None.

    covariance: [6, 6], float64, of position and velocity, SI
    margin: as in `state_problem`
    """
    if not np.isfinite(covariance).all():
        return "covariance is not finite"

    # The largest entry bounds the eigenvalues, which are only asked for where they cannot overflow.
    largest = np.abs(covariance).max()
    if largest > margin * LARGEST_VARIANCE:
        return f"covariance is beyond {margin * LARGEST_VARIANCE:g}"
    if np.abs(covariance - covariance.T).max() > SYMMETRY_TOLERANCE * largest:
        return "covariance is not symmetric"

    eigenvalues = np.linalg.eigvalsh(covariance)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if smallest <= 0:
        return "covariance is not positive definite"
    if smallest < SMALLEST_VARIANCE / margin or largest > margin * LARGEST_VARIANCE:
        return f"covariance has eigenvalues from {smallest:.3g} to {largest:.3g}, beyond the limits"
    if largest > margin * LARGEST_CONDITION * smallest:
        return f"covariance has a condition of {largest / smallest:.3g}, beyond the limit"
    return None


def are_states(
    positions_m: np.ndarray, velocities_mps: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """Which states are fit for a filter, [n], bool: those without a state_problem.

    positions_m, velocities_mps: [n, 3], float64, in map
    covariances: [n, 6, 6], float64, of position and velocity, SI
    """
    # Entries: finite, within their limits, symmetric.
    largest = np.abs(covariances).max(axis=(1, 2), initial=0.0)
    with np.errstate(invalid="ignore"):
        skew = np.abs(covariances - covariances.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
        fit = np.abs(positions_m).max(axis=1, initial=0.0) <= LARGEST_POSITION_M
        fit &= np.abs(velocities_mps).max(axis=1, initial=0.0) <= LARGEST_SPEED_MPS
        fit &= largest <= LARGEST_VARIANCE
        fit &= skew <= SYMMETRY_TOLERANCE * largest

    # Eigenvalues of those where they cannot overflow.
    eigenvalues = np.linalg.eigvalsh(covariances[fit])
    low = eigenvalues[:, 0]
    high = eigenvalues[:, -1]
    fit[fit] = (
        (low >= SMALLEST_VARIANCE) & (high <= LARGEST_VARIANCE) & (high <= LARGEST_CONDITION * low)
    )
    return fit
