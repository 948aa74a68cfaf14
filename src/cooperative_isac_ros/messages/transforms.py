"""Frames of sites and tracks for /tf, where tf2_msgs is installed (ROS 2's wheels do not have
it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped

from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.scene.station import Station
from cooperative_isac.tracking.track import Track
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages import conversions

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None


class TransformPublisher:
    """Publishes to /tf, or to /tf_static, or nowhere when there is no tf2_msgs."""

    def __init__(self, node, static: bool = False):
        self._publisher = None
        if TFMessage is not None:
            topic, profile = ("/tf_static", qos.LATCHED) if static else ("/tf", qos.STREAM)
            self._publisher = node.create_publisher(TFMessage, topic, profile)

    def publish(self, transforms: Sequence[TransformStamped]) -> None:
        """Say where frames are."""
        if self._publisher is not None and TFMessage is not None and transforms:
            self._publisher.publish(TFMessage(transforms=list(transforms)))


def site_transforms(
    sites: Sequence[Site], stamp_ns: int, prefix: str = ""
) -> list[TransformStamped]:
    """Array frames of sites in map: x is boresight, y the line of a ULA. prefix: see
    frame_prefix.
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
    """Frames of stations in map: of one with a single array that of the array, else its own and
    one below it for each array, named by its band.

    scene: with its stations at their poses
    prefix: see frame_prefix
    """
    frames = []
    for station in stations:
        name = f"{prefix}{station.name}"
        pose = scene.poses.get(station.name) or station.pose_at(0.0)
        turns = [pose.rotation @ antenna.rotation for antenna in station.antennas]
        own = turns[0] if len(turns) == 1 else pose.rotation
        frames.append(
            _transform(name, stamp_ns, pose.position_m, conversions.rotation_quaternion(own))
        )
        if len(turns) > 1:
            frames += [
                _transform(
                    f"{name}/{band}",
                    stamp_ns,
                    pose.position_m,
                    conversions.rotation_quaternion(rotation),
                )
                for band, rotation in zip(station.bands, turns)
            ]
    return frames


def track_transforms(
    tracks: Sequence[Track], stamp_ns: int, prefix: str = ""
) -> list[TransformStamped]:
    """Frames of tracks in map, x in the direction of travel. prefix: see frame_prefix."""
    return [
        _transform(
            f"{prefix}{track_frame(track)}",
            stamp_ns,
            track.position_m,
            conversions.yaw_quaternion(conversions.course_rotation(track.velocity_mps)),
        )
        for track in tracks
    ]


def frame_prefix(namespace: str) -> str:
    """What frames of a namespace begin with, since all share /tf: `a/` in /a, nothing in the
    root.
    """
    name = namespace.strip("/")
    return f"{name}/" if name else ""


def track_frame(track: Track) -> str:
    """Name of a track as a frame and as a topic, neither of which may begin with a digit."""
    return f"track_{track.track_id}"


def _transform(
    child: str, stamp_ns: int, position_m: np.ndarray, orientation: Quaternion
) -> TransformStamped:
    message = TransformStamped(header=conversions.map_header(stamp_ns), child_frame_id=child)
    message.transform.translation = conversions.to_vector3(position_m)
    message.transform.rotation = orientation
    return message
