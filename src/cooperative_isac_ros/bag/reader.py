"""Reader of bags, also of damaged ones and of those whose recorder was killed."""

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

# Messages within this span of log times are sorted, ns: files hold them in the order of reception.
SORT_WINDOW_NS = 2_000_000_000


@dataclass(frozen=True)
class Recorded:
    """A recorded message, serialized.

    log_ns, publish_ns: times since the epoch, ns
    clock_pass: number of its pass of the recorded clock, beginning at 0
    """

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes
    clock_pass: int = 0


@dataclass(frozen=True)
class BagSummary:
    """Content and state of a bag.

    size: of all files, bytes
    closed: its recorder has closed it; else it was killed, or still records
    passes: of the recorded clock; several where it jumps
    damage: lines about damaged files and missing messages
    remarks: lines about everything else that is unusual
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
        """Earliest log time, ns since the epoch."""
        return min((item.start_ns for item in self.passes), default=0)

    @property
    def end_ns(self) -> int:
        """Latest log time, ns since the epoch."""
        return max((item.end_ns for item in self.passes), default=0)

    @property
    def duration_s(self) -> float:
        """Time from the first message to the last without jumps of the clock, s."""
        return sum(item.duration_s for item in self.passes)

    @property
    def num_messages(self) -> int:
        """Number of messages of all topics."""
        return sum(topic.num_messages for topic in self.topics)


@dataclass
class _Findings:
    """Results of reading a bag once, besides its messages.

    refused: number of messages that were left out, by topic and reason
    upgrades: conversions of older message definitions, by type
    """

    closed: bool = True
    damage: list[str] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    topics: dict[str, Topic] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    upgrades: dict[str, Upgrade] = field(default_factory=dict)


@dataclass(frozen=True)
class _Channel:
    """Rules for reading the messages of a channel.

    refusal: reason why they are left out; empty: they are not
    upgrade: their conversion to the installed definition; None: it is the same
    """

    topic: str
    refusal: str = ""
    upgrade: Upgrade | None = None


class BagReader:
    """A bag of one or more MCAP files; damaged records are left out.

    as_installed: convert messages of older definitions to the installed ones (see bag.upgrade)
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
        """Return whether all files that were read so far were closed by their recorder."""
        return self._found.closed

    @property
    def schemas(self) -> dict[str, Schema]:
        """Definitions that were read so far, by the name of their type."""
        return self._found.schemas

    @property
    def upgrades(self) -> dict[str, Upgrade]:
        """Conversions of the older definitions that were read so far, by type."""
        return self._found.upgrades

    def summary(self) -> BagSummary:
        """Summary of the bag; the first call reads it from begin to end."""
        if self._summary is None:
            self._summary = self._counted()
        return self._summary

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[Recorded]:
        """Yield messages in the order of their log times.

        Where the recorded clock jumps, all messages before the jump come before those after it.

        topics: None: all
        """
        chosen = None if topics is None else set(topics)
        waiting: list[tuple[int, int, Recorded]] = []
        number = 0
        for order, message in enumerate(self._in_file_order()):
            # a jump of the clock ends the sorting
            if message.clock_pass != number:
                number = message.clock_pass
                yield from _drained(waiting)
            if chosen is not None and message.topic not in chosen:
                continue

            # messages older than the window can have no predecessor any more
            heapq.heappush(waiting, (message.log_ns, order, message))
            while message.log_ns - waiting[0][0] > SORT_WINDOW_NS:
                yield heapq.heappop(waiting)[2]
        yield from _drained(waiting)

    def _counted(self) -> BagSummary:
        """Read the bag, and summarize it."""
        # messages by topic and pass
        counts: Counter[str] = Counter()
        passes: list[ClockPass] = []
        for message in self._in_file_order():
            counts[message.topic] += 1

            # passes follow one another: the message is of the last one, or begins another
            current = extended(passes, message.clock_pass, message.log_ns)
            if message.clock_pass == len(passes):
                passes.append(current)
            else:
                passes[-1] = current

        # topics, and what is unusual, as found by the reading above
        found = self._found
        topics = tuple(
            replace(topic, num_messages=counts[name])
            for name, topic in sorted(found.topics.items())
        )
        refused = [
            f"{name} is left out: {reason} ({number} messages)"
            for (name, reason), number in found.refused.items()
        ]
        remarks = (*self._oddities, *pass_remarks(passes), *_upgrade_remarks(found), *refused)
        return BagSummary(
            folder=self.folder,
            topics=topics,
            size=sum(path.stat().st_size for path in self._files),
            closed=found.closed,
            passes=tuple(passes),
            damage=tuple(found.damage),
            remarks=remarks,
        )

    def _in_file_order(self) -> Iterator[Recorded]:
        """Yield all messages in the order of the files."""
        found = _Findings()
        self._found = found
        counter = PassCounter()
        for path in self._files:
            for message in self._read(path, found):
                number = counter.number(message.topic, message.log_ns)
                yield replace(message, clock_pass=number) if number else message
        if len(found.unreadable) == len(self._files):
            raise BagError(f"{found.unreadable[0]} is not a readable MCAP file")

    def _read(self, path: Path, found: _Findings) -> Iterator[Recorded]:
        """Messages of a file, in its order."""
        channels: dict[int, _Channel] = {}
        schemas: dict[int, Schema] = {}

        # messages of known topics, and those left out: of unknown topics, not to be decompressed,
        # not of the older definition
        num_read = 0
        num_nameless = 0
        num_damaged = 0
        num_misfits = 0

        file, is_whole = self._opened(path)
        scan = McapScan(file)
        try:
            for record in scan.records():
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    schema = schemas.get(record.schema_id)
                    channels[record.id] = _add_channel(record, schema, found)
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

        # damage of the file
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
        """File without compression, and whether all of it could be decompressed."""
        if path in self._copies:
            return self._copies[path]
        file, is_whole = open_decompressed(path)
        if isinstance(file.name, int):  # a temporary copy, which is kept
            self._copies[path] = file, is_whole
        return file, is_whole


def _drained(waiting: list[tuple[int, int, Recorded]]) -> Iterator[Recorded]:
    """Yield all waiting messages in their order."""
    while waiting:
        yield heapq.heappop(waiting)[2]


def _add_channel(channel: Channel, schema: Schema | None, found: _Findings) -> _Channel:
    """Add a channel and its topic to the findings."""
    # a channel that cannot be read: its messages will be counted, and left out
    refusal = _refusal(channel, schema, found)
    if refusal or schema is None:
        found.refused.setdefault((channel.topic, refusal), 0)
        return _Channel(channel.topic, refusal)

    # topic and message definition; a second channel of the same topic changes neither
    topic = Topic(
        name=channel.topic,
        type_name=schema.name,
        offered=profiles_of(channel.metadata.get("offered_qos_profiles", "")),
        type_hash=channel.metadata.get("topic_type_hash", ""),
    )
    found.topics.setdefault(channel.topic, topic)
    found.schemas.setdefault(schema.name, schema)

    # conversion of an older message definition
    upgrade = upgrade_of(schema)
    if upgrade is not None:
        found.upgrades.setdefault(schema.name, upgrade)
    return _Channel(channel.topic, upgrade=upgrade)


def _refusal(channel: Channel, schema: Schema | None, found: _Findings) -> str:
    """Reason why the messages of a channel are left out; empty where they are not."""
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
    """Message without compression; None where it is damaged."""
    try:
        data = message_data(message.data)
    except DamagedError:
        return None
    return Recorded(name, message.log_ns, message.publish_ns, data)


def _upgraded(message: Recorded, upgrade: Upgrade) -> Recorded | None:
    """Message of the installed definition; None where it cannot be converted."""
    try:
        return replace(message, data=upgrade(message.data))
    except UpgradeError:
        return None


def _upgrade_remarks(found: _Findings) -> list[str]:
    """Line with the types whose definitions are older."""
    names = ", ".join(sorted(found.upgrades))
    return [f"recorded with older definitions, which are converted: {names}"] if names else []


def _damage_lines(path: Path, scan: McapScan, is_whole: bool, num_read: int) -> list[str]:
    """Lines about the damage of a file, and the number of missing messages."""
    # missing messages
    lines = []
    num_missing = max((scan.num_promised or 0) - num_read, 0)
    if scan.num_promised is None:
        missing = "how many messages they held is unknown"
    else:
        missing = f"{num_missing} of {scan.num_promised} messages are missing"

    # damage
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
