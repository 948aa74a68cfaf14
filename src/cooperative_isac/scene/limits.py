"""Limits of the inputs of the chain: positions, velocities, their covariances, and echoes.

Within them a Kalman filter in float64 stays positive definite: an update loses about
condition x 1e-16 of the smallest eigenvalue, a prediction adds process noise only. Real detections
have standard deviations between 0.1 mm and 10 km and conditions below 1e9.
"""

from __future__ import annotations

import numpy as np

# Along each axis of map, m: coordinates of a national grid are below it.
LARGEST_POSITION_M = 1e7
# Along each axis, m/s: above the speed of every aircraft.
LARGEST_SPEED_MPS = 1e4
# Smallest eigenvalue of a covariance, m^2 and (m/s)^2: a deviation below a micrometer.
SMALLEST_VARIANCE = 1e-13
# Largest eigenvalue of a covariance, m^2 and (m/s)^2: a deviation above a hundred kilometers.
LARGEST_VARIANCE = 1e11
# Ratio of both: a filter keeps four digits of the smallest eigenvalue.
LARGEST_CONDITION = 1e12
# Either side of 0 dB: its power ratio is still a number in float64.
LARGEST_SNR_DB = 300.0
# Largest sample of an echo over the noise, dB: above no echo is real, and float32 would overflow.
LARGEST_ECHO_DB = 200.0
# Factor by which a track may exceed the limits of a detection, as it combines several.
TRACK_MARGIN = 100.0
# Asymmetry of a covariance, as a share of its largest entry: rounding of single precision.
SYMMETRY_TOLERANCE = 1e-6


def state_problem(
    position_m: np.ndarray, velocity_mps: np.ndarray, covariance: np.ndarray, margin: float = 1.0
) -> str | None:
    """Reason why a state is unfit for a filter, in words, or None.

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
    """Reason why a covariance is unfit for a filter, in words, or None.

    covariance: [6, 6], float64, of position and velocity, SI
    margin: as in `state_problem`
    """
    if not np.isfinite(covariance).all():
        return "covariance is not finite"

    # Entries; the largest one bounds the eigenvalues, so that their computation cannot overflow.
    largest_entry = np.abs(covariance).max()
    if largest_entry > margin * LARGEST_VARIANCE:
        return f"covariance is beyond {margin * LARGEST_VARIANCE:g}"
    if np.abs(covariance - covariance.T).max() > SYMMETRY_TOLERANCE * largest_entry:
        return "covariance is not symmetric"

    # Eigenvalues and their ratio.
    eigenvalues = np.linalg.eigvalsh(covariance)
    smallest = float(eigenvalues[0])
    largest = float(eigenvalues[-1])
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
    """Mask of the states that a filter can use, as they have no state_problem.

    positions_m: [num, 3], float64, m in map
    velocities_mps: [num, 3], float64, m/s in map
    covariances: [num, 6, 6], float64, of position and velocity, SI
    Returns [num], bool.
    """
    # Entries: finite, within their limits, symmetric. Comparisons with NaN are false.
    largest = np.abs(covariances).max(axis=(1, 2), initial=0.0)
    with np.errstate(invalid="ignore"):
        skew = np.abs(covariances - covariances.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
        fit = np.abs(positions_m).max(axis=1, initial=0.0) <= LARGEST_POSITION_M
        fit &= np.abs(velocities_mps).max(axis=1, initial=0.0) <= LARGEST_SPEED_MPS
        fit &= largest <= LARGEST_VARIANCE
        fit &= skew <= SYMMETRY_TOLERANCE * largest

    # Eigenvalues of those whose computation cannot overflow.
    eigenvalues = np.linalg.eigvalsh(covariances[fit])
    low = eigenvalues[:, 0]
    high = eigenvalues[:, -1]
    fit[fit] = (
        (low >= SMALLEST_VARIANCE) & (high <= LARGEST_VARIANCE) & (high <= LARGEST_CONDITION * low)
    )
    return fit
