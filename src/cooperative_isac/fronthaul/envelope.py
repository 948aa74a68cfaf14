"""Envelope of every packet: a header with its origin, and a checksum.

    header   format 8 | scene 16 | receiver 8 or 16 | frame 32
    payload  whole bytes
    trailer  CRC-32 of all bytes before it

The receiver has 16 bits in scenes that name their stations, or have more than 256 receivers. Format
numbers below 32 belong to the bit-packed header of fronthaul.report_packet, whose first four bits
are its version.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from cooperative_isac.scene.model import Scene

NARROW_HEADER = struct.Struct(">BHBI")
WIDE_HEADER = struct.Struct(">BHHI")
# Largest number of receivers with the narrow header, whose field of the receiver has 8 bits.
NARROW_RECEIVERS = 256
# First format number of this envelope; lower ones are versions of the bit-packed header.
FIRST_FORMAT = 32
# Bits of the version at the beginning of the bit-packed header.
VERSION_BITS = 4
CHECKSUM_BYTES = 4
OVERHEAD_BITS = 8 * (NARROW_HEADER.size + CHECKSUM_BYTES)


class PacketError(ValueError):
    """A packet that is refused: damaged, truncated, or of another format, scene or frame."""

    def __init__(self, receiver: str, reason: str):
        super().__init__(f"packet of '{receiver}' refused: {reason}")
        self.receiver = receiver


def packet_format(receiver: str, packet: bytes) -> int:
    """Format number of a packet; below FIRST_FORMAT it is a version of the bit-packed header.

    Raises PacketError for an empty packet.
    """
    if not packet:
        raise PacketError(receiver, "it is empty")
    version = packet[0] >> VERSION_BITS
    return version if packet[0] < FIRST_FORMAT else packet[0]


def is_wide(scene: Scene) -> bool:
    """True where packets of a scene have 16 bits for the receiver."""
    return scene.layout is not None or len(scene.receivers) > NARROW_RECEIVERS


def identity(scene: Scene, receiver: str, number: int) -> dict[str, int]:
    """Header fields of the scene, receiver and frame of a packet."""
    return {
        "scene": zlib.crc32(scene.fingerprint.encode()) & 0xFFFF,
        "receiver": [station.name for station in scene.receiving_stations].index(receiver),
        "frame": number & 0xFFFFFFFF,
    }


def check_header(receiver: str, header: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Raise PacketError with the first field that is not as expected."""
    for name, value in expected.items():
        if header[name] != value:
            raise PacketError(receiver, f"its {name} is {header[name]}, expected {value}")


def with_checksum(body: bytes) -> bytes:
    """The body and its CRC-32."""
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big")


def checked(receiver: str, packet: bytes) -> bytes:
    """The body of a packet, before its CRC-32; PacketError where they do not fit."""
    body = packet[:-CHECKSUM_BYTES]
    if len(packet) < CHECKSUM_BYTES or with_checksum(body) != packet:
        raise PacketError(
            receiver, f"checksum does not fit its {len(packet)} bytes; it was damaged or truncated"
        )
    return body


def seal(scene: Scene, format_number: int, receiver: str, number: int, payload: bytes) -> bytes:
    """A packet of one receiver's payload in frame `number`."""
    header = _header(scene).pack(format_number, *identity(scene, receiver, number).values())
    return with_checksum(header + payload)


def unseal(scene: Scene, format_number: int, receiver: str, number: int, packet: bytes) -> bytes:
    """The payload of a packet; PacketError with the reason why it is refused."""
    body = checked(receiver, packet)
    header = _header(scene)
    if len(body) < header.size:
        raise PacketError(
            receiver, f"it ends early: {len(body)} bytes, its header alone needs {header.size}"
        )
    expected = {"format": format_number, **identity(scene, receiver, number)}
    check_header(receiver, dict(zip(expected, header.unpack_from(body))), expected)
    return body[header.size :]


def _header(scene: Scene) -> struct.Struct:
    """The header of packets of a scene."""
    return WIDE_HEADER if is_wide(scene) else NARROW_HEADER
