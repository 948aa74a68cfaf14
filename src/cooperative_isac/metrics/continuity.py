"""Which track holds which target from frame to frame, and which track holds none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from cooperative_isac.metrics.assignment import match_within_each

TRACKS_OPEN = 1000  # those seen longest ago are over, and only counted


def match_tracks(
    distances_m: np.ndarray,
    names: Sequence[str],
    track_ids: Sequence[int],
    previous: Mapping[str, int],
    threshold_m: float | np.ndarray,
) -> dict[str, int]:
    """Track of each tracked target (CLEAR MOT: Bernardin and Stiefelhagen 2008).

    distances_m: [num_targets, num_tracks], float64, m; rows as names, columns as track_ids. A
    target keeps its previous track while that is within the threshold; the rest are matched at the
    least sum of distances.
    threshold_m: of all targets, or [num_targets], one for each, m.
    """
    thresholds = np.broadcast_to(threshold_m, len(names))
    matches = {
        name: previous[name]
        for row, name in enumerate(names)
        if previous.get(name) in track_ids
        and distances_m[row, track_ids.index(previous[name])] < thresholds[row]
    }
    rows = [row for row, name in enumerate(names) if name not in matches]
    columns = [
        column for column, track_id in enumerate(track_ids) if track_id not in matches.values()
    ]
    for row, column in match_within_each(distances_m[np.ix_(rows, columns)], thresholds[rows]):
        matches[names[rows[row]]] = track_ids[columns[column]]
    return matches


class TrackTally:
    """Tracks that were ever established; a false one was matched to a target for less than half of
    that life.
    """

    def __init__(self):
        self._open: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._old = self._old_false = 0

    @property
    def num_tracks(self) -> int:
        """All tracks so far."""
        return self._old + len(self._open)

    @property
    def num_false(self) -> int:
        """The false ones among them."""
        return self._old_false + sum(map(_is_false, self._open.values()))

    def add(self, track_id: int, is_matched: bool) -> None:
        """One frame in which a track is confirmed or coasting."""
        matched, frames = self._open.pop(track_id, (0, 0))
        self._open[track_id] = matched + is_matched, frames + 1
        if len(self._open) > TRACKS_OPEN:
            _, life = self._open.popitem(last=False)
            self._old, self._old_false = self._old + 1, self._old_false + _is_false(life)


def _is_false(life: tuple[int, int]) -> bool:
    matched, frames = life
    return 2 * matched < frames
