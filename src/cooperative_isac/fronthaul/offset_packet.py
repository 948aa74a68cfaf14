"""Packets of single paths with the clock offsets of their links.

Format 40 in fronthaul.envelope:

    payload  links 8 | transmitter 8, timing float32, carrier float32 of each link | report packet

The report packet is that of fronthaul.report_packet. Its paths were fitted with these offsets: what
was measured is their sum.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.scene.model import Scene

OFFSETS_FORMAT = 40

# Number of links.
_COUNT = struct.Struct("<B")
# Transmitter, timing in s and carrier in Hz of one link.
_LINK = struct.Struct("<Bff")


def pack_offsets(
    scene: Scene, receiver: str, number: int, reports: bytes, offsets: Mapping[int, ClockOffset]
) -> bytes:
    """A packet with a report packet and the offsets of links.

    receiver: name of the receiving station
    number: of the frame
    reports: the packet of fronthaul.report_packet
    offsets: by index of the transmitter, 255 at most
    """
    links = b"".join(
        _LINK.pack(index, one.delay_s, one.frequency_hz) for index, one in sorted(offsets.items())
    )
    payload = _COUNT.pack(len(offsets)) + links + reports
    return seal(scene, OFFSETS_FORMAT, receiver, number, payload)


def unpack_offsets(
    scene: Scene, receiver: str, number: int, packet: bytes
) -> tuple[bytes, dict[int, ClockOffset]]:
    """The report packet in a packet, and the offsets of links, by index of the transmitter.

    Raises PacketError with the reason why the packet is refused.
    """
    payload = unseal(scene, OFFSETS_FORMAT, receiver, number, packet)
    if len(payload) < _COUNT.size:
        raise PacketError(receiver, "it ends early: it has no payload")
    (num_links,) = _COUNT.unpack_from(payload)
    end = _COUNT.size + num_links * _LINK.size
    if len(payload) < end:
        raise PacketError(receiver, f"it ends early: {num_links} links take {end} bytes")

    # Offsets of other transmitters of the band: the station's own signal has one clock.
    offsets = {}
    for place in range(_COUNT.size, end, _LINK.size):
        index, timing_s, frequency_hz = _LINK.unpack_from(payload, place)
        if index >= len(scene.transmitters) or scene.transmitters[index].name == receiver:
            raise PacketError(receiver, f"a clock offset names transmitter {index}")
        if not (math.isfinite(timing_s) and math.isfinite(frequency_hz)):
            raise PacketError(receiver, "its clock offsets are not finite")
        offsets[index] = ClockOffset(timing_s, frequency_hz, np.zeros((2, 2)))
    return payload[end:], offsets
