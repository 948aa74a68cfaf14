"""Writer of rosbag2 folders; where it is killed, at most FLUSH_PERIOD_S are lost."""

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

# Period at which messages are written to the disk, s.
FLUSH_PERIOD_S = 0.4
# Period at which metadata.yaml is rewritten, s; readers can do without it.
METADATA_PERIOD_S = 5.0
# Size of a chunk that is written at once, bytes.
LARGE_CHUNK = 16 * 2**20


class BagWriter:
    """Writes a new bag; an existing folder is never changed."""

    def __init__(self, folder: Path):
        # folder
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise BagError(
                f"{folder} exists; a bag is never overwritten: name a folder that does not exist"
            ) from None
        except OSError as error:
            raise BagError(f"{folder} cannot be made: {error.strerror}") from None

        # topics, and the span and size of their messages
        self._folder = folder
        self._file_name = f"{folder.name}_0.mcap"
        self._topics: dict[str, Topic] = {}
        self._channels: dict[str, int] = {}
        self._start_ns = 0
        self._end_ns = 0
        self._flushed_s = time.monotonic()
        self._described_s = time.monotonic()
        self._num_unflushed = 0

        # files
        try:
            self._file = McapFile(folder / self._file_name)
            self._describe()
        except OSError as error:
            raise BagError(f"{folder} cannot be written: {error.strerror}") from None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics with their numbers of messages."""
        return tuple(self._topics.values())

    @property
    def size(self) -> int:
        """Size of the file, bytes."""
        return self._file.size

    def add_topic(self, topic: Topic, definition: tuple[str, bytes] | None = None) -> None:
        """Add a topic.

        definition: encoding and text of its type; None: those of the installed type
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

        # the next flush_if_due() writes metadata.yaml with the new topic
        self._described_s = -METADATA_PERIOD_S

    def write(self, name: str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a serialized message; times in ns since the epoch."""
        self._file.add_message(self._channels[name], log_ns, publish_ns, data)
        topic = self._topics[name]
        self._topics[name] = replace(topic, num_messages=topic.num_messages + 1)
        self._start_ns = min(self._start_ns or log_ns, log_ns)
        self._end_ns = max(self._end_ns, log_ns)
        self._num_unflushed += len(data)
        if self._num_unflushed > LARGE_CHUNK:
            self.flush()

    def flush_if_due(self) -> None:
        """Flush after FLUSH_PERIOD_S; to be called several times a second."""
        now_s = time.monotonic()
        if now_s - self._flushed_s >= FLUSH_PERIOD_S:
            self.flush()
        if now_s - self._described_s >= METADATA_PERIOD_S:
            self._describe()

    def flush(self) -> None:
        """Write all messages to the disk."""
        self._file.flush()
        self._flushed_s = time.monotonic()
        self._num_unflushed = 0

    def close(self) -> None:
        """Complete the bag. Raises OSError where that succeeds only in part."""
        try:
            self._file.close()
        except OSError:
            self.abandon()
            raise
        self._describe()

    def abandon(self) -> None:
        """Complete the bag as far as possible after an OSError; unwritten messages are lost."""
        self._file.abandon()
        counts = self._file.counts
        self._topics = {
            name: replace(topic, num_messages=counts[self._channels[name]])
            for name, topic in self._topics.items()
        }
        self._start_ns, self._end_ns = self._file.span_ns

        # an older metadata.yaml stays where it cannot be replaced
        with contextlib.suppress(OSError):
            self._describe()

    def _describe(self) -> None:
        """Write metadata.yaml."""
        self._described_s = time.monotonic()
        write_metadata(
            self._folder, Metadata(self._file_name, self._start_ns, self._end_ns, self.topics)
        )


def _installed_definition(type_name: str) -> tuple[str, bytes]:
    """Encoding and text of an installed type; empty where it is not installed."""
    try:
        return ENCODING, message_definition(type_name).encode()
    except UnknownTypeError:
        return "", b""
