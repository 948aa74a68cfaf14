"""Clock offsets of a link over frames: a line through the estimates that agree."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.polynomial.polynomial import polyfit

from cooperative_isac.calibration.offsets import ClockOffset

# Estimates that are kept: enough for a drift, and over so short a time that it is constant.
KEPT_ESTIMATES = 8

# Deviation of every estimate beside its own, over the largest difference: no single one outweighs
# all others.
LEAST_DEVIATION = 0.05


class OffsetHistory:
    """Estimates of one link's clock offsets, and their prediction.

    An estimate may be that of another path: only those are used that agree with the most others.

    timing_s, frequency_hz: largest difference of estimates that agree, s and Hz
    """

    def __init__(self, timing_s: float, frequency_hz: float):
        self._limits = np.array([timing_s, frequency_hz])
        self._kept: deque[tuple[float, ClockOffset]] = deque(maxlen=KEPT_ESTIMATES)

    def add(self, time_s: float, offset: ClockOffset) -> None:
        """Keep the estimate of a frame; where time went back, a run began again without a past."""
        if self._kept and self._kept[-1][0] >= time_s:
            self._kept.clear()
        self._kept.append((time_s, offset))

    def predicted(self, time_s: float, least: int = 1) -> np.ndarray | None:
        """Timing (s) and carrier offset (Hz) at a time, [2], float64.

        least: number of estimates that must agree
        Returns None where fewer agree, or all are later.
        """
        if not self._kept or self._kept[-1][0] > time_s:
            return None
        elapsed_s = np.array([time for time, _ in self._kept]) - time_s
        values = np.array([[one.delay_s, one.frequency_hz] for _, one in self._kept])
        variances = np.array([np.diag(one.covariance) for _, one in self._kept])

        # The largest set around one estimate.
        is_within = np.abs(values[:, None] - values) <= self._limits
        agrees = np.all(is_within, axis=-1)
        sizes = np.count_nonzero(agrees, axis=1)
        members = agrees[sizes.argmax()]
        if sizes.max() < least:
            return None
        if sizes.max() == 1:
            return values[members][0]

        # A line through timing and carrier offset each, by their deviations.
        floor = np.square(LEAST_DEVIATION * self._limits)
        weights = 1 / np.sqrt(variances[members] + floor)
        return np.array(
            [
                polyfit(elapsed_s[members], values[members, axis], 1, w=weights[:, axis])[0]
                for axis in range(2)
            ]
        )
