"""Announcements that a node accepts; all others are counted as `frames_refused`."""

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
    """The announcement; None, and counted, when it means nothing or is of another scene."""
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
    """The frame that is announced; None, and counted, when the announcement does not fit the node's
    scene or itself, or a station has no pose.

    poses: of the stations that follow odometry or /tf, at a stamp; ValueError: one has none
    """
    try:
        return node.frame_of(announcement, poses(announcement.frame.stamp_ns))
    except ValueError as error:
        number = announcement.frame.number
        node.health.fault("frames_refused", f"frame {number}: {error}")
        return None
