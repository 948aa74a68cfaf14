"""Work that can wait, done in the middle between two frames."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from cooperative_isac_ros.messages.records import FrameStamp

# Latest share of a period after a frame's stamp at which the work begins. By then the frame has
# become tracks, where the nodes keep their pace with time to spare.
SHARE = 0.5
# Time that is kept for the work before the next frame, over the longest that it took recently.
MARGIN = 1.25
# Factor by which the longest duration of the work decays from one time to the next.
DECAY = 0.9
NS_PER_S = 1_000_000_000


class SpareTime:
    """Timer for work that can wait: once after each frame, half a period after its stamp.

    On few processors the work thus does not compete with nodes that still process the frame. Work
    that takes longer than half of the period begins early enough to end before the next frame. It
    follows at once where that time has passed, and where the period is unknown. The announcement of
    the next frame cancels it.

    node: owner of the timer
    work: callback
    period_s: expected period, until two frames give it; 0: unknown
    duration_s: expected duration of the work, until it was done
    """

    def __init__(
        self,
        node: Node,
        work: Callable[[], None],
        period_s: float = 0.0,
        duration_s: float = 0.0,
    ):
        self._node = node
        self._work = work
        self._last: FrameStamp | None = None
        self._period_ns = round(period_s * NS_PER_S)
        self._expected_ns = duration_s * NS_PER_S
        self._longest_ns = 0.0
        self._timer = node.create_timer(1.0, self._due)
        self._timer.cancel()

    def announce(self, frame: FrameStamp) -> None:
        """Cancel pending work at the announcement of a frame, and update the period."""
        self._timer.cancel()
        last = self._last
        self._last = frame
        follows = last is not None and frame.run == last.run and frame.number > last.number
        if last is not None and follows:
            elapsed_ns = max(frame.stamp_ns - last.stamp_ns, 0)
            self._period_ns = elapsed_ns // (frame.number - last.number)

    def begin(self, frame: FrameStamp) -> None:
        """Schedule the work after the packet of a frame has been published."""
        # time after the stamp: half a period, or earlier where the work needs more of it
        duration_ns = self._longest_ns or self._expected_ns
        delay_ns = min(SHARE * self._period_ns, self._period_ns - MARGIN * duration_ns)
        begin_ns = frame.stamp_ns + round(delay_ns)
        wait_ns = begin_ns - self._node.get_clock().now().nanoseconds

        # at once where that has passed, the period is unknown, or the clocks disagree
        if not 0 < wait_ns <= self._period_ns:
            self._do()
            return
        self._timer.timer_period_ns = wait_ns
        self._timer.reset()

    def _due(self) -> None:
        """Callback of the timer."""
        self._timer.cancel()
        self._do()

    def _do(self) -> None:
        """Do the work, and measure its duration."""
        began_ns = time.perf_counter_ns()
        try:
            self._work()
        finally:
            duration_ns = time.perf_counter_ns() - began_ns
            self._longest_ns = max(DECAY * self._longest_ns, duration_ns)
