"""Reads bags, also damaged ones and those whose recorder was killed: whole records count."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from mcap.records import Channel, Schema

from cooperative_isac_ros.bag.compression import DamagedError, message_data, open_decompressed
from cooperative_isac_ros.bag.mcap_scan import McapScan, ScannedMessage
from cooperative_isac_ros.bag.metadata import BagError, Topic, bag_files, profiles_of
from cooperative_isac_ros.bag.passes import ClockPass, PassCounter, extended, pass_remarks
from cooperative_isac_ros.bag.upgrade import Upgrade, UpgradeError, upgrade_of

SORT_WINDOW_NS = 2_000_000_000


@dataclass(frozen=True)
class Recorded:
    """One message as it traveled; times are [ns] since the epoch, clock_pass counts from 0."""

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes
    clock_pass: int = 0


@dataclass(frozen=True)
class BagSummary:
    """What a bag holds.

    closed: it ends as it should; else its recorder was killed, or still records
    passes: one, or more where the recorded clock jumps
    damage: a line for each file with bytes that are left out, or with messages that are missing
    remarks: a line for everything else that is not as usual
    """

    folder: Path
    topics: tuple[Topic, ...]
    size: int
    closed: bool
    passes: tuple[ClockPass, ...] = ()
    damage: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def start_ns(self) -> int:
        """Earliest time [ns] since the epoch."""
        return min((item.start_ns for item in self.passes), default=0)

    @property
    def end_ns(self) -> int:
        """Latest time [ns] since the epoch."""
        return max((item.end_ns for item in self.passes), default=0)

    @property
    def duration_s(self) -> float:
        """From the first message to the last, without jumps of the clock."""
        return sum(item.duration_s for item in self.passes)

    @property
    def num_messages(self) -> int:
        """Messages of all topics."""
        return sum(topic.num_messages for topic in self.topics)


@dataclass
class _Findings:
    """What one reading of a bag has found beside its messages."""

    closed: bool = True
    damage: list[str] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    topics: dict[str, Topic] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    upgrades: dict[str, Upgrade] = field(default_factory=dict)


@dataclass(frozen=True)
class _Introduced:
    """What a channel is: its topic, why its messages are left out or "", how they become those of
    today.
    """

    topic: str
    refusal: str = ""
    upgrade: Upgrade | None = None


class BagReader:
    """A bag of one or more MCAP files; what is damaged is left out.

    as_installed: messages of older definitions are given as those that are installed (bag.upgrade);
    else as they were recorded
    """

    def __init__(self, folder: Path, as_installed: bool = False):
        self.folder = folder
        self._as_installed = as_installed
        if not folder.is_dir():
            raise BagError(
                f"{folder} is not a bag; name the folder that holds metadata.yaml or .mcap files"
            )
        self._files, self._oddities = bag_files(folder)
        self._copies: dict[Path, tuple[BinaryIO, bool]] = {}
        self._found = _Findings()
        self._summary: BagSummary | None = None

    @property
    def closed(self) -> bool:
        """Whether all files that were read so far end as they should."""
        return self._found.closed

    @property
    def schemas(self) -> dict[str, Schema]:
        """Definitions of the types that were read so far, by their names."""
        return self._found.schemas

    @property
    def upgrades(self) -> dict[str, Upgrade]:
        """How messages become those of today, by type, of older definitions that were read so
        far.
        """
        return self._found.upgrades

    def summary(self) -> BagSummary:
        """What the bag holds; the first time everything is read for it."""
        if self._summary is None:
            self._summary = self._counted()
        return self._summary

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Recorded]:
        """Messages of some topics (all by default) in the order of their log times.

        Where the recorded clock jumps, all messages before the jump come before those after it.
        """
        chosen = None if topics is None else set(topics)
        waiting: list[tuple[int, int, Recorded]] = []
        number = 0
        for order, message in enumerate(self._in_file_order()):
            if message.clock_pass != number:
                number = message.clock_pass
                yield from _drained(waiting)
            if chosen is not None and message.topic not in chosen:
                continue
            heapq.heappush(waiting, (message.log_ns, order, message))
            while message.log_ns - waiting[0][0] > SORT_WINDOW_NS:
                yield heapq.heappop(waiting)[2]
        yield from _drained(waiting)

    def _counted(self) -> BagSummary:
        counts: Counter[str] = Counter()
        passes: list[ClockPass] = []
        for message in self._in_file_order():
            counts[message.topic] += 1
            passes[message.clock_pass :] = [extended(passes, message.clock_pass, message.log_ns)]
        found = self._found
        topics = tuple(
            replace(topic, num_messages=counts[name])
            for name, topic in sorted(found.topics.items())
        )
        refused = [
            f"{name} is left out: {reason} ({number} messages)"
            for (name, reason), number in found.refused.items()
        ]
        return BagSummary(
            self.folder,
            topics,
            sum(path.stat().st_size for path in self._files),
            found.closed,
            tuple(passes),
            tuple(found.damage),
            (*self._oddities, *pass_remarks(passes), *_upgrade_remarks(found), *refused),
        )

    def _in_file_order(self) -> Iterator[Recorded]:
        found = self._found = _Findings()
        counter = PassCounter()
        for path in self._files:
            for message in self._read(path, found):
                number = counter.number(message.topic, message.log_ns)
                yield replace(message, clock_pass=number) if number else message
        if len(found.unreadable) == len(self._files):
            raise BagError(f"{found.unreadable[0]} is not a readable MCAP file")

    def _read(self, path: Path, found: _Findings) -> Iterator[Recorded]:
        """Messages of a file, in its order."""
        channels: dict[int, _Introduced] = {}
        schemas: dict[int, Schema] = {}
        num_read = num_nameless = num_damaged = num_misfits = 0
        file, is_whole = self._opened(path)
        scan = McapScan(file)
        try:
            for record in scan.records():
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    schema = schemas.get(record.schema_id)
                    channels[record.id] = _introduced(record, schema, found)
                elif record.channel_id not in channels:
                    num_nameless += 1
                else:
                    num_read += 1
                    channel = channels[record.channel_id]
                    if channel.refusal:
                        found.refused[channel.topic, channel.refusal] += 1
                        continue
                    message = _decompressed(channel.topic, record)
                    if message is None:
                        num_damaged += 1
                        continue
                    if self._as_installed and channel.upgrade is not None:
                        message = _upgraded(message, channel.upgrade)
                    if message is None:
                        num_misfits += 1
                    else:
                        yield message
        finally:
            if path not in self._copies:
                file.close()

        # What this file lacks
        found.closed &= scan.closed
        if not scan.recognized and scan.damages:
            found.unreadable.append(path)
            found.damage.append(f"{path.name} is not a readable MCAP file and left out")
            return
        found.damage += _damage_lines(path, scan, is_whole, num_read)
        if num_nameless:
            found.damage.append(
                f"{path.name}: {num_nameless} messages are left out, because the record with the "
                "name of their topic is damaged"
            )
        if num_damaged:
            found.damage.append(
                f"{path.name}: {num_damaged} messages are left out, because they cannot be "
                "decompressed"
            )
        if num_misfits:
            found.damage.append(
                f"{path.name}: {num_misfits} messages are left out, because they do not fit the "
                "older definition that the file has of them"
            )

    def _opened(self, path: Path) -> tuple[BinaryIO, bool]:
        """A file without compression, and whether all of it could be decompressed."""
        if path in self._copies:
            return self._copies[path]
        file, is_whole = open_decompressed(path)
        if isinstance(file.name, int):  # a temporary copy, which is made only once
            self._copies[path] = file, is_whole
        return file, is_whole


def _drained(waiting: list[tuple[int, int, Recorded]]) -> Iterator[Recorded]:
    """All messages that wait, in their order."""
    while waiting:
        yield heapq.heappop(waiting)[2]


def _introduced(channel: Channel, schema: Schema | None, found: _Findings) -> _Introduced:
    """What a channel is, noted in the findings."""
    refusal = _refusal(channel, schema, found)
    if refusal or schema is None:
        found.refused.setdefault((channel.topic, refusal), 0)
        return _Introduced(channel.topic, refusal)
    metadata = channel.metadata
    topic = Topic(
        channel.topic,
        schema.name,
        profiles_of(metadata.get("offered_qos_profiles", "")),
        metadata.get("topic_type_hash", ""),
    )
    found.topics.setdefault(channel.topic, topic)
    found.schemas.setdefault(schema.name, schema)
    upgrade = upgrade_of(schema)
    if upgrade is not None:
        found.upgrades.setdefault(schema.name, upgrade)
    return _Introduced(channel.topic, "", upgrade)


def _refusal(channel: Channel, schema: Schema | None, found: _Findings) -> str:
    if channel.message_encoding != "cdr":
        return f"its encoding is '{channel.message_encoding}'; only cdr is read"
    if channel.schema_id == 0:
        return "it has no schema, so the type of its messages is unknown"
    if schema is None:
        return "the record with the type of its messages is damaged"
    known = found.topics.get(channel.topic)
    if known is not None and known.type_name != schema.name:
        return f"type {schema.name} beside {known.type_name}"
    return ""


def _decompressed(name: str, message: ScannedMessage) -> Recorded | None:
    try:
        data = message_data(message.data)
    except DamagedError:
        return None
    return Recorded(name, message.log_ns, message.publish_ns, data)


def _upgraded(message: Recorded, upgrade: Upgrade) -> Recorded | None:
    """A message as the installed definition wants it; None where that cannot be made."""
    try:
        return replace(message, data=upgrade(message.data))
    except UpgradeError:
        return None


def _upgrade_remarks(found: _Findings) -> list[str]:
    """A line that names the types whose definitions are older."""
    names = ", ".join(sorted(found.upgrades))
    return [f"recorded with older definitions, which are converted: {names}"] if names else []


def _damage_lines(path: Path, scan: McapScan, is_whole: bool, num_read: int) -> list[str]:
    """What is damaged in a file, and how many messages are missing for it."""
    lines = []
    num_missing = max((scan.num_promised or 0) - num_read, 0)
    if scan.num_promised is None:
        missing = "how many messages they held is unknown"
    else:
        missing = f"{num_missing} of {scan.num_promised} messages are missing"
    if not is_whole:
        lines.append(f"{path.name}: its compression is damaged; only what comes before is read")
    if scan.damages:
        size = sum(damage.end - damage.start for damage in scan.damages)
        places = "" if len(scan.damages) == 1 else f"at {len(scan.damages)} places "
        lines.append(
            f"{path.name}: {size} bytes {places}from byte {scan.damages[0].start} on are damaged "
            f"and left out; {missing}"
        )
    elif num_missing:
        lines.append(f"{path.name}: {missing}")
    return lines
