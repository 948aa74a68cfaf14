"""What a node says of itself on /diagnostics: liveness, rates, and what went wrong how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from cooperative_isac_ros.messages.plain_text import plain_text
from cooperative_isac_ros.qos import STREAM

PERIOD_S = 1.0
# [s] Between looks whether a node that starts is ready, so that others need not wait for a report.
LOOK_EVERY_S = 0.1
# Reports to each new listener: the first may come before it has met this node.
TOLD_TIMES = 2
# Looks of a node that is ready; then its periods suffice.
LOOKS = 50
LOG_EVERY_NS = 5_000_000_000
READY, WAITING = "running", "waiting"


class Health:
    """Counters and figures of one node, published while it lives.

    `waiting_for` says what the node still needs before it can do its work, or nothing.
    """

    def __init__(self, node: Node, waiting_for: Callable[[], str]):
        self.counts: Counter[str] = Counter()
        self.figures: dict[str, object] = {}
        self._node, self._waiting_for = node, waiting_for
        self._faults: dict[str, str] = {}
        self._logged_ns: dict[str, int] = {}
        self._reported: Counter[str] = Counter()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STREAM)
        # A heartbeat must not stop with a paused simulation clock.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._last_ns = self._clock.now().nanoseconds
        node.create_timer(PERIOD_S, self.report, clock=self._clock)
        self._listeners = self._to_tell = self._looks = 0
        self._look_timer = node.create_timer(LOOK_EVERY_S, self._look, clock=self._clock)

    def count(self, event: str, amount: int = 1) -> None:
        """Count something that is expected to happen."""
        self.counts[event] += amount

    def fault(self, event: str, reason: str, amount: int = 1) -> None:
        """Count something that is wrong; the next report is a warning that tells the reason."""
        reason = plain_text(reason)
        self.counts[event] += amount
        self._faults[event] = reason
        now_ns = self._clock.now().nanoseconds
        if now_ns - self._logged_ns.get(event, -LOG_EVERY_NS) >= LOG_EVERY_NS:
            self._logged_ns[event] = now_ns
            self._node.get_logger().warning(f"{event} ({self.counts[event]}): {reason}")

    def status(self) -> DiagnosticStatus:
        """The node's state now."""
        waiting = self._waiting_for()
        level, message = DiagnosticStatus.OK, f"{WAITING} for {waiting}" if waiting else READY
        if self._faults:
            level = DiagnosticStatus.WARN
            message = "; ".join(f"{event}: {reason}" for event, reason in self._faults.items())
        elapsed_s = max((self._clock.now().nanoseconds - self._last_ns) * 1e-9, 1e-3)
        rate = (self.counts["frames"] - self._reported["frames"]) / elapsed_s
        shown = {"ready": not waiting, "frames_per_s": f"{rate:.2f}", **self.figures, **self.counts}
        return DiagnosticStatus(
            level=level,
            name=self._node.get_fully_qualified_name(),
            message=message,
            values=[KeyValue(key=key, value=str(value)) for key, value in shown.items()],
        )

    def publish(self) -> None:
        """Publish the state now, in the middle of a period, for what cannot wait for its end."""
        array = DiagnosticArray(status=[self.status()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _look(self) -> None:
        """Tell new listeners that the node is ready, as soon as it is."""
        if self._waiting_for():
            return
        listeners = self._publisher.get_subscription_count()
        if listeners > self._listeners:
            self._to_tell = TOLD_TIMES
        self._listeners = listeners
        if self._to_tell:
            self._to_tell -= 1
            self.publish()
        self._looks += 1
        if self._looks == LOOKS:
            self._look_timer.cancel()

    def report(self) -> None:
        """Publish the state and begin a new period."""
        self.publish()
        self._log_waiting()
        self._faults.clear()
        self._reported, self._last_ns = self.counts.copy(), self._clock.now().nanoseconds

    def _log_waiting(self) -> None:
        """One line every few seconds while the node waits, the first after as long."""
        waiting = self._waiting_for()
        now_ns = self._clock.now().nanoseconds
        if not waiting:
            self._logged_ns.pop(WAITING, None)
        elif now_ns - self._logged_ns.setdefault(WAITING, now_ns) >= LOG_EVERY_NS:
            self._logged_ns[WAITING] = now_ns
            self._node.get_logger().info(f"{WAITING} for {waiting}")
