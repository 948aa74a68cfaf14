"""Errors of a network's predictions against the true targets of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cooperative_isac.learned.network import PRESENCE_THRESHOLD, Predictions, Truth
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M

# Standard deviation of a normal distribution over its median absolute deviation, 1 / 0.6745.
MAD_TO_STD = 1.4826


@dataclass(frozen=True)
class Score:
    """Errors over a set of samples.

    median_location_m, median_velocity_mps: of targets detected within DETECTION_CUTOFF_M
    rmse_location_m, rmse_velocity_mps: of all targets, detected or not, in the best pairing with
    the outputs, as in CF
    detection_rate: share of targets that are detected
    false_alarms: mean number in a sample
    """

    median_location_m: float
    median_velocity_mps: float
    rmse_location_m: float
    rmse_velocity_mps: float
    detection_rate: float
    false_alarms: float


class ErrorLog:
    """Errors collected over batches."""

    def __init__(self, dimension: int):
        self.dimension = dimension
        # Errors of detected targets, and of the outputs paired with all targets.
        self._detected: list[np.ndarray] = []
        self._all: list[np.ndarray] = []
        self._num_targets = 0
        self._num_false = 0
        self._num_samples = 0

    def add(self, predictions: Predictions, truth: Truth) -> None:
        """Add the errors of one batch."""
        samples = zip(
            predictions.presence.cpu().numpy(),
            predictions.state.cpu().numpy(),
            truth.present.cpu().numpy(),
            truth.state.cpu().numpy(),
        )
        for presence, state, is_present, true_state in samples:
            self._add_sample(state[presence > PRESENCE_THRESHOLD], state, true_state[is_present])

    def _add_sample(self, detected: np.ndarray, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Add one sample; each argument is [num, 2 dimension], float32, m and m/s."""
        # Detected targets, and detections without a target.
        size = self.dimension
        distances = pairwise_distances(targets[:, :size], detected[:, :size])
        pairs = match_within(distances, DETECTION_CUTOFF_M)
        self._detected += [detected[column] - targets[row] for row, column in pairs]
        self._num_false += len(detected) - len(pairs)

        # All targets.
        self._all += list(_closest(outputs, targets) - targets)
        self._num_targets += len(targets)
        self._num_samples += 1

    def score(self) -> Score:
        """Errors of all batches so far; medians are infinite where nothing was detected."""
        location, velocity = self._norms(self._detected)
        all_location, all_velocity = self._norms(self._all)
        return Score(
            _median(location),
            _median(velocity),
            _root_mean_square(all_location),
            _root_mean_square(all_velocity),
            len(location) / max(self._num_targets, 1),
            self._num_false / max(self._num_samples, 1),
        )

    def std(self) -> np.ndarray:
        """Robust standard deviation of each number of a state.

        Over all outputs, also those far from their targets, as a tracker receives those, too.

        Returns [2 dimension], float32, m and m/s.
        """
        median_errors = np.median(np.abs(np.array(self._all)), axis=0)
        return (MAD_TO_STD * median_errors).astype(np.float32)

    def _norms(self, errors: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Norms of the location errors and of the velocity errors, [num] each."""
        parts = np.array(errors).reshape(-1, 2, self.dimension)
        return list(np.linalg.norm(parts, axis=-1).T)


def _median(norms: np.ndarray) -> float:
    return float(np.median(norms)) if len(norms) else np.inf


def _root_mean_square(norms: np.ndarray) -> float:
    return float(np.sqrt(np.mean(norms**2))) if len(norms) else 0.0


def _closest(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The outputs in the order that is closest to the targets, [num_targets, 2 dimension]."""
    # Pairs with the least sum of squared errors, as indices of outputs and of targets.
    squared = np.square(outputs[:, None] - targets[None]).sum(-1)
    paired_outputs, paired_targets = linear_sum_assignment(squared)

    # In the order of the targets.
    return outputs[paired_outputs[np.argsort(paired_targets)]]
