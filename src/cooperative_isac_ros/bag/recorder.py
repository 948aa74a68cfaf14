"""Records topics of any type as the bytes that travel, without decoding them.

With use_sim_time, messages that come before the first /clock wait for it and get its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.validate_full_topic_name import validate_full_topic_name

from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.profiles import heard_profile, profile_fields
from cooperative_isac_ros.bag.writer import BagWriter

PERIOD_S = 0.1
DISCOVERY_TICKS = 3
# Bytes that wait for the first /clock; then messages get their time of arrival instead
HELD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Taken:
    """A message as it came; times are [ns] of the system's clock."""

    topic: str
    came_ns: int
    sent_ns: int
    data: bytes


def _full_names(topics: Sequence[str]) -> set[str]:
    """Names of topics with their leading slash. BagError: ROS 2 has no topic of such a name."""
    names = {f"/{name.lstrip('/')}" for name in topics}
    for name in sorted(names):
        try:
            validate_full_topic_name(name)
        except InvalidTopicNameException as error:
            reason = str(error).partition(":\n")[0]
            raise BagError(f"topic {name!r} cannot be recorded: {reason}") from None
    return names


class _Polled(CallbackGroup):
    """Entities that the executor leaves alone: waking for each message costs ten times more than
    asking.
    """

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False


class Recorder:
    """Subscribes to topics as they appear: those that are named, or all.

    on_stopped is called once with the reason when the bag cannot be written any further.
    """

    def __init__(
        self,
        node: Node,
        folder: Path,
        topics: Sequence[str] = (),
        on_stopped: Callable[[str], None] = lambda reason: None,
    ):
        self.skipped: dict[str, str] = {}
        self.stopped = ""
        self._on_stopped = on_stopped
        self._folder = folder
        self._held: list[_Taken] = []
        self._last_clock_ns = 0
        self._node = node
        self._wanted = _full_names(topics)
        self._sim_time = node.get_parameter("use_sim_time").value
        self._subscriptions: dict[str, Subscription] = {}
        self._polled, self._ticks = _Polled(), 0
        self._writer = BagWriter(folder)
        self._timer = node.create_timer(
            PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.discover()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics so far, with their counts."""
        return self._writer.topics

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._writer.size

    def missing(self, names: Sequence[str] = ()) -> list[str]:
        """Those of the wanted and the given topics that nobody publishes yet."""
        return sorted({*self._wanted, *names} - self._subscriptions.keys() - self.skipped.keys())

    def discover(self) -> None:
        """Subscribe to wanted topics that somebody publishes by now."""
        for name, types in self._node.get_topic_names_and_types():
            known = name in self._subscriptions or name in self.skipped
            if known or (self._wanted and name not in self._wanted):
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if publishers:
                self._subscribe(name, types, publishers)

    def poll(self) -> None:
        """Write what has come since the last time, in the order of its arrival."""
        taken = self._take()
        if not self._sim_time:
            self._write(taken)
        elif clock_ns := self._node.get_clock().now().nanoseconds:
            self._write_with_clock(taken, clock_ns)
        else:
            self._held += taken
            if sum(len(message.data) for message in self._held) > HELD_BYTES:
                self._write_without_clock()

    def close(self) -> None:
        """End and complete the bag."""
        if self.stopped:
            return
        self._timer.cancel()
        try:
            self.poll()
            self._write_without_clock()
            self._writer.close()
        except OSError as error:
            self._say_stopped(error)

    def _tick(self) -> None:
        try:
            self.poll()
            self._ticks += 1
            if self._ticks % DISCOVERY_TICKS == 0:
                self.discover()
            self._writer.flush_if_due()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        """Complete the bag as far as possible, and record no more."""
        self._timer.cancel()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._writer.abandon()
        self._say_stopped(error)

    def _say_stopped(self, error: OSError) -> None:
        self.stopped = f"{self._folder} cannot be written any further: {error.strerror or error}"
        self._on_stopped(self.stopped)

    def _subscribe(self, name: str, types: list[str], publishers: list) -> None:
        try:
            if len(types) != 1:
                raise UnknownTypeError(f"it has several types: {', '.join(types)}")
            message_type = message_class(types[0])
        except UnknownTypeError as error:
            self.skipped[name] = str(error)
            self._node.get_logger().warning(f"{name} is not recorded: {error}")
            return
        profiles = [publisher.qos_profile for publisher in publishers]
        offered = tuple(profile_fields(profile) for profile in profiles)
        self._writer.add_topic(Topic(name, types[0], offered, str(publishers[0].topic_type_hash)))
        # Raw, and never called: a callback is asked for all the same.
        self._subscriptions[name] = self._node.create_subscription(
            message_type,
            name,
            lambda data: None,
            heard_profile(profiles),
            callback_group=self._polled,
            raw=True,
        )

    def _take(self) -> list[_Taken]:
        """Messages that wait in the subscriptions' queues, by their time of arrival."""
        taken = []
        for name, subscription in self._subscriptions.items():
            with subscription.handle:
                while True:
                    found = subscription.handle.take_message(subscription.msg_type, True)
                    if found is None:
                        break
                    data, times = found
                    came_ns = times["received_timestamp"] or time.time_ns()
                    taken.append(_Taken(name, came_ns, times["source_timestamp"] or came_ns, data))
        return sorted(taken, key=lambda message: message.came_ns)

    def _write(self, messages: Sequence[_Taken]) -> None:
        """Their times are when they came, not when their turn came: readers order by them."""
        for message in messages:
            self._writer.write(message.topic, message.came_ns, message.sent_ns, message.data)

    def _write_with_clock(self, messages: Sequence[_Taken], clock_ns: int) -> None:
        """Write messages with times of /clock, which is at clock_ns now."""
        # At the first time, and after a jump back, nothing is known of what was before
        earliest_ns = self._last_clock_ns
        if not 0 < earliest_ns <= clock_ns:
            earliest_ns = clock_ns
        for message in self._held:
            self._writer.write(message.topic, earliest_ns, message.sent_ns, message.data)
        self._held.clear()

        # Between the clock of the last poll and that of this one
        now_ns = time.time_ns()
        for message in messages:
            log_ns = min(max(clock_ns - (now_ns - message.came_ns), earliest_ns), clock_ns)
            self._writer.write(message.topic, log_ns, message.sent_ns, message.data)
        self._last_clock_ns = clock_ns

    def _write_without_clock(self) -> None:
        """Write what waits for a clock with its times of arrival."""
        if self._held:
            self._node.get_logger().warning(
                f"no /clock so far: {len(self._held)} messages get the time of their arrival "
                "instead"
            )
        self._write(self._held)
        self._held.clear()
