"""`isac bag` and `isac run --bag` with real processes: identical replays, kills while recording."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rclpy
from cooperative_isac_msgs.msg import Detections, FeaturePacket
from rclpy.context import Context
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from std_msgs.msg import Int64

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.tracking.tracker import Tracker
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import TrackList

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
PERIOD_S = 0.01
RESULTS = ("/detections", "/tracks")


def isac(*arguments, timeout_s=180):
    """Exit code and output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "cooperative_isac.cli", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        env={**os.environ, "COLUMNS": "160"},
    )
    return done.returncode, done.stdout


@pytest.fixture
def counter():
    """Publishes when each number was published [ns of the system clock], a hundred times a
    second.
    """
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("counter", context=context)
    publisher = node.create_publisher(Int64, "count", 10)

    def count(seconds, until=lambda: False):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not until():
            publisher.publish(Int64(data=time.time_ns()))
            time.sleep(PERIOD_S)

    count.heard = publisher.get_subscription_count
    yield count
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.timeout(500)
def test_a_run_is_replayed_to_the_byte_twice(tmp_path):
    bag = tmp_path / "bag"
    code, output = isac(
        "run",
        TINY,
        "--duration",
        "6",
        "--rate",
        "3",
        "--no-markers",
        "--bag",
        bag,
        "--out",
        tmp_path / "out",
    )
    assert code == 0, output
    for again in (tmp_path / "again1", tmp_path / "again2"):
        code, output = isac("bag", "replay", bag, "--scene", TINY, "--out", again)
        assert code == 0, output
        compared = re.findall(r"(\d+) of (\d+) (\w+) messages identical", output)
        assert [name for _, _, name in compared] == ["detections", "tracks"]
        assert all(same == total and int(total) >= 8 for same, total, _ in compared), output
    assert results(tmp_path / "again1") == results(tmp_path / "again2") == results(bag)
    assert any(
        len(data) > 300 for _, data in results(bag)
    )  # a detection at least, not only empty lists
    code, output = isac("bag", "replay", bag)
    assert code == 1 and "--scene" in output
    silent_sites_are_replayed_too(bag, tmp_path)
    late_detections_are_replayed_too(bag, tmp_path)


def silent_sites_are_replayed_too(bag, folder):
    """Packets of rx1 are late, and missing at the end: two replays lead to the same results."""
    late, again, mixed = (folder / name for name in ("late", "again", "mixed"))
    write(late, [changed(message) for message in BagReader(bag).messages() if kept(message)])
    code, output = isac("bag", "replay", late, "--scene", TINY, "--out", again)
    assert code == 1 and "different or missing: frames 3, 4, 5, 6" in output, output
    inputs = [message for message in BagReader(late).messages() if message.topic not in RESULTS]
    write(mixed, [*inputs, *BagReader(again).messages()])
    code, output = isac("bag", "replay", mixed, "--scene", TINY)
    assert code == 0, output


def late_detections_are_replayed_too(bag, folder):
    """Frame 4 comes with other detections after frame 6, and a list of another run with them."""
    messages = list(BagReader(bag).messages())
    lists = [message for message in messages if message.topic == "/detections"]
    records = [conversions.detection_list(deserialize_message(m.data, Detections)) for m in lists]
    moved = tuple(
        replace(found, position_m=found.position_m + [0.1, 0.0, 0.0])
        for found in records[4].detections
    )
    assert moved
    late = replace(records[4], detections=moved)
    other = replace(late, frame=replace(late.frame, run=7))

    # what a tracker makes of them
    scene = load_scene(TINY)
    tracker = Tracker(scene.tracking, scene.dimension)
    tracks = []
    for message, record in zip(lists, records):
        stamp_s = record.frame.stamp_ns * 1e-9
        share = 1 - len(record.sites_missing) / len(scene.receivers)
        tracks.append((message, record, tracker.update(stamp_s, record.detections, share)))
        if record is records[6]:
            stamp_s = late.frame.stamp_ns * 1e-9
            tracks.append((message, record, tracker.revise(stamp_s, moved, share)))
    assert tracks[6][2][0].position_m[0] != tracks[7][2][0].position_m[0]

    # a recording with them
    topics = ("/frame", "/detections", "/rx1/features", "/rx2/features")
    inputs = [message for message in messages if message.topic in topics]
    for record in (other, late):
        data = serialized(conversions.detections_message(record))
        inputs.append(replace(lists[6], topic="/detections/late", data=data))
    for message, record, found in tracks:
        data = conversions.tracks_message(TrackList(record.frame, record.simulated, found))
        inputs.append(replace(message, topic="/tracks", data=serialized(data)))
    write(folder / "inserted", inputs)
    code, output = isac("bag", "replay", folder / "inserted", "--scene", TINY)
    assert code == 0, output
    compared = re.findall(r"(\d+) of (\d+) (\w+) messages identical", output)
    assert all(same == total for same, total, _ in compared), output


def kept(message):
    return (
        message.topic != "/rx1/features"
        or deserialize_message(message.data, FeaturePacket).number <= 6
    )


def changed(message):
    """From frame 3 on the detections lack a site."""
    if message.topic != "/detections":
        return message
    detections = deserialize_message(message.data, Detections)
    if detections.number >= 3:
        detections.sites_missing = ["rx1"]
    return replace(message, data=serialized(detections))


def write(folder, messages):
    """A bag with the topics of these messages."""
    kinds = {
        "/frame": "Frame",
        "/detections": "Detections",
        "/detections/late": "Detections",
        "/tracks": "Tracks",
    }
    writer = BagWriter(folder)
    for name in sorted(
        {message.topic for message in messages} & {*kinds, "/rx1/features", "/rx2/features"}
    ):
        writer.add_topic(
            Topic(name, f"cooperative_isac_msgs/msg/{kinds.get(name, 'FeaturePacket')}")
        )
        for message in messages:
            if message.topic == name:
                writer.write(name, message.log_ns, message.publish_ns, message.data)
    writer.close()


def results(bag):
    """Topics and bytes of all results as another library reads them."""
    with Reader(bag) as reader:
        chosen = [connection for connection in reader.connections if connection.topic in RESULTS]
        return sorted((connection.topic, data) for connection, _, data in reader.messages(chosen))


@pytest.mark.timeout(120)
def test_a_killed_recorder_loses_less_than_a_second(tmp_path, counter):
    bag = tmp_path / "bag"
    recorder = subprocess.Popen(
        [sys.executable, "-m", "cooperative_isac.cli", "bag", "record", str(bag)]
    )
    try:
        counter(60.0, until=lambda: counter.heard() > 0)
        counter(2.7)
        recorder.send_signal(signal.SIGKILL)
        killed_ns = time.time_ns()
    finally:
        recorder.kill()
        recorder.wait()
    reader = BagReader(bag)
    summary = reader.summary()
    assert not summary.closed
    stamps = [message.publish_ns for message in reader.messages(["/count"])]
    assert len(stamps) > 50 and (killed_ns - stamps[-1]) * 1e-9 < 1.0
    code, output = isac("bag", "info", bag)
    assert code == 0 and "not closed" in output and "/count" in output
    code, output = isac("bag", "play", bag, "--topics", "count", "--rate", "20", "--wait", "0")
    assert code == 0 and f"{len(stamps)} messages played" in output


@pytest.mark.timeout(120)
def test_ctrl_c_completes_a_bag(tmp_path, counter):
    bag = tmp_path / "bag"
    command = [
        sys.executable,
        "-m",
        "cooperative_isac.cli",
        "bag",
        "record",
        str(bag),
        "--topics",
        "/count",
    ]
    recorder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    counter(60.0, until=lambda: counter.heard() > 0)
    counter(1.0)
    recorder.send_signal(signal.SIGINT)
    output, _ = recorder.communicate(timeout=30)
    assert recorder.returncode == 0 and "not closed" not in output
    with Reader(bag) as reader:
        assert [connection.topic for connection in reader.connections] == ["/count"]
        assert reader.message_count == BagReader(bag).summary().num_messages > 20
    code, output = isac("bag", "record", bag)
    assert code == 1 and "exists; a bag is never overwritten" in output
    code, output = isac("bag", "play", bag, "--topics", "/other")
    assert code == 1 and "topic /other is not in the bag; it has /count" in output
