"""Initiation of tracks from detections that no track explains."""

from __future__ import annotations

import numpy as np

from cooperative_isac.tracking.association import gated_pairs
from cooperative_isac.tracking.measurement import Measurements

# Standard deviations by which the speed of a detection must exceed max_speed_mps, so that no target
# can have it: a false rejection in 700.
IMPOSSIBLE_SPEED_SIGMAS = 3.0

# Squared Mahalanobis distance below which two detections of a frame are taken for one target: one
# standard deviation of their difference. A larger one would merge targets that are close together.
DUPLICATE_DISTANCE = 1.0


def start_states(
    values: np.ndarray, covariances: np.ndarray, max_speed_mps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Initial states of tracks: their detections, with a prior of the velocity.

    The prior, zero with a standard deviation of max_speed_mps along each axis, matters only where a
    detection hardly measures the velocity.

    values: [..., 6], float64, position and velocity of detections, SI, map
    covariances: [..., 6, 6], float64, SI
    max_speed_mps: of targets, m/s
    Returns means [..., 6], float64, SI, map, and covariances [..., 6, 6], float64, SI.
    """
    # Kalman update of the detection by a measured velocity of zero, with the prior as its noise.
    innovation_covars = covariances[..., 3:, 3:] + max_speed_mps**2 * np.eye(3)
    gains = covariances[..., :, 3:] @ np.linalg.inv(innovation_covars)
    means = values - (gains @ values[..., 3:, None])[..., 0]
    return means, covariances - gains @ covariances[..., 3:, :]


def beginnings(
    measurements: Measurements,
    spare: np.ndarray,
    explained: np.ndarray,
    max_speed_mps: float,
    dimension: int,
) -> np.ndarray:
    """Detections that begin a track.

    A detection with an impossible speed begins none, nor does a partial one. A duplicate of another
    detection of the frame begins no second track, where that one belongs to a track or has just
    begun one.

    measurements: all detections of the frame
    spare: [num_spare], int, indices of those that belong to no track, ascending
    explained: [num_spare], bool, those that are another echo of a track
    max_speed_mps: of targets, m/s
    dimension: of the scene, 2 or 3
    Returns indices [num_begun], int, ascending.
    """
    # Full detections with a possible speed that no track explains.
    free = measurements.at(spare)
    fastest_mps = max_speed_mps + IMPOSSIBLE_SPEED_SIGMAS * free.speed_stds_mps()
    slow_enough = free.speeds_mps() <= fastest_mps
    candidates = spare[~free.partial & slow_enough & ~explained]

    # Duplicates of each candidate among all detections of the frame.
    same = gated_pairs(
        measurements.values,
        measurements.covariances,
        measurements.at(candidates),
        dimension,
        DUPLICATE_DISTANCE,
    )

    # The pairs in a list for each candidate: gated_pairs has all detections in place of tracks.
    order = np.argsort(same.detections, kind="stable")
    ends = np.cumsum(np.bincount(same.detections, minlength=len(candidates)))
    duplicates = np.split(same.tracks[order], ends[:-1])

    # Detections that belong to a track; partial ones are too uncertain to be duplicates.
    used = ~measurements.partial
    used[spare] = False

    # Candidates none of whose duplicates is used.
    begun = []
    for candidate, others in zip(candidates, duplicates):
        if not used[others].any():
            used[candidate] = True
            begun.append(candidate)
    return np.array(begun, int)
