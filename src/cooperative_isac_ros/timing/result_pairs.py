"""Waiting for what is judged together: the detections and the tracks of one frame."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, TrackList

FRAMES_KEPT = 32

Pair = tuple[DetectionList, TrackList]


class ResultPairs:
    """Gives out the results of each frame once, in the order of their numbers.

    on_fault(event, reason) hears of results that come too late, and of tracks whose detections
    never came.
    """

    def __init__(self, on_fault: Callable[[str, str], None]):
        self._on_fault = on_fault
        self._detections: OrderedDict[int, DetectionList] = OrderedDict()
        self._tracks: deque[TrackList] = deque()
        self._given = -1

    def add_detections(self, record: DetectionList) -> None:
        """Take in the detections of a frame."""
        if self._is_new("detections", record.frame, self._given):
            self._detections[record.frame.number] = record
            if len(self._detections) > 2 * FRAMES_KEPT:
                self._detections.popitem(last=False)

    def add_tracks(self, record: TrackList) -> None:
        """Take in the tracks of a frame."""
        newest = self._tracks[-1].frame.number if self._tracks else self._given
        if self._is_new("tracks", record.frame, newest):
            self._tracks.append(record)

    def complete(self, is_known: Callable[[int], bool]) -> list[Pair]:
        """Pairs up to the first that lacks its detections, or the truth: is_known(stamp_ns) says
        whether it is there.
        """
        pairs = []
        while self._tracks and (
            len(self._tracks) > FRAMES_KEPT or self._is_complete(self._tracks[0], is_known)
        ):
            pairs += self._next()
        return pairs

    def rest(self) -> list[Pair]:
        """All that wait."""
        return [pair for _ in range(len(self._tracks)) for pair in self._next()]

    def _is_complete(self, tracks: TrackList, is_known: Callable[[int], bool]) -> bool:
        return tracks.frame.number in self._detections and is_known(tracks.frame.stamp_ns)

    def _next(self) -> list[Pair]:
        tracks = self._tracks.popleft()
        self._given = tracks.frame.number
        detections = self._detections.pop(self._given, None)
        if detections is None:
            self._on_fault(
                "detections_unheard", f"tracks of frame {self._given} came without detections"
            )
            return []
        return [(detections, tracks)]

    def _is_new(self, what: str, frame: FrameStamp, newest: int) -> bool:
        if frame.number <= newest:
            self._on_fault(
                f"{what}_stale",
                f"{what} of frame {frame.number} came after those of frame {newest}",
            )
        return frame.number > newest
