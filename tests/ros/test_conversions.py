"""Round trips of records through serialized messages, and invalid messages."""

import copy
import math
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from scipy.spatial.transform import Rotation
from std_msgs.msg import String

from cooperative_isac.fusion.detection import PARTIAL, Detection, Evidence
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.station import Link, Pose
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.messages import conversions, records
from cooperative_isac_ros.messages.conversions import ConversionError, results

FRAME = records.FrameStamp(2**63 + 5, 2**32 + 7, 1_700_000_000_123_456_789)


def covariance(seed=0):
    factor = np.random.default_rng(seed).standard_normal((6, 6))
    return factor @ factor.T + np.eye(6)


DETECTION = Detection(
    np.array([1.5, -2, 3]),
    np.array([4, 5.25, -6]),
    covariance(),
    np.float32(17.5),
    ("rx1", "rx2"),
    np.int64(3),
)
TRACK = Track(
    9,
    TrackStatus.COASTING,
    TargetClass.VEHICLE,
    0.75,
    np.array([1, 2, 3.0]),
    np.array([4, 5, 6.0]),
    covariance(1),
    2.5,
    0.2,
    11,
)
ECHO = (np.arange(24).reshape(2, 3, 4) * (1 + 2j)).astype(np.complex64)
LINKS = (Link("tx1", "rx1", "high"), Link("rx1", "rx1", "low"))
RECORDS = {
    "frame": (
        records.Announcement(FRAME, "campus", "abc", True, 2**64 - 1, bytes(range(256)), 77),
        conversions.frame_message,
        conversions.announcement,
    ),
    "echo": (
        records.EchoRecord(FRAME, "rx1", False, np.float64(1e-12), ECHO),
        conversions.echo_message,
        conversions.echo_record,
    ),
    "packet": (
        records.Packet(FRAME, 5, "rx1", "local_ml", True, b"\x00\xff\x80"),
        conversions.packet_message,
        conversions.packet,
    ),
    "frame of bands": (
        records.Announcement(FRAME, "two", "0f", False, 3, b"", 5, ("high", "low"), 0.25),
        conversions.frame_message,
        conversions.announcement,
    ),
    "echo of a band": (
        records.EchoRecord(FRAME, "rx1", True, 1e-12, np.ones((1, 2, 2), np.complex64), "low"),
        conversions.echo_message,
        conversions.echo_record,
    ),
    "packet of bands": (
        records.Packet(FRAME, 5, "rx1", "local_ml", True, b"\x01", ("high", "low")),
        conversions.packet_message,
        conversions.packet,
    ),
    "detections of links": (
        records.DetectionList(FRAME, True, (replace(DETECTION, links=LINKS),)),
        conversions.detections_message,
        conversions.detection_list,
    ),
    "detections": (
        records.DetectionList(FRAME, True, (DETECTION, DETECTION), ("rx3",)),
        conversions.detections_message,
        conversions.detection_list,
    ),
    "weak detections": (
        records.DetectionList(FRAME, True, (replace(DETECTION, evidence=Evidence(4.5, -12.25)),)),
        conversions.detections_message,
        conversions.detection_list,
    ),
    "no detections": (
        records.DetectionList(FRAME, False, ()),
        conversions.detections_message,
        conversions.detection_list,
    ),
    "tracks": (
        records.TrackList(FRAME, True, (TRACK,)),
        conversions.tracks_message,
        conversions.track_list,
    ),
    "accuracy": (
        records.AccuracyRecord(FRAME, True, 1.0, 2.0, 3.0, 4.0, 5.0, 6, 7.0, 8.0),
        conversions.accuracy_message,
        conversions.accuracy_record,
    ),
    "timing": (
        records.Timing(FRAME, 4, "encode", "/rx1/access_point", 12.5, np.float32(30.5)),
        conversions.timing_message,
        conversions.timing,
    ),
}


def assert_same(one, other):
    """Equality through dataclasses, tuples and arrays."""
    if is_dataclass(one):
        assert type(one) is type(other)
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other):
            assert_same(left, right)
    else:
        assert np.array_equal(one, other)


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("kind", RECORDS)
def test_what_arrives_is_what_was_sent(kind):
    record, to_message, to_record = RECORDS[kind]
    assert_same(to_record(through_the_wire(to_message(record))), record)


def test_results_are_numbered_by_their_frame():
    message = conversions.detections_message(records.DetectionList(FRAME, True, ()))
    assert message.sequence == 7  # the frame's number modulo 2^32, whoever counted and since when


def echo_with(**changes):
    message = conversions.echo_message(RECORDS["echo"][0])
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_symbols": 5}, "48 values in iq; sizes 2 x 3 x 5 need 60"),
        ({"num_rx_ant": 0}, "need 0"),
        ({"num_rx_ant": 2**31}, "48 values"),
        ({"noise_power_w": 0.0}, "noise_power_w 0.0"),
        ({"noise_power_w": math.nan}, "noise_power_w nan"),
    ],
)
def test_an_echo_whose_sizes_or_noise_are_wrong_is_refused(changes, reason):
    with pytest.raises(ConversionError, match=reason):
        conversions.echo_record(echo_with(**changes))


def test_an_echo_with_nan_is_refused():
    message = echo_with()
    message.iq[7] = math.nan
    with pytest.raises(ConversionError, match="echo of 'rx1' holds values that are not finite"):
        conversions.echo_record(message)


def test_an_empty_packet_is_refused():
    with pytest.raises(ConversionError, match=r"packet of 'rx1' for frame .* is empty"):
        conversions.packet(
            conversions.packet_message(records.Packet(FRAME, 0, "rx1", "s", True, b""))
        )


def refusals(kind, message):
    """Record of a message, and the faults of what was left out."""
    faults = []
    convert = RECORDS[kind][2]
    return convert(message, lambda *fault: faults.append(fault)), faults


def broken_state(message, fault):
    if fault == "nan":
        message.position.x = math.nan
    elif fault == "infinite":
        message.velocity.z = math.inf
    elif fault == "skew":
        message.covariance[1] += 1.0
    else:
        message.covariance[35] = -1.0
    return message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("skew", "not symmetric"),
        ("negative", "positive definite"),
    ],
)
def test_a_state_that_is_no_gaussian_costs_itself_only(fault, reason):
    message = conversions.detections_message(RECORDS["detections"][0])
    broken_state(message.detections[1], fault)
    record, ((event, words, amount),) = refusals("detections", message)
    assert len(record.detections) == 1 and (event, amount) == ("detections_refused", 1)
    assert re.search(f"detection 1: .*{reason}", words)
    message = conversions.tracks_message(RECORDS["tracks"][0])
    message.tracks = [message.tracks[0], copy.deepcopy(message.tracks[0])]
    broken_state(message.tracks[1], fault)
    record, ((event, words, amount),) = refusals("tracks", message)
    assert len(record.tracks) == 1 and (event, amount) == ("tracks_refused", 1)
    assert re.search(f"track 9: .*{reason}", words)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"position": 2e7}, "position_m is beyond 1e\\+07 m"),
        ({"velocity": 2e4}, "velocity_mps is beyond 10000 m/s"),
        ({"variance": 1e20}, "beyond"),
        ({"variance": 1e-20}, "beyond the limits"),
        ({"variance": 1e9, "other": 1e-12}, "condition"),
        ({"snr_db": 400.0}, "snr_db 400.0; allowed"),
        ({"sites": ["rx1"] * 300}, "names 300 sites"),
        ({"sites": ["\x1b[2J"]}, "holds the name '\ufffd"),
    ],
)
def test_detections_are_bounded(changes, reason):
    message = conversions.detections_message(RECORDS["detections"][0])
    detection = message.detections[0]
    detection.position.x = changes.get("position", 0.0)
    detection.velocity.y = changes.get("velocity", 0.0)
    variances = np.full(6, changes.get("variance", 1.0))
    variances[0] = changes.get("other", variances[0])
    detection.covariance = np.diag(variances).ravel()
    detection.snr_db = changes.get("snr_db", 20.0)
    detection.sites = changes.get("sites", ["rx1"])
    record, faults = refusals("detections", message)
    assert len(record.detections) == 1 and re.search(reason, faults[0][1])


def test_partial_detections_displace_no_complete_one(monkeypatch):
    monkeypatch.setattr(results, "MAX_DETECTIONS", 64)
    message = conversions.detections_message(RECORDS["detections"][0])
    message.detections = [copy.copy(message.detections[0]) for _ in range(100)]
    for number, detection in enumerate(message.detections):
        detection.num_paths = int(number < 10)
        detection.snr_db = float(number)
    record, _ = refusals("detections", message)
    assert sum(not detection.is_partial for detection in record.detections) == 10


def test_the_strongest_detections_are_used_in_their_order(monkeypatch):
    monkeypatch.setattr(results, "MAX_DETECTIONS", 64)
    message = conversions.detections_message(RECORDS["detections"][0])
    message.detections = [copy.copy(message.detections[0]) for _ in range(100)]
    for number, detection in enumerate(message.detections):
        detection.snr_db = float(number % 50)
    message.detections[7].snr_db = math.nan
    record, ((event, words, amount),) = refusals("detections", message)
    strengths = [detection.snr_db for detection in record.detections]
    assert (event, amount) == ("detections_over_limit", 100 - results.MAX_DETECTIONS)
    assert len(strengths) == results.MAX_DETECTIONS and min(strengths) == 18.0
    assert strengths == sorted(strengths[:32]) + sorted(strengths[32:])
    assert words == "frame 4294967303 has 100 detections; the strongest 64 are used"


@pytest.mark.parametrize(("sec", "nanosec"), [(-1, 0), (0, 10**9), (2**31 - 1, 2**32 - 1)])
def test_a_stamp_that_is_none_is_refused(sec, nanosec):
    for record, to_message, to_record in RECORDS.values():
        message = to_message(record)
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        with pytest.raises(ConversionError, match=r"stamp of .* is none; allowed"):
            to_record(message)


def test_a_frame_number_beyond_reports_is_refused():
    message = conversions.frame_message(RECORDS["frame"][0])
    message.number = 2**63
    with pytest.raises(ConversionError, match="frame number 9223372036854775808 is too large"):
        conversions.announcement(message)


@pytest.mark.parametrize("field", ["status", "target_class"])
def test_numbers_outside_an_enumeration_are_refused(field):
    message = conversions.tracks_message(RECORDS["tracks"][0])
    setattr(message.tracks[0], field, 9)
    record, ((_, reason, _),) = refusals("tracks", message)
    assert not record.tracks and "track 9: 9 is not a valid" in reason


@pytest.mark.parametrize(
    ("kind", "items", "changes", "reason"),
    [
        (
            "detections",
            "detections",
            {"snr_db": math.nan},
            "detection 0 has snr_db nan; allowed: finite",
        ),
        (
            "detections",
            "detections",
            {"snr_db": math.inf},
            "detection 0 has snr_db inf; allowed: finite",
        ),
        (
            "tracks",
            "tracks",
            {"class_probability": 1.5},
            "track 9 has class_probability 1.5; allowed: finite, 0 to 1",
        ),
        ("tracks", "tracks", {"age_s": math.inf}, "track 9 has age_s inf; allowed: finite, 0 to"),
        ("tracks", "tracks", {"since_update_s": -0.1}, "track 9 has since_update_s -0.1; allowed"),
        ("tracks", "tracks", {"num_detections": 0}, "track 9 has num_detections 0; allowed"),
        ("accuracy", "", {"nees": math.nan}, "accuracy has nees nan; allowed"),
        (
            "accuracy",
            "",
            {"error_to_bound_velocity": math.inf},
            "accuracy has error_to_bound_velocity inf; allowed",
        ),
        ("timing", "", {"duration_ms": math.nan}, "stage 'encode' has duration_ms nan; allowed"),
        ("timing", "", {"latency_ms": -1.0}, "stage 'encode' has latency_ms -1.0; allowed"),
        (
            "timing",
            "",
            {"stage": "lunch"},
            "stage 'lunch' is unknown; allowed: encode, decode, track",
        ),
    ],
)
def test_numbers_out_of_their_range_are_refused_by_name(kind, items, changes, reason):
    record, to_message, to_record = RECORDS[kind]
    message = to_message(record)
    for name, value in changes.items():
        setattr(getattr(message, items)[0] if items else message, name, value)
    if items:
        _, faults = refusals(kind, message)
        assert reason in faults[0][1]
        return
    with pytest.raises(ConversionError, match=reason):
        to_record(message)


@pytest.mark.parametrize(
    "velocity", [(3.0, 4.0, 1.0), (-2.0, 0.0, 0.0), (0.0, 0.0, 2.0), (0.0, 0.0, 0.0)]
)
def test_odometry_points_along_its_velocity_and_is_restored_in_map(velocity):
    velocity = np.array(velocity)
    message = through_the_wire(
        conversions.odometry_message("uav1", 123, np.array([1.0, 2, 3]), velocity, covariance())
    )
    assert (message.header.frame_id, message.child_frame_id) == ("map", "uav1")
    twist = message.twist.twist.linear
    assert math.isclose(twist.x, math.hypot(*velocity[:2]), abs_tol=1e-12) and abs(twist.y) < 1e-12
    sample = conversions.odometry_sample(message)
    assert sample.stamp_ns == 123 and np.array_equal(sample.position_m, [1, 2, 3])
    assert np.allclose(sample.velocity_mps, velocity, atol=1e-12)


def test_the_twist_of_any_robot_is_turned_from_its_own_frame():
    rotation = Rotation.from_euler("zyx", [0.3, -0.4, 1.2])
    x, y, z, w = rotation.as_quat()
    message = Odometry()
    message.header.frame_id = "map"
    message.pose.pose.orientation = Quaternion(
        x=2 * x, y=2 * y, z=2 * z, w=2 * w
    )  # not quite of norm 1
    message.twist.twist.linear.x, message.twist.twist.linear.z = 5.0, -1.0
    assert np.allclose(
        conversions.odometry_sample(message).velocity_mps, rotation.apply([5, 0, -1])
    )


def test_covariances_of_odometry_are_in_map_and_in_the_child_frame():
    full = np.diag([1.0, 2, 3, 4, 9, 16])
    message = conversions.odometry_message("a", 0, np.zeros(3), np.array([0.0, 1, 0]), full)
    assert np.allclose(np.diag(message.pose.covariance.reshape(6, 6))[:3], [1, 2, 3])
    assert np.allclose(np.diag(message.twist.covariance.reshape(6, 6))[:3], [9, 4, 16])


@pytest.mark.parametrize(
    ("frame_id", "w", "reason"),
    [
        ("odom", 1.0, "in frame 'odom'; publish it in 'map'"),
        ("map", 0.0, "is not a rotation"),
        ("map", math.nan, "is not a rotation"),
    ],
)
def test_odometry_that_cannot_be_placed_is_refused(frame_id, w, reason):
    message = Odometry()
    message.header.frame_id, message.pose.pose.orientation.w = frame_id, w
    with pytest.raises(ConversionError, match=reason):
        conversions.odometry_sample(message)


def test_the_cloud_holds_place_velocity_and_strength():
    cloud = through_the_wire(conversions.detections_cloud(RECORDS["detections"][0]))
    values = np.frombuffer(bytes(cloud.data), np.dtype([(f.name, "<f4") for f in cloud.fields]))
    assert cloud.width == 2 and cloud.row_step == 56
    assert [field.offset for field in cloud.fields] == list(range(0, 28, 4))
    assert values[1].tolist() == (1.5, -2, 3, 4, 5.25, -6, 17.5)


def test_partial_detections_travel_and_are_no_points_of_the_cloud():
    record = RECORDS["detections"][0]
    first, *others = record.detections
    part = replace(record, detections=(replace(first, num_paths=PARTIAL), *others))
    received = conversions.detection_list(through_the_wire(conversions.detections_message(part)))
    assert [item.is_partial for item in received.detections] == [True, False]
    assert conversions.detections_cloud(received).width == 1


def test_an_empty_cloud_is_valid():
    cloud = through_the_wire(conversions.detections_cloud(RECORDS["no detections"][0]))
    assert (cloud.width, len(cloud.data), len(cloud.fields)) == (0, 0, 7)


@pytest.mark.parametrize("target_class", TargetClass)
def test_classes_are_words(target_class):
    assert (
        conversions.target_class(through_the_wire(conversions.class_message(target_class)))
        is target_class
    )


def test_an_unknown_class_is_refused():
    with pytest.raises(ConversionError, match="'boat' is unknown; allowed: unknown, uav, vehicle"):
        conversions.target_class(String(data="boat"))


@pytest.mark.parametrize("stamp_ns", [0, 999_999_999, 1_700_000_000_000_000_001])
def test_stamps_are_exact(stamp_ns):
    assert conversions.to_ns(conversions.to_time(stamp_ns)) == stamp_ns


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bands": ["b"] * 65}, "an announcement names 65 bands; allowed: 64"),
        ({"bands": ["a\nb"]}, "an announcement holds the name"),
        ({"time_s": math.nan}, "an announcement has time_s nan"),
        ({"time_s": 1e11}, "an announcement has time_s"),
    ],
)
def test_an_announcement_of_odd_bands_or_time_is_refused(changes, reason):
    message = conversions.frame_message(records.Announcement(FRAME, "two", "0f", False, 3))
    assert message.time_s == conversions.NO_TIME_S
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(ConversionError, match=reason):
        conversions.announcement(message)


def test_too_many_links_or_odd_ones_cost_the_detection():
    record = records.DetectionList(FRAME, True, (replace(DETECTION, links=LINKS), DETECTION))
    message = conversions.detections_message(record)
    message.detections[0].links[0].tx = "\x00"
    assert len(conversions.detection_list(message).detections) == 1
    message = conversions.detections_message(record)
    message.detections[0].links = 2049 * list(message.detections[0].links)
    assert len(conversions.detection_list(message).detections) == 1


def test_poses_of_stations_travel_with_their_turn_and_velocity():
    rotation = Rotation.from_euler("ZYX", [40, 20, -10], degrees=True).as_matrix()
    pose = Pose(np.array([1.0, 2.0, 3.0]), rotation, np.array([4.0, -5.0, 6.0]))
    message = through_the_wire(conversions.pose_message("north/car", FRAME.stamp_ns, pose))
    sample = conversions.pose_sample(message)
    assert message.child_frame_id == "north/car" and sample.stamp_ns == FRAME.stamp_ns
    assert np.allclose(sample.position_m, pose.position_m)
    assert np.allclose(sample.rotation, rotation)
    assert np.allclose(sample.velocity_mps, pose.velocity_mps)
    assert np.allclose(
        [getattr(message.twist.twist.linear, axis) for axis in "xyz"],
        rotation.T @ pose.velocity_mps,
    )
