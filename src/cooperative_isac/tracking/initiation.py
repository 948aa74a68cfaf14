"""Initiator: which detections begin a track, and in which state."""

from __future__ import annotations

import numpy as np

from cooperative_isac.tracking.association import gated_pairs
from cooperative_isac.tracking.measurement import Measurements

# Standard deviations by which the speed of a detection must exceed max_speed_mps to be impossible.
SPEED_SIGMAS = 3.0
# Squared distance below which two detections of a frame cannot be told apart: one standard
# deviation of their difference. More would keep targets apart that stand close to each other.
INDISTINGUISHABLE = 1.0


def start_states(
    values: np.ndarray, covariances: np.ndarray, max_speed_mps: float
) -> tuple[np.ndarray, np.ndarray]:
    """States in which tracks start: their detections, and velocities near max_speed_mps.

    The prior of the velocity, zero with a standard deviation of max_speed_mps along each axis,
    matters only where a detection hardly measures it.

    Args:
        values: [..., 6], float64, position and velocity of detections, SI, map
        covariances: [..., 6, 6], float64, SI
        max_speed_mps: of targets, m/s

    Returns:
        means: [..., 6], float64, SI, map
        covariances: [..., 6, 6], float64, SI
    """
    spreads = covariances[..., 3:, 3:] + max_speed_mps**2 * np.eye(3)
    gains = covariances[..., :, 3:] @ np.linalg.inv(spreads)
    means = values - (gains @ values[..., 3:, None])[..., 0]
    return means, covariances - gains @ covariances[..., 3:, :]


def beginnings(
    measurements: Measurements,
    spare: np.ndarray,
    explained: np.ndarray,
    max_speed_mps: float,
    dimension: int,
) -> np.ndarray:
    """Which detections begin a track, indices [num], int, in the order of the detections.

    A detection that a target cannot have caused begins none, nor does a partial one. One that
    cannot be told apart from another of the frame begins no second track: neither from one that
    belongs to a track, nor from one that has just begun a track.

    Args:
        measurements: all detections of the frame
        spare: [num_spare], int, indices of those that belong to no track, ascending
        explained: [num_spare], bool, those that are another echo of a track
        max_speed_mps: of targets, m/s
        dimension: of the scene, 2 or 3
    """
    free = measurements.at(spare)
    slow_enough = free.speeds_mps() <= max_speed_mps + SPEED_SIGMAS * free.speed_stds_mps()
    candidates = spare[~free.partial & slow_enough & ~explained]

    # Which detections of the frame each candidate may be
    same = gated_pairs(
        measurements.values,
        measurements.covariances,
        measurements.at(candidates),
        dimension,
        INDISTINGUISHABLE,
    )
    order = np.argsort(same.detections, kind="stable")
    ends = np.cumsum(np.bincount(same.detections, minlength=len(candidates)))
    alike = np.split(same.tracks[order], ends[:-1])

    # A partial one resembles whatever is near it, and is evidence of none.
    used = ~measurements.partial
    used[spare] = False

    # Those that are a target of their own
    begun = []
    for candidate, others in zip(candidates, alike):
        if not used[others].any():
            used[candidate] = True
            begun.append(candidate)
    return np.array(begun, int)
