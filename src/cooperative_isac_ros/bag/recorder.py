"""Recorder of topics of any type, as serialized messages.

With use_sim_time, messages that arrive before the first /clock wait for it and get its time.
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
from cooperative_isac_ros.bag.profiles import profile_fields, subscription_profile
from cooperative_isac_ros.bag.writer import BagWriter

# Period at which the queues of the subscriptions are read, s.
READ_PERIOD_S = 0.1
# Periods from one discovery of topics to the next.
DISCOVERY_PERIODS = 3
# Bytes that wait for the first /clock; beyond them, messages get their time of reception.
HELD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Received:
    """A message with its times of the system's clock, ns."""

    topic: str
    received_ns: int
    sent_ns: int
    data: bytes


def _full_names(topics: Sequence[str]) -> set[str]:
    """Names of topics with their leading slash. Raises BagError where one is invalid."""
    names = {f"/{name.lstrip('/')}" for name in topics}
    for name in sorted(names):
        try:
            validate_full_topic_name(name)
        except InvalidTopicNameException as error:
            reason = str(error).partition(":\n")[0]
            raise BagError(f"topic {name!r} cannot be recorded: {reason}") from None
    return names


class _Polled(CallbackGroup):
    """Callback group that the executor never executes: its subscriptions are polled.

    Waking the executor for each message costs ten times as much as polling.
    """

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False


class Recorder:
    """Records topics into a new bag, including those that are advertised later.

    folder: of the new bag
    topics: names; empty: all
    on_stopped(reason): called once, where the bag cannot be written any further
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
        self._node = node

        # simulation time
        self._uses_sim_time = node.get_parameter("use_sim_time").value
        self._held: list[_Received] = []
        self._last_clock_ns = 0

        # subscriptions
        self._wanted = _full_names(topics)
        self._subscriptions: dict[str, Subscription] = {}
        self._callback_group = _Polled()
        self._num_periods = 0

        # bag
        self._writer = BagWriter(folder)
        self._timer = node.create_timer(
            READ_PERIOD_S, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.discover()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Recorded topics with their numbers of messages."""
        return self._writer.topics

    @property
    def size(self) -> int:
        """Size of the bag, bytes."""
        return self._writer.size

    def missing(self, names: Sequence[str] = ()) -> list[str]:
        """Chosen and given topics that have had no publisher."""
        return sorted({*self._wanted, *names} - self._subscriptions.keys() - self.skipped.keys())

    def discover(self) -> None:
        """Subscribe to chosen topics that have a publisher."""
        for name, types in self._node.get_topic_names_and_types():
            is_known = name in self._subscriptions or name in self.skipped
            if is_known or (self._wanted and name not in self._wanted):
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if publishers:
                self._subscribe(name, types, publishers)

    def poll(self) -> None:
        """Write the messages since the last call, in the order of their reception."""
        messages = self._take()
        if not self._uses_sim_time:
            self._write(messages)
            return

        # with simulation time, which may not have begun
        clock_ns = self._node.get_clock().now().nanoseconds
        if clock_ns:
            self._write_with_clock(messages, clock_ns)
        else:
            self._held += messages
            if sum(len(message.data) for message in self._held) > HELD_BYTES:
                self._write_without_clock()

    def close(self) -> None:
        """Stop recording and complete the bag."""
        if self.stopped:
            return
        self._timer.cancel()
        try:
            self.poll()
            self._write_without_clock()
            self._writer.close()
        except OSError as error:
            self._report_stop(error)

    def _on_timer(self) -> None:
        try:
            self.poll()
            self._num_periods += 1
            if self._num_periods % DISCOVERY_PERIODS == 0:
                self.discover()
            self._writer.flush_if_due()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        """Stop recording after an error, and complete the bag as far as possible."""
        self._timer.cancel()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._writer.abandon()
        self._report_stop(error)

    def _report_stop(self, error: OSError) -> None:
        self.stopped = f"{self._folder} cannot be written any further: {error.strerror or error}"
        self._on_stopped(self.stopped)

    def _subscribe(self, name: str, types: list[str], publishers: list) -> None:
        """Subscribe to a topic, and add it to the bag."""
        # message type
        try:
            if len(types) != 1:
                raise UnknownTypeError(f"it has several types: {', '.join(types)}")
            message_type = message_class(types[0])
        except UnknownTypeError as error:
            self.skipped[name] = str(error)
            self._node.get_logger().warning(f"{name} is not recorded: {error}")
            return

        # topic with the profiles of its publishers
        profiles = [publisher.qos_profile for publisher in publishers]
        offered = tuple(profile_fields(profile) for profile in profiles)
        self._writer.add_topic(Topic(name, types[0], offered, str(publishers[0].topic_type_hash)))

        # raw messages, which poll() takes; the callback is never called
        self._subscriptions[name] = self._node.create_subscription(
            message_type,
            name,
            lambda data: None,
            subscription_profile(profiles),
            callback_group=self._callback_group,
            raw=True,
        )

    def _take(self) -> list[_Received]:
        """Take the messages from the subscriptions' queues, sorted by their time of reception."""
        messages = []
        for name, subscription in self._subscriptions.items():
            with subscription.handle:
                while True:
                    found = subscription.handle.take_message(subscription.msg_type, True)
                    if found is None:
                        break
                    data, times = found
                    received_ns = times["received_timestamp"] or time.time_ns()
                    sent_ns = times["source_timestamp"] or received_ns
                    messages.append(_Received(name, received_ns, sent_ns, data))
        return sorted(messages, key=lambda message: message.received_ns)

    def _write(self, messages: Sequence[_Received]) -> None:
        """Write messages; log time is the time of reception, by which readers sort them."""
        for message in messages:
            self._writer.write(message.topic, message.received_ns, message.sent_ns, message.data)

    def _write_with_clock(self, messages: Sequence[_Received], clock_ns: int) -> None:
        """Write messages; log time is that of /clock at their reception.

        clock_ns: time of /clock now, ns
        """
        # earliest possible time: unknown before the first clock, and after a step back
        earliest_ns = self._last_clock_ns
        if not 0 < earliest_ns <= clock_ns:
            earliest_ns = clock_ns
        for message in self._held:
            self._writer.write(message.topic, earliest_ns, message.sent_ns, message.data)
        self._held.clear()

        # between the clock at the last poll and now
        now_ns = time.time_ns()
        for message in messages:
            age_ns = now_ns - message.received_ns
            log_ns = min(max(clock_ns - age_ns, earliest_ns), clock_ns)
            self._writer.write(message.topic, log_ns, message.sent_ns, message.data)
        self._last_clock_ns = clock_ns

    def _write_without_clock(self) -> None:
        """Write the messages that wait for a clock with their times of reception."""
        if self._held:
            self._node.get_logger().warning(
                f"no /clock so far: {len(self._held)} messages get the time of their reception "
                "instead"
            )
        self._write(self._held)
        self._held.clear()
