"""Clock offsets of links over frames: a line through the estimates that agree."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset, Source
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
        self.limits = np.array([timing_s, frequency_hz])
        self.longest_s = longest_s
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
        """Offsets at a time; see predicted_offsets."""
        return predicted_offsets([self], time_s, least)[0]

    @property
    def kept(self) -> Sequence[tuple[float, ClockOffset]]:
        """The estimates that are kept, with their times in s, the last one last."""
        return self._kept

    def is_confirmed(self, time_s: float) -> bool:
        """True where the last estimate is not later than a time, nor too long ago."""
        return bool(self._kept) and 0 <= time_s - self._kept[-1][0] <= self.longest_s


def predicted_offsets(
    histories: Sequence[OffsetHistory], time_s: float, least: int = 1
) -> list[ClockOffset | None]:
    """Offsets of several links at a time, with the variances that their estimates leave.

    The sources of common errors are those of the estimates, each with its time.

    histories: of the links
    time_s: s
    least: number of estimates that must agree
    Returns None where fewer agree, the last one is later, or longer ago than is predicted.
    """
    found: list[ClockOffset | None] = [None] * len(histories)
    places = [place for place, one in enumerate(histories) if one.is_confirmed(time_s)]
    if not places:
        return found
    estimates = _Estimates.of([histories[place] for place in places], time_s)
    members = _agreeing(estimates)
    lines = _lines(estimates, members)

    # The links on which enough estimates agree.
    counts = np.count_nonzero(members, axis=1)
    for row in np.flatnonzero(counts >= least).tolist():
        kept = histories[places[row]].kept
        found[places[row]] = lines.offset(row, kept, np.flatnonzero(members[row]))
    return found


@dataclass(frozen=True)
class _Estimates:
    """Estimates of several links, with gaps behind the last one of each.

    elapsed_s: [num_links, num], float64, times of the estimates, s
    values: [num_links, num, 2], float64, timing in s and carrier in Hz
    variances: [num_links, num, 2], float64, of these; 1 in gaps
    is_there: [num_links, num], bool, False in gaps
    limits: [num_links, 2], float64, largest difference of exact estimates that agree, s and Hz
    longest_s: [num_links], float64, time up to which a last estimate is recent, s
    """

    elapsed_s: np.ndarray
    values: np.ndarray
    variances: np.ndarray
    is_there: np.ndarray
    limits: np.ndarray
    longest_s: np.ndarray

    @classmethod
    def of(cls, histories: Sequence[OffsetHistory], time_s: float) -> _Estimates:
        """Estimates of histories, at their times from another one."""
        counts = np.array([len(one.kept) for one in histories])
        is_there = np.arange(counts.max()) < counts[:, None]
        kept = [estimate for one in histories for estimate in one.kept]
        elapsed_s = np.zeros(is_there.shape)
        values = np.zeros((*is_there.shape, 2))
        variances = np.ones((*is_there.shape, 2))
        elapsed_s[is_there] = [time - time_s for time, _ in kept]
        values[is_there] = [(one.delay_s, one.frequency_hz) for _, one in kept]
        variances[is_there] = [one.covariance.diagonal() for _, one in kept]
        return cls(
            elapsed_s,
            values,
            variances,
            is_there,
            np.array([one.limits for one in histories]),
            np.array([one.longest_s for one in histories]),
        )


def _agreeing(estimates: _Estimates) -> np.ndarray:
    """Masks of the largest sets of estimates on a line through one or two of them.

    Returns [num_links, num], bool.
    """
    lines = _lines_through(estimates)
    agrees = _near(estimates, lines)

    # Lines of a possible drift, with an estimate that confirms them up to now.
    is_recent = estimates.elapsed_s >= -estimates.longest_s[:, None]
    is_confirmed = np.any(agrees & is_recent[:, None], axis=-1)
    is_candidate = lines.is_possible & is_confirmed

    # The largest set of each link.
    sizes = np.count_nonzero(agrees, axis=-1) * is_candidate
    largest = sizes.argmax(axis=1)
    return agrees[np.arange(len(sizes)), largest]


@dataclass(frozen=True)
class _TrialLines:
    """Lines through two estimates of a link each, and level ones through one.

    first, second: [num_lines], int, estimates through which each line is
    shares: [num_links, num_lines, num, 1], float64, times of all estimates, from 0 at the first to
    1 at the second; 0 on a level line
    values: [num_links, num_lines, num, 2], float64, of the lines at these times
    is_possible: [num_links, num_lines], bool, clocks can drift so fast, and both estimates exist
    """

    first: np.ndarray
    second: np.ndarray
    shares: np.ndarray
    values: np.ndarray
    is_possible: np.ndarray


def _lines_through(estimates: _Estimates) -> _TrialLines:
    """Lines through every two estimates of each link, and level ones through each."""
    # Both ends of each line, and time and offsets from one to the other.
    first, second = np.triu_indices(estimates.elapsed_s.shape[1])
    begins_s = estimates.elapsed_s[:, first]
    ends_s = estimates.elapsed_s[:, second]
    begins = estimates.values[:, first]
    ends = estimates.values[:, second]
    between_s = ends_s - begins_s
    rises = ends - begins

    # Times of all estimates from each beginning, in lengths of the line; a level one has none.
    lengths_s = np.where(between_s > 0, between_s, np.inf)
    since_begin_s = estimates.elapsed_s[:, None] - begins_s[..., None]
    shares = since_begin_s / lengths_s[..., None]
    shares = shares[..., None]

    # Values of the lines at these times.
    changes = shares * rises[:, :, None]
    values = begins[:, :, None] + changes

    # Largest change within the drift of clocks, and the errors of both ends.
    of_ends = estimates.variances[:, first] + estimates.variances[:, second]
    largest_drifts = between_s[..., None] * np.array(AGREEING_DRIFTS)
    largest_rises = largest_drifts + AGREEING_SIGMAS * np.sqrt(of_ends)
    is_slow = np.all(np.abs(rises) <= largest_rises, axis=-1)

    # Lines between estimates that exist.
    has_begin = estimates.is_there[:, first]
    has_end = estimates.is_there[:, second]
    is_possible = is_slow & has_begin & has_end
    return _TrialLines(first, second, shares, values, is_possible)


def _near(estimates: _Estimates, lines: _TrialLines) -> np.ndarray:
    """Masks of the estimates near each line, [num_links, num_lines, num], bool."""
    # Variances of the lines, from the errors of both ends.
    of_begins = estimates.variances[:, lines.first, None]
    of_ends = estimates.variances[:, lines.second, None]
    of_lines = (1 - lines.shares) ** 2 * of_begins
    of_lines += lines.shares**2 * of_ends

    # Errors of estimate and line together, and of the estimate alone.
    variances = estimates.variances[:, None]
    of_both = AGREEING_SIGMAS * np.sqrt(of_lines + variances)
    of_estimate = AGREEING_SIGMAS * np.sqrt(variances)

    # Reach: by the errors of both, and within the limits by those of the estimate.
    limits = estimates.limits[:, None, None]
    narrow = LINE_SHARE * limits + of_both
    wide = limits + of_estimate
    reach = np.minimum(narrow, wide)

    # Both offsets within it.
    distances = np.abs(estimates.values[:, None] - lines.values)
    is_near = np.all(distances <= reach, axis=-1)
    return is_near & estimates.is_there[:, None]


@dataclass(frozen=True)
class _Lines:
    """Lines through the timing and the carrier offsets of several links, at time 0.

    values, variances: [num_links, 2], float64
    shares: [num_links, num, 2], float64, of the estimates in the values
    scatter: [num_links, 2], float64, factors of the estimates' variances by which they scatter
        about the lines, one at least
    """

    values: np.ndarray
    variances: np.ndarray
    shares: np.ndarray
    scatter: np.ndarray

    def offset(
        self, row: int, kept: Sequence[tuple[float, ClockOffset]], members: np.ndarray
    ) -> ClockOffset:
        """Offsets of one link, with the common errors of its estimates.

        row: of the link
        kept: its estimates
        members: [num_members], int, those that agree
        """
        # Errors of each estimate in the value of the line, by source and time.
        weights = np.sqrt(self.scatter[row]) * self.shares[row]
        common: dict[Source, np.ndarray] = {}
        for place in members.tolist():
            time_s, one = kept[place]
            weight = weights[place][:, None]
            for source, change in one.common.items():
                common[(time_s, *source)] = weight * change

        # Values of the line at time 0.
        timing_s, carrier_hz = self.values[row].tolist()
        covariance = np.diag(self.variances[row])
        return ClockOffset(timing_s, carrier_hz, covariance, common)


def _lines(estimates: _Estimates, members: np.ndarray) -> _Lines:
    """Lines of least squares through the estimates that agree.

    members: [num_links, num], bool
    """
    # Sums of the normal equations of value and slope, with the prior of the slope.
    is_member = members[..., None]
    elapsed_s = estimates.elapsed_s[..., None]
    variances = estimates.variances
    floors = np.square(LEAST_DEVIATION * estimates.limits)
    weights = is_member / (variances + floors[:, None])
    drift_information = np.array(USUAL_DRIFTS) ** -2.0
    of_values = np.sum(weights, axis=1)
    of_both = np.sum(weights * elapsed_s, axis=1)
    of_slopes = np.sum(weights * elapsed_s**2, axis=1) + drift_information
    determinants = of_values * of_slopes - of_both**2

    # The value is a sum of shares of the estimates, whose own errors are in it alone, and the slope
    # that the prior has pulled toward zero.
    slopes_rows = (of_slopes / determinants)[:, None]
    both_rows = (of_both / determinants)[:, None]
    values_rows = (of_values / determinants)[:, None]
    shares = weights * (slopes_rows - both_rows * elapsed_s)
    values = np.sum(shares * estimates.values, axis=1)
    of_estimates = np.sum(shares**2 * variances, axis=1)
    slope_shares = weights * (values_rows * elapsed_s - both_rows)
    slopes = np.sum(slope_shares * estimates.values, axis=1)

    # Estimates that scatter more than by their variances have larger ones.
    residuals = estimates.values - values[:, None] - slopes[:, None] * elapsed_s
    squared = np.sum(is_member * residuals**2 / variances, axis=1)
    counts = np.count_nonzero(members, axis=1)[:, None]
    mean_squares = squared / np.maximum(counts - 2, 1)
    scatter = np.where(counts > 2, np.maximum(mean_squares, 1.0), 1.0)
    of_slope = both_rows[:, 0] ** 2 * drift_information

    # A single one has no slope.
    is_single = counts == 1
    alone = np.sum(is_member * estimates.values, axis=1)
    alone_variance = np.sum(is_member * variances, axis=1)
    return _Lines(
        values=np.where(is_single, alone, values),
        variances=np.where(is_single, alone_variance, scatter * of_estimates + of_slope),
        shares=np.where(is_single[..., None], is_member, shares),
        scatter=scatter,
    )


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
        return predicted_links([self], time_s, least)[0]

    @property
    def by_transmitter(self) -> Mapping[int, OffsetHistory]:
        """History of each link, by index of the transmitter."""
        return self._histories

    def is_exact(self, offset: ClockOffset) -> bool:
        """True where the deviation of a predicted timing offset is small enough to use it."""
        return bool(np.sqrt(offset.covariance[0, 0]) <= self._most_deviation_s)


def predicted_links(
    receivers: Sequence[LinkHistories], time_s: float, least: int = LEAST_AGREEING
) -> list[dict[int, ClockOffset]]:
    """Offsets at a time of the links to several receivers, by index of the transmitter.

    receivers: histories of the links to each
    time_s: s
    least: number of estimates of a link that must agree
    """
    histories = [one for links in receivers for one in links.by_transmitter.values()]
    predictions = iter(predicted_offsets(histories, time_s, least))
    found: list[dict[int, ClockOffset]] = []
    for links in receivers:
        offsets = {index: next(predictions) for index in links.by_transmitter}
        exact = {
            index: one for index, one in offsets.items() if one is not None and links.is_exact(one)
        }
        found.append(exact)
    return found
