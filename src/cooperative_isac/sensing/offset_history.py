"""Clock offsets of links over frames: a line through the estimates that agree."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset, Source, add_common
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene

# Estimates that are kept, and time before the last one from which they are, s: enough for a drift,
# and over so short a time that it is constant. After a longer gap a link begins anew: the offsets
# before it have drifted away, and would outnumber the first new ones.
KEPT_ESTIMATES = 8
KEPT_S = 10.0

# Estimates of a link by targets that must agree before its offsets are used: a single one may come
# from the path of another target, for some frames.
LEAST_AGREEING = 3

# Time over which offsets by targets are predicted at most, s, and in frames where these are so far
# apart; largest standard deviation of a predicted timing offset, over the largest difference of
# those that agree: few estimates give hardly any drift.
LONGEST_UNCONFIRMED_S = 1.5
LONGEST_UNCONFIRMED_FRAMES = 1.5
MOST_DEVIATION = 0.25

# Standard deviations of the difference of two estimates by which they may differ beyond that.
AGREEING_SIGMAS = 2.0

# Standard deviations of drifts: of timing in s/s, 1 ppm as of plain oscillators, and of carriers in
# Hz/s, which hardly drift.
USUAL_DRIFTS = (1e-6, 20.0)

# Deviation of every estimate beside its own, over the largest difference: no single one outweighs
# all others.
LEAST_DEVIATION = 0.05

# Largest difference of estimates of a link from a line, over the resolution of the band.
AGREEING_DELAYS = 1.0
AGREEING_SHIFTS = 0.3

# Share of it from a line through two estimates, which a drift of the clocks explains.
LINE_SHARE = 0.5

# Drifts of these lines at most: of timing in s/s, half the 0.05 ppm that TS 38.104 allows a base
# station (clause 6.5.1), and of carriers in Hz/s. With larger ones, estimates would agree that are
# of other targets' paths.
AGREEING_DRIFTS = (2.5e-8, 20.0)


class OffsetHistory:
    """Estimates of one link's clock offsets, and their prediction.

    An estimate may be that of another path: only those are used that agree with the most others.

    timing_s, frequency_hz: largest difference of exact estimates that agree, s and Hz
    longest_s: time after the last estimate up to which offsets are predicted, s
    """

    def __init__(self, timing_s: float, frequency_hz: float, longest_s: float = math.inf):
        self._limits = np.array([timing_s, frequency_hz])
        self._longest_s = longest_s
        self._kept: deque[tuple[float, ClockOffset]] = deque(maxlen=KEPT_ESTIMATES)

    def add(self, time_s: float, offset: ClockOffset) -> None:
        """Keep the estimate of a frame; where time went back, a run began again without a past."""
        if self._kept and self._kept[-1][0] >= time_s:
            self._kept.clear()
        while self._kept and time_s - self._kept[0][0] > KEPT_S:
            self._kept.popleft()
        self._kept.append((time_s, offset))

    def clear(self) -> None:
        """Leave out all estimates."""
        self._kept.clear()

    def predicted(self, time_s: float, least: int = 1) -> ClockOffset | None:
        """Offsets at a time, with the variances that the estimates leave.

        The sources of common errors are those of the estimates, each with its time.

        least: number of estimates that must agree
        Returns None where fewer agree, the last one is later, or longer ago than is predicted.
        """
        if not self._kept or not 0 <= time_s - self._kept[-1][0] <= self._longest_s:
            return None
        elapsed_s = np.array([time for time, _ in self._kept]) - time_s
        values = np.array([[one.delay_s, one.frequency_hz] for _, one in self._kept])
        variances = np.array([np.diag(one.covariance) for _, one in self._kept])
        members = self._agreeing(elapsed_s, values, variances)
        if np.count_nonzero(members) < least:
            return None

        # A line through the timing offsets, and one through the carrier offsets.
        chosen = np.flatnonzero(members)
        floors = np.square(LEAST_DEVIATION * self._limits)
        lines = [
            _line(
                elapsed_s[chosen],
                values[chosen, axis],
                variances[chosen, axis],
                floors[axis],
                drift,
            )
            for axis, drift in enumerate(USUAL_DRIFTS)
        ]
        return _combined(lines, [self._kept[index] for index in chosen])

    def _agreeing(
        self, elapsed_s: np.ndarray, values: np.ndarray, variances: np.ndarray
    ) -> np.ndarray:
        """Mask of the largest set of estimates on a line through one or two of them, [num], bool.

        elapsed_s: [num], float64, times of the estimates, s
        values, variances: [num, 2], float64, of timing in s and carrier in Hz
        """
        # Lines through every two estimates, and level ones through each.
        first, second = np.triu_indices(len(elapsed_s))
        between_s = elapsed_s[second] - elapsed_s[first]
        rises = values[second] - values[first]
        lengths_s = np.where(between_s > 0, between_s, np.inf)
        since_first_s = elapsed_s - elapsed_s[first][:, None]
        shares = (since_first_s / lengths_s[:, None])[..., None]
        lines = values[first][:, None] + shares * rises[:, None]

        # Those of a possible drift.
        ends = variances[first] + variances[second]
        largest_drifts = between_s[:, None] * np.array(AGREEING_DRIFTS)
        largest_rises = largest_drifts + AGREEING_SIGMAS * np.sqrt(ends)
        is_possible = np.all(np.abs(rises) <= largest_rises, axis=1)

        # Estimates near each line: by the errors of both, and within the limits by those of the
        # estimate alone.
        of_lines = (1 - shares) ** 2 * variances[first][:, None]
        of_lines += shares**2 * variances[second][:, None]
        of_both = AGREEING_SIGMAS * np.sqrt(of_lines + variances)
        of_estimate = AGREEING_SIGMAS * np.sqrt(variances)
        reach = np.minimum(LINE_SHARE * self._limits + of_both, self._limits + of_estimate)
        agrees = np.all(np.abs(values - lines) <= reach, axis=-1)

        # The largest set of them that is confirmed up to now.
        is_recent = elapsed_s >= -self._longest_s
        is_confirmed = np.any(agrees & is_recent, axis=1)
        sizes = np.count_nonzero(agrees, axis=1) * (is_possible & is_confirmed)
        return agrees[sizes.argmax()]


def _combined(
    lines: Sequence[_Line], estimates: Sequence[tuple[float, ClockOffset]]
) -> ClockOffset:
    """Offsets of two lines, of timing and carrier, with the common errors of their estimates."""
    timing, carrier = lines
    factor = np.diag(np.sqrt([timing.scatter, carrier.scatter]))
    common: dict[Source, np.ndarray] = {}
    for (time_s, one), of_timing, of_carrier in zip(
        estimates, timing.shares, carrier.shares, strict=True
    ):
        timed = replace(one, common={(time_s, *key): part for key, part in one.common.items()})
        add_common(common, timed, factor @ np.diag([of_timing, of_carrier]))
    covariance = np.diag([timing.variance, carrier.variance])
    return ClockOffset(timing.value, carrier.value, covariance, common)


@dataclass(frozen=True)
class _Line:
    """Line through estimates at different times.

    value, variance: at time 0
    shares: [num], float64, of the estimates in the value
    scatter: factor of the estimates' variances by which they scatter about the line, one at least
    """

    value: float
    variance: float
    shares: np.ndarray
    scatter: float


def _line(
    elapsed_s: np.ndarray, values: np.ndarray, variances: np.ndarray, floor: float, drift: float
) -> _Line:
    """Line of least squares through estimates.

    elapsed_s: [num], float64, times of the estimates, s
    values, variances: [num], float64, of the estimates
    floor: variance of each estimate beside its own
    drift: standard deviation of the slope about zero
    """
    # A single one has no slope.
    if len(values) == 1:
        return _Line(float(values[0]), float(variances[0]), np.ones(1), 1.0)

    # Least squares for value and slope, with the prior of the slope.
    drift_information = drift**-2.0
    line = np.column_stack([np.ones(len(values)), elapsed_s])
    weighted = line / (variances + floor)[:, None]
    normal = weighted.T @ line + np.diag([0.0, drift_information])
    inverse = np.linalg.inv(normal)

    # The value is a sum of shares of the estimates, whose own errors are in it alone, and the slope
    # that the prior has pulled toward zero.
    shares = inverse[0] @ weighted.T
    variance = np.square(shares) @ variances

    # Estimates that scatter more than by their variances have larger ones.
    residuals = values - line @ (inverse @ weighted.T @ values)
    scatter = 1.0
    if len(values) > 2:
        scatter = max(float(residuals**2 @ (1 / variances)) / (len(values) - 2), 1.0)
    variance = scatter * variance + inverse[0, 1] ** 2 * drift_information
    return _Line(float(shares @ values), float(variance), shares, scatter)


def offset_history(
    scene: Scene, agreeing_shifts: float = AGREEING_SHIFTS, longest_s: float = math.inf
) -> OffsetHistory:
    """History of the clock offsets of a link on the band of a scene.

    agreeing_shifts: largest difference of carrier offsets that agree, over the Doppler resolution
    longest_s: time after the last estimate up to which offsets are predicted, s
    """
    timing_s = AGREEING_DELAYS * scene.grid.range_resolution_m / SPEED_OF_LIGHT_MPS
    shift_hz = agreeing_shifts * scene.grid.doppler_resolution_hz
    return OffsetHistory(timing_s, shift_hz, longest_s)


class LinkHistories:
    """Histories of the clock offsets of the links to one receiver, by its targets.

    The receiver's own signal has no offset. Links without targets for LONGEST_UNCONFIRMED_S, or for
    a frame where frames are as far apart, have none, either: an offset that missed its targets
    would go on missing them.

    scene: seen on the band
    receiver: name of the receiving station
    agreeing_shifts: see offset_history
    """

    def __init__(self, scene: Scene, receiver: str, agreeing_shifts: float = AGREEING_SHIFTS):
        cell_s = scene.grid.range_resolution_m / SPEED_OF_LIGHT_MPS
        self._most_deviation_s = MOST_DEVIATION * AGREEING_DELAYS * cell_s
        period_s = 1 / scene.update_rate_hz
        longest_s = max(LONGEST_UNCONFIRMED_S, LONGEST_UNCONFIRMED_FRAMES * period_s)
        self._histories = {
            index: offset_history(scene, agreeing_shifts, longest_s)
            for index, site in enumerate(scene.transmitters)
            if site.name != receiver
        }

    def add(self, time_s: float, found: Mapping[int, ClockOffset]) -> None:
        """Keep the estimates of a frame, by index of the transmitter."""
        for index, offset in found.items():
            self._histories[index].add(time_s, offset)

    def forget(self, transmitter: int) -> None:
        """Begin again with one link, by index of its transmitter."""
        self._histories[transmitter].clear()

    def predicted(self, time_s: float, least: int = LEAST_AGREEING) -> dict[int, ClockOffset]:
        """Offsets at a time, of the links on which at least so many estimates agree."""
        predictions = {
            index: history.predicted(time_s, least) for index, history in self._histories.items()
        }
        return {
            index: one
            for index, one in predictions.items()
            if one is not None and np.sqrt(one.covariance[0, 0]) <= self._most_deviation_s
        }
