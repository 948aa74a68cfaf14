"""Publishes what a bag holds, with the profiles and at the pace at which it was recorded."""

from __future__ import annotations

import time
from typing import Callable, Sequence

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.profiles import played_profile
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.conversions import to_time

CLOCK_TOPIC = "/clock"
CLOCK_PERIOD_S = 0.025
SETTLE_S = 0.5


class Player:
    """Publishers for the chosen topics of a bag; a topic may be published under another name."""

    def __init__(self, node: Node, topics: Sequence[Topic], rename: Callable[[str], str] = str):
        self.skipped: dict[str, str] = {}
        self._node = node
        self._publishers: dict[str, object] = {}
        for topic in topics:
            try:
                message_type = message_class(topic.type_name)
            except UnknownTypeError as error:
                self.skipped[topic.name] = str(error)
                continue
            self._publishers[topic.name] = node.create_publisher(message_type, rename(topic.name),
                                                                 played_profile(topic.offered))

    @property
    def topics(self) -> tuple[str, ...]:
        """Names in the bag of what can be published."""
        return tuple(self._publishers)

    @property
    def num_listeners(self) -> int:
        """Subscriptions that the topics have found."""
        return sum(publisher.get_subscription_count() for publisher in self._publishers.values())

    @property
    def all_heard(self) -> bool:
        """Whether every topic has found a subscription."""
        return all(publisher.get_subscription_count() for publisher in self._publishers.values())

    def publish(self, name: str, data: bytes) -> None:
        """Publish the bytes of a message."""
        self._publishers[name].publish(data)

    def wait_for_subscribers(self, at_most_s: float) -> bool:
        """Until somebody listens and nobody new has come for SETTLE_S; False when nobody came."""
        deadline = time.monotonic() + at_most_s
        heard, since = 0, time.monotonic()
        while time.monotonic() < deadline:
            number = self.num_listeners
            if number != heard:
                heard, since = number, time.monotonic()
            if heard and time.monotonic() - since >= SETTLE_S:
                break
            time.sleep(0.02)
        return heard > 0


class Pace:
    """Bag time against the steady clock, and /clock if it is wanted."""

    def __init__(self, node: Node, rate: float, with_clock: bool):
        self._rate = rate
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, 1) if with_clock else None
        self._begin_ns, self._began_s = 0, 0.0

    def begin(self, bag_ns: int) -> None:
        """Bag time is bag_ns now."""
        self._begin_ns, self._began_s = bag_ns, time.monotonic()
        self._tell(bag_ns)

    def wait_until(self, bag_ns: int) -> None:
        """Sleep until it is that time in the bag."""
        while True:
            now_ns = self._begin_ns + int((time.monotonic() - self._began_s) * self._rate * 1e9)
            left_s = (bag_ns - now_ns) * 1e-9 / self._rate
            self._tell(min(now_ns, bag_ns))
            if left_s <= 0:
                return
            time.sleep(min(left_s, CLOCK_PERIOD_S))

    def _tell(self, bag_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=to_time(bag_ns)))


def play_once(reader: BagReader, player: Player, pace: Pace, start_ns: int) -> int:
    """Publish everything from a time on [ns]; the number of messages."""
    count = 0
    for message in reader.messages(player.topics):
        if message.log_ns < start_ns:
            continue
        if count == 0:
            pace.begin(message.log_ns)
        pace.wait_until(message.log_ns)
        player.publish(message.topic, message.data)
        count += 1
    return count


def chosen_topics(topics: Sequence[Topic], names: Sequence[str]) -> list[Topic]:
    """The topics of those names, or all but /clock. BagError names one that is not there."""
    known = {topic.name: topic for topic in topics}
    full_names = [f"/{name.lstrip('/')}" for name in names]
    wrong = [name for name in full_names if name not in known]
    if wrong:
        raise BagError(f"topic {wrong[0]} is not in the bag; it has {', '.join(sorted(known)) or 'none'}")
    return [topic for name, topic in known.items() if (name in full_names if names else name != CLOCK_TOPIC)]
