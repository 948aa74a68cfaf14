"""Pairs of the detections and the tracks of one frame, which are evaluated together."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, TrackList

# Frames whose tracks wait for their detections and the truth.
MAX_WAITING_FRAMES = 32

Pair = tuple[DetectionList, TrackList]


class ResultPairs:
    """Pairs detections and tracks, once per frame, in the order of the frames' numbers.

    on_fault(event, reason): called for late results, and for tracks without detections
    """

    def __init__(self, on_fault: Callable[[str, str], None]):
        self._on_fault = on_fault
        self._detections: OrderedDict[int, DetectionList] = OrderedDict()
        self._tracks: deque[TrackList] = deque()
        self._returned = -1

    def add_detections(self, record: DetectionList) -> None:
        """Add the detections of a frame."""
        if self._is_new("detections", record.frame, self._returned):
            self._detections[record.frame.number] = record
            if len(self._detections) > 2 * MAX_WAITING_FRAMES:
                self._detections.popitem(last=False)

    def add_tracks(self, record: TrackList) -> None:
        """Add the tracks of a frame.

        Tracks of the newest one again are those after late detections: the first ones count.
        """
        newest = self._tracks[-1].frame.number if self._tracks else self._returned
        if record.frame.number == newest:
            return
        if self._is_new("tracks", record.frame, newest):
            self._tracks.append(record)

    def complete(self, has_truth: Callable[[int], bool]) -> list[Pair]:
        """Pairs up to the first one that lacks its detections or the truth.

        has_truth(stamp_ns): whether the truth at a stamp is known
        """
        pairs = []
        while self._tracks:
            is_overdue = len(self._tracks) > MAX_WAITING_FRAMES
            if not (is_overdue or self._is_complete(self._tracks[0], has_truth)):
                break
            pairs += self._next()
        return pairs

    def rest(self) -> list[Pair]:
        """All pairs that wait, for the end of a run."""
        return [pair for _ in range(len(self._tracks)) for pair in self._next()]

    def _is_complete(self, tracks: TrackList, has_truth: Callable[[int], bool]) -> bool:
        return tracks.frame.number in self._detections and has_truth(tracks.frame.stamp_ns)

    def _next(self) -> list[Pair]:
        """The oldest pair; empty where its detections are missing."""
        tracks = self._tracks.popleft()
        number = tracks.frame.number
        self._returned = number
        detections = self._detections.pop(number, None)
        if detections is None:
            self._on_fault(
                "detections_unheard", f"tracks of frame {number} came without detections"
            )
            return []
        return [(detections, tracks)]

    def _is_new(self, what: str, frame: FrameStamp, newest: int) -> bool:
        """Return whether results are newer than those of a frame; late ones are reported."""
        is_new = frame.number > newest
        if not is_new:
            self._on_fault(
                f"{what}_stale",
                f"{what} of frame {frame.number} came after those of frame {newest}",
            )
        return is_new
