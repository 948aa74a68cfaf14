"""Order of frames: stale and repeated ones are refused, restarts and rewinds are recognized."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cooperative_isac_ros.messages.records import FrameStamp

# Ended runs whose late frames are recognized as stale.
RUNS_REMEMBERED = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Turn(Generic[Item]):
    """An item that is accepted.

    begins: it is the first of a run, or of the same run played again
    """

    frame: FrameStamp
    item: Item
    begins: bool


class FrameOrder(Generic[Item]):
    """Accepts the items of frames in order, and refuses stale ones.

    A new run begins at once, and so does a clock that goes back while numbers grow. A lower number,
    or a run that has ended, is set aside: where the next item continues from it, a recording plays
    again and both are accepted, else it was stale.

    what: what the items are, which begins the names of the diagnostics counters
    on_fault(event, reason): called with `<what>_stale` and `<what>_repeated`
    """

    def __init__(self, what: str, on_fault: Callable[[str, str], None]):
        self._what = what
        self._on_fault = on_fault
        self._last: FrameStamp | None = None
        self._aside: Turn[Item] | None = None
        self._ended: deque[int] = deque(maxlen=RUNS_REMEMBERED)

    @property
    def last(self) -> FrameStamp | None:
        """Latest accepted frame."""
        return self._last

    @property
    def set_aside(self) -> FrameStamp | None:
        """Frame that is stale unless the next one continues from it; else None."""
        return self._aside.frame if self._aside is not None else None

    def has_ended(self, run: int) -> bool:
        """Return whether a run was followed by another."""
        return run in self._ended

    def take(self, frame: FrameStamp, item: Item) -> tuple[Turn[Item], ...]:
        """Accept an item. Returns what is accepted, oldest first; empty where it is not."""
        aside = self._aside
        self._aside = None

        # a run that is new
        last = self._last
        if last is None or frame.run not in (last.run, *self._ended):
            return self._begin(Turn(frame, item, True))

        # the next frame of the run
        is_same_run = frame.run == last.run
        if is_same_run and frame.number > last.number and frame.stamp_ns >= last.stamp_ns:
            self._last = frame
            return (Turn(frame, item, False),)

        # a recording that plays again, or a clock that was set back
        if aside is not None and _continues(aside.frame, frame):
            return self._begin(aside, Turn(frame, item, False))
        if is_same_run and frame.number > last.number:
            return self._begin(Turn(frame, item, True))

        # repeated, or stale for now
        if is_same_run and frame.number == last.number:
            self._on_fault(f"{self._what}_repeated", f"frame {frame.number} came twice")
            return ()
        self._aside = Turn(frame, item, True)
        self._on_fault(
            f"{self._what}_stale",
            f"frame {frame.number} of run {frame.run} came after frame "
            f"{last.number} of run {last.run}; it counts only if the next one goes on from it",
        )
        return ()

    def _begin(self, *turns: Turn[Item]) -> tuple[Turn[Item], ...]:
        """Make the run of the items the current one."""
        run = turns[0].frame.run
        if self._last is not None and self._last.run != run:
            self._ended.append(self._last.run)
        if run in self._ended:
            self._ended.remove(run)
        self._last = turns[-1].frame
        return turns


def _continues(before: FrameStamp, after: FrameStamp) -> bool:
    """Return whether one frame follows another in the same run."""
    return (
        after.run == before.run
        and after.number > before.number
        and after.stamp_ns > before.stamp_ns
    )
