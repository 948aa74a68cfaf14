"""Reads an MCAP file past its damage: whole records count, what is damaged is left out.

A chunk is taken as a whole or not at all. After a damaged record the file is searched for the next
chunk that holds what its head and its checksum promise, so that bytes may also be missing.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.records import Channel, Schema, Statistics

from cooperative_isac_ros.bag.compression import LARGEST, DamagedError, chunk_data
from cooperative_isac_ros.bag.mcap_file import MAGIC

HEAD = struct.Struct("<BQ")  # opcode, length
CHUNK_HEAD = struct.Struct("<QQQII")  # first and last time, size, checksum, length of compression
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence number, log and publish time
INDEX_HEAD = struct.Struct("<HI")  # channel, length of entries
FOOTER = struct.Struct("<BQQQI")  # head, starts of summary and of its offsets, checksum
DATA_END = HEAD.pack(Opcode.DATA_END, 4)
DATA_END_TRIALS = 16  # places that may be the end of the data
LONGEST_SUMMARY = 64 * 2**20  # bytes that are searched for it
LONGEST_COMPRESSION = 16  # bytes of a compression's name
PRIVATE = 0x80  # opcodes from here on are left to applications
# Bytes that are searched at a time, with an overlap of one record's head
BLOCK = 2**20
# Chunks, or records outside chunks, with less than 2^40 bytes
CHUNKED = re.compile(rb"\x06(?=.{5}\x00\x00\x00)", re.DOTALL)
UNCHUNKED = re.compile(rb"[\x03\x04\x05\x06](?=.{5}\x00\x00\x00)", re.DOTALL)
KNOWN = frozenset(Opcode)
ERRORS = (DamagedError, EndOfFile, struct.error, UnicodeDecodeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class ScannedMessage:
    """A message with the number of its channel; times are [ns]."""

    channel_id: int
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass(frozen=True)
class Damage:
    """Bytes of a file that are left out, from start up to end."""

    start: int
    end: int


@dataclass(frozen=True)
class _Summary:
    """What the end of a file repeats, from start on. intact: it is as it was written."""

    intact: bool
    start: int
    records: tuple[Schema | Channel, ...] = ()
    statistics: Statistics | None = None


Record = Schema | Channel | ScannedMessage


class McapScan:
    """Records of one MCAP file in the order of the file.

    Once they are read, `damages` has what was left out, `closed` whether the file ends as it
    should, `recognized` whether it is an MCAP file at all, `num_cut` the bytes of an unfinished
    record at its end, `num_promised` the messages that it should hold (None: nobody counted).
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._end = self._size  # of the data
        self._chunked = False
        self._verified = 0  # end of the last chunk that is whole
        self._top_level_channels: set[int] = set()
        self.damages: list[Damage] = []
        self.closed = False
        self.recognized = False
        self.num_cut = 0
        self.num_promised: int | None = None

    def records(self) -> Iterator[Record]:
        """Schemas, channels and messages; channels may come more than once."""
        summary = self._read_summary()
        self._end = summary.start
        self.closed = summary.intact
        yield from summary.records
        if summary.statistics is not None:
            self.num_promised = summary.statistics.message_count

        # Records one after the other, until the data ends
        position = self._begin()
        while position < self._end:
            opcode, end = self._head(position)
            try:
                records = self._checked(opcode, position, end)
            except ERRORS:
                position = self._skip(position, end)
                continue
            if opcode == Opcode.DATA_END:
                break
            yield from records
            position = end

        # Behind the end of the data comes the index
        if position < self._end and not summary.intact:
            self.closed = True
            self.damages.append(Damage(position, self._size))

    def _begin(self) -> int:
        """Position of the first record."""
        magic = self._bytes(0, len(MAGIC))
        if magic != MAGIC[: len(magic)]:
            following = self._search(0)
            self.damages.append(Damage(0, following))
            return following
        self.recognized = True
        return len(MAGIC)

    def _head(self, position: int) -> tuple[int, int]:
        """Opcode of the record at a position, and where it ends: if it is cut, beyond the file."""
        head = self._bytes(position, HEAD.size)
        if len(head) < HEAD.size:
            return 0, position + HEAD.size
        opcode, length = HEAD.unpack(head)
        return opcode, position + HEAD.size + length

    def _checked(self, opcode: int, position: int, end: int) -> list[Record]:
        """Schemas, channels and messages of a record; one of ERRORS when it is damaged."""
        if end > self._end:
            raise EndOfFile()
        start = position + HEAD.size
        length = end - start
        if opcode == Opcode.CHUNK:
            records = self._chunk(start, length)
            self._chunked = True
            self._verified = max(self._verified, end)
            self.recognized = True
            return records
        if opcode == Opcode.MESSAGE_INDEX:
            _, entries_length = INDEX_HEAD.unpack(self._bytes(start, INDEX_HEAD.size))
            _demand(length == INDEX_HEAD.size + entries_length and entries_length % 16 == 0)
        elif opcode == Opcode.DATA_END:
            _demand(length == 4)
            _demand(self._plausible(end))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            return self._outside_chunks(opcode, start, end)
        else:
            _demand(opcode in KNOWN or opcode >= PRIVATE)
            _demand(self._plausible(end))
        return []

    def _chunk(self, start: int, length: int) -> list[Record]:
        """All records of a chunk."""
        head = self._bytes(start, CHUNK_HEAD.size + LONGEST_COMPRESSION)
        _, _, size, checksum, name_length = CHUNK_HEAD.unpack_from(head)
        _demand(name_length <= LONGEST_COMPRESSION)
        compression = head[CHUNK_HEAD.size : CHUNK_HEAD.size + name_length].decode()

        # Lengths must agree before anything is decompressed
        data_start = CHUNK_HEAD.size + name_length + 8
        _demand(length >= data_start)
        (data_length,) = struct.unpack("<Q", self._bytes(start + data_start - 8, 8))
        _demand(data_start + data_length == length)
        data = self._bytes(start + data_start, data_length)
        return _records_of(chunk_data(compression, data, size, checksum))

    def _outside_chunks(self, opcode: int, start: int, end: int) -> list[Record]:
        """One record that is in no chunk: nothing but its surroundings can confirm it."""
        record = _record(opcode, self._bytes(start, end - start))
        assert isinstance(record, Record)  # the kinds that come here
        if isinstance(record, Channel):
            self._top_level_channels.add(record.id)
        if isinstance(record, ScannedMessage):
            _demand(record.channel_id in self._top_level_channels)
        _demand(self._plausible(end))
        self.recognized = True
        return [record]

    def _plausible(self, position: int) -> bool:
        """Whether a record may begin here, perhaps one that is cut, or the file ends."""
        if position + HEAD.size > self._size:
            return True
        opcode, end = self._head(position)
        return (opcode in KNOWN or opcode >= PRIVATE) and end - position <= LARGEST

    def _skip(self, position: int, end: int) -> int:
        """Note the damage at a position, and find where whole records begin again."""
        # What comes between chunks has no checksum: only behind the last chunk all is certain
        following = self._search(self._verified if self._chunked else position + 1)
        if following == self._end and end > self._end and not self.closed:
            self.num_cut = self._end - position
            return following
        start = min(position, following)
        if self.damages and self.damages[-1].end == start:
            start = self.damages.pop().start
        self.damages.append(Damage(start, following))
        return following

    def _search(self, position: int) -> int:
        """Start of the next whole record from a position on; the end of the data without one."""
        pattern = UNCHUNKED if self._top_level_channels and not self._chunked else CHUNKED
        while position < self._end:
            block = self._bytes(position, BLOCK + HEAD.size)
            for found in pattern.finditer(block):
                candidate = position + found.start()
                if self._is_whole(candidate):
                    return candidate
            position += BLOCK
        return self._end

    def _is_whole(self, position: int) -> bool:
        opcode, end = self._head(position)
        try:
            self._checked(opcode, position, end)
        except ERRORS:
            return False
        return True

    def _read_summary(self) -> _Summary:
        """Schemas, channels and counts from the end of the file."""
        start_of_footer = self._size - FOOTER.size - len(MAGIC)
        if start_of_footer < len(MAGIC):
            return _Summary(False, self._size)
        end = self._bytes(start_of_footer, FOOTER.size + len(MAGIC))
        opcode, length, start, _, checksum = FOOTER.unpack_from(end)
        if end[FOOTER.size :] != MAGIC or (opcode, length) != (Opcode.FOOTER, 20):
            return _Summary(False, self._size)
        if start == 0:
            return _Summary(True, start_of_footer)
        data = self._bytes(start, start_of_footer - start) if start < start_of_footer else b""
        footer = end[: FOOTER.size - 4]
        if checksum and zlib.crc32(data + footer) != checksum:
            data = self._moved_summary(start_of_footer, footer, checksum)
            start = start_of_footer - len(data)
        try:
            records = _records_of(data)
        except ERRORS:
            return _Summary(False, self._size)
        statistics = [record for record in records if isinstance(record, Statistics)]
        if not records:
            return _Summary(False, self._size)
        named = [record for record in records if isinstance(record, (Schema, Channel))]
        return _Summary(True, start, tuple(named), statistics[0] if statistics else None)

    def _moved_summary(self, start_of_footer: int, footer: bytes, checksum: int) -> bytes:
        """Summary of a file that lacks bytes, or has too many: it follows the end of the data."""
        first = max(start_of_footer - LONGEST_SUMMARY, 0)
        tail = self._bytes(first, start_of_footer - first)
        place = len(tail)
        for _ in range(DATA_END_TRIALS):
            place = tail.rfind(DATA_END, 0, place)
            if place < 0:
                break
            data = tail[place + len(DATA_END) + 4 :]
            if zlib.crc32(data + footer) == checksum:
                return data
        return b""

    def _bytes(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(length, self._size - position))


def _demand(holds: bool) -> None:
    if not holds:
        raise DamagedError("the record contradicts itself")


def _records_of(data: bytes) -> list:
    """Schemas, channels, messages and statistics in bytes that must hold whole records only."""
    records = []
    position = 0
    while position < len(data):
        opcode, length = HEAD.unpack_from(data, position)
        start = position + HEAD.size
        position = start + length
        _demand(position <= len(data))
        record = _record(opcode, data[start:position])
        if record is not None:
            records.append(record)
    return records


def _record(opcode: int, body: bytes) -> Schema | Channel | ScannedMessage | Statistics | None:
    """A record from its bytes; None for kinds that are of no use here."""
    if opcode == Opcode.MESSAGE:
        channel, _, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(body)
        return ScannedMessage(channel, log_ns, publish_ns, body[MESSAGE_HEAD.size :])
    if opcode == Opcode.SCHEMA:
        return Schema.read(ReadDataStream(_WholeReads(body)))
    if opcode == Opcode.CHANNEL:
        return Channel.read(ReadDataStream(_WholeReads(body)))
    if opcode == Opcode.STATISTICS:
        return Statistics.read(ReadDataStream(_WholeReads(body)))
    return None


class _WholeReads(BytesIO):
    """Bytes that are all there when they are asked for; mcap takes a part for the whole."""

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes; EndOfFile when there are fewer."""
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EndOfFile()
        return data
