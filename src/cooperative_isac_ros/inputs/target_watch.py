"""Finds every `targets/<name>/odom` of the scene, whoever publishes it, and keeps the registry of
targets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy
from rclpy.subscription import Subscription
from std_msgs.msg import String

from cooperative_isac.scene.odometry import TargetRegistry
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.parameters import Parameter
from cooperative_isac_ros.timing.clock_offset import ClockOffset

DISCOVERY_PERIOD_S = 0.5
# While a target of the scene is not heard yet, the node cannot begin.
EARLY_PERIOD_S = 0.1
FORGET_AFTER_S = 60.0  # a robot that restarts is soon back under its name
MAX_TARGETS = (
    64  # topics that are subscribed to: each costs memory in every node that hears odometry
)
LARGEST_BRIDGED_S = 1e6  # s, offset of a clock that a parameter may bridge
ODOMETRY_TYPE, CLASS_TYPE = "nav_msgs/msg/Odometry", "std_msgs/msg/String"


def class_fault(pair: str) -> str | None:
    """What is wrong with `name:class`, or None."""
    name, _, word = pair.partition(":")
    try:
        conversions.class_of_name(word)
    except conversions.ConversionError as error:
        return f"'{pair}' must be name:class ({error})"
    return None if name else f"'{pair}' must be name:class"


def _check_classes(pairs) -> str | None:
    fault = next(filter(None, map(class_fault, filter(None, pairs))), None)
    return fault and f"parameter 'target_classes': {fault}"


def offset_fault(pair: str) -> str | None:
    """What is wrong with `name:seconds`, or None."""
    name, _, seconds = pair.rpartition(":")
    try:
        is_offset = abs(float(seconds)) <= LARGEST_BRIDGED_S
    except ValueError:
        is_offset = False
    if name and is_offset:
        return None
    return f"'{pair}' must be name:seconds, such as robot:2.0"


def _check_offsets(pairs) -> str | None:
    fault = next(filter(None, map(offset_fault, filter(None, pairs))), None)
    return fault and f"parameter 'odometry_offsets': {fault}"


WATCH_PARAMETERS = (
    Parameter(
        "target_timeout_s",
        1.0,
        "a target without odometry for longer has left the scene [s]",
        0.05,
        60.0,
    ),
    # Empty lists have no type in ROS, so one empty word stands for none.
    Parameter(
        "target_classes",
        [""],
        "classes of targets that do not publish theirs, as `name:uav` or `name:vehicle`",
        check=_check_classes,
    ),
    Parameter(
        "odometry_offsets",
        [""],
        "seconds to add to the stamps of targets whose clocks are off, as `name:2.0`",
        check=_check_offsets,
    ),
    Parameter(
        "wait_for_targets",
        True,
        "be ready only when odometry of all targets of the scene file arrives; "
        "false where none of them is simulated",
    ),
)


@dataclass
class _Heard:
    """A topic that is listened to.

    classes: subscriptions to the target's class, by durability; silent_checks: checks in a row in
    which nobody offered odometry; offset: of its stamps from the clock
    """

    odometry: Subscription
    classes: dict[DurabilityPolicy, Subscription] = field(default_factory=dict)
    silent_checks: int = 0
    offset: ClockOffset = field(default_factory=ClockOffset)


class TargetWatch:
    """Subscribes to odometry and class of every target as it appears, until nobody has offered it
    for long.
    """

    def __init__(self, node: SceneNode, on_sample=lambda: None):
        self.registry = TargetRegistry(node.settings["target_timeout_s"])
        self._node, self._on_sample = node, on_sample
        self._prefix = node.shared("targets/")
        self._known: dict[str, _Heard] = {}
        self._refused: set[str] = set()
        pairs = [pair.rpartition(":") for pair in node.settings["odometry_offsets"] if pair]
        self._bridged_ns = {name: round(float(seconds) * 1e9) for name, _, seconds in pairs}
        for pair in filter(None, node.settings["target_classes"]):
            name, word = pair.split(":")
            self.registry.set_class(name, conversions.class_of_name(word))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(DISCOVERY_PERIOD_S, self.discover, clock=steady)
        self._early = node.create_timer(EARLY_PERIOD_S, self._discover_early, clock=steady)

    def waiting_for(self) -> str:
        """The targets of the scene file that move from its start and were not heard yet."""
        if not self._node.settings["wait_for_targets"]:
            return ""
        missing = [
            target.name
            for target in self._node.scene.targets
            if target.motion.start_s <= 0 and target.name not in self.registry.names
        ]
        return f"odometry of {', '.join(missing)}" if missing else ""

    def faults(self) -> dict[str, str]:
        """What is wrong with the stamps of targets, in words, by the name of the target."""
        found = {name: heard.offset.fault() for name, heard in sorted(self._known.items())}
        return {name: fault[1] for name, fault in found.items() if fault is not None}

    def discover(self) -> None:
        """Subscribe to targets that were not known yet, and let go of those that are gone."""
        self._find_new()
        self._subscribe_classes()
        self._forget_gone()

    def _discover_early(self) -> None:
        """Subscribe without delay to the targets that the node waits for at its start."""
        if self.waiting_for():
            self._find_new()
        else:
            self._early.cancel()

    def _find_new(self) -> None:
        """Subscribe to the odometry of targets that were not known yet."""
        for topic, types in self._node.get_topic_names_and_types():
            name = topic.removeprefix(self._prefix).removesuffix("/odom")
            if topic != f"{self._prefix}{name}/odom" or "/" in name or name in self._known:
                continue
            if not self._node.count_publishers(topic):
                continue
            if ODOMETRY_TYPE not in types:
                self._node.health.fault(
                    "targets_refused", f"{topic} is {', '.join(types)}, not {ODOMETRY_TYPE}"
                )
                continue
            if len(self._known) >= MAX_TARGETS:
                self._refuse(topic)
                continue
            self._subscribe(topic, name)

    def _refuse(self, topic: str) -> None:
        """Count a topic beyond MAX_TARGETS once."""
        if topic not in self._refused and len(self._refused) < MAX_TARGETS:
            self._refused.add(topic)
            self._node.health.fault(
                "targets_refused", f"{topic}: {MAX_TARGETS} targets are followed already"
            )

    def _subscribe(self, topic: str, name: str) -> None:
        """Subscribe to the odometry of a target."""
        subscription = self._node.create_subscription(
            Odometry, topic, partial(self._hear, name), qos.ODOMETRY_OF_ANYONE
        )
        self._known[name] = _Heard(subscription)

    def _subscribe_classes(self) -> None:
        """Subscribe to the classes that somebody publishes, each as it is offered: every
        subscription costs memory.

        One that is latched comes late too, one that is not latched comes at all.
        """
        quiet = SubscriptionEventCallbacks(
            use_default_callbacks=False
        )  # would warn of each that is not latched
        for name, heard in self._known.items():
            topic = f"{self._prefix}{name}/class"
            for publisher in self._node.get_publishers_info_by_topic(topic):
                latched = publisher.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
                profile = qos.LATCHED if latched else qos.NEWEST_OF_ANYONE
                if publisher.topic_type == CLASS_TYPE and profile.durability not in heard.classes:
                    heard.classes[profile.durability] = self._node.create_subscription(
                        String,
                        topic,
                        partial(self._hear_class, name),
                        profile,
                        event_callbacks=quiet,
                    )

    def _forget_gone(self) -> None:
        for name, heard in [*self._known.items()]:
            offered = self._node.count_publishers(f"{self._prefix}{name}/odom")
            heard.silent_checks = 0 if offered else heard.silent_checks + 1
            if heard.silent_checks * DISCOVERY_PERIOD_S >= FORGET_AFTER_S:
                for subscription in (heard.odometry, *heard.classes.values()):
                    self._node.destroy_subscription(subscription)
                del self._known[name]
                self.registry.forget(name)

    def _hear(self, name: str, message: Odometry) -> None:
        try:
            sample = conversions.odometry_sample(message)
            stamp_ns = sample.stamp_ns + self._bridged_ns.get(name, 0)
            in_order = self.registry.add(name, replace(sample, stamp_ns=stamp_ns))
        except ValueError as error:
            self._node.health.fault("odometry_refused", f"targets/{name}/odom: {error}")
            return
        self._check_clock(name, stamp_ns)
        if not in_order:
            self._node.health.count("odometry_out_of_order")
        self._on_sample()

    def _check_clock(self, name: str, stamp_ns: int) -> None:
        """Another clock's stamps fall on no frame: the target would vanish without a word."""
        heard = self._known.get(name)
        if heard is None or self._node.now_ns == 0:
            return  # gone, or the simulation clock was not received yet
        heard.offset.add(stamp_ns, self._node.now_ns)
        fault = heard.offset.fault()
        if fault is not None:
            event, reason = fault
            self._node.health.fault(event, f"targets/{name}/odom: {reason}")

    def _hear_class(self, name: str, message: String) -> None:
        try:
            self.registry.set_class(name, conversions.target_class(message))
        except ValueError as error:
            self._node.health.fault("classes_refused", f"targets/{name}/class: {error}")
