"""Records to ROS messages and back; an invalid message raises ConversionError.

message = conversions.tracks_message(record)
record = conversions.track_list(message)
"""

from cooperative_isac_ros.messages.conversions.checks import (
    MAX_DETECTIONS,
    MAX_SITES,
    ConversionError,
)
from cooperative_isac_ros.messages.conversions.evaluation import (
    accuracy_message,
    accuracy_record,
    timing,
    timing_message,
)
from cooperative_isac_ros.messages.conversions.fields import (
    MAP_FRAME,
    frame_stamp,
    map_header,
    to_ns,
    to_point,
    to_time,
    to_vector3,
)
from cooperative_isac_ros.messages.conversions.frames import (
    NO_TIME_S,
    announcement,
    echo_message,
    echo_record,
    frame_message,
    packet,
    packet_message,
)
from cooperative_isac_ros.messages.conversions.odometry import (
    class_message,
    class_of_name,
    course_rotation,
    odometry_message,
    odometry_sample,
    placement,
    pose_message,
    pose_sample,
    rotation_matrix,
    rotation_quaternion,
    target_class,
    yaw_quaternion,
)
from cooperative_isac_ros.messages.conversions.results import (
    detection_list,
    detections_cloud,
    detections_message,
    track_list,
    tracks_message,
)

__all__ = [
    "MAP_FRAME",
    "MAX_DETECTIONS",
    "MAX_SITES",
    "NO_TIME_S",
    "ConversionError",
    "accuracy_message",
    "accuracy_record",
    "announcement",
    "class_message",
    "class_of_name",
    "course_rotation",
    "detection_list",
    "detections_cloud",
    "detections_message",
    "echo_message",
    "echo_record",
    "frame_message",
    "frame_stamp",
    "map_header",
    "odometry_message",
    "odometry_sample",
    "packet",
    "packet_message",
    "placement",
    "pose_message",
    "pose_sample",
    "rotation_matrix",
    "rotation_quaternion",
    "target_class",
    "timing",
    "timing_message",
    "to_ns",
    "to_point",
    "to_time",
    "to_vector3",
    "track_list",
    "tracks_message",
    "yaw_quaternion",
]
