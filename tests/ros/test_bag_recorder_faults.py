"""Faults of a recorder: a full disk, a late clock, a reader of the output that has ended."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bags import words, write_mcap
from rosbags.rosbag2 import Reader
from std_msgs.msg import String

from cooperative_isac_ros.bag import mcap_file
from cooperative_isac_ros.bag import recorder as recorder_module
from cooperative_isac_ros.bag.metadata import BagError, Topic
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.recorder import Recorder
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.nodes.bag_recorder import BagRecorder

CHAT = Topic("/chat", "std_msgs/msg/String")


class Disk:
    """os.write of a disk with limited space, which writes what fits."""

    def __init__(self, room):
        self.room = room
        self._write = os.write

    def __call__(self, file, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(file, bytes(data)[: self.room])
        self.room -= written
        return written


def test_a_full_disk_leaves_whole_chunks(tmp_path, monkeypatch):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic(CHAT)
    for log_ns, data in words(10):
        writer.write("/chat", log_ns, log_ns, data)
    writer.flush()
    monkeypatch.setattr(mcap_file.os, "write", Disk(500))
    for log_ns, data in words(40, first=10):
        writer.write("/chat", log_ns, log_ns, data)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    writer.abandon()
    summary = BagReader(tmp_path / "bag").summary()
    assert summary.num_messages == 10 and not summary.closed and not summary.damage


def test_a_bag_gets_its_index_when_there_is_room_for_it(tmp_path, monkeypatch):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic(CHAT)
    for log_ns, data in words(10):
        writer.write("/chat", log_ns, log_ns, data)
    writer.flush()
    disk = Disk(3000)
    monkeypatch.setattr(mcap_file.os, "write", disk)
    for log_ns, data in words(40, first=10, length=100):
        writer.write("/chat", log_ns, log_ns, data)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    disk.room = 3000  # what was cut off the file is free again
    writer.abandon()
    summary = BagReader(tmp_path / "bag").summary()
    assert summary.closed and summary.num_messages == 10
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 10 and len(list(reader.messages())) == 10


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BagError, match="cannot be made: Not a directory"):
        BagWriter(tmp_path / "file" / "bag")


def test_a_recorder_that_cannot_write_stops_alone(bench, tmp_path, monkeypatch):
    node = bench.start(BagRecorder, directory=str(tmp_path / "bag"), topics=["/full/words"])
    publisher = bench.publisher(String, "/full/words", readers=0)
    bench.until(lambda: publisher.get_subscription_count() == 1)
    monkeypatch.setattr(mcap_file.os, "write", Disk(0))
    publisher.publish(String(data="lost"))
    bench.until(lambda: node.recorder.stopped)
    assert node.health.counts["recording_stopped"] == 1
    status = node.health.status()
    assert "cannot be written any further: No space left" in status.message
    assert {item.key: item.value for item in status.values}["ready"] == "True"
    publisher.publish(String(data="not recorded"))
    bench.spin(0.3)
    monkeypatch.undo()
    node.close()
    assert node.health.counts["recording_stopped"] == 1
    assert BagReader(tmp_path / "bag").summary().num_messages == 0


class ClockNode:
    """A node whose clock is set by hand; everything else is that of the node."""

    def __init__(self, node):
        self._node = node
        self.nanoseconds = 0

    def __getattr__(self, name):
        return getattr(self._node, name)

    def get_parameter(self, name):
        return type("Value", (), {"value": True})

    def get_clock(self):
        return self

    def now(self):
        return self


def test_messages_before_the_first_clock_wait_for_it(bench, tmp_path):
    clock = ClockNode(bench.helper)
    topic = f"{bench.namespace}/words"
    recorder = Recorder(clock, tmp_path / "bag", [topic])
    publisher = bench.publisher(String, "words")
    publisher.publish(String(data="before"))
    bench.until(lambda: recorder._held)
    assert sum(item.num_messages for item in recorder.topics) == 0

    # the clock begins, and jumps back later
    for number, clock_ns in enumerate((500 * 10**9, 501 * 10**9, 10**9)):
        clock.nanoseconds = clock_ns
        publisher.publish(String(data=f"at {clock_ns}"))
        bench.until(lambda: recorder.topics[0].num_messages == number + 2)
    recorder.close()
    times = [message.log_ns for message in BagReader(tmp_path / "bag").messages()]
    assert times[:2] == [500 * 10**9] * 2
    assert 500 * 10**9 <= times[2] <= 501 * 10**9 and times[3] == 10**9


@pytest.mark.parametrize("limit", [0, 64 * 2**20])
def test_without_any_clock_messages_get_their_time_of_arrival(bench, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(recorder_module, "HELD_BYTES", limit)
    recorder = Recorder(ClockNode(bench.helper), tmp_path / "bag", [f"{bench.namespace}/words"])
    publisher = bench.publisher(String, "words")
    publisher.publish(String(data="before"))
    bench.until(lambda: recorder._held or recorder.topics[0].num_messages)
    recorder.close()
    (message,) = BagReader(tmp_path / "bag").messages()
    assert abs(message.log_ns - message.publish_ns) < 60 * 10**9


def test_a_reader_that_has_gone_ends_a_command_without_a_traceback(tmp_path):
    write_mcap(tmp_path / "a_0.mcap", words(2))
    command = [sys.executable, "-m", "cooperative_isac.cli", "bag", "info", str(tmp_path)]
    with Path(os.devnull).open() as nothing:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            result = subprocess.run(
                command, stdin=nothing, stdout=writing, stderr=subprocess.PIPE, timeout=60
            )
        finally:
            os.close(writing)
    assert b"Traceback" not in result.stderr and b"Exception ignored" not in result.stderr
