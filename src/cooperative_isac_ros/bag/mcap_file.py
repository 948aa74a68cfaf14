"""Crash-safe writer of MCAP files: after every flush the file consists of whole chunks.

A killed recorder loses only the open chunk; mcap.writer.Writer.flush achieves that as well. But
that writer does not take back bytes that cannot be written: a full disk leaves half a chunk in the
file, and an index that counts missing messages. Here it leaves whole records, and the index of
those that are in the file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Message,
    MessageIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

MAGIC = b"\x89MCAP0\r\n"


class McapFile:
    """MCAP file to which records are appended; each flush writes whole records at once."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._size = 0
        self._schemas: list[Schema] = []
        self._channels: list[Channel] = []
        self._chunk_indexes: list[ChunkIndex] = []
        self._counts: dict[int, int] = {}
        self._begin_chunk()
        self._append(MAGIC + _bytes_of([Header("ros2", "cooperative_isac")]))

    @property
    def size(self) -> int:
        """Size of the file, bytes."""
        return self._size

    @property
    def num_messages(self) -> int:
        """Number of messages in the file, without those of the open chunk."""
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[int, int]:
        """Number of messages in the file, by channel."""
        return dict(self._counts)

    @property
    def span_ns(self) -> tuple[int, int]:
        """Earliest and latest log time of the messages in the file, ns."""
        starts = [index.message_start_time for index in self._chunk_indexes]
        ends = [index.message_end_time for index in self._chunk_indexes]
        return min(starts, default=0), max(ends, default=0)

    def add_channel(
        self, topic: str, type_name: str, encoding: str, definition: bytes, metadata: dict[str, str]
    ) -> int:
        """Open a channel of CDR messages.

        encoding: of the definition
        definition: text of the message type

        Returns the number of the channel.
        """
        # schema, shared by the topics of one type
        schema = next((known for known in self._schemas if known.name == type_name), None)
        if schema is None:
            schema = Schema(
                id=len(self._schemas) + 1, name=type_name, encoding=encoding, data=definition
            )
            self._schemas.append(schema)
            schema.write(self._builder)

        # channel
        channel = Channel(
            id=len(self._channels) + 1,
            topic=topic,
            message_encoding="cdr",
            metadata=metadata,
            schema_id=schema.id,
        )
        self._channels.append(channel)
        self._counts[channel.id] = 0
        channel.write(self._builder)
        return channel.id

    def add_message(self, channel: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a message to the open chunk; times are in ns since the epoch."""
        self._pending.append(
            Message(
                channel_id=channel, log_time=log_ns, publish_time=publish_ns, sequence=0, data=data
            )
        )

    def flush(self) -> None:
        """Write the open chunk to the disk, its messages in the order of their arrival.

        Raises OSError where it cannot be written; then the file is unchanged.
        """
        if not self._pending:
            return

        # records and their index
        indexes: dict[int, MessageIndex] = {}
        for message in self._pending:
            index = indexes.setdefault(message.channel_id, MessageIndex(message.channel_id, []))
            index.records.append((message.log_time, self._builder.count))
            message.write(self._builder)
        data = self._builder.end()

        # chunk
        times_ns = [message.log_time for message in self._pending]
        chunk = Chunk(
            compression="",
            data=data,
            message_start_time=min(times_ns),
            message_end_time=max(times_ns),
            uncompressed_crc=zlib.crc32(data),
            uncompressed_size=len(data),
        )
        self._append_chunk(chunk, indexes)

        for message in self._pending:
            self._counts[message.channel_id] += 1
        self._begin_chunk()

    def close(self) -> None:
        """Flush, write the index and close the file.

        Raises OSError where they cannot be written; then abandon() closes the file.
        """
        self.flush()
        self._end_data()
        os.close(self._file)

    def abandon(self) -> None:
        """Close the file without the open chunk, with an index where there is room for it."""
        try:
            self._end_data()
        except OSError:
            pass  # without an index, as after a kill
        finally:
            os.close(self._file)

    def _end_data(self) -> None:
        """Write the end of the data, and the index."""
        ending = _bytes_of([DataEnd(0)])
        self._append(ending + self._summary(self._size + len(ending)) + MAGIC)

    def _begin_chunk(self) -> None:
        self._builder = RecordBuilder()
        self._pending: list[Message] = []

    def _append(self, data: bytes) -> None:
        """Write bytes to the disk, all of them or none."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(data)

    def _append_chunk(self, chunk: Chunk, indexes: dict[int, MessageIndex]) -> None:
        """Write a chunk with the indexes of its messages, and keep its place for the summary.

        indexes: index of the chunk's messages, by channel
        """
        # bytes of the chunk and of the indexes behind it, and where in the file each index begins
        chunk_bytes = _bytes_of([chunk])
        index_bytes = b""
        index_offsets = {}
        for channel, index in indexes.items():
            index_offsets[channel] = self._size + len(chunk_bytes) + len(index_bytes)
            index_bytes += _bytes_of([index])

        # place of the uncompressed chunk, as the summary at the end of the file lists it
        chunk_index = ChunkIndex(
            chunk_length=len(chunk_bytes),
            chunk_start_offset=self._size,
            compression="",
            compressed_size=len(chunk.data),
            uncompressed_size=len(chunk.data),
            message_start_time=chunk.message_start_time,
            message_end_time=chunk.message_end_time,
            message_index_length=len(index_bytes),
            message_index_offsets=index_offsets,
        )
        self._append(chunk_bytes + index_bytes)
        self._chunk_indexes.append(chunk_index)

    def _summary(self, start: int) -> bytes:
        """Bytes of the summary section: schemas, channels, statistics, places of the chunks.

        start: position of the section in the file
        """
        # records by kind
        groups = (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunk_indexes),
        )
        body = b""
        offsets = []
        for opcode, records in groups:
            data = _bytes_of(records)
            offsets.append(
                SummaryOffset(
                    group_opcode=opcode, group_start=start + len(body), group_length=len(data)
                )
            )
            body += data

        # places of the kinds
        offset_start = start + len(body)
        body += _bytes_of([offset for offset in offsets if offset.group_length])

        # footer, whose last field is the checksum of all before it
        footer = _bytes_of(
            [Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0)]
        )
        checksum = zlib.crc32(body + footer[:-4])
        return body + footer[:-4] + checksum.to_bytes(4, "little")

    def _statistics(self) -> Statistics:
        start_ns, end_ns = self.span_ns
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunk_indexes),
            message_count=self.num_messages,
            metadata_count=0,
            message_start_time=start_ns,
            message_end_time=end_ns,
            schema_count=len(self._schemas),
        )


def _bytes_of(records: Sequence[McapRecord]) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()
