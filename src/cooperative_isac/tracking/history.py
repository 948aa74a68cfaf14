"""Short history of a tracker: detection lists, and the states before them.

A list with an earlier stamp is inserted where it belongs: the tracker goes back to the state before
it, and processes it and all later lists again. That is exact, unlike a retrodiction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtri

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.tracking.in_order import InOrderTracker
from cooperative_isac.tracking.life import LONGEST_OUTAGE_S
from cooperative_isac.tracking.measurement import DetectionList
from cooperative_isac.tracking.track import Track

# Time before the newest stamp within which lists are inserted, s: five frames at 5 Hz, as long as a
# track without detections lives by default. What is older changes the newest states hardly.
HISTORY_S = 1.0

# Number of lists that are kept at most: 1 s at 32 Hz, 40 MB with the largest number of tracks.
HISTORY_LISTS = 32

# Step of the stamps back beyond which the clock was set back, s: no track lives as long without a
# detection, so that a list of that age is of none of them.
REWIND_S = LONGEST_OUTAGE_S

# Probability with which the same target's track after a replay is in the gate of that before it.
SAME_TARGET_PROBABILITY = 0.999


@dataclass(frozen=True)
class Entry:
    """A list that was processed, and the state before it; None where that was not kept."""

    given: DetectionList
    before: InOrderTracker | None

    def renamed(self, names: Mapping[int, int]) -> Entry:
        """The entry with other identities of the tracks, by the former ones."""
        if self.before is None or not names:
            return self
        return replace(self, before=self.before.renamed(names))


@dataclass(frozen=True)
class Replay:
    """How a list is inserted.

    kept: entries that remain as they are
    start: state from which the others are processed
    lists: to process, in their order
    """

    kept: tuple[Entry, ...]
    start: InOrderTracker
    lists: tuple[DetectionList, ...]


def remembered(
    entries: tuple[Entry, ...], given: DetectionList, present: InOrderTracker
) -> tuple[Entry, ...]:
    """The entries with another list, and the state before it where one is due.

    entries: in the order of their stamps
    given: a list that is not older than they are
    present: before that list
    """
    num_lists = num_since_state(entries)
    is_due = num_lists is None or num_lists >= present.copy_every
    before = present.copy() if is_due else None
    return pruned((*entries, Entry(given, before)))


def num_since_state(entries: Sequence[Entry]) -> int | None:
    """Number of entries from the last one with a state on; None without any."""
    for number, entry in enumerate(reversed(entries), start=1):
        if entry.before is not None:
            return number
    return None


def pruned(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries that are needed to insert lists of the last HISTORY_S.

    entries: in the order of their stamps
    """
    oldest_s = entries[-1].given.time_s - HISTORY_S
    starts = [
        place
        for place, entry in enumerate(entries)
        if entry.before is not None and entry.before.time_s <= oldest_s
    ]
    first = max(starts, default=0)

    # No more than the limit, from one with a state on.
    first = max(first, len(entries) - HISTORY_LISTS)
    while first < len(entries) and entries[first].before is None:
        first += 1
    return entries[first:]


def insertion(entries: tuple[Entry, ...], given: DetectionList) -> Replay | None:
    """Replay with another list, behind those of the same stamp.

    entries: in the order of their stamps, at least one of them later
    Returns None where the list is older than the history.
    """
    place = bisect_right([entry.given.time_s for entry in entries], given.time_s)
    if not entries or entries[-1].given.time_s - given.time_s > HISTORY_S:
        return None
    lists = [entry.given for entry in entries]
    return _replay(entries, place, [*lists[:place], given, *lists[place:]])


def revision(entries: tuple[Entry, ...], given: DetectionList) -> Replay | None:
    """Replay with another list in place of that of its frame.

    entries: in the order of their stamps
    Returns None where no frame of that stamp is in the history.
    """
    lists = [entry.given for entry in entries]
    for place, former in enumerate(lists):
        if former.is_frame and former.time_s == given.time_s:
            return _replay(entries, place, [*lists[:place], given, *lists[place + 1 :]])
    return None


def _replay(
    entries: tuple[Entry, ...], changed: int, lists: Sequence[DetectionList]
) -> Replay | None:
    """Replay from the last state before the first list that changes.

    entries: as they were
    changed: place of that list
    lists: all lists as they should have been
    """
    for place in range(changed, -1, -1):
        start = entries[place].before
        if start is not None and start.time_s <= lists[changed].time_s:
            return Replay(entries[:place], start, tuple(lists[place:]))
    return None


def same_targets(
    former: Sequence[Track], new: Sequence[Track], dimension: int
) -> list[tuple[int, int]]:
    """Tracks of the same targets before and after a replay, at the same stamp.

    former, new: tracks
    dimension: of the scene, 2 or 3
    Returns pairs of an index among the former and one among the new tracks.
    """
    if not former or not new:
        return []
    axes = STATE_AXES[dimension]
    former_states = _states(former)[:, axes]
    new_states = _states(new)[:, axes]
    covariances = np.array([track.covariance[np.ix_(axes, axes)] for track in former])

    # Squared distances by the covariances of the former ones, [num_former, num_new].
    differences = new_states - former_states[:, None]
    whitened = np.linalg.solve(covariances, np.swapaxes(differences, -1, -2))
    distances = np.einsum("fna,fan->fn", differences, whitened)

    # Global nearest neighbors within the gate.
    gate = chdtri(len(axes), 1 - SAME_TARGET_PROBABILITY)
    costs = np.minimum(distances, gate)
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(int(one), int(other)) for one, other in pairs if distances[one, other] < gate]


def _states(tracks: Sequence[Track]) -> np.ndarray:
    """Positions and velocities, [num_tracks, 6], float64, SI, map."""
    return np.array([[*track.position_m, *track.velocity_mps] for track in tracks])
