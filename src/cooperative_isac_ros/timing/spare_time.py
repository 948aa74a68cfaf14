"""Work that can wait, done in the middle between two frames."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from cooperative_isac_ros.messages.records import FrameStamp

# Share of a period after a frame's stamp. By then the frame has become tracks, where the nodes keep
# their pace with time to spare; half of the period is left for the work.
PERIOD_SHARE = 0.5


class SpareTime:
    """Calls `work` once after each frame, half a period after its stamp.

    Nodes on few processors thus do not compete with those that still process the frame. The work is
    done at once before the period is known from two frames, and where its time has passed. The next
    frame cancels it.
    """

    def __init__(self, node: Node, work: Callable[[], None]):
        self._node = node
        self._work = work
        self._last: FrameStamp | None = None
        self._period_ns = 0
        self._timer = node.create_timer(1.0, self._due)
        self._timer.cancel()

    def announce(self, frame: FrameStamp) -> None:
        """Cancel the work of the frame before, and update the period with the announced frame."""
        self._timer.cancel()
        last = self._last
        self._last = frame
        follows = last is not None and frame.run == last.run and frame.number > last.number
        if last is not None and follows:
            elapsed_ns = max(frame.stamp_ns - last.stamp_ns, 0)
            self._period_ns = elapsed_ns // (frame.number - last.number)

    def begin(self, frame: FrameStamp) -> None:
        """Schedule the work after the urgent part of a frame is done; at once where it is late."""
        due_ns = frame.stamp_ns + round(PERIOD_SHARE * self._period_ns)
        wait_ns = due_ns - self._node.get_clock().now().nanoseconds
        if not 0 < wait_ns <= self._period_ns:
            self._work()
            return
        self._timer.timer_period_ns = wait_ns
        self._timer.reset()

    def _due(self) -> None:
        self._timer.cancel()
        self._work()
