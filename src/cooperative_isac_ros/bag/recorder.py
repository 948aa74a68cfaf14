"""Records topics of any type as the bytes that travel, without decoding them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Sequence

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.profiles import heard_profile, profile_fields
from cooperative_isac_ros.bag.writer import BagWriter

PERIOD_S = 0.1
DISCOVERY_TICKS = 3


class _Polled(CallbackGroup):
    """Entities that the executor leaves alone: waking for each message costs ten times more than asking."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False


class Recorder:
    """Subscribes to topics as they appear: those that are named, or all."""

    def __init__(self, node: Node, folder: Path, topics: Sequence[str] = ()):
        self.skipped: dict[str, str] = {}
        self._node, self._wanted = node, {f"/{name.lstrip('/')}" for name in topics}
        self._sim_time = node.get_parameter("use_sim_time").value
        self._subscriptions: dict[str, object] = {}
        self._polled, self._ticks = _Polled(), 0
        self._writer = BagWriter(folder)
        self._timer = node.create_timer(PERIOD_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
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
        """Write what has come since the last time."""
        polled_ns = time.time_ns()
        for name, subscription in self._subscriptions.items():
            with subscription.handle:
                while (taken := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    self._write(name, *taken, polled_ns)

    def close(self) -> None:
        """End and complete the bag."""
        self._timer.cancel()
        self.poll()
        self._writer.close()

    def _tick(self) -> None:
        self.poll()
        self._ticks += 1
        if self._ticks % DISCOVERY_TICKS == 0:
            self.discover()
        self._writer.flush_if_due()

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
        self._subscriptions[name] = self._node.create_subscription(message_type, name, lambda data: None,
                                                                   heard_profile(profiles),
                                                                   callback_group=self._polled, raw=True)

    def _write(self, name: str, data: bytes, info: dict, polled_ns: int) -> None:
        """Its time is when the message came, not when its turn came: readers order by it."""
        came_ns = info["received_timestamp"] or polled_ns
        if self._sim_time:
            came_ns += self._node.get_clock().now().nanoseconds - polled_ns
        self._writer.write(name, max(came_ns, 0), info["source_timestamp"] or came_ns, data)
