"""Playback of a bag, with the recorded quality of service and timing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock

from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.passes import ClockPass, is_unset
from cooperative_isac_ros.bag.profiles import publisher_profile
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.messages.conversions import to_time

CLOCK_TOPIC = "/clock"
# Period of /clock, s: 40 Hz, as `ros2 bag play --clock` publishes it.
CLOCK_PERIOD_S = 0.025
# Time without a new subscription after which discovery counts as complete, s.
DISCOVERY_S = 0.5
# Interval at which the subscriptions are counted, s.
COUNT_EVERY_S = 0.02
# Latest time that fits a Time message, ns.
LATEST_NS = (2**31 - 1) * 1_000_000_000


class Player:
    """Publishers of topics of a bag.

    rename: returns the name under which a topic is published
    """

    def __init__(self, node: Node, topics: Sequence[Topic], rename: Callable[[str], str] = str):
        self.skipped: dict[str, str] = {}
        self._node = node
        self._publishers: dict[str, Publisher] = {}
        for topic in topics:
            try:
                self._publishers[topic.name] = node.create_publisher(
                    message_class(topic.type_name),
                    rename(topic.name),
                    publisher_profile(topic.offered),
                )
            except UnknownTypeError as error:
                self.skipped[topic.name] = str(error)
            except NameValidationException:
                self.skipped[topic.name] = "ROS 2 refuses this name"
            except RuntimeError as error:  # of rcl, which has further rules
                self.skipped[topic.name] = str(error).partition("\n")[0]

    @property
    def topics(self) -> tuple[str, ...]:
        """Names in the bag of the topics that are published."""
        return tuple(self._publishers)

    @property
    def num_subscriptions(self) -> int:
        """Number of subscriptions to all topics."""
        return sum(publisher.get_subscription_count() for publisher in self._publishers.values())

    @property
    def is_subscribed(self) -> bool:
        """Return whether every topic has a subscription."""
        return all(publisher.get_subscription_count() for publisher in self._publishers.values())

    def publish(self, name: str, data: bytes) -> None:
        """Publish a serialized message."""
        self._publishers[name].publish(data)

    def wait_for_subscribers(
        self, at_most_s: float, check: Callable[[], None] = lambda: None
    ) -> bool:
        """Wait for subscriptions, until no new one has appeared for DISCOVERY_S.

        check: called repeatedly; an exception of it ends the waiting

        Returns False where there is none within at_most_s.
        """
        changed_s = time.monotonic()
        deadline_s = changed_s + at_most_s
        num_found = 0
        while time.monotonic() < deadline_s:
            check()
            num_subscriptions = self.num_subscriptions
            if num_subscriptions != num_found:
                num_found = num_subscriptions
                changed_s = time.monotonic()
            if num_found and time.monotonic() - changed_s >= DISCOVERY_S:
                break
            time.sleep(COUNT_EVERY_S)
        return num_found > 0


class Pace:
    """Timing of a playback against the steady clock.

    rate: playback speed as a multiple of the recorded one
    with_clock: publish /clock
    check: called before each message and while waiting; an exception of it ends the playback
    """

    def __init__(
        self, node: Node, rate: float, with_clock: bool, check: Callable[[], None] = lambda: None
    ):
        self._rate = rate
        self._check = check
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, 1) if with_clock else None
        self._begin_ns = 0
        self._began_s = 0.0

    def begin(self, bag_ns: int) -> None:
        """Set the time of the bag now, ns."""
        self._begin_ns = bag_ns
        self._began_s = time.monotonic()
        self._publish_clock(bag_ns)

    def wait_until(self, bag_ns: int) -> None:
        """Sleep until a time of the bag, ns."""
        while True:
            self._check()
            elapsed_s = time.monotonic() - self._began_s
            now_ns = self._begin_ns + int(elapsed_s * self._rate * 1e9)
            left_s = (bag_ns - now_ns) * 1e-9 / self._rate
            self._publish_clock(min(now_ns, bag_ns))
            if left_s <= 0:
                return
            time.sleep(min(left_s, CLOCK_PERIOD_S))

    def _publish_clock(self, bag_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=to_time(min(bag_ns, LATEST_NS))))


def play_once(
    reader: BagReader,
    player: Player,
    pace: Pace,
    passes: Sequence[ClockPass],
    offset_s: float = 0.0,
) -> int:
    """Publish all messages, one pass of the recorded clock after the other.

    passes: those of the bag
    offset_s: time at the beginning that is left out, s, with all messages without a time

    Returns the number of published messages.
    """
    starts_ns = _starts_ns(passes, round(offset_s * 1e9))
    num_played = 0
    current = None
    for message in reader.messages(player.topics):
        # left out: before the offset, or of a pass that a running recorder has begun meanwhile
        number = message.clock_pass
        if number >= len(passes) or message.log_ns < starts_ns[number]:
            continue

        # without a pause for messages from before the clock was set, and between passes
        if not is_unset(passes, number):
            if number != current:
                pace.begin(message.log_ns if current is None else round(starts_ns[number]))
                current = number
            pace.wait_until(message.log_ns)
        player.publish(message.topic, message.data)
        num_played += 1
    return num_played


def _starts_ns(passes: Sequence[ClockPass], offset_ns: int) -> list[float]:
    """Times in each pass at which the playback begins, ns; infinite where it is left out."""
    starts_ns = []
    left_ns = offset_ns
    for number, item in enumerate(passes):
        duration_ns = item.end_ns - item.start_ns
        if left_ns > duration_ns or (left_ns and is_unset(passes, number)):
            starts_ns.append(math.inf)
        else:
            starts_ns.append(item.start_ns + left_ns)
        left_ns = max(left_ns - duration_ns, 0)
    return starts_ns


def chosen_topics(topics: Sequence[Topic], names: Sequence[str]) -> list[Topic]:
    """Topics of a bag with the given names; all but /clock where no name is given.

    Raises BagError where a name is not in the bag.
    """
    if not names:
        return [topic for topic in topics if topic.name != CLOCK_TOPIC]
    known = {_full_name(topic.name): topic for topic in topics}
    full_names = [_full_name(name) for name in names]
    missing = [name for name in full_names if name not in known]
    if missing:
        raise BagError(
            f"topic {missing[0]} is not in the bag; it has {', '.join(sorted(known)) or 'none'}"
        )
    return [topic for name, topic in known.items() if name in full_names]


def _full_name(name: str) -> str:
    return f"/{name.lstrip('/')}"
