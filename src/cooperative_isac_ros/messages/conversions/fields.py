"""Fields that several messages share: stamps, headers, vectors, states."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import Header

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.limits import state_problem
from cooperative_isac.tracking.track import Track
from cooperative_isac_ros.messages.conversions.checks import MAX_FRAME_NUMBER, ConversionError
from cooperative_isac_ros.messages.records import FrameStamp

# Fixed frame of all positions (REP-105).
MAP_FRAME = "map"
NS_PER_S = 1_000_000_000
# Numbers of uint32 fields wrap at this one.
UINT32_RANGE = 2**32


def to_time(stamp_ns: int) -> Time:
    """Time message of a stamp in ns."""
    return Time(sec=int(stamp_ns // NS_PER_S), nanosec=int(stamp_ns % NS_PER_S))


def to_ns(time: Time) -> int:
    """Stamp of a Time message in ns.

    Raises ConversionError before 1970, or where the nanoseconds exceed a second.
    """
    if time.sec < 0 or time.nanosec >= NS_PER_S:
        raise ConversionError(
            f"stamp of {time.sec} s and {time.nanosec} ns is none; allowed: 0 s on, below 1e9 ns"
        )
    return time.sec * NS_PER_S + time.nanosec


def map_header(stamp_ns: int) -> Header:
    """Header of a message in the map frame."""
    return Header(stamp=to_time(stamp_ns), frame_id=MAP_FRAME)


def to_point(vector: np.ndarray | Sequence[float]) -> Point:
    """Point message of three coordinates.

    vector: [3], float64, m
    """
    return Point(x=float(vector[0]), y=float(vector[1]), z=float(vector[2]))


def to_vector3(vector: np.ndarray | Sequence[float]) -> Vector3:
    """Vector3 message of three components.

    vector: [3], float64
    """
    return Vector3(x=float(vector[0]), y=float(vector[1]), z=float(vector[2]))


def from_xyz(message: Point | Vector3) -> np.ndarray:
    """Components of a Point or Vector3 message. Returns [3], float64."""
    return np.array([message.x, message.y, message.z])


def to_bytes(data: bytes) -> array.array:
    """Value of a uint8[] field; rclpy copies an array faster than bytes."""
    return array.array("B", data)


def frame_stamp(message) -> FrameStamp:
    """Run, number and stamp of the frame that one of this project's messages is about.

    Raises ConversionError where the number is too large or the stamp is invalid.
    """
    if message.number > MAX_FRAME_NUMBER:
        raise ConversionError(
            f"frame number {message.number} is too large; allowed: {MAX_FRAME_NUMBER}"
        )
    return FrameStamp(message.run, message.number, to_ns(message.header.stamp))


def frame_fields(frame: FrameStamp) -> dict:
    """Fields `header`, `run` and `number` of a message about a frame."""
    return {
        "header": map_header(frame.stamp_ns),
        "run": int(frame.run),
        "number": int(frame.number),
    }


def result_fields(frame: FrameStamp, simulated: bool) -> dict:
    """Fields of a message with results of a frame.

    `sequence` is the frame's number, not a counter: a replay that starts late must publish the
    same bytes.
    """
    return {
        **frame_fields(frame),
        "sequence": int(frame.number) % UINT32_RANGE,
        "simulated": bool(simulated),
    }


def state_fields(item: Detection | Track) -> dict:
    """Fields `position`, `velocity` and `covariance` of a detection or track."""
    return {
        "position": to_point(item.position_m),
        "velocity": to_vector3(item.velocity_mps),
        "covariance": np.array(item.covariance, np.float64).reshape(36),
    }


def state_of(message, who: str, margin: float = 1.0) -> dict[str, np.ndarray]:
    """State of a Detection or Track message, as keyword arguments of its record.

    who: name of the item in an error
    margin: factor on the limits of scene.limits

    Returns position_m [3], velocity_mps [3] and covariance [6, 6], float64, SI.
    Raises ConversionError where the state exceeds the limits.
    """
    position_m = from_xyz(message.position)
    velocity_mps = from_xyz(message.velocity)
    covariance = np.array(message.covariance, float).reshape(6, 6)
    problem = state_problem(position_m, velocity_mps, covariance, margin)
    if problem is not None:
        raise ConversionError(f"{who}: {problem}")
    return {"position_m": position_m, "velocity_mps": velocity_mps, "covariance": covariance}
