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


class SpareTime:
    """Calls `work` once after each frame, half a period after its stamp.

    Nodes on few processors thus do not compete with those that still work on the frame. Work that
    takes longer than half of the period begins so early that it ends before the next frame. Before
    the period is known, from two frames, and where the time has passed, the work follows at once.
    The next frame calls it off.
    """

    def __init__(self, node: Node, work: Callable[[], None]):
        self._node, self._work = node, work
        self._last: FrameStamp | None = None
        self._period_ns = 0
        self._longest_ns = 0.0
        self._timer = node.create_timer(1.0, self._due)
        self._timer.cancel()

    def announce(self, frame: FrameStamp) -> None:
        """A frame is on the air: what was not done before it is not done any more."""
        self._timer.cancel()
        last, self._last = self._last, frame
        follows = last is not None and frame.run == last.run and frame.number > last.number
        if last is not None and follows:
            elapsed_ns = max(frame.stamp_ns - last.stamp_ns, 0)
            self._period_ns = elapsed_ns // (frame.number - last.number)

    def begin(self, frame: FrameStamp) -> None:
        """All that cannot wait is done for a frame."""
        latest_ns = min(SHARE * self._period_ns, self._period_ns - MARGIN * self._longest_ns)
        wait_ns = frame.stamp_ns + round(latest_ns) - self._node.get_clock().now().nanoseconds
        if not 0 < wait_ns <= self._period_ns:
            self._do()
            return
        self._timer.timer_period_ns = wait_ns
        self._timer.reset()

    def _due(self) -> None:
        self._timer.cancel()
        self._do()

    def _do(self) -> None:
        """Do the work, and take its duration."""
        began_ns = time.perf_counter_ns()
        try:
            self._work()
        finally:
            duration_ns = time.perf_counter_ns() - began_ns
            self._longest_ns = max(DECAY * self._longest_ns, duration_ns)
