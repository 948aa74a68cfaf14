"""Timers at whole multiples of a period of ROS time, so that nodes agree on stamps without talking."""

from __future__ import annotations

from typing import Callable

from rclpy.node import Node

EARLY = 1e-3  # share of a period by which a timer may fire early through rounding


class AlignedTimer:
    """Calls back with the stamp [ns] of each multiple of 1 / rate_hz of the node's clock."""

    def __init__(self, node: Node, rate_hz: float, callback: Callable[[int], None]):
        self._node, self._callback = node, callback
        self._period_ns = 1e9 / rate_hz
        self._index: int | None = None
        self._timer = node.create_timer(self._wait_ns() * 1e-9, self._tick)

    def cancel(self) -> None:
        """Stop for good."""
        self._timer.cancel()

    def _wait_ns(self) -> int:
        now = self._node.get_clock().now().nanoseconds
        return max(int(self._period_ns - now % self._period_ns), 1)

    def _tick(self) -> None:
        index = int(self._node.get_clock().now().nanoseconds / self._period_ns + EARLY)
        self._timer.timer_period_ns = self._wait_ns()
        self._timer.reset()
        if index != self._index:
            self._index = index
            self._callback(round(index * self._period_ns))
