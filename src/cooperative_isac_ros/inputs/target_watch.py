"""Discovery of the topics `targets/<name>/odom` of a scene, and the registry of its targets."""

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

# Period of the discovery of topics, s.
DISCOVERY_PERIOD_S = 0.5
# The same while odometry of the scene's own targets is missing, for which the node waits, s.
EARLY_PERIOD_S = 0.1
# Time without a publisher after which a target is removed, s: a robot that restarts is back before.
FORGET_AFTER_S = 60.0
# Targets that are subscribed to: each subscription costs memory in every node with odometry.
MAX_TARGETS = 64
# Largest offset of a clock that a parameter may correct, s.
LARGEST_CORRECTION_S = 1e6
# Time without odometry after which a target that is published still counts as gone, s: beyond the
# delays of an overloaded machine.
SILENT_AFTER_S = 5.0
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
CLASS_TYPE = "std_msgs/msg/String"


def class_fault(pair: str) -> str | None:
    """Fault of a text `name:class`, in words; None where it is valid."""
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
    """Fault of a text `name:seconds`, in words; None where it is valid."""
    name, _, seconds = pair.rpartition(":")
    try:
        is_offset = abs(float(seconds)) <= LARGEST_CORRECTION_S
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
        "time without odometry after which a target has left the scene [s]",
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
        "become ready only when odometry of all targets of the scene file arrives; "
        "false where none of them is simulated",
    ),
)


@dataclass
class _Target:
    """Subscriptions to a target.

    class_subscriptions: to the topic of its class, by durability: at most a latched one and one
        that is not
    num_missing: consecutive checks without a publisher of its odometry
    offset: of its stamps from the clock
    received_ns: time at which its latest sample arrived, by the clock of the node, ns
    """

    odometry: Subscription
    class_subscriptions: dict[DurabilityPolicy, Subscription] = field(default_factory=dict)
    num_missing: int = 0
    offset: ClockOffset = field(default_factory=ClockOffset)
    received_ns: int = 0


class TargetWatch:
    """Subscribes to odometry and class of every target from its first to its last publisher.

    node: with the parameters WATCH_PARAMETERS
    on_sample: called after each sample
    """

    def __init__(self, node: SceneNode, on_sample=lambda: None):
        self.registry = TargetRegistry(node.settings["target_timeout_s"])
        self._node = node
        self._on_sample = on_sample
        self._prefix = node.shared("targets/")
        self._targets: dict[str, _Target] = {}
        self._refused: set[str] = set()

        # offsets and classes from the parameters
        pairs = [pair.rpartition(":") for pair in node.settings["odometry_offsets"] if pair]
        self._offset_ns = {name: round(float(seconds) * 1e9) for name, _, seconds in pairs}
        for pair in filter(None, node.settings["target_classes"]):
            name, word = pair.split(":")
            self.registry.set_class(name, conversions.class_of_name(word))

        # discovery
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(DISCOVERY_PERIOD_S, self.discover, clock=steady)
        self._early_timer = node.create_timer(EARLY_PERIOD_S, self._discover_early, clock=steady)

    def waiting_for(self) -> str:
        """Description of the missing odometry of targets that the scene file starts at once."""
        if not self._node.settings["wait_for_targets"]:
            return ""
        missing = [
            target.name
            for target in self._node.scene.targets
            if target.motion.start_s <= 0 and target.name not in self.registry.names
        ]
        return f"odometry of {', '.join(missing)}" if missing else ""

    def faults(self) -> dict[str, str]:
        """Faults of the targets' clocks, as text by the name of the target."""
        faults = {name: target.offset.fault() for name, target in sorted(self._targets.items())}
        return {name: fault[1] for name, fault in faults.items() if fault is not None}

    def overdue_s(self, stamp_ns: int) -> dict[str, float]:
        """Ages of the latest odometry at a stamp, by target, where the next one is overdue, s.

        Targets without a publisher, and silent ones, have left the scene: nothing is overdue.
        """
        overdue_s = self.registry.overdue_s(stamp_ns)
        return {name: age_s for name, age_s in overdue_s.items() if self._is_reporting(name)}

    def _is_reporting(self, name: str) -> bool:
        """True where odometry of a target may still arrive."""
        target = self._targets.get(name)
        if target is None or not self._node.count_publishers(f"{self._prefix}{name}/odom"):
            return False
        return self._node.now_ns - target.received_ns < SILENT_AFTER_S * 1e9

    def discover(self) -> None:
        """Subscribe to new targets and their classes, and remove those without a publisher."""
        self._find_new()
        self._subscribe_classes()
        self._remove_gone()

    def _discover_early(self) -> None:
        """Subscribe without delay to the targets for which the node waits at its start."""
        if self.waiting_for():
            self._find_new()
        else:
            self._early_timer.cancel()

    def _find_new(self) -> None:
        """Subscribe to the odometry of new targets."""
        for topic, types in self._node.get_topic_names_and_types():
            # a topic of odometry that has a publisher
            name = topic.removeprefix(self._prefix).removesuffix("/odom")
            is_odometry = topic == f"{self._prefix}{name}/odom" and "/" not in name
            if not is_odometry or name in self._targets:
                continue
            if not self._node.count_publishers(topic):
                continue

            # of the right type, and not too many
            if ODOMETRY_TYPE not in types:
                self._node.health.fault(
                    "targets_refused", f"{topic} is {', '.join(types)}, not {ODOMETRY_TYPE}"
                )
                continue
            if len(self._targets) >= MAX_TARGETS:
                self._refuse(topic)
                continue
            self._subscribe(topic, name)

    def _subscribe(self, topic: str, name: str) -> None:
        """Subscribe to the odometry of a target."""
        subscription = self._node.create_subscription(
            Odometry, topic, partial(self._on_odometry, name), qos.ODOMETRY_OF_ANYONE
        )
        self._targets[name] = _Target(subscription)

    def _refuse(self, topic: str) -> None:
        """Count a topic beyond MAX_TARGETS, once."""
        if topic not in self._refused and len(self._refused) < MAX_TARGETS:
            self._refused.add(topic)
            self._node.health.fault(
                "targets_refused", f"{topic}: {MAX_TARGETS} targets are followed already"
            )

    def _subscribe_classes(self) -> None:
        """Subscribe to the classes of targets, with the durability that their publishers offer.

        A latched subscription gets the class of a publisher that has sent it before; one that is
        not latched is compatible with any publisher. Only those that are needed are created, since
        each costs memory.
        """
        # Without the default callbacks, which warn about every publisher that is not latched.
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        for name, target in self._targets.items():
            topic = f"{self._prefix}{name}/class"
            for publisher in self._node.get_publishers_info_by_topic(topic):
                # transient local is the durability of latched topics
                is_latched = publisher.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
                profile = qos.LATCHED if is_latched else qos.NEWEST_OF_ANYONE
                is_new = profile.durability not in target.class_subscriptions
                if publisher.topic_type != CLASS_TYPE or not is_new:
                    continue
                target.class_subscriptions[profile.durability] = self._node.create_subscription(
                    String,
                    topic,
                    partial(self._on_class, name),
                    profile,
                    event_callbacks=quiet,
                )

    def _remove_gone(self) -> None:
        """Remove the targets that have had no publisher for FORGET_AFTER_S."""
        for name, target in [*self._targets.items()]:
            has_publisher = self._node.count_publishers(f"{self._prefix}{name}/odom")
            target.num_missing = 0 if has_publisher else target.num_missing + 1
            if target.num_missing * DISCOVERY_PERIOD_S >= FORGET_AFTER_S:
                for subscription in (target.odometry, *target.class_subscriptions.values()):
                    self._node.destroy_subscription(subscription)
                del self._targets[name]
                self.registry.remove(name)

    def _on_odometry(self, name: str, message: Odometry) -> None:
        try:
            sample = conversions.odometry_sample(message)
            stamp_ns = sample.stamp_ns + self._offset_ns.get(name, 0)
            in_order = self.registry.add(name, replace(sample, stamp_ns=stamp_ns))
        except ValueError as error:
            self._node.health.fault("odometry_refused", f"targets/{name}/odom: {error}")
            return
        if name in self._targets:
            self._targets[name].received_ns = self._node.now_ns
        self._check_clock(name, stamp_ns)
        if not in_order:
            self._node.health.count("odometry_out_of_order")
        self._on_sample()

    def _check_clock(self, name: str, stamp_ns: int) -> None:
        """Count stamps of a different clock, at which no frame finds the target."""
        target = self._targets.get(name)
        if target is None or self._node.now_ns == 0:
            return  # removed, or the simulation clock was not received yet
        target.offset.add(stamp_ns, self._node.now_ns)
        fault = target.offset.fault()
        if fault is not None:
            event, reason = fault
            self._node.health.fault(event, f"targets/{name}/odom: {reason}")

    def _on_class(self, name: str, message: String) -> None:
        try:
            self.registry.set_class(name, conversions.target_class(message))
        except ValueError as error:
            self._node.health.fault("classes_refused", f"targets/{name}/class: {error}")
