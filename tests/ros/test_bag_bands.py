"""Bags of scenes with several bands, mixed schemes, and stations that follow odometry."""

import io
from pathlib import Path

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Echo
from nav_msgs.msg import Odometry
from rich.console import Console

from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.station import Pose
from cooperative_isac_ros.bag.echoes import check_bag
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.recording import read_recording, with_poses
from cooperative_isac_ros.bag.replay import Replay
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import (
    Announcement,
    DetectionList,
    EchoRecord,
    FrameStamp,
    Packet,
)

SECOND = 10**9
TWO = Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml"
OWN = "cooperative_isac_msgs/msg/"


def followed(folder, scheme=""):
    """The scene of two bands whose car follows odometry, and its file."""
    text = TWO.read_text()
    (motion,) = [line for line in text.splitlines() if "constant_velocity" in line]
    lines = f"    position_m: [10, 62, 0]\n    odometry: robot/odom{scheme}"
    path = folder / "followed.yaml"
    path.write_text(text.replace(motion, lines))
    return load_scene(path), path


def stamp(number):
    return FrameStamp(1, number, 1000 * SECOND + number * SECOND // 10)


def announcement(scene, number):
    return Announcement(stamp(number), scene.name, scene.fingerprint, True, scene.seed)


def odometry(time_s):
    pose = Pose(np.array([20 + time_s, 61.0, 0.0]), np.eye(3), np.array([1.0, 0.0, 0.0]))
    return conversions.pose_message("robot", 1000 * SECOND + round(time_s * SECOND), pose)


def write_bag(folder, topics):
    """A bag of messages by topic, each topic with the name of its type."""
    writer = BagWriter(folder)
    for name, (type_name, messages) in topics.items():
        writer.add_topic(Topic(name, type_name))
        for index, message in enumerate(messages):
            time_ns = 1000 * SECOND + index
            writer.write(name, time_ns, time_ns, serialized(message))
    writer.close()
    return folder


def recorded_run(folder, scene, schemes):
    """Three frames of a run in /north, and odometry from before the first to after the last."""
    numbers = range(3)
    packets = {
        site: [
            conversions.packet_message(Packet(stamp(number), number, site, scheme, True, b"x"))
            for number in numbers
        ]
        for site, scheme in schemes.items()
    }
    topics = {
        "/north/frame": (
            f"{OWN}Frame",
            [conversions.frame_message(announcement(scene, number)) for number in numbers],
        ),
        **{
            f"/north/{site}/features": (f"{OWN}FeaturePacket", messages)
            for site, messages in packets.items()
        },
        "/north/detections": (
            f"{OWN}Detections",
            [
                conversions.detections_message(DetectionList(stamp(number), True, ()))
                for number in numbers
            ],
        ),
        "/north/robot/odom": (
            "nav_msgs/msg/Odometry",
            [odometry(time_s) for time_s in (-0.1, -0.02, 0.06, 0.12, 0.19, 0.3, 0.4)],
        ),
    }
    return write_bag(folder, topics)


def test_a_replay_publishes_poses_up_to_the_first_after_each_stamp(bench, tmp_path):
    scene, _ = followed(tmp_path)
    bag = recorded_run(tmp_path / "bag", scene, dict.fromkeys(("west", "east", "car"), "local_ml"))
    reader = BagReader(bag)
    recording = with_poses(read_recording(reader), reader, scene)
    assert [topic.name for topic in recording.pose_topics] == ["/north/robot/odom"]
    again = Replay(recording, scene, bench.helper, bench.executor)
    heard = []
    bench.helper.create_subscription(Odometry, f"{again._namespace}robot/odom", heard.append, 10)
    bench.until(lambda: again._player.num_subscriptions == 1)
    given = []
    for number in range(3):
        again._publish_poses(stamp(number).stamp_ns)
        bench.spin(0.1)
        given.append(len(heard))
    # Frames are at 0, 0.1 and 0.2 s.
    assert given == [3, 4, 6]


def test_the_scheme_of_a_replay_is_that_of_stations_without_one_of_their_own(bench, tmp_path):
    scene, _ = followed(tmp_path, "\n    scheme: raw_ml")
    schemes = {"car": "raw_ml", "east": "local_ml", "west": "local_ml"}
    recording = read_recording(BagReader(recorded_run(tmp_path / "bag", scene, schemes)))
    assert recording.schemes == schemes and recording.scheme == "raw_ml"
    again = Replay(recording, scene, bench.helper, bench.executor)
    assert again._scheme == "local_ml"
    assert again._schemes == schemes


@pytest.fixture(scope="module")
def echoes(tmp_path_factory):
    """Echoes of west on both bands in three frames, as a radio publishes them."""
    scene = load_scene(TWO)
    frames = []
    messages = []
    for number in range(3):
        on_air = make_frame(scene, number, number / 10)
        frames.append(conversions.frame_message(announcement(scene, number)))
        received = receive(scene, on_air, "west", scene_targets(scene, number / 10))
        for band, echo in received.items():
            record = EchoRecord(
                stamp(number), "west", False, echo.noise_power_w, echo.samples, band
            )
            messages.append(conversions.echo_message(record))
    folder = tmp_path_factory.mktemp("bags") / "echoes"
    topics = {"/frame": (f"{OWN}Frame", frames), "/west/echo": (f"{OWN}Echo", messages)}
    return write_bag(folder, topics), messages, frames


def checked(bag, site=None):
    """Exit code and output of a check."""
    text = io.StringIO()
    code = check_bag(bag, str(TWO), site, 8, Console(width=200, file=text))
    return code, text.getvalue()


def test_echoes_of_each_band_are_checked_by_themselves(echoes):
    bag, messages, _ = echoes
    assert [message.band for message in messages] == ["high", "low", "high", "high", "low"]
    _, text = checked(bag, "west")
    assert "west, band high" in text and "west, band low" in text
    assert "3 echoes, each of an announced frame" in text
    assert "2 echoes, each of an announced frame" in text
    assert text.count("powers within 0.") == 2


@pytest.mark.parametrize(
    ("site", "band", "words"),
    [
        ("west", "mid", "the scene has no band 'mid'; it has high, low"),
        ("west", "", "it names no band; the scene has several: high, low"),
        ("nobody", "low", "the scene has no receiver 'nobody, band low'"),
    ],
)
def test_an_echo_of_no_band_of_the_scene_is_wrong(tmp_path, echoes, site, band, words):
    _, messages, frames = echoes
    message = Echo(
        **{name: getattr(messages[0], name) for name in Echo.get_fields_and_field_types()}
    )
    message.band = band
    topics = {"/frame": (f"{OWN}Frame", frames), "/west/echo": (f"{OWN}Echo", [message])}
    message.site = site
    code, text = checked(write_bag(tmp_path / "bag", topics))
    assert code == 1 and words in text
