"""Poses of the stations that follow odometry or a frame of /tf, as a UE in a car does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.poses import FrameTree, PoseLog
from cooperative_isac.scene.station import Pose, Station, heading_rotation
from cooperative_isac_ros import qos
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.transforms import TFMessage
from cooperative_isac_ros.parameters import Parameter
from cooperative_isac_ros.timing.clock_offset import ClockOffset

# Age of the latest sample above which an extrapolated pose counts as old, s: at 10 m/s it may be
# 1 m off.
OLD_AFTER_S = 0.3
# Frames that wait for poses: with more of them, the station is too far behind.
MAX_WAITING = 16
POSE_PARAMETERS = (
    Parameter(
        "pose_timeout_s",
        1.0,
        "time without odometry or transforms after which a station has no pose [s]",
        0.05,
        60.0,
    ),
    Parameter(
        "wait_for_poses",
        True,
        "become ready only when the poses of all stations that follow odometry or /tf arrive",
    ),
)

Item = TypeVar("Item")


class PoseError(ValueError):
    """A station has no pose at a stamp."""


class PoseWatch:
    """Subscribes to the poses of the stations that follow odometry or a frame of /tf.

    node: with the parameters POSE_PARAMETERS
    on_sample: called after each sample
    """

    def __init__(self, node: SceneNode, on_sample: Callable[[], None] = lambda: None):
        self._node = node
        self._on_sample = on_sample
        self._timeout_s = node.settings["pose_timeout_s"]

        # topic or frame by station
        stations = [station for station in node.scene.stations if station.is_tracked]
        self._followed = {
            station.name: station_topic(node, station) for station in stations if station.odometry
        }
        self._frames = {station.name: station.tf_frame for station in stations if station.tf_frame}

        # samples by station, and the tree of /tf
        self._logs = {name: PoseLog(self._timeout_s) for name in self._followed}
        self._offsets = {name: ClockOffset() for name in self._followed}
        self._tree = FrameTree(conversions.MAP_FRAME, self._timeout_s)

        for name, topic in self._followed.items():
            node.create_subscription(
                Odometry, topic, partial(self._on_odometry, name), qos.ODOMETRY_OF_ANYONE
            )
        if self._frames:
            self._subscribe_frames()

    @property
    def is_needed(self) -> bool:
        """Return whether the scene has stations that follow something."""
        return bool(self._followed or self._frames)

    def waiting_for(self) -> str:
        """Description of the missing poses, with their topics or frames."""
        if not self._node.settings["wait_for_poses"]:
            return ""
        missing = [name for name, log in self._logs.items() if log.newest_ns is None]
        missing += [name for name, frame in self._frames.items() if self._tree.missing_link(frame)]
        return ", ".join(f"pose of {name} on {self._source(name)}" for name in missing)

    def is_complete(self, stamp_ns: int) -> bool:
        """Return whether every station has a sample at or after a stamp."""
        followed = all(log.is_complete(stamp_ns) for log in self._logs.values())
        return followed and all(
            self._tree.is_complete(frame, stamp_ns) for frame in self._frames.values()
        )

    def poses(self, stamp_ns: int) -> dict[str, Pose]:
        """Poses at a stamp in ns, by station.

        Raises PoseError where a station has none.
        """
        poses = {}
        for name in (*self._followed, *self._frames):
            pose = self._pose(name, stamp_ns)
            if pose is None:
                raise PoseError(f"no pose of station '{name}': {self._silence(name, stamp_ns)}")
            self._note_age(name, stamp_ns)
            poses[name] = self._station_pose(name, pose)
        return poses

    def known_poses(self, stamp_ns: int) -> dict[str, Pose]:
        """Poses at a stamp in ns of the stations that have one; no fault is counted."""
        poses = {name: self._pose(name, stamp_ns) for name in (*self._followed, *self._frames)}
        return {
            name: self._station_pose(name, pose) for name, pose in poses.items() if pose is not None
        }

    def _station_pose(self, name: str, carrier: Pose) -> Pose:
        """Pose of a station on its carrier."""
        return carried(self._node.scene, self._node.scene.station(name), carrier)

    def _pose(self, name: str, stamp_ns: int) -> Pose | None:
        """Pose of a station's carrier at a stamp in ns; None where there is none."""
        if name in self._logs:
            return self._logs[name].at(stamp_ns)
        return self._tree.at(self._frames[name], stamp_ns)

    def _source(self, name: str) -> str:
        """Description of the topic or frame of a pose."""
        if name in self._followed:
            return self._followed[name]
        frame = self._frames[name]
        missing = self._tree.missing_link(frame)
        return f"/tf, frame '{frame}'" + (f" ('{missing}' has no parent)" if missing else "")

    def _newest_ns(self, name: str) -> int | None:
        """Stamp of the latest sample; None where there is none, or the frame is static."""
        if name in self._logs:
            return self._logs[name].newest_ns
        return self._tree.newest_ns(self._frames[name])

    def _silence(self, name: str, stamp_ns: int) -> str:
        """Reason why a station has no pose at a stamp."""
        source = self._source(name)
        newest_ns = self._newest_ns(name)
        if newest_ns is None:
            return f"no message on {source}"
        age_s = (stamp_ns - newest_ns) * 1e-9
        if age_s > 0:
            return f"the latest on {source} is {age_s:.2f} s older than the frame"
        return f"{source} begins after the frame"

    def _note_age(self, name: str, stamp_ns: int) -> None:
        """Report the age of a pose, and count one that is old."""
        newest_ns = self._newest_ns(name)
        if newest_ns is None:
            return  # static
        age_s = max((stamp_ns - newest_ns) * 1e-9, 0.0)
        self._node.health.figures[f"pose_age_s {name}"] = f"{age_s:.2f}"
        if age_s > OLD_AFTER_S:
            self._node.health.fault(
                "poses_old",
                f"the pose of '{name}' is {age_s:.2f} s old; it goes on at its last velocity "
                f"for {self._timeout_s:g} s",
            )

    def _on_odometry(self, name: str, message: Odometry) -> None:
        """Add the pose of a station's odometry to its log; an invalid message is counted."""
        try:
            sample = conversions.pose_sample(message)
            in_order = self._logs[name].add(name, sample)
        except ValueError as error:
            self._node.health.fault("poses_refused", f"{self._followed[name]}: {error}")
            return
        if not in_order:
            self._node.health.count("poses_out_of_order")
        self._check_clock(name, sample.stamp_ns)
        self._on_sample()

    def _check_clock(self, name: str, stamp_ns: int) -> None:
        """Count stamps of a different clock, which fit no frame."""
        if self._node.now_ns == 0:
            return  # the simulation clock was not received yet
        offset = self._offsets[name]
        offset.add(stamp_ns, self._node.now_ns)
        fault = offset.fault()
        if fault is not None:
            _, reason = fault
            self._node.health.fault("poses_off", f"{self._followed[name]}: {reason}")

    def _subscribe_frames(self) -> None:
        """Subscribe to /tf and /tf_static."""
        if TFMessage is None:
            names = ", ".join(self._frames)
            raise ValueError(
                f"stations {names} follow a tf_frame, but tf2_msgs is not installed; install it "
                "with ROS 2, or give them 'odometry'"
            )
        self._node.create_subscription(TFMessage, "/tf", self.on_transforms, qos.TRANSFORMS)
        self._node.create_subscription(
            TFMessage,
            "/tf_static",
            partial(self.on_transforms, is_fixed=True),
            qos.FIXED_TRANSFORMS,
        )

    def on_transforms(self, message, is_fixed: bool = False) -> None:
        """Add the transforms of a message of /tf, or of /tf_static where is_fixed."""
        for transform in message.transforms:
            self._add_transform(transform, is_fixed)
        self._on_sample()

    def _add_transform(self, transform: TransformStamped, is_fixed: bool) -> None:
        """Add one transform to the tree of frames, and count one that cannot be used.

        is_fixed: of /tf_static, valid at all times
        """
        # leading slashes of names are those of tf in ROS 1
        parent = transform.header.frame_id.lstrip("/")
        child = transform.child_frame_id.lstrip("/")
        try:
            stamp_ns = conversions.to_ns(transform.header.stamp)
            position_m, rotation = conversions.placement(transform.transform)
            in_order = self._tree.add(parent, child, stamp_ns, position_m, rotation, is_fixed)
        except ValueError as error:
            self._node.health.fault("poses_refused", f"/tf, frame '{child}': {error}")
            return
        if not in_order:
            self._node.health.count("poses_out_of_order")


class PoseGate(Generic[Item]):
    """Queue of items that wait for the poses at their stamps.

    They leave it in their order, at the latest after the parameter odometry_wait_s; at once where
    no station of the scene follows something.

    node: with the parameters POSE_PARAMETERS and odometry_wait_s
    on_ready: called with each item
    """

    def __init__(self, node: SceneNode, on_ready: Callable[[Item], None]):
        self._node = node
        self._on_ready = on_ready
        self._waiting: deque[tuple[int, Item]] = deque()
        self.watch = PoseWatch(node, self._release_complete)
        self._timeout = node.create_timer(
            node.settings["odometry_wait_s"],
            self._release_all,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._timeout.cancel()

    def put(self, stamp_ns: int, item: Item) -> None:
        """Add an item with its stamp in ns."""
        self._waiting.append((stamp_ns, item))
        if len(self._waiting) > MAX_WAITING:
            self._release()
        self._release_complete()
        if self._waiting:
            self._timeout.reset()

    def _release_complete(self) -> None:
        """Release the items whose poses have arrived."""
        while self._waiting and self.watch.is_complete(self._waiting[0][0]):
            self._release()
        if not self._waiting:
            self._timeout.cancel()

    def _release_all(self) -> None:
        self._timeout.cancel()
        while self._waiting:
            self._release()

    def _release(self) -> None:
        _, item = self._waiting.popleft()
        self._on_ready(item)


def carried(scene: Scene, station: Station, carrier: Pose) -> Pose:
    """Pose of a station on its carrier: at its position, rotated by the station's mounting.

    A scene in a plane uses x, y and heading of the carrier.
    """
    if scene.dimension == 2:
        carrier = _in_plane(carrier, scene.plane_height_m)
    return Pose(carrier.position_m, carrier.rotation @ station.mounting, carrier.velocity_mps)


def _in_plane(pose: Pose, height_m: float) -> Pose:
    """Pose at the height of a plane, rotated about the vertical axis only."""
    level = np.array([1.0, 1.0, 0.0])
    ahead = pose.rotation[:, 0] * level
    rotation = heading_rotation(ahead) if np.any(ahead) else np.eye(3)
    position_m = np.array([*pose.position_m[:2], height_m])
    return Pose(position_m, rotation, pose.velocity_mps * level)


def station_topic(node: SceneNode, station: Station) -> str:
    """Full name of the odometry topic that a station follows."""
    is_absolute = station.odometry.startswith("/")
    return station.odometry if is_absolute else node.shared(station.odometry)
