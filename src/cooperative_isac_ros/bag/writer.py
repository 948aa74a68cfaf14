"""Writes a rosbag2 directory that loses at most FLUSH_PERIOD_S when its writer is killed."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from cooperative_isac_ros.bag.definitions import ENCODING, UnknownTypeError, message_definition
from cooperative_isac_ros.bag.mcap_file import McapFile
from cooperative_isac_ros.bag.metadata import (
    BagError,
    Metadata,
    Topic,
    profiles_yaml,
    write_metadata,
)

FLUSH_PERIOD_S = 0.4
METADATA_PERIOD_S = 5.0
LARGE_CHUNK = 16 * 2**20


class BagWriter:
    """A new bag; an existing directory is never touched."""

    def __init__(self, folder: Path):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise BagError(
                f"{folder} exists; a bag is never overwritten: name a folder that does not exist"
            ) from None
        except OSError as error:
            raise BagError(f"{folder} cannot be made: {error.strerror}") from None
        self._folder = folder
        self._file_name = f"{folder.name}_0.mcap"
        self._topics: dict[str, Topic] = {}
        self._channels: dict[str, int] = {}
        self._start_ns = self._end_ns = 0
        self._flushed_s = self._described_s = time.monotonic()
        self._unflushed = 0
        try:
            self._file = McapFile(folder / self._file_name)
            self._describe()
        except OSError as error:
            raise BagError(f"{folder} cannot be written: {error.strerror}") from None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics so far, with their counts."""
        return tuple(self._topics.values())

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.size

    def add_topic(self, topic: Topic, definition: tuple[str, bytes] | None = None) -> None:
        """Open a topic.

        definition: encoding and text of its type; by default those of the installed type, if it is
        """
        encoding, text = definition or _installed_definition(topic.type_name)
        metadata = {
            "offered_qos_profiles": profiles_yaml(topic.offered),
            "topic_type_hash": topic.type_hash,
        }
        self._channels[topic.name] = self._file.add_channel(
            topic.name, topic.type_name, encoding, text, metadata
        )
        self._topics[topic.name] = replace(topic, num_messages=0)
        self._described_s = -METADATA_PERIOD_S

    def write(self, name: str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a serialized message; times are [ns] since the epoch."""
        self._file.add_message(self._channels[name], log_ns, publish_ns, data)
        topic = self._topics[name]
        self._topics[name] = replace(topic, num_messages=topic.num_messages + 1)
        self._start_ns = min(self._start_ns or log_ns, log_ns)
        self._end_ns = max(self._end_ns, log_ns)
        self._unflushed += len(data)
        if self._unflushed > LARGE_CHUNK:
            self.flush()

    def flush_if_due(self) -> None:
        """Bring what is older than FLUSH_PERIOD_S to the disk; call it several times a second."""
        now_s = time.monotonic()
        if now_s - self._flushed_s >= FLUSH_PERIOD_S:
            self.flush()
        if now_s - self._described_s >= METADATA_PERIOD_S:
            self._describe()

    def flush(self) -> None:
        """Bring everything to the disk."""
        self._file.flush()
        self._flushed_s, self._unflushed = time.monotonic(), 0

    def close(self) -> None:
        """Complete the bag; OSError: as far as possible."""
        try:
            self._file.close()
        except OSError:
            self.abandon()
            raise
        self._describe()

    def abandon(self) -> None:
        """Complete the bag as far as possible after an OSError; what was not yet written is
        lost.
        """
        self._file.abandon()
        counts = self._file.counts
        self._topics = {
            name: replace(topic, num_messages=counts[self._channels[name]])
            for name, topic in self._topics.items()
        }
        self._start_ns, self._end_ns = self._file.span_ns
        # An older metadata.yaml stays where no other can be written.
        with contextlib.suppress(OSError):
            self._describe()

    def _describe(self) -> None:
        self._described_s = time.monotonic()
        write_metadata(
            self._folder, Metadata(self._file_name, self._start_ns, self._end_ns, self.topics)
        )


def _installed_definition(type_name: str) -> tuple[str, bytes]:
    """Encoding and text of a type; empty when it is not installed."""
    try:
        return ENCODING, message_definition(type_name).encode()
    except UnknownTypeError:
        return "", b""
