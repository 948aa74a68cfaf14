"""The border: records to messages and back. Messages that mean nothing raise ConversionError."""

from __future__ import annotations

import array
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from cooperative_isac_msgs import msg as own
from geometry_msgs.msg import Point, Quaternion, Transform, Vector3
from nav_msgs.msg import Odometry
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header, String

from cooperative_isac.fusion.detection import PARTIAL, Detection, complete
from cooperative_isac.scene.limits import (
    LARGEST_ECHO_DB,
    LARGEST_SNR_DB,
    TRACK_MARGIN,
    state_problem,
)
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.odometry import OdometrySample
from cooperative_isac.scene.poses import PoseSample
from cooperative_isac.scene.station import Link, Pose
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.messages.plain_text import plain_text
from cooperative_isac_ros.messages.records import (
    AccuracyRecord,
    Announcement,
    DetectionList,
    EchoRecord,
    FrameStamp,
    Packet,
    Timing,
    TrackList,
)

MAP_FRAME = "map"
POINT_FIELDS = ("x", "y", "z", "vx", "vy", "vz", "snr_db")
STAGES = ("encode", "decode", "track")
UNKNOWN_ANGLE_VARIANCE = math.pi**2  # rad^2: any orientation
STILL_MPS = 0.05
MAX_ECHO_VALUES = 2**28
NS_PER_S = 1_000_000_000
LARGEST_NUMBER = 2**63 - 1  # of a frame: reports hold it as a signed integer
LONGEST_NAME = 255  # characters, of a site, scheme or scene: the longest that ROS allows
MAX_SITES = 256  # named by one message
MAX_BANDS = 64  # named by one message
MAX_LINKS = 4096  # that support one detection: of 256 sites on 16 bands
# Detections of a frame that are taken in, the strongest: as many as a tracker keeps tracks.
MAX_DETECTIONS = 1024
MAX_TRACKS_HELD = 2048  # tracks in a message, with those deleted: twice what a tracker keeps
SMALLEST_NOISE_W, LARGEST_NOISE_W = 1e-30, 1e6
LARGEST_FIGURE = 1e12  # of an accuracy: m, or a ratio
LARGEST_TIME_S = 1e10  # ages and latencies: beyond any stamp
NO_TIME_S = -1.0  # of an announcement that does not say its time

OnFault = Callable[[str, str, int], None]


class ConversionError(ValueError):
    """A message that decodes but means nothing."""


def to_time(stamp_ns: int) -> Time:
    """Message time of a stamp [ns]."""
    return Time(sec=int(stamp_ns // 1_000_000_000), nanosec=int(stamp_ns % 1_000_000_000))


def to_ns(time: Time) -> int:
    """Stamp [ns] of a message time; refused before 1970, or with more than a second of
    nanoseconds.
    """
    if time.sec < 0 or time.nanosec >= NS_PER_S:
        raise ConversionError(
            f"stamp of {time.sec} s and {time.nanosec} ns is none; allowed: 0 s on, below 1e9 ns"
        )
    return time.sec * NS_PER_S + time.nanosec


def map_header(stamp_ns: int) -> Header:
    """Header of something in the map frame."""
    return Header(stamp=to_time(stamp_ns), frame_id=MAP_FRAME)


def to_point(vector: np.ndarray | Sequence[float]) -> Point:
    """Point of a [3] array, or of three numbers."""
    return Point(x=float(vector[0]), y=float(vector[1]), z=float(vector[2]))


def to_vector3(vector: np.ndarray) -> Vector3:
    """Vector3 of a [3] array."""
    return Vector3(x=float(vector[0]), y=float(vector[1]), z=float(vector[2]))


def _from_xyz(message) -> np.ndarray:
    return np.array([message.x, message.y, message.z])


def frame_stamp(message) -> FrameStamp:
    """The frame that one of our messages is about; refused when it has no number or stamp."""
    if message.number > LARGEST_NUMBER:
        raise ConversionError(
            f"frame number {message.number} is too large; allowed: {LARGEST_NUMBER}"
        )
    return FrameStamp(message.run, message.number, to_ns(message.header.stamp))


def _frame_fields(frame: FrameStamp) -> dict:
    return {
        "header": map_header(frame.stamp_ns),
        "run": int(frame.run),
        "number": int(frame.number),
    }


def _result_fields(frame: FrameStamp, simulated: bool) -> dict:
    # The frame's number, not a counter: a replay that starts late must give the same bytes.
    return {
        **_frame_fields(frame),
        "sequence": int(frame.number) & 0xFFFFFFFF,
        "simulated": bool(simulated),
    }


def frame_message(record: Announcement) -> own.Frame:
    """Frame message of an announcement."""
    return own.Frame(
        **_frame_fields(record.frame),
        scene=record.scene,
        scene_fingerprint=record.scene_fingerprint,
        simulated=bool(record.simulated),
        seed=int(record.seed),
        payload=_bytes(record.payload),
        downlink_bits=int(record.downlink_bits),
        bands=list(record.bands),
        time_s=NO_TIME_S if record.time_s is None else float(record.time_s),
    )


def announcement(message: own.Frame) -> Announcement:
    """Announcement of a Frame message; refused when its time is none, or it names too much."""
    _check_band_names("an announcement", message.bands)
    _check_names("an announcement", message.scene, message.scene_fingerprint)
    _check_range("an announcement", message, time_s=(-LARGEST_TIME_S, LARGEST_TIME_S))
    return Announcement(
        frame_stamp(message),
        message.scene,
        message.scene_fingerprint,
        message.simulated,
        message.seed,
        bytes(message.payload),
        message.downlink_bits,
        tuple(message.bands),
        message.time_s if message.time_s >= 0 else None,
    )


def echo_message(record: EchoRecord) -> own.Echo:
    """Echo message of an echo [num_rx_ant, num_subcarriers, num_symbols], complex64."""
    num_rx_ant, num_subcarriers, num_symbols = record.echo.shape
    iq = array.array("f")
    iq.frombytes(np.ascontiguousarray(record.echo, np.complex64).tobytes())
    return own.Echo(
        **_frame_fields(record.frame),
        site=record.site,
        simulated=bool(record.simulated),
        num_rx_ant=int(num_rx_ant),
        num_subcarriers=int(num_subcarriers),
        num_symbols=int(num_symbols),
        noise_power_w=float(record.noise_power_w),
        iq=iq,
        band=record.band,
    )


def echo_record(message: own.Echo) -> EchoRecord:
    """Echo of a message; refused when its sizes disagree, a number is not finite, or it can be no
    echo.
    """
    _check_names("an echo", message.site, message.band)
    shape = message.num_rx_ant, message.num_subcarriers, message.num_symbols
    num_values = 2 * math.prod(shape)
    if not 0 < num_values <= MAX_ECHO_VALUES or len(message.iq) != num_values:
        raise ConversionError(
            f"echo of '{message.site}' has {len(message.iq)} values in iq; sizes "
            f"{' x '.join(map(str, shape))} need {num_values}"
        )
    if not SMALLEST_NOISE_W <= message.noise_power_w <= LARGEST_NOISE_W:
        raise ConversionError(
            f"echo of '{message.site}' has noise_power_w {message.noise_power_w}; "
            f"allowed: {SMALLEST_NOISE_W:g} to {LARGEST_NOISE_W:g}"
        )
    iq = np.frombuffer(message.iq, np.float32)
    if not np.isfinite(iq).all():
        raise ConversionError(f"echo of '{message.site}' holds values that are not finite")
    largest = float(np.abs(iq).max())
    if largest == 0:
        raise ConversionError(
            f"echo of '{message.site}' holds zeros only; a receiver has noise at least"
        )
    largest_db = 20 * math.log10(largest) - 10 * math.log10(message.noise_power_w)
    if largest_db > LARGEST_ECHO_DB:
        raise ConversionError(
            f"echo of '{message.site}' has a value {largest_db:.0f} dB above its noise; "
            f"allowed: {LARGEST_ECHO_DB:g} dB"
        )
    return EchoRecord(
        frame_stamp(message),
        message.site,
        message.simulated,
        message.noise_power_w,
        iq.view(np.complex64).reshape(shape),
        message.band,
    )


def packet_message(record: Packet) -> own.FeaturePacket:
    """FeaturePacket message of a packet."""
    return own.FeaturePacket(
        **_frame_fields(record.frame),
        sequence=int(record.sequence) & 0xFFFFFFFF,
        site=record.site,
        scheme=record.scheme,
        simulated=bool(record.simulated),
        data=_bytes(record.data),
        bands=list(record.bands),
    )


def packet(message: own.FeaturePacket) -> Packet:
    """Packet of a FeaturePacket message; the scheme alone can judge its bytes."""
    if not message.data:
        raise ConversionError(f"packet of '{message.site}' for frame {message.number} is empty")
    _check_names("a packet", message.site, message.scheme)
    _check_band_names("a packet", message.bands)
    return Packet(
        frame_stamp(message),
        message.sequence,
        message.site,
        message.scheme,
        message.simulated,
        bytes(message.data),
        tuple(message.bands),
    )


def detections_message(record: DetectionList) -> own.Detections:
    """Detections message of a frame's detections."""
    return own.Detections(
        **_result_fields(record.frame, record.simulated),
        detections=[_detection_message(item) for item in record.detections],
        sites_missing=list(record.sites_missing),
    )


def _ignore(event: str, reason: str, amount: int = 1) -> None:
    """Nobody counts what is left out."""


def detection_list(message: own.Detections, on_fault: OnFault = _ignore) -> DetectionList:
    """Detections of a message: the valid ones of its strongest MAX_DETECTIONS; refused without a
    stamp.

    on_fault(event, reason, amount): called with `detections_refused` and `detections_over_limit`
    """
    frame = frame_stamp(message)
    _check_names("a list of detections", *message.sites_missing[:MAX_SITES])
    if len(message.sites_missing) > MAX_SITES:
        raise ConversionError(
            f"{len(message.sites_missing)} sites are missing; allowed: {MAX_SITES}"
        )

    numbered = list(enumerate(message.detections))
    surplus = len(numbered) - MAX_DETECTIONS
    if surplus > 0:
        by_strength = sorted(numbered, key=lambda pair: _strength(pair[1]), reverse=True)
        numbered = sorted(by_strength[:MAX_DETECTIONS], key=lambda pair: pair[0])
        on_fault(
            "detections_over_limit",
            f"frame {frame.number} has {len(message.detections)} detections; "
            f"the strongest {MAX_DETECTIONS} are used",
            surplus,
        )

    detections = _valid(
        lambda pair: _detection(pair[1], pair[0]),
        numbered,
        lambda reason: on_fault("detections_refused", f"frame {frame.number}: {reason}", 1),
    )
    return DetectionList(frame, message.simulated, detections, tuple(message.sites_missing))


def _strength(message: own.Detection) -> tuple[bool, float]:
    """What goes first where there are too many: complete detections, then the stronger ones."""
    snr_db = message.snr_db if math.isfinite(message.snr_db) else -math.inf
    return message.num_paths != PARTIAL, snr_db


def _valid(convert: Callable, items: Iterable, on_refusal: Callable[[str], None]) -> tuple:
    """The items that can be converted, in their order; each of the others costs itself only."""
    converted = []
    for item in items:
        try:
            converted.append(convert(item))
        except ConversionError as error:
            on_refusal(str(error))
    return tuple(converted)


def _detection_message(item: Detection) -> own.Detection:
    return own.Detection(
        **_state_fields(item),
        snr_db=float(item.snr_db),
        sites=list(item.sites),
        num_paths=int(item.num_paths),
        links=[own.Link(tx=link.tx, rx=link.rx, band=link.band) for link in item.links],
    )


def _detection(message: own.Detection, index: int) -> Detection:
    who = f"detection {index}"
    snr_range = (-LARGEST_SNR_DB, LARGEST_SNR_DB)
    _check_range(who, message, snr_db=snr_range, num_paths=(0, math.inf))
    if len(message.sites) > MAX_SITES:
        raise ConversionError(f"{who} names {len(message.sites)} sites; allowed: {MAX_SITES}")
    _check_names(who, *message.sites)
    if len(message.links) > MAX_LINKS:
        raise ConversionError(f"{who} names {len(message.links)} links; allowed: {MAX_LINKS}")
    links = tuple(Link(link.tx, link.rx, link.band) for link in message.links)
    _check_names(who, *(name for link in links for name in (link.tx, link.rx, link.band)))
    return Detection(
        *_state(message, who), message.snr_db, tuple(message.sites), message.num_paths, links
    )


def tracks_message(record: TrackList) -> own.Tracks:
    """Tracks message of all tracks after a frame."""
    tracks = [
        own.Track(
            id=int(track.track_id),
            status=int(track.status.value),
            target_class=int(track.target_class.value),
            class_probability=float(track.class_probability),
            **_state_fields(track),
            age_s=float(track.age_s),
            since_update_s=float(track.since_update_s),
            num_detections=int(track.num_detections),
        )
        for track in record.tracks
    ]
    return own.Tracks(**_result_fields(record.frame, record.simulated), tracks=tracks)


def track_list(message: own.Tracks, on_fault: OnFault = _ignore) -> TrackList:
    """Tracks of a message: the valid ones of its first MAX_TRACKS_HELD; refused without a stamp.

    on_fault(event, reason, amount): called with `tracks_refused` and `tracks_over_limit`
    """
    frame = frame_stamp(message)
    surplus = len(message.tracks) - MAX_TRACKS_HELD
    if surplus > 0:
        on_fault(
            "tracks_over_limit",
            f"frame {frame.number} has {len(message.tracks)} tracks; "
            f"the first {MAX_TRACKS_HELD} are used",
            surplus,
        )
    tracks = _valid(
        _track,
        message.tracks[:MAX_TRACKS_HELD],
        lambda reason: on_fault("tracks_refused", f"frame {frame.number}: {reason}", 1),
    )
    return TrackList(frame, message.simulated, tracks)


def _track(message: own.Track) -> Track:
    position, velocity, covariance = _state(message, f"track {message.id}", TRACK_MARGIN)
    _check_range(
        f"track {message.id}",
        message,
        class_probability=(0, 1),
        age_s=(0, LARGEST_TIME_S),
        since_update_s=(0, LARGEST_TIME_S),
        num_detections=(1, math.inf),
    )
    try:
        status, target_class = TrackStatus(message.status), TargetClass(message.target_class)
    except ValueError as error:
        raise ConversionError(f"track {message.id}: {error}") from None
    return Track(
        message.id,
        status,
        target_class,
        message.class_probability,
        position,
        velocity,
        covariance,
        message.age_s,
        message.since_update_s,
        message.num_detections,
    )


def _state_fields(item: Detection | Track) -> dict:
    return {
        "position": to_point(item.position_m),
        "velocity": to_vector3(item.velocity_mps),
        "covariance": np.array(item.covariance, np.float64).reshape(36),
    }


def _state(message, who: str, margin: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, velocity [3] and covariance [6, 6], within the limits of scene.limits."""
    position, velocity = _from_xyz(message.position), _from_xyz(message.velocity)
    covariance = np.array(message.covariance, float).reshape(6, 6)
    problem = state_problem(position, velocity, covariance, margin)
    if problem is not None:
        raise ConversionError(f"{who}: {problem}")
    return position, velocity, covariance


def _check_names(who: str, *names: str) -> None:
    """ConversionError unless each name can be one: printable, and not too long."""
    for name in names:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise ConversionError(
                f"{who} holds the name '{plain_text(name, 40)}'; allowed: "
                f"up to {LONGEST_NAME} printable characters"
            )


def _check_band_names(who: str, bands: Sequence[str]) -> None:
    """ConversionError unless the names of bands can be some."""
    if len(bands) > MAX_BANDS:
        raise ConversionError(f"{who} names {len(bands)} bands; allowed: {MAX_BANDS}")
    _check_names(who, *bands)


def _check_range(who: str, message, **ranges: tuple[float, float]) -> None:
    """ConversionError unless each named field is finite and within its closed range."""
    for name, (low, high) in ranges.items():
        value = getattr(message, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ConversionError(f"{who} has {name} {value}; allowed: finite, {low} to {high}")


def accuracy_message(record: AccuracyRecord) -> own.Accuracy:
    """Accuracy message of one frame's errors, none above LARGEST_FIGURE."""
    numbers = {
        name: min(float(getattr(record, name)), LARGEST_FIGURE) for name in _ACCURACY_NUMBERS
    }
    return own.Accuracy(
        **_result_fields(record.frame, record.simulated),
        nees_samples=int(record.nees_samples),
        **numbers,
    )


def accuracy_record(message: own.Accuracy) -> AccuracyRecord:
    """Errors of an Accuracy message; refused when a number is not finite or beyond all reason."""
    _check_range("accuracy", message, **dict.fromkeys(_ACCURACY_NUMBERS, (0.0, LARGEST_FIGURE)))
    numbers = {name: getattr(message, name) for name in _ACCURACY_NUMBERS}
    return AccuracyRecord(
        frame_stamp(message), message.simulated, nees_samples=message.nees_samples, **numbers
    )


_ACCURACY_NUMBERS = (
    "gospa_m",
    "gospa_localization_m",
    "gospa_missed_m",
    "gospa_false_m",
    "nees",
    "error_to_bound_location",
    "error_to_bound_velocity",
)


def timing_message(record: Timing) -> own.StageTiming:
    """StageTiming message."""
    return own.StageTiming(
        **_frame_fields(record.frame),
        sequence=int(record.sequence),
        stage=record.stage,
        node=record.node,
        duration_ms=float(record.duration_ms),
        latency_ms=float(record.latency_ms),
    )


def timing(message: own.StageTiming) -> Timing:
    """Timing of a StageTiming message; refused when the stage is unknown or a time is none."""
    if message.stage not in STAGES:
        _check_names("a timing", message.stage)
        raise ConversionError(f"stage '{message.stage}' is unknown; allowed: {', '.join(STAGES)}")
    longest_ms = 1e3 * LARGEST_TIME_S
    _check_range(
        f"stage '{message.stage}'", message, duration_ms=(0, longest_ms), latency_ms=(0, longest_ms)
    )
    return Timing(
        frame_stamp(message),
        message.sequence,
        message.stage,
        message.node,
        message.duration_ms,
        message.latency_ms,
    )


def odometry_message(
    child: str,
    stamp_ns: int,
    position_m: np.ndarray,
    velocity_mps: np.ndarray,
    covariance: np.ndarray | None = None,
) -> Odometry:
    """Odometry in map of something that looks where it goes; its twist is in the child frame
    (REP-105).

    position_m, velocity_mps: [3] in map; covariance: [6, 6] of both in map, SI, zero when it is
    exact.
    """
    rotation = course_rotation(velocity_mps)
    message = Odometry(header=map_header(stamp_ns), child_frame_id=child)
    message.pose.pose.position = to_point(position_m)
    message.pose.pose.orientation = yaw_quaternion(rotation)
    message.twist.twist.linear = to_vector3(rotation.T @ velocity_mps)
    if covariance is not None:
        message.pose.covariance = _six_by_six(covariance[:3, :3])
        message.twist.covariance = _six_by_six(rotation.T @ covariance[3:, 3:] @ rotation)
    return message


def pose_message(child: str, stamp_ns: int, pose: Pose) -> Odometry:
    """Odometry in map of a station, its twist in the child frame (REP-105), its pose exact."""
    message = Odometry(header=map_header(stamp_ns), child_frame_id=child)
    message.pose.pose.position = to_point(pose.position_m)
    message.pose.pose.orientation = rotation_quaternion(pose.rotation)
    message.twist.twist.linear = to_vector3(pose.rotation.T @ pose.velocity_mps)
    return message


def pose_sample(message: Odometry) -> PoseSample:
    """Odometry of what carries a station, with its rotation and its twist turned to map."""
    sample = odometry_sample(message)
    rotation = rotation_matrix(message.pose.pose.orientation)
    return PoseSample(sample.stamp_ns, sample.position_m, rotation, sample.velocity_mps)


def placement(transform: Transform) -> tuple[np.ndarray, np.ndarray]:
    """Position [3], m, and rotation [3, 3] of a frame in its parent."""
    return _from_xyz(transform.translation), rotation_matrix(transform.rotation)


def odometry_sample(message: Odometry) -> OdometrySample:
    """Odometry of a target, its twist turned from the child frame to map (REP-105)."""
    if message.header.frame_id != MAP_FRAME:
        raise ConversionError(
            f"odometry is in frame '{message.header.frame_id}'; publish it in '{MAP_FRAME}'"
        )
    rotation = rotation_matrix(message.pose.pose.orientation)

    # A velocity that is not finite is refused where the sample is taken in.
    with np.errstate(over="ignore", invalid="ignore"):
        velocity_mps = rotation @ _from_xyz(message.twist.twist.linear)
    return OdometrySample(
        to_ns(message.header.stamp), _from_xyz(message.pose.pose.position), velocity_mps
    )


def rotation_matrix(orientation: Quaternion) -> np.ndarray:
    """Rotation [3, 3] from the child frame to its parent."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    norm = x * x + y * y + z * z + w * w
    if not (math.isfinite(norm) and norm > 1e-6):
        raise ConversionError(
            f"orientation quaternion ({x}, {y}, {z}, {w}) is not a rotation; its norm must be 1"
        )
    vector = np.array([x, y, z])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + (2 / norm) * (
        w * cross + np.outer(vector, vector) - (vector @ vector) * np.eye(3)
    )


def rotation_quaternion(rotation: np.ndarray) -> Quaternion:
    """Quaternion of a rotation matrix [3, 3]."""
    x, y, z, w = (float(value) for value in Rotation.from_matrix(rotation).as_quat())
    return Quaternion(x=x, y=y, z=z, w=w)


def course_rotation(velocity_mps: np.ndarray) -> np.ndarray:
    """Rotation [3, 3] about z that turns x to the course of a velocity [3]; none at standstill."""
    speed = math.hypot(velocity_mps[0], velocity_mps[1])
    cos, sin = velocity_mps[:2] / speed if speed > STILL_MPS else (1.0, 0.0)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def yaw_quaternion(rotation: np.ndarray) -> Quaternion:
    """Quaternion of a rotation [3, 3] about z."""
    half = math.atan2(rotation[1, 0], rotation[0, 0]) / 2
    return Quaternion(z=math.sin(half), w=math.cos(half))


def _six_by_six(linear: np.ndarray) -> np.ndarray:
    full = UNKNOWN_ANGLE_VARIANCE * np.eye(6)
    full[:3, :3] = linear
    return full.reshape(36)


def detections_cloud(record: DetectionList) -> PointCloud2:
    """Detections as a point cloud with velocity and strength, as radar tools know it; without
    partial ones.
    """
    rows = [
        [*item.position_m, *item.velocity_mps, item.snr_db] for item in complete(record.detections)
    ]
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(POINT_FIELDS)
    ]
    step = 4 * len(POINT_FIELDS)
    return PointCloud2(
        header=map_header(record.frame.stamp_ns),
        height=1,
        width=len(rows),
        fields=fields,
        is_bigendian=False,
        point_step=step,
        row_step=step * len(rows),
        is_dense=True,
        data=_bytes(np.array(rows, "<f4").tobytes()),
    )


def class_message(target_class: TargetClass) -> String:
    """What a target says it is: uav, vehicle or unknown."""
    return String(data=target_class.name.lower())


def target_class(message: String) -> TargetClass:
    """Class that a target says it has."""
    return class_of_name(message.data)


def class_of_name(name: str) -> TargetClass:
    """Class of a word; ConversionError lists the allowed ones."""
    try:
        return TargetClass[name.strip().upper()]
    except KeyError:
        allowed: Sequence[str] = [item.name.lower() for item in TargetClass]
        raise ConversionError(
            f"target class '{name}' is unknown; allowed: {', '.join(allowed)}"
        ) from None


def _bytes(data: bytes) -> array.array:
    return array.array("B", data)
