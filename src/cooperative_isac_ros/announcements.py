"""What a node may believe of an announcement; what it may not is counted as `frames_refused`."""

from __future__ import annotations

from cooperative_isac_msgs.msg import Frame

from cooperative_isac.waveform.signal import Signal
from cooperative_isac_ros import conversions
from cooperative_isac_ros.base import SceneNode
from cooperative_isac_ros.records import Announcement


def announcement_or_fault(node: SceneNode, message: Frame) -> Announcement | None:
    """The announcement; None, and counted, when it means nothing or is of another scene."""
    try:
        announcement = conversions.announcement(message)
        node.scene_of(announcement)
    except ValueError as error:
        node.health.fault("frames_refused", str(error))
        return None
    return announcement


def signal_or_fault(node: SceneNode, announcement: Announcement) -> Signal | None:
    """The frame's signal; None, and counted, when the announcement does not fit the node's scene or
    itself.
    """
    number = announcement.frame.number
    try:
        signal = node.signal_of(announcement)
        if signal.number != number:
            raise ValueError(
                f"the payload announced with frame {number} is of frame {signal.number}"
            )
    except ValueError as error:
        node.health.fault("frames_refused", str(error))
        return None
    return signal
