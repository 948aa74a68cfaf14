"""Odometry of targets, tracks and stations, their rotations and classes, as messages and back."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Quaternion, Transform
from nav_msgs.msg import Odometry
from scipy.spatial.transform import Rotation
from std_msgs.msg import String

from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.odometry import OdometrySample
from cooperative_isac.scene.poses import PoseSample
from cooperative_isac.scene.station import Pose
from cooperative_isac_ros.messages.conversions.checks import ConversionError
from cooperative_isac_ros.messages.conversions.fields import (
    MAP_FRAME,
    from_xyz,
    map_header,
    to_ns,
    to_point,
    to_vector3,
)

# Variance of an angle or angular rate that is not estimated, rad^2: any orientation.
UNKNOWN_ANGLE_VARIANCE = math.pi**2
# Speed over ground in m/s below which a velocity has no course: noise would turn it at random.
STANDSTILL_MPS = 0.05
# Smallest squared norm of a quaternion that is taken as a rotation: an unset message has zero.
MIN_SQUARED_NORM = 1e-6


def odometry_message(
    child: str,
    stamp_ns: int,
    position_m: np.ndarray,
    velocity_mps: np.ndarray,
    covariance: np.ndarray | None = None,
) -> Odometry:
    """Odometry in map of a target that looks in its direction of travel.

    The twist is in the child frame (REP-105).

    child: name of the child frame
    position_m: [3], float64, m, in map
    velocity_mps: [3], float64, m/s, in map
    covariance: [6, 6], float64, of position and velocity in map, SI; None: zero, for exact values
    """
    message = Odometry(header=map_header(stamp_ns), child_frame_id=child)

    # pose in map
    rotation = course_rotation(velocity_mps)
    message.pose.pose.position = to_point(position_m)
    message.pose.pose.orientation = yaw_quaternion(rotation)

    # twist in the child frame
    message.twist.twist.linear = to_vector3(rotation.T @ velocity_mps)
    if covariance is not None:
        message.pose.covariance = _six_by_six(covariance[:3, :3])
        message.twist.covariance = _six_by_six(rotation.T @ covariance[3:, 3:] @ rotation)
    return message


def pose_message(child: str, stamp_ns: int, pose: Pose) -> Odometry:
    """Odometry in map of a station with an exact pose, its twist in the child frame (REP-105)."""
    message = Odometry(header=map_header(stamp_ns), child_frame_id=child)
    message.pose.pose.position = to_point(pose.position_m)
    message.pose.pose.orientation = rotation_quaternion(pose.rotation)
    message.twist.twist.linear = to_vector3(pose.rotation.T @ pose.velocity_mps)
    return message


def odometry_sample(message: Odometry) -> OdometrySample:
    """Sample of a target's odometry, its twist rotated from the child frame to map (REP-105).

    Raises ConversionError where the message is not in map, or its stamp or orientation is invalid.
    """
    if message.header.frame_id != MAP_FRAME:
        raise ConversionError(
            f"odometry is in frame '{message.header.frame_id}'; publish it in '{MAP_FRAME}'"
        )
    rotation = rotation_matrix(message.pose.pose.orientation)

    # The registry refuses a velocity that is not finite, with a reason of its own.
    with np.errstate(over="ignore", invalid="ignore"):
        velocity_mps = rotation @ from_xyz(message.twist.twist.linear)
    return OdometrySample(
        stamp_ns=to_ns(message.header.stamp),
        position_m=from_xyz(message.pose.pose.position),
        velocity_mps=velocity_mps,
    )


def pose_sample(message: Odometry) -> PoseSample:
    """Sample of a station's odometry with its rotation; see odometry_sample."""
    sample = odometry_sample(message)
    return PoseSample(
        stamp_ns=sample.stamp_ns,
        position_m=sample.position_m,
        rotation=rotation_matrix(message.pose.pose.orientation),
        velocity_mps=sample.velocity_mps,
    )


def placement(transform: Transform) -> tuple[np.ndarray, np.ndarray]:
    """Placement of a frame in its parent. Returns position [3], m, and rotation [3, 3]."""
    return from_xyz(transform.translation), rotation_matrix(transform.rotation)


def rotation_matrix(orientation: Quaternion) -> np.ndarray:
    """Rotation of a quaternion that need not have norm 1.

    Returns [3, 3], float64, from the child frame to its parent.
    Raises ConversionError where the norm is zero or not finite.
    """
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    squared_norm = x * x + y * y + z * z + w * w
    if not (math.isfinite(squared_norm) and squared_norm > MIN_SQUARED_NORM):
        raise ConversionError(
            f"orientation quaternion ({x}, {y}, {z}, {w}) is not a rotation; its norm must be 1"
        )

    # vector part of the quaternion, and the matrix of its cross product
    vector = np.array([x, y, z])
    cross = np.array(
        [
            [0, -z, y],
            [z, 0, -x],
            [-y, x, 0],
        ]
    )

    # Rodrigues' formula
    identity = np.eye(3)
    outer = np.outer(vector, vector)
    squared_length = vector @ vector
    change = w * cross + outer - squared_length * identity
    return identity + (2 / squared_norm) * change


def rotation_quaternion(rotation: np.ndarray) -> Quaternion:
    """Quaternion of a rotation matrix.

    rotation: [3, 3], float64
    """
    x, y, z, w = (float(value) for value in Rotation.from_matrix(rotation).as_quat())
    return Quaternion(x=x, y=y, z=z, w=w)


def course_rotation(velocity_mps: np.ndarray) -> np.ndarray:
    """Rotation about z that turns the x axis to the direction of travel.

    velocity_mps: [3], float64, m/s

    Returns [3, 3], float64; the identity at standstill.
    """
    speed_mps = math.hypot(velocity_mps[0], velocity_mps[1])
    cos, sin = velocity_mps[:2] / speed_mps if speed_mps > STANDSTILL_MPS else (1.0, 0.0)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def yaw_quaternion(rotation: np.ndarray) -> Quaternion:
    """Quaternion of a rotation about z.

    rotation: [3, 3], float64
    """
    half_yaw = math.atan2(rotation[1, 0], rotation[0, 0]) / 2
    return Quaternion(z=math.sin(half_yaw), w=math.cos(half_yaw))


def _six_by_six(linear: np.ndarray) -> np.ndarray:
    """Covariance [36] of a pose or twist, from [3, 3] of its linear part."""
    covariance = UNKNOWN_ANGLE_VARIANCE * np.eye(6)
    covariance[:3, :3] = linear
    return covariance.reshape(36)


def class_message(target_class: TargetClass) -> String:
    """Message of a target's class: uav, vehicle or unknown."""
    return String(data=target_class.name.lower())


def target_class(message: String) -> TargetClass:
    """Class that a target publishes of itself. Raises ConversionError where it is unknown."""
    return class_of_name(message.data)


def class_of_name(name: str) -> TargetClass:
    """Class of a name. Raises ConversionError, with the allowed names, where it is unknown."""
    try:
        return TargetClass[name.strip().upper()]
    except KeyError:
        allowed = ", ".join(item.name.lower() for item in TargetClass)
        raise ConversionError(f"target class '{name}' is unknown; allowed: {allowed}") from None
