"""What comes next in a run, what is stale, and when a recording was rewound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cooperative_isac_ros.messages.records import FrameStamp

RUNS_REMEMBERED = 8

Item = TypeVar("Item")


@dataclass(frozen=True)
class Turn(Generic[Item]):
    """Something whose turn it is. begins: it is the first of a run, or of the same run played
    again.
    """

    frame: FrameStamp
    item: Item
    begins: bool


class FrameOrder(Generic[Item]):
    """Gives out the items of frames in order, and nothing that is stale.

    A run that was never heard begins at once, and so does a clock that goes back while numbers go
    on. A lower number, or a run that has ended, is stale if it is alone; if the next item goes on
    from it a recording plays again, and both are given out. on_fault(event, reason) hears of
    `<what>_stale` and `<what>_repeated`.
    """

    def __init__(self, what: str, on_fault: Callable[[str, str], None]):
        self._what, self._on_fault = what, on_fault
        self._last: FrameStamp | None = None
        self._aside: Turn[Item] | None = None
        self._ended: deque[int] = deque(maxlen=RUNS_REMEMBERED)

    @property
    def last(self) -> FrameStamp | None:
        """The latest frame that was given out."""
        return self._last

    @property
    def aside(self) -> FrameStamp | None:
        """The frame that is stale unless the next one goes on from it."""
        return self._aside.frame if self._aside is not None else None

    def has_ended(self, run: int) -> bool:
        """Whether a run was followed by another."""
        return run in self._ended

    def take(self, frame: FrameStamp, item: Item) -> tuple[Turn[Item], ...]:
        """The items whose turn it is, oldest first."""
        aside, self._aside = self._aside, None
        last = self._last
        if last is None or frame.run not in (last.run, *self._ended):
            return self._begin(Turn(frame, item, True))
        same_run = frame.run == last.run
        if same_run and frame.number > last.number and frame.stamp_ns >= last.stamp_ns:
            self._last = frame
            return (Turn(frame, item, False),)
        if aside is not None and _goes_on(aside.frame, frame):
            return self._begin(aside, Turn(frame, item, False))
        if same_run and frame.number > last.number:
            return self._begin(Turn(frame, item, True))
        if same_run and frame.number == last.number:
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
        run = turns[0].frame.run
        if self._last is not None and self._last.run != run:
            self._ended.append(self._last.run)
        if run in self._ended:
            self._ended.remove(run)
        self._last = turns[-1].frame
        return turns


def _goes_on(before: FrameStamp, after: FrameStamp) -> bool:
    return (
        after.run == before.run
        and after.number > before.number
        and after.stamp_ns > before.stamp_ns
    )
