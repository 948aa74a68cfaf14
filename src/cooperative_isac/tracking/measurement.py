"""Detections of one frame as validated arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.detection import NO_EVIDENCE, SHAPES, Detection, detection_problem
from cooperative_isac.tracking.validity import state_problems


@dataclass(frozen=True)
class Measurements:
    """Detections of one frame.

    values: [num, 6], float64, position and velocity, SI, map
    covariances: [num, 6, 6], float64, SI
    partial: [num], bool, True for detections that update tracks but start none
    weak: [num], bool, True for detections below the threshold of the stations
    log_ratios: [num], float64, log-likelihood ratio of a new target at each weak detection to other
        causes; 0 for the others
    log_false_densities: [num], float64, logarithm of the density of false detections about each
        weak one, in 1/m^D (s/m)^D; 0 for the others
    """

    values: np.ndarray
    covariances: np.ndarray
    partial: np.ndarray
    weak: np.ndarray
    log_ratios: np.ndarray
    log_false_densities: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def at(self, detections: np.ndarray) -> Measurements:
        """Some of the detections.

        detections: indices [num], int, or a mask [num_detections], bool
        """
        return Measurements(
            self.values[detections],
            self.covariances[detections],
            self.partial[detections],
            self.weak[detections],
            self.log_ratios[detections],
            self.log_false_densities[detections],
        )

    def speeds_mps(self) -> np.ndarray:
        """Speed of each detection, [num], float64, m/s."""
        return np.linalg.norm(self.values[:, 3:], axis=1)

    def speed_stds_mps(self) -> np.ndarray:
        """Standard deviation of each velocity over all axes, [num], float64, m/s."""
        return np.sqrt(np.trace(self.covariances[:, 3:, 3:], axis1=1, axis2=2))


@dataclass(frozen=True)
class DetectionList:
    """Detections of one stamp from one source.

    time_s: stamp, s
    measurements: the detections
    answered: share of the receivers whose packets arrived
    is_frame: whether tracks without a detection miss it
    """

    time_s: float
    measurements: Measurements
    answered: float
    is_frame: bool


def stack(detections: Sequence[Detection]) -> Measurements:
    """Detections as arrays.

    Raises ValueError with the index of the first detection that is no Gaussian within the limits.
    """
    # Position and velocity, each detection a row.
    positions_m = _stacked(detections, "position_m")
    velocities_mps = _stacked(detections, "velocity_mps")
    covariances = _stacked(detections, "covariance")
    values = np.concatenate([positions_m, velocities_mps], axis=1)
    partial = np.array([detection.is_partial for detection in detections], bool)

    # Evidence of the weak ones.
    weak = np.array([detection.evidence is not None for detection in detections], bool)
    evidence = [detection.evidence or NO_EVIDENCE for detection in detections]
    log_ratios = np.array([one.log_likelihood_ratio for one in evidence], float)
    log_false_densities = np.array([one.log_false_density for one in evidence], float)

    # Refuse values and covariances beyond the limits of the filters.
    problems = state_problems(values, covariances)
    if problems:
        first = min(problems)
        raise ValueError(f"detection {first}: {problems[first]}")
    return Measurements(values, covariances, partial, weak, log_ratios, log_false_densities)


def _stacked(detections: Sequence[Detection], name: str) -> np.ndarray:
    """One attribute of all detections, [num, ...]; ValueError for the first of another shape."""
    # Of no detections, an array without rows in the right shape.
    expected = (len(detections), *SHAPES[name])
    try:
        stacked = np.array([getattr(detection, name) for detection in detections], float)
        if stacked.shape == expected or not len(detections):
            return stacked.reshape(expected)
    except ValueError:
        pass  # their shapes differ, or they are no numbers

    # The first detection whose shape is wrong, with the reason.
    for index, detection in enumerate(detections):
        if np.shape(getattr(detection, name)) != SHAPES[name]:
            raise ValueError(f"detection {index}: {detection_problem(detection)}")
    raise ValueError(f"{name} of the detections is no array of numbers")
