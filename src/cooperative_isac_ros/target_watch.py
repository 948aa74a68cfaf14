"""Finds every `targets/<name>/odom` of the scene, whoever publishes it, and keeps the registry of targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.subscription import Subscription
from std_msgs.msg import String

from cooperative_isac.scene.odometry import TargetRegistry
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.parameters import Parameter

DISCOVERY_PERIOD_S = 0.5
FORGET_AFTER_S = 60.0  # a robot that restarts is soon back under its name
CLOCK_SLACK_S = 5.0
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"


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


WATCH_PARAMETERS = (
    Parameter("target_timeout_s", 1.0, "a target that was silent for longer is gone [s]", 0.05, 60.0),
    # Empty lists have no type in ROS, so one empty word stands for none.
    Parameter("target_classes", [""],
              "classes of targets that do not say theirs, as name:uav or name:vehicle",
              check=lambda pairs: _check_classes([pair for pair in pairs if pair])),
    Parameter("wait_for_targets", True, "be ready only when the scene file's targets are heard"),
)


@dataclass
class _Heard:
    """A topic that is listened to. silent_checks: checks in a row in which nobody offered it."""

    subscriptions: tuple[Subscription, ...]
    silent_checks: int = 0


class TargetWatch:
    """Subscribes to odometry and class of every target as it appears, until nobody has offered it for long."""

    def __init__(self, node: SceneNode, on_sample=lambda: None):
        self.registry = TargetRegistry(node.settings["target_timeout_s"])
        self._node, self._on_sample = node, on_sample
        self._prefix = node.shared("targets/")
        self._known: dict[str, _Heard] = {}
        for pair in filter(None, node.settings["target_classes"]):
            name, word = pair.split(":")
            self.registry.set_class(name, conversions.class_of_name(word))
        node.create_timer(DISCOVERY_PERIOD_S, self.discover, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def waiting_for(self) -> str:
        """The targets of the scene file that move from its start and were not heard yet."""
        if not self._node.settings["wait_for_targets"]:
            return ""
        missing = [target.name for target in self._node.scene.targets
                   if target.motion.start_s <= 0 and target.name not in self.registry.names]
        return f"odometry of {', '.join(missing)}" if missing else ""

    def discover(self) -> None:
        """Subscribe to targets that were not known yet, and let go of those that are gone."""
        for topic, types in self._node.get_topic_names_and_types():
            name = topic.removeprefix(self._prefix).removesuffix("/odom")
            if topic != f"{self._prefix}{name}/odom" or "/" in name or name in self._known:
                continue
            if not self._node.count_publishers(topic):
                continue
            if ODOMETRY_TYPE not in types:
                self._node.health.fault("targets_refused",
                                        f"{topic} is {', '.join(types)}, not {ODOMETRY_TYPE}")
                continue
            self._subscribe(topic, name)
        self._forget_gone()

    def _subscribe(self, topic: str, name: str) -> None:
        """The class is heard twice: one that is latched comes late too, one that is not latched comes at all."""
        create, class_topic = self._node.create_subscription, f"{self._prefix}{name}/class"
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)  # would warn of each that is not latched
        self._known[name] = _Heard((
            create(Odometry, topic, partial(self._hear, name), qos.ODOMETRY_OF_ANYONE),
            create(String, class_topic, partial(self._hear_class, name), qos.LATCHED, event_callbacks=quiet),
            create(String, class_topic, partial(self._hear_class, name), qos.NEWEST_OF_ANYONE)))

    def _forget_gone(self) -> None:
        for name, heard in [*self._known.items()]:
            offered = self._node.count_publishers(f"{self._prefix}{name}/odom")
            heard.silent_checks = 0 if offered else heard.silent_checks + 1
            if heard.silent_checks * DISCOVERY_PERIOD_S >= FORGET_AFTER_S:
                for subscription in heard.subscriptions:
                    self._node.destroy_subscription(subscription)
                del self._known[name]
                self.registry.forget(name)

    def _hear(self, name: str, message: Odometry) -> None:
        try:
            sample = conversions.odometry_sample(message)
            in_order = self.registry.add(name, sample)
        except ValueError as error:
            self._node.health.fault("odometry_refused", f"targets/{name}/odom: {error}")
            return
        self._check_clock(name, sample.stamp_ns)
        if not in_order:
            self._node.health.count("odometry_out_of_order")
        self._on_sample()

    def _check_clock(self, name: str, stamp_ns: int) -> None:
        """Another clock's stamps fall on no frame: the target would vanish without a word."""
        ahead_s = (stamp_ns - self._node.now_ns) * 1e-9
        if abs(ahead_s) > CLOCK_SLACK_S:
            self._node.health.fault(
                "odometry_stale", f"targets/{name}/odom: stamps are {abs(ahead_s):.1f} s "
                f"{'ahead of' if ahead_s > 0 else 'behind'} the node's clock; set use_sim_time on all nodes or on none, "
                "or synchronise the clocks")

    def _hear_class(self, name: str, message: String) -> None:
        try:
            self.registry.set_class(name, conversions.target_class(message))
        except ValueError as error:
            self._node.health.fault("classes_refused", f"targets/{name}/class: {error}")
