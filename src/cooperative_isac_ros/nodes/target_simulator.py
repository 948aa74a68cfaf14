"""Target simulator: publishes odometry of the scene file's targets and moving stations."""

from __future__ import annotations

import math
import sys

from cooperative_isac_msgs.msg import Frame
from nav_msgs.msg import Odometry
from rclpy.publisher import Publisher
from std_msgs.msg import String

from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import Target
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode, run_node
from cooperative_isac_ros.inputs.announcements import announcement_or_fault
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.transforms import frame_prefix
from cooperative_isac_ros.parameters import RUN_BITS, Parameter, rate_parameter
from cooperative_isac_ros.processes.state_file import read_state
from cooperative_isac_ros.timing.clock import AlignedTimer
from cooperative_isac_ros.timing.frame_order import FrameOrder

# Smallest rate of odometry that is chosen by default, Hz.
LOWEST_ODOMETRY_HZ = 10.0
PARAMETERS = (
    Parameter(
        "odometry_rate_hz",
        0.0,
        "odometry samples of each target per second; 0: the lowest multiple of the frame rate that "
        f"is at least {LOWEST_ODOMETRY_HZ:g}, so that every frame's stamp has a sample",
        0.0,
        1000.0,
    ),
    rate_parameter("frame rate"),
    Parameter("run", 0, "number of the run, set by the launcher; 0: unknown", 0, 2**RUN_BITS - 1),
    Parameter(
        "state_file",
        "",
        "state file of the controller, by which a restarted simulator continues the same `run`; "
        "empty: none",
    ),
)


class TargetSimulator(SceneNode):
    """Publishes odometry as robots would.

    Targets and stations stand at their start until frame 0, so that they are at the same place in
    frame k of every run.
    """

    def __init__(self, **options):
        super().__init__("target_simulator", PARAMETERS, **options)

        # time of frame 0
        self._order: FrameOrder[None] = FrameOrder("frames", self.health.fault)
        self._start_ns = self._saved_start_ns()
        frame_rate_hz = self.settings["rate_hz"] or self.scene.update_rate_hz
        self._frame_period_ns = 1e9 / frame_rate_hz

        # publishers
        self._odometry = {
            target.name: self._odometry_publisher(f"targets/{target.name}/odom")
            for target in self.scene.targets
        }
        self._stations = [
            (station, self._odometry_publisher(f"stations/{station.name}/odom"))
            for station in self.scene.stations
            if station.motion is not None
        ]
        self._frame_prefix = frame_prefix(self.get_namespace())
        self._classes = [self._publish_class(target) for target in self.scene.targets]

        # announcements, and samples at a multiple of the frame rate
        self.create_subscription(Frame, self.shared("frame"), self._on_frame, qos.STREAM)
        aligned_hz = frame_rate_hz * math.ceil(LOWEST_ODOMETRY_HZ / frame_rate_hz)
        self._timer = AlignedTimer(
            self, self.settings["odometry_rate_hz"] or aligned_hz, self._publish
        )

    def _odometry_publisher(self, topic: str) -> Publisher:
        return self.create_publisher(Odometry, self.shared(topic), qos.ODOMETRY)

    def _saved_start_ns(self) -> int | None:
        """Stamp of frame 0, ns, where the run began before this process; else None."""
        path = self.settings.path("state_file")
        run = self.settings["run"]
        state = read_state(path) if path is not None and run else None
        if state is None or state.get("run") != run or not isinstance(state.get("start_ns"), int):
            return None
        return state["start_ns"]

    def _publish_class(self, target: Target) -> Publisher:
        """Publish the class of a target, latched. Returns the publisher, which must be kept."""
        publisher = self.create_publisher(
            String, self.shared(f"targets/{target.name}/class"), qos.LATCHED
        )
        publisher.publish(conversions.class_message(target.target_class))
        return publisher

    def _on_frame(self, message: Frame) -> None:
        announcement = announcement_or_fault(self, message)
        if announcement is None:
            return
        for turn in self._order.take(announcement.frame, None):
            if turn.begins:
                elapsed_ns = round(turn.frame.number * self._frame_period_ns)
                self._start_ns = turn.frame.stamp_ns - elapsed_ns
                self.get_logger().info(f"the targets set off: run {turn.frame.run} began")

    def _publish(self, stamp_ns: int) -> None:
        """Publish a sample of all targets and stations at a stamp in ns."""
        elapsed_s = 0.0
        if self._start_ns is not None:
            elapsed_s = max((stamp_ns - self._start_ns) * 1e-9, 0.0)

        # targets
        states = scene_targets(self.scene, elapsed_s)
        for state in states:
            message = conversions.odometry_message(
                state.name, stamp_ns, state.position_m, state.velocity_mps
            )
            self._odometry[state.name].publish(message)

        # stations
        for station, publisher in self._stations:
            pose = station.pose_at(elapsed_s)
            child = f"{self._frame_prefix}{station.name}"
            publisher.publish(conversions.pose_message(child, stamp_ns, pose))

        self.health.count("samples")
        self.health.figures["targets"] = len(states)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(TargetSimulator, args)


if __name__ == "__main__":
    sys.exit(main())
