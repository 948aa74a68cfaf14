"""Reads bags, also those whose recorder was killed: whole records count, a cut tail is left out."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator

from mcap.exceptions import EndOfFile, McapError
from mcap.records import Channel, Footer, Message, Schema
from mcap.stream_reader import CRCValidationError, StreamReader

from cooperative_isac_ros.bag.metadata import BagError, Topic, bag_files, profiles_of

SORT_WINDOW_NS = 2_000_000_000


@dataclass(frozen=True)
class Recorded:
    """One message as it travelled; times are [ns] since the epoch."""

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass(frozen=True)
class BagSummary:
    """What a bag holds. closed: it ends as it should; else its recorder was killed, or still records."""

    folder: Path
    topics: tuple[Topic, ...]
    start_ns: int
    end_ns: int
    size: int
    closed: bool

    @property
    def duration_s(self) -> float:
        """From the first message to the last."""
        return (self.end_ns - self.start_ns) * 1e-9

    @property
    def num_messages(self) -> int:
        """Messages of all topics."""
        return sum(topic.num_messages for topic in self.topics)


class BagReader:
    """A bag of one or more MCAP files, read from the beginning to the last whole record."""

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise BagError(f"{folder} is not a bag; name the folder that holds metadata.yaml or .mcap files")
        self._files = bag_files(folder)
        if not self._files:
            raise BagError(f"{folder} holds no .mcap file")
        missing = [path for path in self._files if not path.is_file()]
        if missing:
            raise BagError(f"{missing[0]} is listed in metadata.yaml but is not there")
        self.closed = True
        self._topics: dict[str, Topic] = {}

    def summary(self) -> BagSummary:
        """Read everything once and count."""
        counts: Counter[str] = Counter()
        times: list[int] = []
        for message in self._in_file_order():
            counts[message.topic] += 1
            times.append(message.log_ns)
        topics = tuple(
            replace(topic, num_messages=counts[name]) for name, topic in sorted(self._topics.items()))
        size = sum(path.stat().st_size for path in self._files)
        return BagSummary(self.folder, topics, min(times, default=0), max(times, default=0), size,
                          self.closed)

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Recorded]:
        """Messages of some topics (all by default) in the order of their log times."""
        chosen = None if topics is None else set(topics)
        waiting: list[tuple[int, int, Recorded]] = []
        for order, message in enumerate(self._in_file_order()):
            if chosen is not None and message.topic not in chosen:
                continue
            heapq.heappush(waiting, (message.log_ns, order, message))
            while message.log_ns - waiting[0][0] > SORT_WINDOW_NS:
                yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _in_file_order(self) -> Iterator[Recorded]:
        self.closed = True
        for path in self._files:
            with open(path, "rb") as file:
                yield from self._read(file, path)

    def _read(self, file: BinaryIO, path: Path) -> Iterator[Recorded]:
        schemas: dict[int, Schema] = {}
        names: dict[int, str] = {}
        ended = False
        try:
            for record in StreamReader(_WholeReads(file), validate_crcs=True).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    names[record.id] = record.topic
                    self._topics.setdefault(record.topic, _topic(record, schemas[record.schema_id]))
                elif isinstance(record, Message):
                    yield Recorded(names[record.channel_id], record.log_time, record.publish_time,
                                   record.data)
                ended = isinstance(record, Footer)
        except EndOfFile:
            pass
        except CRCValidationError:
            pass  # bytes that never reached the disk; what comes behind has no place either
        except (McapError, KeyError, struct.error, UnicodeDecodeError) as error:
            raise BagError(f"{path} is not a readable MCAP file: {error or type(error).__name__}") from None
        self.closed &= ended


class _WholeReads:
    """A file that gives all bytes that are asked for or ends; mcap takes a part for the whole."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EndOfFile()
        return data


def _topic(channel: Channel, schema: Schema) -> Topic:
    metadata = channel.metadata
    return Topic(channel.topic, schema.name, profiles_of(metadata.get("offered_qos_profiles", "")),
                 metadata.get("topic_type_hash", ""))
