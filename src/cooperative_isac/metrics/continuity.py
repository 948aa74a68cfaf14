"""Assignment of tracks to targets from frame to frame, and the count of false tracks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.metrics.assignment import match_within_each

# Tracks whose lives are kept one by one; those established longest ago have ended by then, and only
# their number is kept, so that a run of any length takes the same memory.
MAX_OPEN_TRACKS = 1000


def match_tracks(
    distances_m: np.ndarray,
    names: Sequence[str],
    track_ids: Sequence[int],
    previous: Mapping[str, int],
    threshold_m: float | np.ndarray,
) -> dict[str, int]:
    """Track of each tracked target.

    A target keeps its previous track while that is within the threshold; the others are matched at
    the least sum of distances.

    distances_m: [num_targets, num_tracks], float64, m, rows as names, columns as track_ids
    names: of the targets
    track_ids: of the established tracks
    previous: result of the frame before
    threshold_m: of all targets, or [num_targets], float64, one for each, m
    Returns track id by name of the target.
    Source: CLEAR MOT (Bernardin and Stiefelhagen 2008).
    """
    thresholds_m = np.broadcast_to(threshold_m, len(names))

    # Keep the previous tracks that are still near.
    matches: dict[str, int] = {}
    for row, name in enumerate(names):
        track_id = previous.get(name)
        if track_id is None or track_id not in track_ids:
            continue
        if distances_m[row, track_ids.index(track_id)] < thresholds_m[row]:
            matches[name] = track_id

    # Assign the remaining tracks to the remaining targets.
    taken = set(matches.values())
    rows = [row for row, name in enumerate(names) if name not in matches]
    columns = [column for column, track_id in enumerate(track_ids) if track_id not in taken]
    remaining_m = distances_m[np.ix_(rows, columns)]
    for row, column in match_within_each(remaining_m, thresholds_m[rows]):
        matches[names[rows[row]]] = track_ids[columns[column]]
    return matches


@dataclass(frozen=True)
class _TrackLife:
    """Frames in which a track was established, and those of them in which it had a target."""

    frames: int = 0
    matched_frames: int = 0

    @property
    def is_false(self) -> bool:
        """True where the track had a target for less than half of its frames."""
        return 2 * self.matched_frames < self.frames


class TrackTally:
    """Numbers of all tracks and of false tracks that were established in a run.

    A track is false if it was matched to a target in less than half of its frames.
    """

    def __init__(self):
        self._open: OrderedDict[int, _TrackLife] = OrderedDict()
        self._num_closed = 0
        self._num_closed_false = 0

    @property
    def num_tracks(self) -> int:
        """All tracks so far."""
        return self._num_closed + len(self._open)

    @property
    def num_false(self) -> int:
        """The false tracks among them."""
        return self._num_closed_false + sum(life.is_false for life in self._open.values())

    def add(self, track_id: int, is_matched: bool) -> None:
        """Count one frame in which a track is established, with or without a target."""
        # Put it behind all others: the first one is then the one established longest ago.
        life = self._open.pop(track_id, _TrackLife())
        self._open[track_id] = _TrackLife(life.frames + 1, life.matched_frames + is_matched)

        # Close the track that was established longest ago.
        if len(self._open) > MAX_OPEN_TRACKS:
            _, closed = self._open.popitem(last=False)
            self._num_closed += 1
            self._num_closed_false += closed.is_false
