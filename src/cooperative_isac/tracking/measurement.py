"""The detections of one frame as arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import SHAPES, Detection, detection_problem
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
    positions_m = _stacked(detections, "position_m")
    velocities_mps = _stacked(detections, "velocity_mps")
    covariances = _stacked(detections, "covariance")
    values = np.concatenate([positions_m, velocities_mps], axis=1)
    partial = np.array([d.is_partial for d in detections], bool)

    problems = state_problems(values, covariances)
    if problems:
        first = min(problems)
        raise ValueError(f"detection {first}: {problems[first]}")
    return Measurements(values, covariances, partial)


def _stacked(detections: Sequence[Detection], name: str) -> np.ndarray:
    """An array of each detection, [num, ...]; ValueError names the first of another shape."""
    expected = (len(detections), *SHAPES[name])
    try:
        stacked = np.array([getattr(detection, name) for detection in detections], float)
        if stacked.shape == expected or not len(detections):
            return stacked.reshape(expected)
    except ValueError:
        pass  # their shapes differ

    for index, detection in enumerate(detections):
        if np.shape(getattr(detection, name)) != SHAPES[name]:
            raise ValueError(f"detection {index}: {detection_problem(detection)}")
    raise ValueError(f"{name} of the detections is no array of numbers")
