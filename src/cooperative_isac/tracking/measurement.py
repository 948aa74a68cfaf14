"""The detections of one frame as arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import Detection, detection_problem


@dataclass(frozen=True)
class Measurements:
    """Detections of one frame, as arrays.

    values: [num, 6] position and velocity in map; covariances: [num, 6, 6]; float64, SI;
    partial: [num], bool, which update tracks but start none;
    places: [num], int, of each among the detections of the frame.
    """

    values: np.ndarray
    covariances: np.ndarray
    partial: np.ndarray
    places: np.ndarray

    def without(self, taken: Sequence[int]) -> Measurements:
        """The measurements other than those at the indices taken."""
        arrays = (self.values, self.covariances, self.partial, self.places)
        return Measurements(*(np.delete(array, taken, axis=0) for array in arrays))

    def speeds_mps(self) -> np.ndarray:
        """Speed of each, [num], m/s."""
        return np.linalg.norm(self.values[:, 3:], axis=1)

    def speed_stds_mps(self) -> np.ndarray:
        """Standard deviation of the velocity of each over all axes, [num], m/s."""
        return np.sqrt(np.trace(self.covariances[:, 3:, 3:], axis1=1, axis2=2))


def stack(detections: Sequence[Detection]) -> Measurements:
    """Detections as arrays; ValueError names the first that `detection_problem` objects to."""
    for index, detection in enumerate(detections):
        problem = detection_problem(detection)
        if problem:
            raise ValueError(f"detection {index}: {problem}")
    values = np.array([[*d.position_m, *d.velocity_mps] for d in detections], float)
    covariances = np.array([d.covariance for d in detections], float)
    partial = np.array([d.is_partial for d in detections], bool)
    places = np.arange(len(detections))
    return Measurements(values.reshape(-1, 6), covariances.reshape(-1, 6, 6), partial, places)
