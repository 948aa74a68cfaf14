"""Packets with weak candidates beside the reports of a station.

Format 38 in fronthaul.envelope:

    payload    length of the report packet in bytes 16 | report packet | candidates 8 | each of them
    candidate  transmitter | location 10 per axis | Doppler 9 | power 6

The report packet is the one that is sent without candidates (fronthaul.report_packet).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fronthaul.bits import BitReader, BitWriter
from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS, PacketError, seal, unseal
from cooperative_isac.fronthaul.quantize import Quantizer
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.candidates import NO_CANDIDATES, Candidates

CANDIDATES_FORMAT = 38

# Widths of fields, bits.
REPORTS_LENGTH = 16
NUM_CANDIDATES = 8
MOST_CANDIDATES = (1 << NUM_CANDIDATES) - 1
# A box of 100 m is divided into steps of 0.1 m; the range of a weak path is good to 0.3 m.
LOCATION = 10
# Share of the box beyond each of its sides: weak paths are off by a beam's width, and a location
# that is clipped would have another range.
MARGIN = 0.25
# Steps of a tenth of a resolution cell for 21 m/s at 30 GHz; a weak path's Doppler shift has a
# standard deviation of a sixth of it.
DOPPLER = 9
# Bits that a packet may have beyond its fields: 7 of padding to whole bytes, 8 of a wide header.
MOST_EXTRA_BITS = 15
# Power of a path, dB over noise: from the least power of a candidate to one that is reported.
POWER_DB = Quantizer(5.0, 36.5, 6)


@dataclass(frozen=True)
class _Fields:
    """Fields of a candidate.

    transmitter: bits of the number of a transmitter
    location: quantizers of the axes
    doppler_hz: quantizer of Doppler shifts
    """

    transmitter: int
    location: tuple[Quantizer, ...]
    doppler_hz: Quantizer

    @property
    def width(self) -> int:
        """Bits of a candidate."""
        located = sum(quantizer.width for quantizer in self.location)
        return self.transmitter + located + self.doppler_hz.width + POWER_DB.width


def _fields(scene: Scene) -> _Fields:
    # Largest bistatic Doppler shift that is searched, and half a resolution cell.
    limit_hz = 2 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
    limit_hz += scene.grid.doppler_resolution_hz / 2

    # The box with its margin.
    box = scene.box.padded(MARGIN)
    return _Fields(
        transmitter=(len(scene.transmitters) - 1).bit_length(),
        location=tuple(
            Quantizer(float(box.low_m[axis]), float(box.high_m[axis]), LOCATION)
            for axis in range(scene.dimension)
        ),
        doppler_hz=Quantizer(-limit_hz, limit_hz, DOPPLER),
    )


def count_fitting(scene: Scene, packet: bytes, most_bits: int) -> int:
    """Number of candidates that fit beside a report packet into a number of bits."""
    fixed = OVERHEAD_BITS + REPORTS_LENGTH + 8 * len(packet) + NUM_CANDIDATES
    left = most_bits - fixed - MOST_EXTRA_BITS
    num_fitting = left // _fields(scene).width
    return max(min(num_fitting, MOST_CANDIDATES), 0)


def pack_candidates(
    scene: Scene, receiver: str, number: int, reports: bytes, candidates: Candidates
) -> bytes:
    """A packet with a report packet and candidates.

    scene: with one band
    receiver: name of the receiving station
    number: of the frame
    reports: the packet of fronthaul.report_packet
    candidates: of the station
    Raises ValueError for more than MOST_CANDIDATES.
    """
    # Number of candidates, then the values of each.
    fields = _fields(scene)
    writer = BitWriter()
    writer.write(len(candidates), NUM_CANDIDATES)
    for index in range(len(candidates)):
        writer.write(int(candidates.transmitter[index]), fields.transmitter)
        for quantizer, value in zip(fields.location, candidates.point_m[index]):
            writer.write(quantizer.encode(value), quantizer.width)
        doppler_hz = fields.doppler_hz.encode(candidates.doppler_hz[index])
        writer.write(doppler_hz, fields.doppler_hz.width)
        power_db = POWER_DB.encode(10 * np.log10(candidates.power[index]))
        writer.write(power_db, POWER_DB.width)

    # The report packet goes before them, with its length.
    length = len(reports).to_bytes(REPORTS_LENGTH // 8, "big")
    payload = length + reports + writer.to_bytes()
    return seal(scene, CANDIDATES_FORMAT, receiver, number, payload)


def unpack_candidates(
    scene: Scene, receiver: str, number: int, packet: bytes
) -> tuple[bytes, Candidates]:
    """The report packet in a packet, and its candidates.

    Raises PacketError with the reason why the packet is refused.
    """
    # Report packet, from its length.
    payload = unseal(scene, CANDIDATES_FORMAT, receiver, number, packet)
    first = REPORTS_LENGTH // 8
    end = first + int.from_bytes(payload[:first], "big")
    if len(payload) < end + NUM_CANDIDATES // 8:
        raise PacketError(receiver, f"it ends early: {len(payload)} bytes of payload")

    # Number of candidates, which must take all bytes that are left.
    fields = _fields(scene)
    reader = BitReader(payload[end:])
    count = reader.read(NUM_CANDIDATES)
    expected = -(-(NUM_CANDIDATES + count * fields.width) // 8)  # whole bytes, rounded up
    if len(payload) - end != expected:
        raise PacketError(
            receiver, f"{count} candidates take {expected} bytes, it has {len(payload) - end}"
        )
    if not count:
        return payload[first:end], NO_CANDIDATES

    # Candidates; in a plane all have its height.
    transmitter = np.zeros(count, int)
    point_m = np.zeros((count, 3))
    point_m[:, 2] = scene.plane_height_m
    doppler_hz = np.zeros(count)
    power_db = np.zeros(count)
    for index in range(count):
        transmitter[index] = reader.read(fields.transmitter)
        for axis, quantizer in enumerate(fields.location):
            point_m[index, axis] = quantizer.decode(reader.read(quantizer.width))
        doppler_hz[index] = fields.doppler_hz.decode(reader.read(fields.doppler_hz.width))
        power_db[index] = POWER_DB.decode(reader.read(POWER_DB.width))
    if transmitter.max() >= len(scene.transmitters):
        raise PacketError(receiver, f"a candidate names transmitter {transmitter.max()}")
    return payload[first:end], Candidates(transmitter, point_m, doppler_hz, 10 ** (power_db / 10))
