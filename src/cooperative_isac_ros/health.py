"""Diagnostics of a node on /diagnostics: liveness, rates, and counters of faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from cooperative_isac_ros.messages.plain_text import plain_text
from cooperative_isac_ros.qos import STREAM

# Period of the reports, s.
REPORT_PERIOD_S = 1.0
# Period of the checks of a starting node, s: others must not wait for its next report.
READY_CHECK_S = 0.1
# Number of those checks once the node is ready; after them the reports are enough.
NUM_READY_CHECKS = 50
# Reports for each new subscription: discovery may not be complete at the first one.
REPORTS_PER_SUBSCRIPTION = 2
# Interval between two log lines about the same fault, ns.
LOG_EVERY_NS = 5_000_000_000
# Messages of a status without a fault.
READY = "running"
WAITING = "waiting"


class Health:
    """Counters and figures of one node, published periodically.

    waiting_for: describes what the node still waits for; empty when it is ready
    """

    def __init__(self, node: Node, waiting_for: Callable[[], str]):
        self.counts: Counter[str] = Counter()
        self.figures: dict[str, object] = {}
        self._node = node
        self._waiting_for = waiting_for
        self._faults: dict[str, str] = {}
        self._logged_ns: dict[str, int] = {}
        self._reported: Counter[str] = Counter()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", STREAM)

        # A steady clock: a heartbeat must not stop with a paused simulation.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._last_ns = self._clock.now().nanoseconds
        node.create_timer(REPORT_PERIOD_S, self.report, clock=self._clock)

        # Extra reports at the start: subscriptions at the last check, reports that are due for new
        # ones, and checks so far.
        self._num_subscriptions = 0
        self._reports_due = 0
        self._num_checks = 0
        self._check_timer = node.create_timer(READY_CHECK_S, self._check_ready, clock=self._clock)

    def count(self, event: str, amount: int = 1) -> None:
        """Count an event that is no fault."""
        self.counts[event] += amount

    def fault(self, event: str, reason: str, amount: int = 1) -> None:
        """Count a fault; the next report is a warning with the reason."""
        reason = plain_text(reason)
        self.counts[event] += amount
        self._faults[event] = reason

        # log it, not too often
        now_ns = self._clock.now().nanoseconds
        if now_ns - self._logged_ns.get(event, -LOG_EVERY_NS) >= LOG_EVERY_NS:
            self._logged_ns[event] = now_ns
            self._node.get_logger().warning(f"{event} ({self.counts[event]}): {reason}")

    def status(self) -> DiagnosticStatus:
        """Status of the node now."""
        # level and message
        waiting = self._waiting_for()
        level = DiagnosticStatus.OK
        message = f"{WAITING} for {waiting}" if waiting else READY
        if self._faults:
            level = DiagnosticStatus.WARN
            message = "; ".join(f"{event}: {reason}" for event, reason in self._faults.items())

        # values
        elapsed_s = max((self._clock.now().nanoseconds - self._last_ns) * 1e-9, 1e-3)
        num_frames = self.counts["frames"] - self._reported["frames"]
        values = {
            "ready": not waiting,
            "frames_per_s": f"{num_frames / elapsed_s:.2f}",
            **self.figures,
            **self.counts,
        }
        return DiagnosticStatus(
            level=level,
            name=self._node.get_fully_qualified_name(),
            message=message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def publish(self) -> None:
        """Publish the status at once, in the middle of a period."""
        array = DiagnosticArray(status=[self.status()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _check_ready(self) -> None:
        """Report a ready node to new subscriptions without delay.

        Nodes that wait for this one to be ready need not wait for its next periodic report.
        """
        if self._waiting_for():
            return

        # Extra reports where a subscription is new.
        num_subscriptions = self._publisher.get_subscription_count()
        if num_subscriptions > self._num_subscriptions:
            self._reports_due = REPORTS_PER_SUBSCRIPTION
        self._num_subscriptions = num_subscriptions
        if self._reports_due:
            self._reports_due -= 1
            self.publish()

        # The checks end some time after the node is ready.
        self._num_checks += 1
        if self._num_checks == NUM_READY_CHECKS:
            self._check_timer.cancel()

    def report(self) -> None:
        """Publish the status, and begin a new period."""
        self.publish()
        self._log_waiting()
        self._faults.clear()
        self._reported = self.counts.copy()
        self._last_ns = self._clock.now().nanoseconds

    def _log_waiting(self) -> None:
        """Log what the node waits for, every LOG_EVERY_NS; not before the first of them."""
        waiting = self._waiting_for()
        now_ns = self._clock.now().nanoseconds
        if not waiting:
            self._logged_ns.pop(WAITING, None)
        elif now_ns - self._logged_ns.setdefault(WAITING, now_ns) >= LOG_EVERY_NS:
            self._logged_ns[WAITING] = now_ns
            self._node.get_logger().info(f"{WAITING} for {waiting}")
