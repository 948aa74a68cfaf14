"""Clock offsets of all links of a band at the center, from the paths of targets over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.calibration.offsets import (
    MOST_DISTANCE,
    ClockOffset,
    Source,
    half_difference,
    mean_offset,
)
from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.offset_history import (
    LEAST_AGREEING,
    LinkHistories,
    predicted_links,
)
from cooperative_isac.sensing.target_offsets import PathOffset, mean_link_offsets

# Stations that must detect a target by their own echoes before it gives offsets, and before it
# counts while offsets are unknown: a station that uses its own signal alone has ghosts, by the
# echoes of all others.
LEAST_ACTIVE_SITES = 3

# Common error of all offsets, over the largest one, below which it is left out.
LEAST_COMMON = 0.03

# Offsets of the links to each receiver, by its name and the index of the transmitter.
Offsets = Mapping[str, Mapping[int, ClockOffset]]


class LinkClocks:
    """Clock offsets of all links over frames.

    The mode is a parameter of the scene. With `active_observation` the offset of a link is the mean
    of those of its paths from their predictions. With `both_directions` it is half the difference
    of both directions of the link, on which errors of the prediction cancel.

    scene: seen on the band
    least: number of estimates of a link that must agree
    """

    def __init__(self, scene: Scene, least: int = LEAST_AGREEING):
        self.scene = scene
        self._least = least

        # Offsets that were predicted last, and their time, as long as no frame is added.
        self._last: tuple[float, Offsets] | None = None
        self._histories = {site.name: LinkHistories(scene, site.name) for site in scene.receivers}

    def predicted(self, time_s: float | None) -> Offsets:
        """Offsets that earlier frames predict; none for independent frames.

        time_s: of the frame, s; None where frames are independent draws
        """
        if time_s is None:
            return {name: {} for name in self._histories}
        if self._last is None or self._last[0] != time_s:
            found = predicted_links(list(self._histories.values()), time_s, self._least)
            offsets = dict(zip(self._histories, found, strict=True))
            self._last = (time_s, offsets)
        return self._last[1]

    def updated(self, time_s: float | None, paths: Mapping[str, Sequence[PathOffset]]) -> Offsets:
        """Offsets in a frame; its own paths then count for the next ones.

        Those of earlier frames come first: their errors are not in the reports of this frame.

        time_s: of the frame, s; None where frames are independent draws
        paths: offsets of the paths of targets from their predictions, by receiver
        """
        if self.scene.sensing.synchronization == "both_directions":
            found = both_directions(self.scene, paths)
        else:
            found = {name: mean_link_offsets(own) for name, own in paths.items()}
        if time_s is None:
            return found
        before = self.predicted(time_s)
        for name, offsets in found.items():
            self._histories[name].add(time_s, offsets)
        self._last = None
        return {
            name: {index: before[name].get(index, one) for index, one in own.items()}
            for name, own in self.predicted(time_s).items()
        }

    def complete(self, station: str, offsets: Offsets) -> ClockOffsets | None:
        """Offsets of all links to a station, without phases; None where some link has none.

        station: name
        offsets: of the frame
        """
        own = offsets.get(station, {})
        rows = np.zeros((len(self.scene.transmitters), 3))
        for index, site in enumerate(self.scene.transmitters):
            if site.name == station:
                continue
            if index not in own:
                return None
            rows[index, :2] = own[index].delay_s, own[index].frequency_hz
        return ClockOffsets(*rows.T)


def both_directions(
    scene: Scene, paths: Mapping[str, Sequence[PathOffset]]
) -> dict[str, dict[int, ClockOffset]]:
    """Clock offsets from paths that are seen in both directions of their links.

    scene: seen on the band
    paths: offsets of the paths of targets from their predictions, by receiver
    Returns the offsets by receiver and transmitter, of opposite signs in both directions.
    Source: DC section IV-A.
    """
    # Offset of every path, by transmitter, receiver and target.
    names = [site.name for site in scene.transmitters]
    seen = {
        (names[path.transmitter], receiver, path.target): path
        for receiver, own in paths.items()
        for path in own
    }

    # Half the differences, by transmitter and receiver of the forward direction.
    halves: dict[tuple[str, str], list[ClockOffset]] = {}
    for (transmitter, receiver, target), forward in seen.items():
        backward = seen.get((receiver, transmitter, target))
        if backward is not None and _is_same_path(forward, backward):
            half = half_difference(forward.measured, backward.measured)
            halves.setdefault((transmitter, receiver), []).append(half)

    # Means over the targets of each link, whose errors are opposite in both directions.
    found: dict[str, dict[int, ClockOffset]] = {receiver: {} for receiver in paths}
    for (transmitter, receiver), estimates in halves.items():
        mean = mean_offset(estimates)
        if mean is not None:
            # The source of the errors is the pair of stations.
            index = names.index(transmitter)
            other = names.index(receiver)
            sign = 1 if index < other else -1
            pair = (min(index, other), max(index, other))
            common: dict[Source, np.ndarray] = {pair: sign * np.linalg.cholesky(mean.covariance)}
            found[receiver][index] = replace(mean, common=common)
    return found


def common_errors(offsets: Offsets) -> dict[str, dict[int, np.ndarray]]:
    """Errors that the offsets of several links have in common, as few independent ones.

    Returns the change of timing in s and carrier in Hz with K errors of one standard deviation,
    [2, K], float64, by receiver and transmitter.
    """
    # Timing and carrier of all links, one row each.
    links = [(name, index) for name, own in offsets.items() for index in own]
    of_links = [offsets[name][index] for name, index in links]
    rows = _errors_by_source(of_links)

    # Their errors in standard deviations of each row.
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    deviations = np.maximum(lengths, np.finfo(float).tiny)
    normalized = rows / deviations

    # Principal axes: few errors with nearly the same covariance.
    left, values, _ = np.linalg.svd(normalized, full_matrices=False)
    least = LEAST_COMMON * max(values, default=0.0)
    is_strong = values > least
    principal = (left * values)[:, is_strong]
    axes = deviations * principal

    # Two rows of each link again.
    found: dict[str, dict[int, np.ndarray]] = {name: {} for name in offsets}
    for place, (name, index) in enumerate(links):
        first = 2 * place
        found[name][index] = axes[first : first + 2]
    return found


def _errors_by_source(offsets: Sequence[ClockOffset]) -> np.ndarray:
    """Errors of several offsets, two rows of each, with the columns of all sources side by side."""
    # Columns of each source.
    sizes: dict[Source, int] = {}
    for offset in offsets:
        for source, change in offset.common.items():
            sizes[source] = change.shape[1]
    ends = np.cumsum([0, *sizes.values()]).tolist()
    columns = {source: slice(ends[place], ends[place + 1]) for place, source in enumerate(sizes)}

    # Changes of timing and carrier by each error.
    rows = np.zeros((2 * len(offsets), ends[-1]))
    for place, offset in enumerate(offsets):
        first = 2 * place
        for source, change in offset.common.items():
            rows[first : first + 2, columns[source]] = change
    return rows


def _is_same_path(forward: PathOffset, backward: PathOffset) -> bool:
    """True where the offsets of both directions are opposite, within the errors of all.

    Their sum is twice the error of the prediction, which they have in common.
    """
    one = forward.measured
    other = backward.measured
    total = np.array([one.delay_s + other.delay_s, one.frequency_hz + other.frequency_hz])
    covariance = one.covariance + other.covariance + 4 * forward.predicted
    return bool(total @ np.linalg.solve(covariance, total) <= MOST_DISTANCE)
