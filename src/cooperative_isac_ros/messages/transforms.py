"""Transforms of sites, stations and tracks for /tf.

They are published where tf2_msgs is installed; the wheels of ROS 2 do not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site, Station
from cooperative_isac.tracking.track import Track
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages import conversions

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None


class TransformPublisher:
    """Publisher of /tf, or of /tf_static; without tf2_msgs it publishes nothing."""

    def __init__(self, node, static: bool = False):
        self._publisher = None
        if TFMessage is not None:
            topic, profile = ("/tf_static", qos.LATCHED) if static else ("/tf", qos.STREAM)
            self._publisher = node.create_publisher(TFMessage, topic, profile)

    def publish(self, transforms: Sequence[TransformStamped]) -> None:
        """Publish transforms."""
        if self._publisher is not None and TFMessage is not None and transforms:
            self._publisher.publish(TFMessage(transforms=list(transforms)))


def site_transforms(
    sites: Sequence[Site], stamp_ns: int, prefix: str = ""
) -> list[TransformStamped]:
    """Transforms from map to the arrays of sites: x is the boresight, y the line of a ULA.

    prefix: see frame_prefix
    """
    return [
        _transform(
            f"{prefix}{site.name}",
            stamp_ns,
            site.position_m,
            conversions.rotation_quaternion(site.rotation),
        )
        for site in sites
    ]


def station_transforms(
    scene: Scene, stations: Iterable[Station], stamp_ns: int, prefix: str = ""
) -> list[TransformStamped]:
    """Transforms from map to stations.

    The frame of a station with one array is that of the array. Otherwise it is that of the station,
    and each array has a frame `<station>/<band>`.

    scene: with its stations at their poses
    prefix: see frame_prefix
    """
    transforms = []
    for station in stations:
        # Rotations of the arrays.
        name = f"{prefix}{station.name}"
        pose = scene.poses.get(station.name) or station.pose_at(0.0)
        rotations = [pose.rotation @ antenna.rotation for antenna in station.antennas]

        # Rotation of each frame: of the single array, or of the station and each of its arrays.
        if len(rotations) == 1:
            frames = {name: rotations[0]}
        else:
            names_of_arrays = [f"{name}/{band}" for band in station.bands]
            frames = {name: pose.rotation, **dict(zip(names_of_arrays, rotations))}

        # All have their origin at the station.
        for child, rotation in frames.items():
            quaternion = conversions.rotation_quaternion(rotation)
            transforms.append(_transform(child, stamp_ns, pose.position_m, quaternion))
    return transforms


def track_transforms(
    tracks: Sequence[Track], stamp_ns: int, prefix: str = ""
) -> list[TransformStamped]:
    """Transforms from map to tracks, with x in the direction of travel.

    prefix: see frame_prefix
    """
    transforms = []
    for track in tracks:
        course = conversions.course_rotation(track.velocity_mps)
        quaternion = conversions.yaw_quaternion(course)
        child = f"{prefix}{track_frame(track)}"
        transforms.append(_transform(child, stamp_ns, track.position_m, quaternion))
    return transforms


def frame_prefix(namespace: str) -> str:
    """Prefix of the frames of a namespace, since all share /tf: `a/` in /a, empty in the root."""
    name = namespace.strip("/")
    return f"{name}/" if name else ""


def track_frame(track: Track) -> str:
    """Name of a track's frame and topic, neither of which may begin with a digit."""
    return f"track_{track.track_id}"


def _transform(
    child: str, stamp_ns: int, position_m: np.ndarray, orientation: Quaternion
) -> TransformStamped:
    message = TransformStamped(header=conversions.map_header(stamp_ns), child_frame_id=child)
    message.transform.translation = conversions.to_vector3(position_m)
    message.transform.rotation = orientation
    return message
