"""How good what a network found is, against the truth of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cooperative_isac.learned.network import Predictions, Truth
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M

PRESENT = 0.5
MAD_TO_STD = 1.4826


@dataclass(frozen=True)
class Score:
    """Errors of targets found within DETECTION_CUTOFF_M, and over all targets as CF does (rmse_*),
    best pairing.

    detection_rate: share of targets found; false_alarms: per sample.
    """

    median_location_m: float
    median_velocity_mps: float
    rmse_location_m: float
    rmse_velocity_mps: float
    detection_rate: float
    false_alarms: float


class ErrorLog:
    """Collects the errors of batches."""

    def __init__(self, dimension: int):
        self.dimension = dimension
        self._errors, self._all, self._targets, self._false, self._samples = [], [], 0, 0, 0

    def add(self, found: Predictions, truth: Truth) -> None:
        """Count one batch."""
        rows = (
            tensor.cpu().numpy()
            for tensor in (found.presence, found.state, truth.present, truth.state)
        )
        for presence, state, present, label in zip(*rows):
            self._add_sample(state[presence > PRESENT], state, label[present])

    def _add_sample(self, told: np.ndarray, outputs: np.ndarray, wanted: np.ndarray) -> None:
        size = self.dimension
        pairs = match_within(
            pairwise_distances(wanted[:, :size], told[:, :size]), DETECTION_CUTOFF_M
        )
        self._errors += [told[column] - wanted[row] for row, column in pairs]
        self._all += list(_closest(outputs, wanted) - wanted)
        self._targets += len(wanted)
        self._false += len(told) - len(pairs)
        self._samples += 1

    def score(self) -> Score:
        """Figures of all batches so far; infinite where nothing was found."""
        location, velocity = self._lengths(self._errors)
        medians = [
            float(np.median(lengths)) if len(lengths) else np.inf
            for lengths in (location, velocity)
        ]
        roots = [
            float(np.sqrt(np.mean(lengths**2))) if len(lengths) else 0.0
            for lengths in self._lengths(self._all)
        ]
        found, false = len(location) / max(self._targets, 1), self._false / max(self._samples, 1)
        return Score(medians[0], medians[1], roots[0], roots[1], found, false)

    def std(self) -> np.ndarray:
        """Robust standard deviation of each number of a state, [2 dimension], float32, m and m/s.

        Of all outputs, also those far from their targets, as a tracker meets those, too.
        """
        return (MAD_TO_STD * np.median(np.abs(np.array(self._all)), axis=0)).astype(np.float32)

    def _lengths(self, errors: Sequence[np.ndarray]) -> list[np.ndarray]:
        parts = np.array(errors).reshape(-1, 2, self.dimension)
        return list(np.linalg.norm(parts, axis=-1).T)


def _closest(outputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The outputs in the order that brings them closest to the targets, [num_targets, 2
    dimension].
    """
    apart = np.square(outputs[:, None] - wanted[None]).sum(-1)
    chosen, order = linear_sum_assignment(apart)
    return outputs[chosen[np.argsort(order)]]
