"""Files of a bag: format, compatibility with other readers, and the state after a kill."""

import os
import shutil

import pytest
import yaml
from geometry_msgs.msg import Point
from mcap.reader import make_reader
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg
from std_msgs.msg import String
from typer.testing import CliRunner

from cooperative_isac_ros.bag.app import app
from cooperative_isac_ros.bag.definitions import UnknownTypeError, message_class, message_definition
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.profiles import (
    profile_fields,
    publisher_profile,
    subscription_profile,
)
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.writer import BagWriter

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    reliability=ReliabilityPolicy.RELIABLE,
    lifespan=Duration(seconds=2.5),
)
WORDS = Topic("/words", "std_msgs/msg/String", (profile_fields(LATCHED),), "RIHS01_00")
PLACES = Topic("/places", "geometry_msgs/msg/Point")
START_NS = 1_700_000_000_000_000_000


def words(number):
    return serialize_message(String(data=f"word {number}"))


def written(folder, numbers, close=True, flush_every=10):
    """A bag of words a millisecond apart, and one place."""
    writer = BagWriter(folder)
    writer.add_topic(WORDS)
    for number in range(numbers):
        if number == 5:
            writer.add_topic(PLACES)
            writer.write("/places", START_NS, START_NS, serialize_message(Point(x=1.0)))
        writer.write("/words", START_NS + number * 1_000_000, START_NS, words(number))
        if number % flush_every == flush_every - 1:
            writer.flush()
    if close:
        writer.close()
    return writer


def heard(reader):
    return [message.data for message in reader.messages(["/words"])]


def test_other_libraries_read_our_bags(tmp_path):
    written(tmp_path / "bag", 25)
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 26 and reader.duration == 24_000_001
        topics = {connection.topic: connection for connection in reader.connections}
        assert (
            topics["/words"].msgtype == WORDS.type_name and topics["/words"].digest == "RIHS01_00"
        )
        profile = topics["/words"].ext.offered_qos_profiles[0]
        assert profile.durability.name == "TRANSIENT_LOCAL" and profile.depth == 1
        assert (profile.lifespan.sec, profile.lifespan.nsec) == (2, 500_000_000)
        assert [
            data for connection, _, data in reader.messages() if connection.topic == "/words"
        ] == [words(number) for number in range(25)]
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        statistics = reader.get_summary().statistics
        assert (statistics.message_count, statistics.chunk_count) == (26, 3)
        assert (statistics.message_start_time, statistics.message_end_time) == (
            START_NS,
            START_NS + 24_000_000,
        )
        late = list(reader.iter_messages(starting_at=START_NS + 20_000_000))
        assert len(late) == 5 and late[0][0].encoding == "ros2msg"


def test_metadata_names_every_topic_in_full(tmp_path):
    written(tmp_path / "bag", 7)
    text = (tmp_path / "bag" / "metadata.yaml").read_text()
    assert "&" not in text and "*" not in text
    information = yaml.safe_load(text)["rosbag2_bagfile_information"]
    assert information["version"] == 9 and information["relative_file_paths"] == ["bag_0.mcap"]
    counts = {
        item["topic_metadata"]["name"]: item["message_count"]
        for item in information["topics_with_message_count"]
    }
    assert information["ros_distro"] in ("jazzy", "kilted", os.environ.get("ROS_DISTRO"))
    assert counts == {"/words": 7, "/places": 1} and information["message_count"] == 8


def test_a_bag_is_never_overwritten(tmp_path):
    written(tmp_path / "bag", 1)
    with pytest.raises(BagError, match="exists; a bag is never overwritten"):
        BagWriter(tmp_path / "bag")
    assert BagReader(tmp_path / "bag").summary().closed


def test_every_flush_leaves_whole_records(tmp_path):
    written(tmp_path / "bag", 47, close=False)
    reader = BagReader(tmp_path / "bag")
    summary = reader.summary()
    assert not summary.closed and summary.num_messages == 41
    assert {topic.name: topic.num_messages for topic in summary.topics} == {
        "/words": 40,
        "/places": 1,
    }
    assert summary.topics[1].offered == WORDS.offered
    assert heard(reader) == [words(number) for number in range(40)]
    (tmp_path / "bag" / "metadata.yaml").unlink()
    assert BagReader(tmp_path / "bag").summary() == summary


@pytest.mark.parametrize("flip", [False, True])
def test_a_damaged_tail_costs_its_chunk_only(tmp_path, flip):
    written(tmp_path / "bag", 30, close=False)
    path = tmp_path / "bag" / "bag_0.mcap"
    whole = path.read_bytes()
    third = whole.rindex(words(25))
    for cut in range(third - 20, third + 20, 7):
        path.write_bytes(whole[: cut - 1] + b"?" + whole[cut:] if flip else whole[:cut])
        reader = BagReader(tmp_path / "bag")
        assert heard(reader) == [words(number) for number in range(20)] and not reader.closed


def test_messages_come_in_the_order_of_their_times(tmp_path):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic(WORDS)
    times = [3, 1, 2, 2000, 1999, 5000, 4]
    for number, time in enumerate(times):
        writer.write("/words", START_NS + time * 1_000_000, START_NS, words(number))
    writer.close()
    order = [message.log_ns for message in BagReader(tmp_path / "bag").messages()]
    assert (
        order[:5] == sorted(order[:5]) and len(order) == 7
    )  # the last is late by more than the window


def test_what_is_no_bag_is_named(tmp_path):
    with pytest.raises(BagError, match="is not a bag"):
        BagReader(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"holds no \.mcap file"):
        BagReader(tmp_path)
    (tmp_path / "text.mcap").write_text("no bag, but long enough to hold a header")
    with pytest.raises(BagError, match="not a readable MCAP file"):
        BagReader(tmp_path).summary()
    written(tmp_path / "bag", 1)
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text()
    metadata.write_text(text.replace("mcap\n", "sqlite3\n", 1))
    with pytest.raises(BagError, match="stored as sqlite3; only mcap"):
        BagReader(tmp_path / "bag")
    metadata.write_text(text)
    shutil.move(tmp_path / "bag" / "bag_0.mcap", tmp_path / "elsewhere")
    with pytest.raises(BagError, match="is not there"):
        BagReader(tmp_path / "bag")


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_a_file_that_is_none_is_named(tmp_path, kind):
    path = tmp_path / "a_0.mcap"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nothing")
    refused = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert refused.exit_code == 1
    assert refused.output.startswith(f"error: {path}: ") and "Errno" not in refused.output


def test_definitions_hold_every_type_that_is_needed():
    for name in (
        "cooperative_isac_msgs/msg/Tracks",
        "visualization_msgs/msg/MarkerArray",
        "rcl_interfaces/msg/Log",
    ):
        text = message_definition(name)
        types = get_types_from_msg(text, name)
        used = {part for _, fields in types.values() for part in _names(fields)}
        assert used <= set(types) and name in types, name
    assert message_definition("std_msgs/msg/String").count("=====") == 0


def _names(fields):
    """Names of message types within rosbags' nested field descriptions."""
    found = [item for item in str(fields).replace("'", '"').split('"') if "/msg/" in item]
    return set(found)


def test_unknown_types_are_named():
    for call in (message_class, message_definition):
        with pytest.raises(UnknownTypeError, match="nowhere"):
            call("nowhere/msg/Nothing")
    with pytest.raises(UnknownTypeError):
        message_class("std_msgs/srv/String")


def test_profiles_survive_a_bag():
    assert (
        publisher_profile([profile_fields(LATCHED)]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    )
    weak = QoSProfile(depth=3, reliability=ReliabilityPolicy.BEST_EFFORT)
    assert publisher_profile([profile_fields(weak)]).reliability == ReliabilityPolicy.BEST_EFFORT
    assert profile_fields(weak)["depth"] == 3
    old = {"history": 1, "depth": 4, "reliability": 2, "durability": 1}  # before version 9: numbers
    assert publisher_profile([old]).reliability == ReliabilityPolicy.BEST_EFFORT
    assert publisher_profile([old]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert publisher_profile([]).reliability == ReliabilityPolicy.RELIABLE
    both = subscription_profile([LATCHED, weak])
    assert (both.reliability, both.durability) == (
        ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.VOLATILE,
    )
    assert subscription_profile([LATCHED]).durability == DurabilityPolicy.TRANSIENT_LOCAL
