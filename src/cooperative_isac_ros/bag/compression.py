"""Decompression of chunks, messages and whole files, which damaged bytes cannot break."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# A frame without its size in its head [bytes]; as large as a record of an MCAP file may be
LARGEST = 4 * 2**30
BLOCK = 2**20
FILE_BLOCK = 2**16  # compressed bytes of a file that are taken at a time


class DamagedError(ValueError):
    """Bytes that are not what their head or checksum says."""


def chunk_data(compression: str, data: bytes, size: int, checksum: int) -> bytes:
    """Records of a chunk.

    compression: "", "lz4" or "zstd"
    data: as they are in the file
    size: bytes after decompression
    checksum: CRC-32 of the decompressed bytes; 0: there is none

    DamagedError: what comes out is not of that size or checksum
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
    """A message without the compression that rosbag2 gives each message in mode MESSAGE.

    CDR begins with a zero byte, so a message that begins like zstd is compressed.

    DamagedError: it cannot be decompressed
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
    """A file for reading; one that is compressed as a whole (mode FILE) as a temporary copy.

    Returns it, and whether all of it could be decompressed: a copy ends where damage begins.
    """
    file = path.open("rb")
    if file.read(len(ZSTD_MAGIC)) != ZSTD_MAGIC:
        file.seek(0)
        return file, True

    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by who reads it
    frame = zstandard.ZstdDecompressor().decompressobj()
    file.seek(0)
    with file:
        try:
            while block := file.read(FILE_BLOCK):
                copy.write(frame.decompress(block))
                if frame.eof:
                    break
        except zstandard.ZstdError:
            pass  # before the end of the frame
    copy.seek(0)
    return copy, frame.eof


def _lz4(data: bytes) -> bytes:
    try:
        return lz4.frame.decompress(data)
    except (RuntimeError, ValueError, MemoryError) as error:
        raise DamagedError(str(error)) from None


def _zstd(data: bytes, size: int) -> bytes:
    """At most size bytes and one more, which shows that there are too many."""
    if size > LARGEST:
        raise DamagedError(f"{size} bytes are more than a record may have")
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return _read_all(reader, size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise DamagedError(str(error)) from None


def _read_all(reader, size: int) -> bytes:
    parts = []
    num_bytes = 0
    while num_bytes <= size:
        part = reader.read(min(BLOCK, size + 1 - num_bytes))
        if not part:
            break
        parts.append(part)
        num_bytes += len(part)
    return b"".join(parts)
