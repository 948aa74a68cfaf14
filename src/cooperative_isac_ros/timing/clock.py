"""Timers at whole multiples of a period of ROS time, so that nodes agree on stamps without
talking.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from rclpy.node import Node

EARLY = Fraction(1, 1000)  # share of a period by which a timer may fire early through rounding


class AlignedTimer:
    """Calls back with the stamp [ns] of each multiple of 1 / rate_hz of the node's clock."""

    def __init__(self, node: Node, rate_hz: float, callback: Callable[[int], None]):
        self._node, self._callback = node, callback
        # Stamps are beyond what a double holds exactly.
        self._period_ns = 10**9 / Fraction(rate_hz).limit_denominator(1_000_000)
        self._index: int | None = None
        self._ended = False
        self._timer = node.create_timer(self._wait_ns() * 1e-9, self._tick)

    def cancel(self) -> None:
        """Call back no more."""
        self._ended = True
        self._timer.cancel()

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _wait_ns(self) -> int:
        return max(int(self._period_ns - self._now_ns() % self._period_ns), 1)

    def _tick(self) -> None:
        if self._ended:
            return
        index = int(self._now_ns() / self._period_ns + EARLY)
        self._timer.timer_period_ns = self._wait_ns()
        self._timer.reset()
        if index != self._index:
            self._index = index
            self._callback(round(index * self._period_ns))
