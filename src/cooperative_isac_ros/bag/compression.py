"""Decompression of chunks, messages and files that may be damaged."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard

# First bytes of a zstd frame.
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Largest record of an MCAP file, bytes; the limit for a frame whose header has no size.
LARGEST = 4 * 2**30
# Decompressed bytes that are read at a time.
BLOCK = 2**20
# Compressed bytes of a file that are read at a time.
FILE_BLOCK = 2**16


class DamagedError(ValueError):
    """Bytes that contradict their header or checksum."""


def chunk_data(compression: str, data: bytes, size: int, checksum: int) -> bytes:
    """Decompress the records of a chunk.

    compression: "", "lz4" or "zstd"
    data: bytes in the file
    size: number of decompressed bytes
    checksum: CRC-32 of the decompressed bytes; 0: none

    Raises DamagedError where size or checksum of the result differ.
    """
    if compression == "":
        records = data
    elif compression == "lz4":
        records = _lz4(data)
    elif compression == "zstd":
        records = _zstd(data, size)
    else:
        raise DamagedError(f"compression {compression!r} is not known")

    if len(records) != size:
        raise DamagedError(f"{len(records)} bytes instead of {size}")
    if checksum and zlib.crc32(records) != checksum:
        raise DamagedError("the checksum differs")
    return records


def message_data(data: bytes) -> bytes:
    """Decompress a message that rosbag2 has compressed in mode MESSAGE; else return it.

    CDR begins with a zero byte, so a message that begins like a zstd frame is compressed.

    Raises DamagedError where it cannot be decompressed.
    """
    if not data.startswith(ZSTD_MAGIC):
        return data
    try:
        size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from None
    message = _zstd(data, LARGEST if size < 0 else size)
    if size >= 0 and len(message) != size:
        raise DamagedError(f"{len(message)} bytes instead of {size}")
    return message


def open_decompressed(path: Path) -> tuple[BinaryIO, bool]:
    """Open a file, which rosbag2 may have compressed as a whole (mode FILE).

    Returns the file, or a temporary decompressed copy, and whether all of it could be decompressed:
    a copy ends where the damage begins.
    """
    # a file without compression
    file = path.open("rb")
    if file.read(len(ZSTD_MAGIC)) != ZSTD_MAGIC:
        file.seek(0)
        return file, True

    # decompressed copy
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it
    frame = zstandard.ZstdDecompressor().decompressobj()
    file.seek(0)
    with file:
        try:
            while block := file.read(FILE_BLOCK):
                copy.write(frame.decompress(block))
                if frame.eof:
                    break
        except zstandard.ZstdError:
            pass  # damaged before the end of the frame
    copy.seek(0)
    return copy, frame.eof


def _lz4(data: bytes) -> bytes:
    try:
        return lz4.frame.decompress(data)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise DamagedError(str(error)) from None


def _zstd(data: bytes, size: int) -> bytes:
    """Decompress at most size + 1 bytes; the additional one shows that there are too many."""
    if size > LARGEST:
        raise DamagedError(f"{size} bytes are more than a record may have")
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return _read_all(reader, size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise DamagedError(str(error)) from None


def _read_all(reader, size: int) -> bytes:
    """Read to the end, or size + 1 bytes."""
    parts = []
    num_bytes = 0
    while num_bytes <= size:
        part = reader.read(min(BLOCK, size + 1 - num_bytes))
        if not part:
            break
        parts.append(part)
        num_bytes += len(part)
    return b"".join(parts)
