"""Damage-tolerant reader of MCAP files: damaged records are left out.

A chunk is used as a whole or not at all. After a damaged record the file is searched for the next
chunk that agrees with its header and checksum, so that bytes may also be missing.
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

# Headers of records (https://mcap.dev/spec). Record: opcode, length.
HEAD = struct.Struct("<BQ")
# Chunk: first and last time, size, checksum, length of the compression's name.
CHUNK_HEAD = struct.Struct("<QQQII")
# Length of the records in a chunk, after the compression's name.
LENGTH = struct.Struct("<Q")
# Message: channel, sequence number, log and publish time.
MESSAGE_HEAD = struct.Struct("<HIQQ")
# Message index: channel, length of the entries.
INDEX_HEAD = struct.Struct("<HI")
# Footer: header, starts of the summary and of its offsets, checksum.
FOOTER = struct.Struct("<BQQQI")
# Entry of a message index: log time, place in the chunk; bytes.
INDEX_ENTRY_BYTES = 16
# Checksum, bytes.
CRC_BYTES = 4
# Begin of the record at the end of the data, which holds a checksum only.
DATA_END = HEAD.pack(Opcode.DATA_END, CRC_BYTES)
# Places that are tried as the end of the data.
DATA_END_TRIALS = 16
# Bytes before the footer that are searched for a moved summary.
LONGEST_SUMMARY = 64 * 2**20
# Longest name of a compression, bytes.
LONGEST_COMPRESSION = 16
# Opcodes from here on are private to applications.
PRIVATE = 0x80
# Bytes that are searched at a time, with an overlap of one record header.
BLOCK = 2**20
# First byte of a chunk, or of a record outside chunks, with less than 2^40 bytes.
CHUNKED = re.compile(rb"\x06(?=.{5}\x00\x00\x00)", re.DOTALL)
UNCHUNKED = re.compile(rb"[\x03\x04\x05\x06](?=.{5}\x00\x00\x00)", re.DOTALL)
KNOWN = frozenset(Opcode)
# Errors by which a damaged record shows itself.
ERRORS = (DamagedError, EndOfFile, struct.error, UnicodeDecodeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class ScannedMessage:
    """A message with the number of its channel; times in ns."""

    channel_id: int
    log_ns: int
    publish_ns: int
    data: bytes


@dataclass(frozen=True)
class Damage:
    """Range of bytes that are left out, from start up to end."""

    start: int
    end: int


@dataclass(frozen=True)
class _Summary:
    """Summary section of a file.

    intact: it agrees with its checksum
    start: position in the file
    """

    intact: bool
    start: int
    records: tuple[Schema | Channel, ...] = ()
    statistics: Statistics | None = None


Record = Schema | Channel | ScannedMessage


class McapScan:
    """Records of one MCAP file, in the order of the file.

    After they are read:

    damages: ranges that were left out
    closed: the file was closed by its writer
    recognized: it is an MCAP file
    num_cut: bytes of an incomplete record at its end
    num_promised: messages that its summary counts; None: it has no summary
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        # end of the data, before the summary
        self._end = self._size
        # whether there are chunks, and the end of the last whole one
        self._chunked = False
        self._verified = 0
        self._top_level_channels: set[int] = set()
        self.damages: list[Damage] = []
        self.closed = False
        self.recognized = False
        self.num_cut = 0
        self.num_promised: int | None = None

    def records(self) -> Iterator[Record]:
        """Yield schemas, channels and messages; a channel may be repeated."""
        # summary
        summary = self._read_summary()
        self._end = summary.start
        self.closed = summary.intact
        yield from summary.records
        if summary.statistics is not None:
            self.num_promised = summary.statistics.message_count

        # records one after the other, until the data ends
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

        # a damaged index after the end of the data
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
        """Opcode and end of the record at a position; the end of a cut one is beyond the file."""
        head = self._bytes(position, HEAD.size)
        if len(head) < HEAD.size:
            return 0, position + HEAD.size
        opcode, length = HEAD.unpack(head)
        return opcode, position + HEAD.size + length

    def _checked(self, opcode: int, position: int, end: int) -> list[Record]:
        """Validate a record, and read its schemas, channels and messages.

        Raises one of ERRORS where it is damaged.
        """
        if end > self._end:
            raise EndOfFile()
        start = position + HEAD.size
        length = end - start

        # a chunk has a checksum
        if opcode == Opcode.CHUNK:
            records = self._chunk(start, length)
            self._chunked = True
            self._verified = max(self._verified, end)
            self.recognized = True
            return records

        # other records are confirmed by their lengths, and by what follows them
        if opcode == Opcode.MESSAGE_INDEX:
            _, entries_length = INDEX_HEAD.unpack(self._bytes(start, INDEX_HEAD.size))
            _require(length == INDEX_HEAD.size + entries_length)
            _require(entries_length % INDEX_ENTRY_BYTES == 0)
        elif opcode == Opcode.DATA_END:
            _require(length == CRC_BYTES)
            _require(self._plausible(end))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            return self._outside_chunks(opcode, start, end)
        else:
            _require(opcode in KNOWN or opcode >= PRIVATE)
            _require(self._plausible(end))
        return []

    def _chunk(self, start: int, length: int) -> list[Record]:
        """Decompress and read all records of a chunk."""
        # header with the name of the compression
        head = self._bytes(start, CHUNK_HEAD.size + LONGEST_COMPRESSION)
        _first_ns, _last_ns, size, checksum, name_length = CHUNK_HEAD.unpack_from(head)
        _require(name_length <= LONGEST_COMPRESSION)
        compression = head[CHUNK_HEAD.size : CHUNK_HEAD.size + name_length].decode()

        # lengths of records and chunk, which must agree before anything is decompressed
        length_start = CHUNK_HEAD.size + name_length
        data_start = length_start + LENGTH.size
        _require(length >= data_start)
        (data_length,) = LENGTH.unpack(self._bytes(start + length_start, LENGTH.size))
        _require(data_start + data_length == length)

        # records
        data = self._bytes(start + data_start, data_length)
        return _records_of(chunk_data(compression, data, size, checksum))

    def _outside_chunks(self, opcode: int, start: int, end: int) -> list[Record]:
        """Read a record that is in no chunk; only its surroundings can confirm it."""
        record = _record(opcode, self._bytes(start, end - start))
        assert isinstance(record, Record)  # by its opcode
        if isinstance(record, Channel):
            self._top_level_channels.add(record.id)
        if isinstance(record, ScannedMessage):
            _require(record.channel_id in self._top_level_channels)
        _require(self._plausible(end))
        self.recognized = True
        return [record]

    def _plausible(self, position: int) -> bool:
        """Return whether a record may begin at a position, or the file ends there."""
        if position + HEAD.size > self._size:
            return True
        opcode, end = self._head(position)
        return (opcode in KNOWN or opcode >= PRIVATE) and end - position <= LARGEST

    def _skip(self, position: int, end: int) -> int:
        """Note the damage at a position. Returns the position of the next whole record."""
        # records between chunks have no checksum: search from the end of the last whole chunk
        following = self._search(self._verified if self._chunked else position + 1)

        # the last record of a file that is still written, or whose recorder was killed
        is_last = following == self._end
        is_cut = end > self._end
        if is_last and is_cut and not self.closed:
            self.num_cut = self._end - position
            return following

        # join it with damage right before it
        start = min(position, following)
        if self.damages and self.damages[-1].end == start:
            start = self.damages.pop().start
        self.damages.append(Damage(start, following))
        return following

    def _search(self, position: int) -> int:
        """Position of the next whole record; the end of the data where there is none."""
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
        """Read schemas, channels and statistics from the end of the file."""
        # footer
        start_of_footer = self._size - FOOTER.size - len(MAGIC)
        if start_of_footer < len(MAGIC):
            return _Summary(False, self._size)
        end = self._bytes(start_of_footer, FOOTER.size + len(MAGIC))
        opcode, length, start, _, checksum = FOOTER.unpack_from(end)
        is_footer = opcode == Opcode.FOOTER and length == FOOTER.size - HEAD.size
        if not is_footer or end[FOOTER.size :] != MAGIC:
            return _Summary(False, self._size)
        if start == 0:  # closed, but written without a summary
            return _Summary(True, start_of_footer)

        # bytes that agree with the checksum, at their place or moved; it covers the summary, and
        # the footer up to the checksum itself
        data = self._bytes(start, start_of_footer - start) if start < start_of_footer else b""
        footer = end[: FOOTER.size - CRC_BYTES]
        if checksum and zlib.crc32(data + footer) != checksum:
            data = self._moved_summary(start_of_footer, footer, checksum)
            start = start_of_footer - len(data)

        # records
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
        """Summary of a file with missing or additional bytes: it follows the end of the data.

        footer: its bytes before the checksum
        checksum: of the summary and these bytes

        Returns the bytes of the summary; empty where none agrees with the checksum.
        """
        # from the end of the file backwards: each place that looks like the end of the data
        first = max(start_of_footer - LONGEST_SUMMARY, 0)
        tail = self._bytes(first, start_of_footer - first)
        place = len(tail)
        for _ in range(DATA_END_TRIALS):
            place = tail.rfind(DATA_END, 0, place)
            if place < 0:
                break
            data = tail[place + len(DATA_END) + CRC_BYTES :]
            if zlib.crc32(data + footer) == checksum:
                return data
        return b""

    def _bytes(self, position: int, length: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(length, self._size - position))


def _require(holds: bool) -> None:
    """Raise DamagedError unless a condition holds."""
    if not holds:
        raise DamagedError("the record contradicts itself")


def _records_of(data: bytes) -> list:
    """Read schemas, channels, messages and statistics from bytes that must be whole records.

    Raises DamagedError: the last record is longer than the data.
    """
    records = []
    position = 0
    while position < len(data):
        # extent of the record's content, after its header
        opcode, length = HEAD.unpack_from(data, position)
        start = position + HEAD.size
        position = start + length
        _require(position <= len(data))

        # content, unless it is of a kind that is not needed
        record = _record(opcode, data[start:position])
        if record is not None:
            records.append(record)
    return records


def _record(opcode: int, body: bytes) -> Schema | Channel | ScannedMessage | Statistics | None:
    """Read a record from its bytes; None for kinds that are not needed."""
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
    """Bytes whose read never returns fewer than requested; mcap does not check that."""

    def read(self, size: int | None = -1) -> bytes:
        """Read a number of bytes. Raises EndOfFile where there are fewer."""
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EndOfFile()
        return data
