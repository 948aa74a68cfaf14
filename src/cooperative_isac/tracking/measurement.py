"""The detections of one frame as arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.tracking.validity import state_problems


@dataclass(frozen=True)
class Measurements:
    """Detections of one frame.

    values: [num, 6], float64, position and velocity, SI, map
    covariances: [num, 6, 6], float64, SI
    partial: [num], bool, those that update tracks but start none
    """

    values: np.ndarray
    covariances: np.ndarray
    partial: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def at(self, detections: np.ndarray) -> Measurements:
        """Some of the detections.

        detections: indices [num], int, or a mask [num_detections], bool
        """
        return Measurements(
            self.values[detections], self.covariances[detections], self.partial[detections]
        )

    def speeds_mps(self) -> np.ndarray:
        """Speed of each, [num], m/s."""
        return np.linalg.norm(self.values[:, 3:], axis=1)

    def speed_stds_mps(self) -> np.ndarray:
        """Standard deviation of the velocity of each over all axes, [num], m/s."""
        return np.sqrt(np.trace(self.covariances[:, 3:, 3:], axis1=1, axis2=2))


def stack(detections: Sequence[Detection]) -> Measurements:
    """Detections as arrays.

    Raises:
        ValueError: a detection is no Gaussian within the limits; names the first
    """
    for index, detection in enumerate(detections):
        if not _has_shapes(detection):
            raise ValueError(f"detection {index}: {detection_problem(detection)}")

    positions_m = np.array([d.position_m for d in detections], float).reshape(-1, 3)
    velocities_mps = np.array([d.velocity_mps for d in detections], float).reshape(-1, 3)
    values = np.concatenate([positions_m, velocities_mps], axis=1)
    covariances = np.array([d.covariance for d in detections], float).reshape(-1, 6, 6)
    partial = np.array([d.is_partial for d in detections], bool)

    problems = state_problems(values, covariances)
    if problems:
        first = min(problems)
        raise ValueError(f"detection {first}: {problems[first]}")
    return Measurements(values, covariances, partial)


def _has_shapes(detection: Detection) -> bool:
    """Whether the arrays of a detection have the shapes that they must have."""
    return (
        np.shape(detection.position_m) == (3,)
        and np.shape(detection.velocity_mps) == (3,)
        and np.shape(detection.covariance) == (6, 6)
    )
