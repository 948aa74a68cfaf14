"""Any legal value in any field of any message: nodes keep running, valid frames are unchanged.

Callbacks are called as an executor would. ISAC_ODD_EXAMPLES sets how many examples each test takes.
"""

import copy
import itertools
import math
import os
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from cooperative_isac_msgs.msg import (
    Accuracy,
    Detections,
    Echo,
    FeaturePacket,
    Frame,
    StageTiming,
    Tracks,
)
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import String

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.pipeline import make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.bag.definitions import message_class
from cooperative_isac_ros.launching.monitor import Monitor
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized
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
from cooperative_isac_ros.nodes.access_point import AccessPoint
from cooperative_isac_ros.nodes.evaluator import Evaluator
from cooperative_isac_ros.nodes.fusion_center import FusionCenter
from cooperative_isac_ros.nodes.scene_markers import SceneMarkers
from cooperative_isac_ros.nodes.target_simulator import TargetSimulator
from cooperative_isac_ros.nodes.tracker import TrackerNode
from cooperative_isac_ros.nodes.transmit_controller import TransmitController

EXAMPLES = int(os.environ.get("ISAC_ODD_EXAMPLES", "8"))
SECOND = 10**9
STAMP_NS = 1000 * SECOND
RUNS = itertools.count(2**40)  # a run of its own for the good frames of each example
INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
WIDTHS = {"float": 32, "double": 64}
LARGEST_FLOAT = 3.4e38  # that a float32 field takes, a little below the largest there is
EXTREMES = (
    0.0,
    -0.0,
    1e-300,
    1e-30,
    1e15,
    1e20,
    1e30,
    1e200,
    -1e200,
    1.7e308,
    math.inf,
    -math.inf,
    math.nan,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
WORDS = st.sampled_from(
    ["", "rx1", "rx2", "tiny", "decode", "local_ml", "map", "uav", "\x1b[2J", "x" * 5000]
)


# Values and messages


def leaf_values(kind):
    """Strategy of all values that a field of a ROS type may have."""
    if kind in WIDTHS:
        width = WIDTHS[kind]
        usable = [
            value for value in EXTREMES if width == 64 or not LARGEST_FLOAT < abs(value) < math.inf
        ]
        numbers = st.one_of(st.sampled_from(usable), st.floats(width=width))
        return numbers.filter(
            lambda value: width == 64 or not LARGEST_FLOAT < abs(value) < math.inf
        )
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return st.one_of(st.sampled_from([low, high, 0, 1, high // 2]), st.integers(low, high))
    if kind == "boolean":
        return st.booleans()
    return st.one_of(WORDS, TEXT)


def values(kind):
    """Strategy of a field: arrays, sequences and messages are of their parts."""
    array = re.fullmatch(r"(.+)\[(\d+)\]", kind)
    sequence = re.fullmatch(r"sequence<(.+?)(?:, \d+)?>", kind)
    if array:
        size = int(array[2])
        return st.lists(leaf_values(array[1]), min_size=size, max_size=size)
    if sequence:
        return st.lists(values(sequence[1]), max_size=5)
    if "/" in kind:
        return messages(message_class(kind.replace("/", "/msg/", 1)))
    if kind in ("byte", "octet"):
        return st.integers(0, 255).map(lambda value: bytes([value]))
    return leaf_values(kind)


def messages(message_type):
    """Strategy of whole messages with any values."""
    parts = {name: values(kind) for name, kind in message_type.get_fields_and_field_types().items()}
    return st.fixed_dictionaries(parts).map(lambda fields: message_type(**fields))


def places(message, way=()):
    """Ways to all fields of a message, with their ROS types."""
    found = []
    for name, kind in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        found.append(((*way, name), kind))
        if hasattr(value, "get_fields_and_field_types"):
            found += places(value, (*way, name))
        elif isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types"):
            found += places(value[0], (*way, name, 0))
    return found


@st.composite
def spoiled(draw, good):
    """A valid message with some fields changed to any value, or any message of its type."""
    if draw(st.integers(0, 3)) == 0:
        return draw(messages(type(good)))
    message = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        way, kind = draw(st.sampled_from(places(message)))
        owner = message
        for step in way[:-1]:
            owner = owner[step] if isinstance(step, int) else getattr(owner, step)
        setattr(owner, way[-1], draw(values(kind)))
        if draw(st.booleans()) and hasattr(message, "iq"):
            message.iq = (
                np.frombuffer(good.iq, np.float32)
                * np.float32(draw(st.sampled_from([0.0, 1e-30, 1e-6, 1e6, 1e9, 1e15, 1e30])))
            ).tolist()[: len(good.iq)]
    return message


# Nodes and what they publish


class Stage:
    """A node with its callbacks by topic, and all that it publishes."""

    def __init__(self, node, published, root):
        self.node, self.published, self._root = node, published, root
        for watch in (
            getattr(node, "_watch", None),
            getattr(getattr(node, "_front_end", None), "_watch", None),
        ):
            if watch is not None:
                watch._subscribe(f"{root}/targets/car1/odom", "car1")
                node.create_subscription(
                    String, f"{root}/targets/car1/class", partial(watch._on_class, "car1"), 1
                )
        self.callbacks = {
            sub.topic_name.removeprefix(root): sub.callback for sub in node.subscriptions
        }
        self._timers = list(node.timers)

    def give(self, topic, message):
        """Call a callback with a message that was serialized and deserialized."""
        self.callbacks[topic](deserialize_message(serialize_message(message), type(message)))

    def end_waiting(self):
        """Let every timer fire that was set by a message: deadlines and timeouts."""
        for timer in [timer for timer in self.node.timers if timer not in self._timers]:
            timer.callback()
        for owner in (self.node, getattr(self.node, "_front_end", None)):
            timeout = getattr(owner, "_timeout", None)
            if timeout is not None and not isinstance(self.node, TransmitController):
                timeout.callback()
        if hasattr(self.node, "health"):
            self.node.health.report()

    def take(self):
        """Messages since the last call, each of which must be valid for its conversion."""
        taken, self.published[:] = list(self.published), []
        for message in taken:
            check(message)
        return taken

    def failures(self):
        """Number of exceptions of callbacks, which the guard has counted."""
        health = getattr(self.node, "health", None)
        return (
            health.counts["callbacks_failed"]
            if health is not None
            else len(
                [text for text in self.node._complaints.values() if "callbacks_failed" in text]
            )
        )


def refuse(event, reason, amount=1):
    raise AssertionError(f"a node published what its listeners refuse: {event}: {reason}")


CHECKS = {
    Detections: lambda message: conversions.detection_list(message, refuse),
    Tracks: lambda message: conversions.track_list(message, refuse),
    Frame: conversions.announcement,
    Echo: conversions.echo_record,
    FeaturePacket: conversions.packet,
    Accuracy: conversions.accuracy_record,
    StageTiming: conversions.timing,
    Odometry: conversions.odometry_sample,
}


def check(message):
    """Check that a message can be serialized, and is valid for its subscriptions."""
    serialize_message(message)
    if type(message) in CHECKS:
        CHECKS[type(message)](message)


def content(messages_, kinds):
    """Serialized results among messages, without what differs from run to run."""
    results = []
    for message in messages_:
        if type(message) in kinds:
            message = copy.deepcopy(message)
            message.run = 0
            for track in getattr(message, "tracks", []):
                track.id = 0
            if hasattr(message, "sequence"):
                message.sequence = 0
            if type(message) is Tracks:
                message.tracks = [
                    track for track in message.tracks if track.status != TrackStatus.DELETED.value
                ]
            results.append(serialized(message))
    return results


# Good messages


@pytest.fixture(scope="module")
def good(tiny):
    """Makes the valid messages of one frame of a run."""
    scheme, frame = make_scheme("local_ml", tiny), make_frame(tiny, 0)
    (target,) = scene_targets(tiny, 0.0)
    received = receive_all(tiny, frame, (target,))
    data = {name: scheme.at(name).encode(own, frame) for name, own in received.items()}
    echoes = {name: own[tiny.band].samples for name, own in received.items()}
    covariance = np.diag([0.02, 0.02, 0.01, 0.2, 0.2, 0.01])
    detection = Detection(
        target.position_m, target.velocity_mps, covariance, 20.0, ("rx1", "rx2"), 4
    )
    track = Track(
        1,
        TrackStatus.CONFIRMED,
        TargetClass.VEHICLE,
        0.9,
        target.position_m,
        target.velocity_mps,
        covariance,
        1.0,
        0.0,
        5,
    )

    def make(run, number=0):
        frame = FrameStamp(run, number, STAMP_NS + number * SECOND // 10)
        announced = Announcement(frame, tiny.name, tiny.fingerprint, True, tiny.seed)
        echo = EchoRecord(frame, "rx1", False, tiny.propagation.noise_power_w, echoes["rx1"])
        packets = {
            name: conversions.packet_message(Packet(frame, number, name, "local_ml", True, packet))
            for name, packet in data.items()
        }
        status = DiagnosticStatus(
            name="/a", message="running", values=[KeyValue(key="ready", value="True")]
        )
        return SimpleNamespace(
            frame=conversions.frame_message(announced),
            echo=conversions.echo_message(echo),
            **packets,
            detections=conversions.detections_message(DetectionList(frame, True, (detection,))),
            tracks=conversions.tracks_message(TrackList(frame, True, (track,))),
            accuracy=conversions.accuracy_message(
                AccuracyRecord(frame, True, 1.0, nees=5.0, nees_samples=1)
            ),
            timing=conversions.timing_message(Timing(frame, 0, "decode", "/n", 1.0, 2.0)),
            odometry=conversions.odometry_message(
                "car1", frame.stamp_ns, target.position_m, target.velocity_mps
            ),
            word=String(data="vehicle"),
            diagnostics=DiagnosticArray(status=[status]),
        )

    return make


def track_three_frames(stage, good):
    run = next(RUNS)
    for number in range(3):
        stage.give("/detections", good(run, number).detections)
    return Tracks


def decode_one_frame(stage, good):
    messages_ = good(next(RUNS))
    stage.give("/frame", messages_.frame)
    stage.give("/rx1/features", messages_.rx1)
    stage.give("/rx2/features", messages_.rx2)
    return Detections


def encode_one_echo(stage, good):
    messages_ = good(next(RUNS))
    stage.give("/frame", messages_.frame)
    stage.give("/rx1/echo", messages_.echo)
    return FeaturePacket


def encode_one_frame(stage, good):
    messages_ = good(next(RUNS))
    stage.give("/targets/car1/odom", messages_.odometry)
    stage.give("/frame", messages_.frame)
    return FeaturePacket


def judge_one_frame(stage, good):
    messages_ = good(next(RUNS))
    stage.give("/targets/car1/odom", messages_.odometry)
    stage.give("/frame", messages_.frame)
    stage.give("/detections", messages_.detections)
    stage.give("/tracks", messages_.tracks)
    return Accuracy


def draw_one_frame(stage, good):
    messages_ = good(next(RUNS))
    stage.give("/detections", messages_.detections)
    stage.give("/tracks", messages_.tracks)
    return


def show(stage, good):
    stage.node.view(10.0)
    return


NODES = {
    "tracker": (TrackerNode, "", {}, track_three_frames, {"/detections": "detections"}),
    "fusion_center": (
        FusionCenter,
        "",
        {},
        decode_one_frame,
        {"/frame": "frame", "/rx1/features": "rx1"},
    ),
    "radio": (
        AccessPoint,
        "/rx1",
        {"front_end": "topic"},
        encode_one_echo,
        {"/frame": "frame", "/rx1/echo": "echo"},
    ),
    "simulated": (
        AccessPoint,
        "/rx1",
        {},
        encode_one_frame,
        {"/frame": "frame", "/targets/car1/odom": "odometry", "/targets/car1/class": "word"},
    ),
    "evaluator": (
        Evaluator,
        "",
        {"bound_every": 1},
        judge_one_frame,
        {
            "/frame": "frame",
            "/detections": "detections",
            "/tracks": "tracks",
            "/timing": "timing",
            "/rx1/features": "rx1",
            "/targets/car1/odom": "odometry",
        },
    ),
    "scene_markers": (
        SceneMarkers,
        "",
        {},
        draw_one_frame,
        {
            "/detections": "detections",
            "/tracks": "tracks",
            "/accuracy": "accuracy",
            "/rx1/features": "rx1",
            "/targets/car1/odom": "odometry",
        },
    ),
    "target_simulator": (TargetSimulator, "", {}, lambda stage, good: None, {"/frame": "frame"}),
    "transmit_controller": (
        TransmitController,
        "",
        {"wait_for_nodes": ["/never"]},
        lambda stage, good: None,
        {"/diagnostics": "diagnostics"},
    ),
    "monitor": (
        Monitor,
        "",
        None,
        show,
        {
            "/frame": "frame",
            "/tracks": "tracks",
            "/accuracy": "accuracy",
            "/timing": "timing",
            "/diagnostics": "diagnostics",
        },
    ),
}


@pytest.fixture(scope="module")
def stages(real_bench):
    """Nodes by name, constructed at their first use; no message leaves this process."""
    published, made = [], {}
    patch = pytest.MonkeyPatch()

    def keep(publisher, message):
        data = isinstance(message, bytes)
        published.append(
            deserialize_message(message, publisher.msg_type) if data else copy.deepcopy(message)
        )

    patch.setattr(Publisher, "publish", keep)
    patch.setattr(Publisher, "get_subscription_count", lambda publisher: 1)

    def stage(name):
        if name not in made:
            node_class, below, parameters, _, _ = NODES[name]
            if parameters is None:
                node = real_bench.added(
                    node_class(real_bench.namespace, context=real_bench.context)
                )
            else:
                node = real_bench.start(node_class, below=below, **parameters)
            made[name] = Stage(node, published, real_bench.namespace)
            published.clear()
        return made[name]

    yield stage
    patch.undo()


@pytest.mark.parametrize(
    ("name", "topic"), [(name, topic) for name, spec in NODES.items() for topic in spec[4]]
)
def test_no_message_ends_a_node_or_spoils_the_next_frame(stages, good, name, topic):
    stage, (_, _, _, play, kinds) = stages(name), NODES[name]
    first = next(RUNS)
    sound = getattr(good(first), kinds[topic])

    # results of a valid frame, after another one that warms the node up
    for _ in range(2):
        stage.take()
        result = play(stage, good)
        stage.end_waiting()
        expected = content(stage.take(), (result,))

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(odd=st.lists(spoiled(sound), min_size=1, max_size=3))
    def attempt(odd):
        before = stage.failures()
        for message in odd:
            stage.give(topic, message)
        stage.end_waiting()
        stage.take()
        play(stage, good)
        stage.end_waiting()
        assert content(stage.take(), (result,)) == expected
        assert stage.failures() == before, stage.node.health.status().message

    attempt()


PARAMETER_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    leaf_values("int64"),
    leaf_values("double"),
    TEXT,
    WORDS,
    st.lists(TEXT, max_size=3),
    st.lists(leaf_values("double"), max_size=3),
)


@pytest.mark.parametrize("name", [name for name in NODES if name != "monitor"])
def test_no_value_of_a_parameter_ends_a_node(stages, good, name):
    stage = stages(name)
    result = NODES[name][3](stage, good)
    expected = content(stage.take(), (result,))
    names = st.sampled_from(sorted({*stage.node.settings._known, "use_sim_time", "unknown"}))

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(names, PARAMETER_VALUES)
    def attempt(parameter, value):
        if parameter == "use_sim_time" and value is True:
            return  # right, and then no clock runs
        before = dict(stage.node.settings._values)
        if stage.node.has_parameter(parameter):
            stage.node.set_parameters([Parameter(parameter, value=value)])
        known = stage.node.settings._known
        for key, kept in stage.node.settings._values.items():
            assert kept == before[key] or (known[key].live and known[key].fault(kept) is None)
        stage.node.settings._values.update(before)

    attempt()
    NODES[name][3](stage, good)
    assert content(stage.take(), (result,)) == expected
