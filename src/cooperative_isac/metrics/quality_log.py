"""Sensing quality of the tracks of a run."""

from __future__ import annotations

from collections import deque

import numpy as np

from cooperative_isac.metrics.requirements import SensingQuality, sensing_quality

# Latest errors of which percentiles are computed: an hour of one target at 10 frames/s.
ERRORS_KEPT = 36_000


class QualityLog:
    """Running figures of the sensing quality; a run of any length takes the same memory.

    Shares are over the whole run, errors are the last ERRORS_KEPT.

    dimension: 2 in a plane of known height, else 3
    """

    def __init__(self, dimension: int):
        self._dimension = dimension
        self._errors: deque[np.ndarray] = deque(maxlen=ERRORS_KEPT)
        self._num_found = 0
        self._num_targets = 0
        self._num_estimates = 0

    def add(self, errors: np.ndarray, num_targets: int, num_estimates: int) -> None:
        """Add one frame.

        errors: [num_found, 2 dimension], float64, m and m/s, location and velocity of the tracks of
            the targets that were found
        num_targets: true targets
        num_estimates: tracks, with the false ones
        """
        self._errors.extend(errors)
        self._num_found += len(errors)
        self._num_targets += num_targets
        self._num_estimates += num_estimates

    def quality(self) -> SensingQuality:
        """The sensing quality so far."""
        size = self._dimension
        errors = np.array(self._errors, float).reshape(-1, 2 * size)
        return sensing_quality(
            location_errors_m=errors[:, :size],
            velocity_errors_mps=errors[:, size:],
            num_found=self._num_found,
            num_targets=self._num_targets,
            num_estimates=self._num_estimates,
        )
