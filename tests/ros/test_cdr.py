"""Serialization with defined padding."""

from functools import lru_cache

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Detections, Tracks
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import String

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.bag.definitions import message_definition
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized, zero_padding
from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, TrackList

FRAME = FrameStamp(1, 2, 3_000_000_004)
POINT = np.array([1.0, 2.0, 3.0])
DETECTION = Detection(POINT, POINT, np.eye(6), 20.0, ("rx1", "north"), 3)
TRACK = Track(7, TrackStatus.CONFIRMED, TargetClass.UAV, 0.5, POINT, POINT, np.eye(6), 1.0, 0.5, 4)
MESSAGES = [
    conversions.detections_message(
        DetectionList(FRAME, True, (DETECTION, DETECTION), ("a", "rx2"))
    ),
    conversions.detections_message(DetectionList(FRAME, False, ())),
    conversions.tracks_message(TrackList(FRAME, True, (TRACK, TRACK))),
    DiagnosticArray(
        status=[DiagnosticStatus(name="odd", values=[KeyValue(key="k", value="v" * 5)])]
    ),
    PointCloud2(fields=[PointField(name="x", offset=3)], data=b"abc", is_dense=True),
    String(data="12"),
]


@lru_cache
def known_types(name):
    types = get_typestore(Stores.EMPTY)
    types.register(get_types_from_msg(message_definition(name), name))
    return types


def independent(data, name):
    """The same message as rosbags writes it, whose padding is zero; None when rosbags cannot read
    it.
    """
    types = known_types(name)
    try:
        return bytes(types.serialize_cdr(types.deserialize_cdr(data, name), name))
    except Exception:
        return None


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_only_and_all_padding_becomes_zero(message):
    kind = type(message)
    name = "/".join([kind.__module__.split(".")[0], "msg", kind.__name__])
    clean = zero_padding(serialize_message(message), kind)
    assert clean == independent(clean, name) and deserialize_message(clean, kind) == message
    for place in range(4, len(clean)):
        other = clean[:place] + bytes([clean[place] ^ 1]) + clean[place + 1 :]
        if independent(other, name) == clean:
            assert zero_padding(other, kind) == clean, f"byte {place} is padding"
        elif independent(other, name) is not None:
            assert zero_padding(other, kind) != clean, f"byte {place} means something"


def test_equal_results_are_equal_bytes():
    for message, kind in ((MESSAGES[0], Detections), (MESSAGES[2], Tracks)):
        data = serialized(message)
        assert len(data) % 4 == 0 and deserialize_message(data, kind) == message
        assert serialized(deserialize_message(data, kind)) == data


def test_what_is_not_plain_cdr_stays_as_it_is():
    assert zero_padding(b"\x00\x07\x00\x00rest", String) == b"\x00\x07\x00\x00rest"
