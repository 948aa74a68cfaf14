"""Recorder, player and replay on a bench."""

import threading
import time
from pathlib import Path

import pytest
from cooperative_isac_msgs.msg import Detections, Frame, Tracks
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from typer.testing import CliRunner

from cooperative_isac_ros import qos
from cooperative_isac_ros.bag import replay
from cooperative_isac_ros.bag.app import app
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.player import Pace, Player, chosen_topics, play_once
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.recorder import Recorder
from cooperative_isac_ros.bag.recording import read_recording
from cooperative_isac_ros.bag.replay import Comparison
from cooperative_isac_ros.nodes.bag_recorder import BagRecorder
from cooperative_isac_ros.processes.interrupts import Stopped

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def recorded(bench, folder, *topics):
    """A recorder in the bench's namespace; topics are named in it."""
    return Recorder(bench.helper, folder, [f"{bench.namespace}/{topic}" for topic in topics])


def test_topics_are_recorded_also_those_that_come_later(bench, tmp_path):
    recorder = recorded(bench, tmp_path / "bag", "latched", "later")
    early = bench.helper.create_publisher(String, "latched", LATCHED)
    early.publish(String(data="before anybody listened"))
    bench.until(lambda: recorder.topics)
    assert recorder.missing() == [f"{bench.namespace}/later"]
    later = bench.publisher(String, "later", readers=0)
    bench.until(lambda: later.get_subscription_count() == 1)
    before_ns = time.time_ns()
    for number in range(20):
        later.publish(String(data=str(number)))
    bench.until(lambda: sum(topic.num_messages for topic in recorder.topics) == 21)
    recorder.close()
    reader = BagReader(tmp_path / "bag")
    summary = reader.summary()
    latched, counted = summary.topics
    assert summary.closed and (latched.num_messages, counted.num_messages) == (1, 20)
    assert latched.offered[0]["durability"] == "transient_local" and latched.type_hash.startswith(
        "RIHS01_"
    )
    times = [message.log_ns for message in reader.messages([counted.name])]
    assert before_ns <= times[0] and times == sorted(times) and times[-1] <= time.time_ns()


@pytest.mark.parametrize("name", ["/two words", "", "/1st", "a//b"])
def test_a_topic_of_a_name_that_ros_refuses_is_not_recorded(bench, tmp_path, name):
    with pytest.raises(BagError, match="cannot be recorded: Invalid topic name"):
        Recorder(bench.helper, tmp_path / "bag", [name])
    assert not (tmp_path / "bag").exists()


def test_a_recorder_of_a_scene_is_ready_when_the_results_are_published(bench, tmp_path, announce):
    recorder = bench.start(BagRecorder, directory=str(tmp_path / "bag"))
    assert (
        f"{bench.namespace}/detections" in recorder.waiting_for()
        and "rx1/features" in recorder.waiting_for()
    )
    names = ("rx1/features", "rx2/features", "detections", "tracks")
    publishers = [bench.helper.create_publisher(Detections, name, qos.STREAM) for name in names]
    bench.until(lambda: not recorder.waiting_for())
    frames = bench.publisher(Frame, "frame", readers=0)
    bench.until(lambda: frames.get_subscription_count() == 1)
    frames.publish(announce(7))
    publishers[2].publish(Detections(number=7))
    bench.until(
        lambda: sum(t.num_messages for t in recorder.recorder.topics if "diagn" not in t.name) >= 2
    )
    recorder.close()
    topics = {
        topic.name.removeprefix(bench.namespace): topic.num_messages
        for topic in BagReader(tmp_path / "bag").summary().topics
    }
    assert topics["/frame"] == 1 and topics["/detections"] == 1


def test_a_recorder_never_overwrites_and_needs_a_folder(bench, tmp_path):
    with pytest.raises(ValueError, match="exists"):
        bench.start(BagRecorder, directory=str(tmp_path))
    with pytest.raises(ValueError, match="'directory' is empty"):
        bench.start(BagRecorder)


def played_bag(bench, folder, numbers=10):
    """A bag with a frame every 50 ms."""
    recorder = recorded(bench, folder, "words")
    words = bench.publisher(String, "words")
    for number in range(numbers):
        words.publish(String(data=str(number)))
        bench.spin(0.05)
    bench.until(lambda: recorder.topics[0].num_messages == numbers)
    recorder.close()
    return BagReader(folder)


def test_a_bag_is_played_at_its_pace_with_its_clock(bench, tmp_path):
    reader = played_bag(bench, tmp_path / "bag")
    summary = reader.summary()
    player = Player(bench.helper, summary.topics, lambda name: f"{name}_again")
    heard, ticks = bench.listen(String, "words_again"), bench.listen(Clock, "/clock")
    thread = threading.Thread(
        target=lambda: (
            player.wait_for_subscribers(10.0)
            and play_once(reader, player, Pace(bench.helper, 2.0, True), summary.passes, 0.2)
        )
    )
    began_s = time.monotonic()
    thread.start()
    bench.until(lambda: heard and heard[-1].data == "9")
    thread.join()
    first = int(heard[0].data)
    assert first in (3, 4, 5) and [message.data for message in heard] == [
        str(n) for n in range(first, 10)
    ]
    assert time.monotonic() - began_s >= (summary.duration_s - 0.3) / 2
    stamps = [tick.clock.sec * 10**9 + tick.clock.nanosec for tick in ticks]
    assert stamps == sorted(stamps) and summary.start_ns + 200_000_000 <= stamps[0]
    assert stamps[-1] <= summary.end_ns


def test_an_exception_of_the_check_ends_waiting_and_playback(bench, tmp_path):
    reader = played_bag(bench, tmp_path / "bag", 3)
    player = Player(bench.helper, reader.summary().topics, lambda name: f"{name}_again")

    def ended():
        raise Stopped

    with pytest.raises(Stopped):
        player.wait_for_subscribers(600.0, ended)
    with pytest.raises(Stopped):
        play_once(reader, player, Pace(bench.helper, 1e-3, False, ended), reader.summary().passes)


def test_missing_subscriptions_are_reported_and_unknown_types_left_out(bench):
    player = Player(
        bench.helper, [Topic("/t", "std_msgs/msg/String"), Topic("/u", "nowhere/msg/Nothing")]
    )
    assert player.topics == ("/t",) and "nowhere/msg/Nothing" in player.skipped["/u"]
    assert not player.wait_for_subscribers(0.1)


def test_topics_are_chosen_by_name():
    topics = [Topic("/a", "x"), Topic("/clock", "y")]
    assert (
        chosen_topics(topics, []) == topics[:1] and chosen_topics(topics, ["clock"]) == topics[1:]
    )
    with pytest.raises(BagError, match="topic /b is not in the bag; it has /a, /clock"):
        chosen_topics(topics, ["b"])


def recorded_frame(bench, folder, announce, features):
    """A bag of one frame, without the packet of rx2."""
    recorder = recorded(
        bench, folder, "frame", "rx1/features", "rx2/features", "detections", "tracks"
    )
    messages = {
        "frame": announce(1),
        "rx1/features": features(1, "rx1"),
        "rx2/features": features(1, "rx2"),
        "detections": Detections(run=1, number=1, sites_missing=["rx2"]),
        "tracks": Tracks(run=1, number=1),
    }
    publishers = {
        name: bench.publisher(type(message), name, readers=0) for name, message in messages.items()
    }
    bench.until(
        lambda: all(publisher.get_subscription_count() == 1 for publisher in publishers.values())
    )
    for name, message in messages.items():
        publishers[name].publish(message)
    bench.until(lambda: sum(topic.num_messages for topic in recorder.topics) == 5)
    recorder.close()
    return folder


def test_a_recording_marks_the_packets_that_were_used(bench, tmp_path, announce, features):
    recording = read_recording(
        BagReader(recorded_frame(bench, tmp_path / "bag", announce, features))
    )
    assert (recording.root, recording.scene, recording.scheme) == (
        f"{bench.namespace}/",
        "tiny",
        "counting",
    )
    assert [frame.key for frame in recording.frames] == [(1, 1)]
    assert {packet.topic[-12:]: packet.used for packet in recording.frames[0].packets} == {
        "rx1/features": True,
        "rx2/features": False,
    }
    assert set(recording.results) == {"detections", "tracks"}


@pytest.mark.parametrize(
    ("answered", "attempts", "different"),
    [([True], 1, 0), ([False, True], 2, 0), ([False] * 3, 3, 1)],
)
def test_a_replay_is_repeated_when_an_answer_was_lost(
    bench, tmp_path, announce, features, monkeypatch, answered, attempts, different
):
    made = []

    class Attempt:
        """A replay whose answers arrive, or not."""

        def __init__(self, recording, *_):
            self.answered = answered[len(made)]
            made.append(self)

        def run(self, folder, on_frame):
            return self.answered

        def comparisons(self):
            return [Comparison("detections", 1, () if self.answered else (1,))]

    monkeypatch.setattr(replay, "Replay", Attempt)
    bag = recorded_frame(bench, tmp_path / "bag", announce, features)
    result = CliRunner().invoke(app, ["replay", str(bag), "--scene", str(TINY)])
    assert len(made) == attempts and result.exit_code == different
    assert f"{1 - different} of 1 detections messages identical" in result.output


def test_a_bag_without_features_cannot_be_replayed(bench, tmp_path):
    with pytest.raises(BagError, match="0 topics with frames"):
        read_recording(played_bag(bench, tmp_path / "bag", 1))
