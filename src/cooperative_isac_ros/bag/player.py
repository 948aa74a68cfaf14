"""Publishes what a bag holds, with the profiles and at the pace at which it was recorded."""

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
from cooperative_isac_ros.bag.profiles import played_profile
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.messages.conversions import to_time

CLOCK_TOPIC = "/clock"
CLOCK_PERIOD_S = 0.025
SETTLE_S = 0.5
LATEST_NS = (2**31 - 1) * 1_000_000_000  # that fits a message


class Player:
    """Publishers for the chosen topics of a bag; a topic may be published under another name."""

    def __init__(self, node: Node, topics: Sequence[Topic], rename: Callable[[str], str] = str):
        self.skipped: dict[str, str] = {}
        self._node = node
        self._publishers: dict[str, Publisher] = {}
        for topic in topics:
            try:
                self._publishers[topic.name] = node.create_publisher(
                    message_class(topic.type_name),
                    rename(topic.name),
                    played_profile(topic.offered),
                )
            except UnknownTypeError as error:
                self.skipped[topic.name] = str(error)
            except NameValidationException:
                self.skipped[topic.name] = "ROS 2 refuses this name"
            except RuntimeError as error:  # of rcl, which has rules of its own
                self.skipped[topic.name] = str(error).partition("\n")[0]

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

    def wait_for_subscribers(
        self, at_most_s: float, check: Callable[[], None] = lambda: None
    ) -> bool:
        """Until somebody listens and nobody new has come for SETTLE_S; False when nobody came.

        check: called again and again; it raises what is to end the waiting
        """
        deadline = time.monotonic() + at_most_s
        heard, since = 0, time.monotonic()
        while time.monotonic() < deadline:
            check()
            number = self.num_listeners
            if number != heard:
                heard, since = number, time.monotonic()
            if heard and time.monotonic() - since >= SETTLE_S:
                break
            time.sleep(0.02)
        return heard > 0


class Pace:
    """Bag time against the steady clock, and /clock if it is wanted.

    check: called before each message and while waiting; it raises what is to end the playing
    """

    def __init__(
        self, node: Node, rate: float, with_clock: bool, check: Callable[[], None] = lambda: None
    ):
        self._rate = rate
        self._check = check
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, 1) if with_clock else None
        self._begin_ns, self._began_s = 0, 0.0

    def begin(self, bag_ns: int) -> None:
        """Bag time is bag_ns now."""
        self._begin_ns, self._began_s = bag_ns, time.monotonic()
        self._tell(bag_ns)

    def wait_until(self, bag_ns: int) -> None:
        """Sleep until it is that time in the bag."""
        while True:
            self._check()
            now_ns = self._begin_ns + int((time.monotonic() - self._began_s) * self._rate * 1e9)
            left_s = (bag_ns - now_ns) * 1e-9 / self._rate
            self._tell(min(now_ns, bag_ns))
            if left_s <= 0:
                return
            time.sleep(min(left_s, CLOCK_PERIOD_S))

    def _tell(self, bag_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=to_time(min(bag_ns, LATEST_NS))))


def play_once(
    reader: BagReader,
    player: Player,
    pace: Pace,
    passes: Sequence[ClockPass],
    offset_s: float = 0.0,
) -> int:
    """Publish everything, pass by pass of the recorded clock.

    passes: those of the bag
    offset_s: playing time that is left out at the beginning; with one, also messages without time

    Returns the number of messages.
    """
    starts_ns = _starts(passes, round(offset_s * 1e9))
    count = 0
    current = None
    for message in reader.messages(player.topics):
        number = message.clock_pass
        if number >= len(passes) or message.log_ns < starts_ns[number]:
            continue

        # Nobody waits for a message from before the clock was set, nor from one pass to the next
        if not is_unset(passes, number):
            if number != current:
                pace.begin(message.log_ns if current is None else round(starts_ns[number]))
                current = number
            pace.wait_until(message.log_ns)
        player.publish(message.topic, message.data)
        count += 1
    return count


def _starts(passes: Sequence[ClockPass], offset_ns: int) -> list[float]:
    """Times [ns] in each pass from which on messages are played."""
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
    """The topics of those names, or all but /clock. BagError names one that is not there."""
    if not names:
        return [topic for topic in topics if topic.name != CLOCK_TOPIC]
    known = {_full_name(topic.name): topic for topic in topics}
    full_names = [_full_name(name) for name in names]
    wrong = [name for name in full_names if name not in known]
    if wrong:
        raise BagError(
            f"topic {wrong[0]} is not in the bag; it has {', '.join(sorted(known)) or 'none'}"
        )
    return [topic for name, topic in known.items() if name in full_names]


def _full_name(name: str) -> str:
    return f"/{name.lstrip('/')}"
