"""Finds every `targets/<name>/odom` of the scene, whoever publishes it, and keeps the registry of targets."""

from __future__ import annotations

from functools import partial

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String

from cooperative_isac.scene.odometry import TargetRegistry
from cooperative_isac_ros import conversions, qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.parameters import Parameter

DISCOVERY_PERIOD_S = 0.5
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"


def _check_classes(pairs) -> str | None:
    for pair in pairs:
        name, _, word = pair.partition(":")
        try:
            conversions.class_of_name(word)
        except conversions.ConversionError as error:
            return f"parameter 'target_classes' holds '{pair}'; write name:class ({error})"
        if not name:
            return f"parameter 'target_classes' holds '{pair}'; write name:class"
    return None


WATCH_PARAMETERS = (
    Parameter("target_timeout_s", 1.0, "a target that was silent for longer is gone [s]", 0.05, 60.0),
    # Empty lists have no type in ROS, so one empty word stands for none.
    Parameter("target_classes", [""],
              "classes of targets that do not say theirs, as name:uav or name:vehicle",
              check=lambda pairs: _check_classes([pair for pair in pairs if pair])),
)


class TargetWatch:
    """Subscribes to odometry and class of every target as it appears."""

    def __init__(self, node: SceneNode, on_sample=lambda: None):
        self.registry = TargetRegistry(node.settings["target_timeout_s"])
        self._node, self._on_sample = node, on_sample
        self._prefix = node.shared("targets/")
        self._known: set[str] = set()
        for pair in filter(None, node.settings["target_classes"]):
            name, word = pair.split(":")
            self.registry.set_class(name, conversions.class_of_name(word))
        node.create_timer(DISCOVERY_PERIOD_S, self.discover, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def waiting_for(self) -> str:
        """The targets of the scene file that move from its start and were not heard yet."""
        missing = [target.name for target in self._node.scene.targets
                   if target.motion.start_s <= 0 and target.name not in self.registry.names]
        return f"odometry of {', '.join(missing)}" if missing else ""

    def discover(self) -> None:
        """Subscribe to targets that were not known yet."""
        for topic, types in self._node.get_topic_names_and_types():
            name = topic.removeprefix(self._prefix).removesuffix("/odom")
            if topic != f"{self._prefix}{name}/odom" or "/" in name or name in self._known:
                continue
            if ODOMETRY_TYPE not in types:
                self._node.health.fault("targets_refused",
                                        f"{topic} is {', '.join(types)}, not {ODOMETRY_TYPE}")
                continue
            self._subscribe(topic, name)

    def _subscribe(self, topic: str, name: str) -> None:
        self._known.add(name)
        self._node.create_subscription(Odometry, topic, partial(self._hear, name), qos.ODOMETRY_OF_ANYONE)
        self._node.create_subscription(String, f"{self._prefix}{name}/class", partial(self._hear_class, name),
                                       qos.LATCHED)

    def _hear(self, name: str, message: Odometry) -> None:
        try:
            in_order = self.registry.add(name, conversions.odometry_sample(message))
        except ValueError as error:
            self._node.health.fault("odometry_refused", f"targets/{name}/odom: {error}")
            return
        if not in_order:
            self._node.health.count("odometry_out_of_order")
        self._on_sample()

    def _hear_class(self, name: str, message: String) -> None:
        try:
            self.registry.set_class(name, conversions.target_class(message))
        except ValueError as error:
            self._node.health.fault("classes_refused", f"targets/{name}/class: {error}")
