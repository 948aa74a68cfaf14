"""An MCAP file that is whole after every flush: chunks are closed as they go, the index comes at the end.

mcap.writer closes a chunk only when it is full; a recorder that is killed would lose it.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Sequence

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (Channel, Chunk, ChunkIndex, DataEnd, Footer, Header, McapRecord, Message,
                          MessageIndex, Schema, Statistics, SummaryOffset)

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
        """Messages so far."""
        return sum(self._counts.values())

    def add_channel(self, topic: str, type_name: str, encoding: str, definition: str,
                    metadata: dict[str, str]) -> int:
        """Open a channel of CDR messages; its number."""
        schema = next((known for known in self._schemas if known.name == type_name), None)
        if schema is None:
            schema = Schema(id=len(self._schemas) + 1, name=type_name, encoding=encoding,
                            data=definition.encode())
            self._schemas.append(schema)
            schema.write(self._builder)
        channel = Channel(id=len(self._channels) + 1, topic=topic, message_encoding="cdr", metadata=metadata,
                          schema_id=schema.id)
        self._channels.append(channel)
        self._counts[channel.id] = 0
        channel.write(self._builder)
        return channel.id

    def add_message(self, channel: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Put a message into the open chunk. Times are [ns] since the epoch."""
        self._pending.append(Message(channel_id=channel, log_time=log_ns, publish_time=publish_ns, sequence=0,
                                     data=data))
        self._counts[channel] += 1

    def flush(self) -> None:
        """Close the chunk, its messages in the order of their log times, and bring it to the disk."""
        if not self._pending:
            return
        self._pending.sort(key=lambda message: message.log_time)
        indexes: dict[int, MessageIndex] = {}
        for message in self._pending:
            index = indexes.setdefault(message.channel_id, MessageIndex(message.channel_id, []))
            index.records.append((message.log_time, self._builder.count))
            message.write(self._builder)
        data = self._builder.end()
        self._append_chunk(
            Chunk(compression="", data=data, message_start_time=self._pending[0].log_time,
                  message_end_time=self._pending[-1].log_time, uncompressed_crc=zlib.crc32(data),
                  uncompressed_size=len(data)), indexes)
        os.fsync(self._file)
        self._begin_chunk()

    def close(self) -> None:
        """Flush, write the index and close."""
        self.flush()
        ending = _bytes_of([DataEnd(0)])
        self._append(ending + self._summary(self._size + len(ending)) + MAGIC)
        os.fsync(self._file)
        os.close(self._file)

    def _begin_chunk(self) -> None:
        self._builder, self._pending = RecordBuilder(), []

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view):]
        self._size += len(data)

    def _append_chunk(self, chunk: Chunk, indexes: dict[int, MessageIndex]) -> None:
        head, offsets, tail = _bytes_of([chunk]), {}, b""
        for channel, index in indexes.items():
            offsets[channel] = self._size + len(head) + len(tail)
            tail += _bytes_of([index])
        self._chunk_indexes.append(ChunkIndex(
            chunk_length=len(head), chunk_start_offset=self._size, compression="",
            compressed_size=len(chunk.data), uncompressed_size=len(chunk.data),
            message_start_time=chunk.message_start_time, message_end_time=chunk.message_end_time,
            message_index_length=len(tail), message_index_offsets=offsets))
        self._append(head + tail)

    def _summary(self, start: int) -> bytes:
        """Everything a reader needs to find its way, repeated behind the data."""
        groups = ((Opcode.SCHEMA, self._schemas), (Opcode.CHANNEL, self._channels),
                  (Opcode.STATISTICS, [self._statistics()]), (Opcode.CHUNK_INDEX, self._chunk_indexes))
        body, offsets = b"", []
        for opcode, records in groups:
            data = _bytes_of(records)
            offsets.append(SummaryOffset(group_opcode=opcode, group_start=start + len(body),
                                         group_length=len(data)))
            body += data
        offset_start = start + len(body)
        body += _bytes_of([offset for offset in offsets if offset.group_length])
        footer = _bytes_of([Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0)])
        checksum = zlib.crc32(body + footer[:-4])
        return body + footer[:-4] + checksum.to_bytes(4, "little")

    def _statistics(self) -> Statistics:
        chunks = self._chunk_indexes
        return Statistics(attachment_count=0, channel_count=len(self._channels),
                          channel_message_counts=self._counts, chunk_count=len(self._chunk_indexes),
                          message_count=self.num_messages, metadata_count=0,
                          message_start_time=min((index.message_start_time for index in chunks), default=0),
                          message_end_time=max((index.message_end_time for index in chunks), default=0),
                          schema_count=len(self._schemas))


def _bytes_of(records: Sequence[McapRecord]) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()
