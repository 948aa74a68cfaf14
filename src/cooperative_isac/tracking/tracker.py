"""Multi-target tracker: detections of one frame after another to tracks with an identity.

It assigns identities, and keeps a short history of lists and states (`history`), into which
detections of an earlier stamp are inserted. The tracks themselves are those of `in_order`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.history import (
    REWIND_S,
    Entry,
    Replay,
    insertion,
    remembered,
    revision,
    same_targets,
)
from cooperative_isac.tracking.in_order import MAX_TRACKS, InOrderTracker
from cooperative_isac.tracking.measurement import DetectionList, stack
from cooperative_isac.tracking.track import Track, TrackStatus

__all__ = ["MAX_TRACKS", "Tracker"]

# Scores by identity where no track is of weak detections.
NO_SCORES: Mapping[int, float] = MappingProxyType({})


class Tracker:
    """Tracker of one scene.

    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    Raises ValueError where the dimension or the motion model is unknown.
    """

    def __init__(self, settings: Tracking, dimension: int):
        self._dimension = dimension

        # Present state; identities so far, and stand-ins of those in replays.
        self._present = InOrderTracker(settings, dimension)
        self._num_born = 0
        self._num_stand_ins = 0

        # Lists of the last time with the states before them.
        self._history: tuple[Entry, ...] = ()

        # Results of the last update.
        self._was_reset = False
        self._was_late = False
        self._failed: Mapping[int, str] = {}
        self._num_refused = 0

    @property
    def failed(self) -> tuple[str, ...]:
        """Tracks that the last update dropped because of an invalid state, with the reasons."""
        return tuple(f"track {number}: {problem}" for number, problem in self._failed.items())

    @property
    def num_refused(self) -> int:
        """Number of tracks that the last update did not start because of MAX_TRACKS."""
        return self._num_refused

    @property
    def was_reset(self) -> bool:
        """True where the clock had gone backwards in the last update, so that it began anew."""
        return self._was_reset

    @property
    def was_late(self) -> bool:
        """True where the last list was older than the history, and was not used."""
        return self._was_late

    @property
    def time_s(self) -> float:
        """Newest stamp, s, which is that of all returned tracks; -inf before the first list."""
        return self._present.time_s

    @property
    def scores(self) -> dict[int, float]:
        """Log-likelihood ratios, by identity, that tracks of weak detections had added up at last
        before they were established.
        """
        return self._present.scores

    @property
    def num_born(self) -> int:
        """Number of identities so far; the next track gets this number plus one."""
        return self._num_born

    @property
    def period_s(self) -> float:
        """Shortest interval between frames so far, s; infinite before the second."""
        return self._present.period_s

    def reset(self) -> tuple[Track, ...]:
        """Delete all tracks and return their last snapshots; no identity is used again."""
        ended = _deleted(self._present.snapshots())
        self._present.clear()
        self._history = ()
        return ended

    def restore(
        self,
        time_s: float,
        tracks: Sequence[Track],
        num_born: int,
        period_s: float,
        scores: Mapping[int, float] = NO_SCORES,
    ) -> None:
        """Continue the tracks of another tracker of the same settings, before the first update.

        time_s: stamp of the tracks, s; the first update must be later
        tracks: established tracks at that stamp; filters start from their means and covariances
        num_born: number of identities that were used, so that none is used again
        period_s: of the frames, s: longer intervals count as unobserved
        scores: of tracks of weak detections, by identity
        """
        self._num_born = max([num_born, *(track.track_id for track in tracks)])
        self._failed = self._present.restore(time_s, tracks, period_s, scores)
        self._history = ()

    def skip_identities(self, num_born: int) -> None:
        """Leave out the first num_born identities, which another tracker has used."""
        self._num_born = max(self._num_born, num_born)

    def update(
        self,
        time_s: float,
        detections: Sequence[Detection],
        answered: float = 1.0,
        is_frame: bool = True,
    ) -> tuple[Track, ...]:
        """Update the tracks by the detections of a frame, also of an empty one.

        All returned tracks are valid: a track whose filter fails is dropped (`failed`), and the
        others are not affected.

        time_s: stamp of the frame, s. With the stamp of an earlier frame again, further detections
            of that frame update tracks without a prediction, and tracks without one count no miss.
            An earlier stamp than the newest: the detections are inserted where they belong, within
            history.HISTORY_S; older ones are not used (`was_late`). More than history.REWIND_S
            earlier the clock was set back: all tracks are deleted (`was_reset`).
        detections: of the frame
        answered: share of the receivers whose packets arrived; misses count in proportion
        is_frame: False for a further source with stamps of its own, between those of the frames:
            tracks without a detection count no miss, as with a stamp that comes again
        Returns all live tracks at the newest stamp, and the last snapshots of those that ended.
        Raises ValueError where the stamp is not finite, or a detection is no Gaussian within the
            limits; the tracks are unchanged then.
        """
        given = self._begun(time_s, detections, answered, is_frame)

        # Reset where the clock has gone backwards.
        self._was_reset = bool(time_s < self.time_s - REWIND_S)
        ended = self.reset() if self._was_reset else ()
        if time_s >= self.time_s:
            return (*ended, *self._continued(given))
        return self._replayed(insertion(self._history, given), given)

    def revise(
        self, time_s: float, detections: Sequence[Detection], answered: float = 1.0
    ) -> tuple[Track, ...]:
        """Replace the detections of a frame, by those of more of its packets.

        The tracks are then as if these had been its detections from the beginning.

        time_s: stamp of the frame, s; where it is not in the history, its detections stay as they
            were (`was_late`)
        detections, answered: see update
        Returns tracks and raises ValueError as update does.
        """
        given = self._begun(time_s, detections, answered, is_frame=True)
        self._was_reset = False
        return self._replayed(revision(self._history, given), given)

    def _begun(
        self, time_s: float, detections: Sequence[Detection], answered: float, is_frame: bool
    ) -> DetectionList:
        """A list that is valid; results of the last update are cleared."""
        measurements = stack(detections)
        if not np.isfinite(time_s):
            raise ValueError(f"stamp {time_s} s is not finite")
        self._failed = {}
        self._num_refused = 0
        self._was_late = False
        return DetectionList(time_s, measurements, answered, is_frame)

    def _continued(self, given: DetectionList) -> tuple[Track, ...]:
        """Tracks after a list that is not older than the last one."""
        self._remember(given)
        result = self._present.update(given, self._new_identities)
        self._failed = result.failed
        self._num_refused = result.num_refused
        return result.tracks

    def _remember(self, given: DetectionList) -> None:
        """Add a list to the history."""
        self._history = remembered(self._history, given, self._present)

    def _replayed(self, replay: Replay | None, given: DetectionList) -> tuple[Track, ...]:
        """Tracks after a replay, at the newest stamp; without one they stay as they were.

        given: the list that is inserted
        """
        published = self._present.live()
        present = replay.start.copy() if replay is not None else None
        if replay is None or present is None:
            self._was_late = True
            return tuple(published.values())

        # All lists from the changed one on, from the state before it.
        history = (*replay.kept, Entry(replay.lists[0], replay.start))
        failed: dict[int, str] = {}
        for number, one in enumerate(replay.lists):
            if number:
                history = remembered(history, one, present)
            result = present.update(one, self._stand_ins)
            failed |= result.failed
            if one is given:
                self._num_refused = result.num_refused

        # Identities, with which the tracks were published.
        names = self._names(published, present.live())
        self._present = present.renamed(names)
        self._history = tuple(entry.renamed(names) for entry in history)

        # Published tracks that have ended.
        live = self._present.live()
        gone = {number: track for number, track in published.items() if number not in live}
        self._failed = {number: words for number, words in failed.items() if number in gone}
        return (*_deleted(gone.values()), *live.values())

    def _names(self, published: Mapping[int, Track], live: Mapping[int, Track]) -> dict[int, int]:
        """Identities after a replay, by those that it gave to its tracks.

        A target keeps the identity under which its track was published. One that has ended before
        is not used again, and the other new tracks get the next ones.

        published: live tracks before the replay, by identity
        live: those after it
        """
        lost = [track for number, track in published.items() if number not in live]
        unnamed = [track for number, track in live.items() if number not in published]

        # The same targets: both identities change their places, so that each is unique.
        names: dict[int, int] = {}
        for former, new in same_targets(lost, unnamed, self._dimension):
            names[unnamed[new].track_id] = lost[former].track_id
            names[lost[former].track_id] = unnamed[new].track_id

        # Other targets.
        for track in unnamed:
            if track.track_id not in names:
                self._num_born += 1
                names[track.track_id] = self._num_born
        return names

    def _new_identities(self, num_tracks: int) -> np.ndarray:
        """Identities of new tracks, [num_tracks], int."""
        self._num_born += num_tracks
        return self._num_born - num_tracks + 1 + np.arange(num_tracks)

    def _stand_ins(self, num_tracks: int) -> np.ndarray:
        """Negative identities of new tracks in a replay, until its end, [num_tracks], int."""
        self._num_stand_ins += num_tracks
        return -(self._num_stand_ins - num_tracks + 1 + np.arange(num_tracks))


def _deleted(tracks: Iterable[Track]) -> tuple[Track, ...]:
    """Last snapshots of tracks that have ended."""
    return tuple(replace(track, status=TrackStatus.DELETED) for track in tracks)
