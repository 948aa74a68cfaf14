"""Records topics of any type as the bytes that travel, without decoding them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.profiles import heard_profile, profile_fields
from cooperative_isac_ros.bag.writer import BagWriter

PERIOD_S = 0.2


class Recorder:
    """Subscribes to topics as they appear: those that are named, or all."""

    def __init__(self, node: Node, folder: Path, topics: Sequence[str] = ()):
        self.skipped: dict[str, str] = {}
        self._node, self._wanted = node, {f"/{name.lstrip('/')}" for name in topics}
        self._sim_time = node.get_parameter("use_sim_time").value
        self._known: set[str] = set()
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
        return sorted({*self._wanted, *names} - self._known - set(self.skipped))

    def discover(self) -> None:
        """Subscribe to wanted topics that somebody publishes by now."""
        for name, types in self._node.get_topic_names_and_types():
            if name in self._known or name in self.skipped or (self._wanted and name not in self._wanted):
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if publishers:
                self._subscribe(name, types, publishers)

    def close(self) -> None:
        """End and complete the bag."""
        self._timer.cancel()
        self._writer.close()

    def _tick(self) -> None:
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
        self._known.add(name)
        self._node.create_subscription(message_type, name, partial(self._hear, name), heard_profile(profiles),
                                       raw=True)

    def _hear(self, name: str, data: bytes, info: dict) -> None:
        # When it came, not when its turn came: readers order by this time.
        log_ns = 0 if self._sim_time else info["received_timestamp"]
        log_ns = log_ns or self._node.get_clock().now().nanoseconds
        self._writer.write(name, log_ns, info["source_timestamp"] or log_ns, data)
