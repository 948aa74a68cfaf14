"""An MCAP file that is whole after every flush: chunks are closed as they go, the index comes at
the end.

A recorder that is killed loses the open chunk alone: mcap.writer.Writer.flush would do that, too.
What it would not do is take back bytes that cannot be written: a full disk leaves it with half a
chunk in the file, and an index that counts messages which are not there. Here it leaves whole
records and the index of what is in the file.
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
    """Appends records; each flush is one write of whole records."""

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
        """Bytes in the file."""
        return self._size

    @property
    def num_messages(self) -> int:
        """Messages in the file; those of the open chunk are not."""
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[int, int]:
        """Messages in the file by channel."""
        return dict(self._counts)

    @property
    def span_ns(self) -> tuple[int, int]:
        """Earliest and latest time of the messages in the file."""
        starts = [index.message_start_time for index in self._chunk_indexes]
        ends = [index.message_end_time for index in self._chunk_indexes]
        return min(starts, default=0), max(ends, default=0)

    def add_channel(
        self, topic: str, type_name: str, encoding: str, definition: bytes, metadata: dict[str, str]
    ) -> int:
        """Open a channel of CDR messages; its number."""
        schema = next((known for known in self._schemas if known.name == type_name), None)
        if schema is None:
            schema = Schema(
                id=len(self._schemas) + 1, name=type_name, encoding=encoding, data=definition
            )
            self._schemas.append(schema)
            schema.write(self._builder)
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
        """Put a message into the open chunk. Times are [ns] since the epoch."""
        self._pending.append(
            Message(
                channel_id=channel, log_time=log_ns, publish_time=publish_ns, sequence=0, data=data
            )
        )

    def flush(self) -> None:
        """Close the chunk, its messages in the order of their arrival, and bring it to the disk.

        OSError: it cannot be written; then the file is as it was before.
        """
        if not self._pending:
            return
        indexes: dict[int, MessageIndex] = {}
        for message in self._pending:
            index = indexes.setdefault(message.channel_id, MessageIndex(message.channel_id, []))
            index.records.append((message.log_time, self._builder.count))
            message.write(self._builder)
        data = self._builder.end()
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
        """Flush, write the index and close.

        OSError: they cannot be written; then the file is open still, and abandon() closes it.
        """
        self.flush()
        self._end_data()
        os.close(self._file)

    def abandon(self) -> None:
        """Close without the open chunk, for which there was no room, with an index if that has
        some.
        """
        try:
            self._end_data()
        except OSError:
            pass  # whole records to the end, as after a kill
        finally:
            os.close(self._file)

    def _end_data(self) -> None:
        ending = _bytes_of([DataEnd(0)])
        self._append(ending + self._summary(self._size + len(ending)) + MAGIC)

    def _begin_chunk(self) -> None:
        self._builder, self._pending = RecordBuilder(), []

    def _append(self, data: bytes) -> None:
        """All of it on the disk, or nothing."""
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
        head, offsets, tail = _bytes_of([chunk]), {}, b""
        for channel, index in indexes.items():
            offsets[channel] = self._size + len(head) + len(tail)
            tail += _bytes_of([index])
        index = ChunkIndex(
            chunk_length=len(head),
            chunk_start_offset=self._size,
            compression="",
            compressed_size=len(chunk.data),
            uncompressed_size=len(chunk.data),
            message_start_time=chunk.message_start_time,
            message_end_time=chunk.message_end_time,
            message_index_length=len(tail),
            message_index_offsets=offsets,
        )
        self._append(head + tail)
        self._chunk_indexes.append(index)

    def _summary(self, start: int) -> bytes:
        """Everything a reader needs to find its way, repeated behind the data."""
        groups = (
            (Opcode.SCHEMA, self._schemas),
            (Opcode.CHANNEL, self._channels),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, self._chunk_indexes),
        )
        body, offsets = b"", []
        for opcode, records in groups:
            data = _bytes_of(records)
            offsets.append(
                SummaryOffset(
                    group_opcode=opcode, group_start=start + len(body), group_length=len(data)
                )
            )
            body += data
        offset_start = start + len(body)
        body += _bytes_of([offset for offset in offsets if offset.group_length])
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
