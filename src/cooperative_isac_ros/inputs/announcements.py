"""Validation of announcements; a node counts the invalid ones as `frames_refused`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cooperative_isac_msgs.msg import Frame

from cooperative_isac.scene.station import Pose
from cooperative_isac.waveform.frame import Frame as AirFrame
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.announced import announced_bands
from cooperative_isac_ros.messages.records import Announcement


def announcement_or_fault(node: SceneNode, message: Frame) -> Announcement | None:
    """Announcement of a Frame message; None, and counted, where it is invalid for the scene."""
    try:
        announcement = conversions.announcement(message)
        node.scene_of(announcement)
        announced_bands(node.scene, announcement)
    except ValueError as error:
        node.health.fault("frames_refused", str(error))
        return None
    return announcement


def frame_or_fault(
    node: SceneNode, announcement: Announcement, poses: Callable[[int], Mapping[str, Pose]]
) -> AirFrame | None:
    """Signals of an announced frame, with the poses of the stations.

    poses: returns the poses of stations that follow odometry or /tf at a stamp in ns, by station;
        raises ValueError where one has none

    Returns None, and counts a fault, where the announcement contradicts the scene or itself, or a
    station has no pose.
    """
    try:
        return node.frame_of(announcement, poses(announcement.frame.stamp_ns))
    except ValueError as error:
        number = announcement.frame.number
        node.health.fault("frames_refused", f"frame {number}: {error}")
        return None
