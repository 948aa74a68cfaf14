"""Bags of other recorders: compression, odd metadata, channels that ROS cannot play, repair."""

import re
import tempfile
from pathlib import Path

import pytest
import yaml
import zstandard
from bags import START_NS, STEP_NS, Channel, metadata_text, text, words, write_mcap
from cooperative_isac_msgs.msg import Frame
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from rosbags.rosbag2 import Reader
from std_msgs.msg import String
from typer.testing import CliRunner

from cooperative_isac_ros.bag.app import app
from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.passes import pass_remarks
from cooperative_isac_ros.bag.player import Player, play_once
from cooperative_isac_ros.bag.profiles import publisher_profile
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.recording import frame_key

TEN = [data for _, data in words(10)]


class Script:
    """Stand-in for player and pace that keeps its calls."""

    topics = ("/chat",)

    def __init__(self):
        self.played = []
        self.begins_ns = []
        self.waits_ns = []

    def publish(self, name, data):
        self.played.append(data)

    def begin(self, bag_ns):
        self.begins_ns.append(bag_ns)

    def wait_until(self, bag_ns):
        self.waits_ns.append(bag_ns - self.begins_ns[-1])


def play(folder, offset_s=0.0):
    """Played messages of a bag, and the time waited for them."""
    script = Script()
    reader = BagReader(folder)
    play_once(reader, script, script, reader.summary().passes, offset_s)
    return script


def test_a_file_that_is_compressed_as_a_whole_is_read(tmp_path):
    write_mcap(tmp_path / "bag_0.mcap", words(10))
    whole = (tmp_path / "bag_0.mcap").read_bytes()
    (tmp_path / "bag_0.mcap").unlink()
    packed = zstandard.compress(whole)
    (tmp_path / "bag_0.mcap.zstd").write_bytes(packed)
    reader = BagReader(tmp_path)
    assert [message.data for message in reader.messages()] == TEN
    assert [message.data for message in reader.messages()] == TEN
    document = metadata_text(
        ["bag_0.mcap.zstd"], compression_format="zstd", compression_mode="FILE"
    )
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(document))
    assert BagReader(tmp_path).summary().num_messages == 10
    (tmp_path / "bag_0.mcap.zstd").write_bytes(packed[:-40])
    assert any("compression is damaged" in line for line in BagReader(tmp_path).summary().damage)


def test_messages_that_are_compressed_one_by_one_are_read(tmp_path):
    packed = [(time, zstandard.compress(data)) for time, data in words(10)]
    packed[4] = packed[4][0], packed[4][1][:-3]
    write_mcap(tmp_path / "bag_0.mcap", packed)
    reader = BagReader(tmp_path)
    assert [message.data for message in reader.messages()] == TEN[:4] + TEN[5:]
    assert "1 messages are left out" in reader.summary().damage[0]


def test_another_compression_is_refused_with_its_remedy(tmp_path):
    write_mcap(tmp_path / "bag_0.mcap", words(10))
    document = metadata_text(["bag_0.mcap"], compression_format="lz4", compression_mode="MESSAGE")
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(BagError, match=r"compressed as lz4; only zstd .*'ros2 bag convert'"):
        BagReader(tmp_path)


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (Channel("/x", schema=""), "it has no schema"),
        (Channel("/x", encoding="json"), "encoding is 'json'; only cdr"),
        (Channel("/x", encoding="ros1"), "encoding is 'ros1'; only cdr"),
        (Channel("/x", encoding="protobuf", schema=""), "encoding is 'protobuf'"),
        (Channel("/chat", schema="std_msgs/msg/Int8"), "Int8 beside std_msgs/msg/String"),
    ],
)
def test_unreadable_channels_are_left_out_and_the_rest_is_read(tmp_path, channel, reason):
    write_mcap(tmp_path / "bag_0.mcap", words(10), channels=(Channel(), channel))
    summary = BagReader(tmp_path).summary()
    assert summary.num_messages == 10 and not summary.damage
    assert reason in summary.remarks[0] and "(10 messages)" in summary.remarks[0]
    assert play(tmp_path).played == TEN


def test_names_that_ros_refuses_are_left_out_when_played(bench, tmp_path):
    names = ("livox/192_168_0_155/imu", "/a-b/imu", "/a//b", "/with space")
    write_mcap(tmp_path / "a_0.mcap", words(2), channels=[Channel(name) for name in names])
    player = Player(bench.helper, BagReader(tmp_path).summary().topics)
    assert set(player.skipped) == set(names) and not player.topics


@pytest.mark.parametrize("depth", [None, "many", 2**63 - 1, 0, -1, True, 1.5, [3]])
def test_any_recorded_depth_leads_to_a_valid_queue(bench, depth):
    profile = publisher_profile([{"history": "keep_last", "depth": depth}])
    assert 1 <= profile.depth <= 10_000
    bench.helper.create_publisher(String, "any_depth", profile)


def test_split_files_without_metadata_are_read_by_their_numbers(tmp_path):
    for number in range(12):
        first = number * 10
        messages = words(10, START_NS + first * STEP_NS, first=first)
        write_mcap(tmp_path / f"bag_{number}.mcap", messages)
    assert [message.data for message in BagReader(tmp_path).messages()] == [
        text(number) for number in range(120)
    ]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\xff\xfe\x00", "not a text in UTF-8"),
        (b"", "no key 'rosbag2_bagfile_information'"),
        (b"{", "in line"),
        (b"rosbag2_bagfile_information: 3", "with keys below it"),
        (b"a: 2001-99-99", "none in YAML"),
        ({"relative_file_paths": None}, "'relative_file_paths' is not a list"),
        ({"relative_file_paths": [None]}, "'relative_file_paths' has an entry"),
        ({"storage_identifier": ""}, "'storage_identifier' is not a word"),
        ({"storage_identifier": None}, "'storage_identifier' is not a word"),
    ],
)
def test_odd_metadata_is_named_and_the_files_are_read(tmp_path, content, named):
    write_mcap(tmp_path / "a_0.mcap", words(10))
    if isinstance(content, dict):
        content = yaml.safe_dump(metadata_text(["a_0.mcap"], **content)).encode()
    (tmp_path / "metadata.yaml").write_bytes(content)
    summary = BagReader(tmp_path).summary()
    assert summary.num_messages == 10
    assert str(tmp_path / "metadata.yaml") in summary.remarks[0] and named in summary.remarks[0]


def test_a_listed_file_that_is_missing_does_not_hide_the_others(tmp_path):
    write_mcap(tmp_path / "a_0.mcap", words(10))
    document = metadata_text(["a_0.mcap", "a_1.mcap", "a_0.mcap"])
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(document))
    summary = BagReader(tmp_path).summary()
    assert summary.num_messages == 10 and "a_1.mcap is listed" in summary.remarks[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items),
    max_leaves=6,
)
CHANGES = st.dictionaries(
    st.sampled_from(sorted(metadata_text([])["rosbag2_bagfile_information"])), VALUES, max_size=4
)
DOCUMENTS = st.binary(max_size=60) | CHANGES.map(
    lambda changes: yaml.safe_dump(metadata_text(["a_0.mcap"], **changes)).encode()
)


@settings(max_examples=100)
@given(DOCUMENTS)
def test_any_metadata_gives_a_bag_or_one_error(content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mcap(folder / "a_0.mcap", words(10))
        (folder / "metadata.yaml").write_bytes(content)
        try:
            assert BagReader(folder).summary().num_messages == 10
        except BagError as error:
            assert name in str(error)


def test_messages_without_time_are_played_at_once_and_stated(tmp_path):
    early = [(0, text(100)), (1, text(101))]
    write_mcap(tmp_path / "a_0.mcap", early + words(10), chunk_size=300)
    summary = BagReader(tmp_path).summary()
    assert summary.duration_s == pytest.approx(0.9)
    assert summary.remarks == (
        "2 messages have the time 0, from before the first /clock; they are played at once",
    )
    script = play(tmp_path)
    assert script.played == [text(100), text(101), *TEN]
    assert script.begins_ns == [START_NS] and max(script.waits_ns) == 9 * STEP_NS
    assert play(tmp_path, 0.35).played == TEN[4:]


def test_messages_before_a_clock_of_a_simulation_do_not_wait_for_it(tmp_path):
    later = words(10, start_ns=500_000_000_000)
    write_mcap(tmp_path / "a_0.mcap", [(0, text(100)), (0, text(101)), *later])
    script = play(tmp_path)
    assert script.played[:2] == [text(100), text(101)]
    assert max(script.waits_ns) == 9 * STEP_NS


def test_passes_of_a_clock_that_jumps_back_are_played_in_the_order_of_arrival(tmp_path):
    first = words(60, start_ns=10**10)
    second = words(60, start_ns=10**10, first=100)
    write_mcap(tmp_path / "a_0.mcap", first + second, chunk_size=1000)
    summary = BagReader(tmp_path).summary()
    assert summary.duration_s == pytest.approx(11.8)
    assert summary.remarks[0].startswith("its clock jumps back by 5.9 s after 60 messages; ")
    script = play(tmp_path)
    assert script.played == [data for _, data in first + second]
    assert script.begins_ns == [10**10, 10**10]
    assert play(tmp_path, 5.95).played == [data for _, data in second[1:]]


def test_one_topic_after_the_other_is_no_jump_of_the_clock(tmp_path):
    messages = {"/a": words(30), "/b": words(30)}
    for number, (topic, items) in enumerate(messages.items()):
        write_mcap(tmp_path / f"a_{number}.mcap", items, channels=[Channel(topic)])
    summary = BagReader(tmp_path).summary()
    assert len(summary.passes) == 1 and pass_remarks(summary.passes) == []


@pytest.mark.parametrize("fault", ["killed", "damaged", "no time", "FILE", "MESSAGE", "profile"])
def test_other_libraries_read_what_repair_has_written(tmp_path, fault):
    path = tmp_path / "bag" / "bag_0.mcap"
    messages = words(20)
    channel = Channel()
    if fault == "no time":
        messages = [(0, text(0)), *messages[1:]]
    if fault == "MESSAGE":
        messages = [(time, zstandard.compress(data)) for time, data in messages]
    if fault == "profile":
        channel = Channel(profiles="- history: keep_last\n  depth: ~\n  lifespan: 3\n")
    write_mcap(path, messages, channels=[channel], compression=CompressionType.LZ4)
    whole = path.read_bytes()
    if fault == "killed":
        path.write_bytes(whole[: len(whole) // 2])
    if fault == "damaged":
        path.write_bytes(whole[:100] + b"???" + whole[103:])
    if fault == "FILE":
        path.unlink()
        (tmp_path / "bag" / "bag_0.mcap.zstd").write_bytes(zstandard.compress(whole))

    new = tmp_path / "new"
    result = CliRunner().invoke(app, ["repair", str(path.parent), "--out", str(new)])
    assert result.exit_code == 0, result.output
    expected = [message.data for message in BagReader(path.parent).messages()]
    assert len(expected) == 20 or (fault in ("killed", "damaged") and 5 <= len(expected) < 20)
    with Reader(new) as reader:
        assert reader.message_count == len(expected)
        assert [data for _, _, data in reader.messages()] == expected
        assert reader.duration < 3_000_000_000
    summary = BagReader(new).summary()
    assert summary.closed and not summary.damage and not summary.remarks
    again = CliRunner().invoke(app, ["repair", str(path.parent), "--out", str(new)])
    assert again.exit_code == 1 and "exists" in again.output


def test_a_bag_without_a_message_is_not_repaired(tmp_path):
    write_mcap(tmp_path / "bag" / "bag_0.mcap", words(10), channels=[Channel(schema="")])
    new = tmp_path / "new"
    result = CliRunner().invoke(app, ["repair", str(tmp_path / "bag"), "--out", str(new)])
    assert result.exit_code == 1 and "no message that can be read" in result.output
    assert not new.exists()


def test_names_from_a_bag_cannot_steer_a_terminal(tmp_path):
    write_mcap(tmp_path / "a_0.mcap", words(2), channels=[Channel("/[red]x\x1b[31m")])
    output = CliRunner().invoke(app, ["info", str(tmp_path)]).output
    assert re.search(r"/\[red\]x.\[31m", output) and "\x1b" not in output


def test_a_message_that_cannot_be_decoded_is_one_error():
    with pytest.raises(BagError, match="a Frame message cannot be decoded"):
        frame_key(b"\x00\x01\x00\x00\x01", Frame)
