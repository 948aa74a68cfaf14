"""Timers at multiples of a period of ROS time: nodes agree on stamps without communication."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from rclpy.node import Node

# Share of a period by which a timer may fire early because its period is rounded to ns.
EARLY = Fraction(1, 1000)
# Largest denominator of a rate as a fraction, which undoes the rounding of a decimal to a float.
MAX_DENOMINATOR = 1_000_000


class AlignedTimer:
    """Timer at the multiples of 1 / rate_hz of the node's clock.

    callback(stamp_ns): called once per multiple, with its stamp in ns
    """

    def __init__(self, node: Node, rate_hz: float, callback: Callable[[int], None]):
        self._node = node
        self._callback = callback
        # A fraction, since stamps in ns exceed what a double holds exactly.
        self._period_ns = 10**9 / Fraction(rate_hz).limit_denominator(MAX_DENOMINATOR)
        self._index: int | None = None
        self._is_canceled = False
        self._timer = node.create_timer(self._wait_ns() * 1e-9, self._on_timer)

    def cancel(self) -> None:
        """Stop the timer; the callback is not called again."""
        self._is_canceled = True
        self._timer.cancel()

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _wait_ns(self) -> int:
        """Time until the next multiple, ns."""
        return max(int(self._period_ns - self._now_ns() % self._period_ns), 1)

    def _on_timer(self) -> None:
        if self._is_canceled:
            return

        # aim at the next multiple
        index = int(self._now_ns() / self._period_ns + EARLY)
        self._timer.timer_period_ns = self._wait_ns()
        self._timer.reset()

        # a timer that fired early fires twice for one multiple
        if index != self._index:
            self._index = index
            self._callback(round(index * self._period_ns))
