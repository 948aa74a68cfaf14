"""Packets of echoes with a few bits a sample, and the clock offsets of their links.

Format 39 in fronthaul.envelope:

    payload  width 8 | scale float32 | timing float32, carrier float32 of each link | samples

A sample has two labels of `width` bits, of its real and its imaginary part. Echoes are below the
noise, whose quantization costs 2.0, 0.5 and 0.2 dB of SNR with 1, 2 and 3 bits (Max, IRE Trans.
Inf. Theory 6(1), 1960).
"""

from __future__ import annotations

import struct

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.limits import LARGEST_ECHO_DB
from cooperative_isac.scene.model import Scene

SYMBOLS_FORMAT = 39

# Uniform quantizers of least distortion for Gaussian samples of unit variance, by width in bits:
# step, and share of the variance that is lost.
STEPS = {
    1: (1.5958, 0.3634),
    2: (0.9957, 0.1188),
    3: (0.5860, 0.03744),
    4: (0.3352, 0.01154),
    5: (0.1881, 0.00350),
    6: (0.1041, 0.00104),
    7: (0.0569, 0.00030),
    8: (0.0308, 0.00009),
}

# Width in bits, scale of the samples in sqrt(W).
_HEADER = struct.Struct("<Bf")

# Timing and carrier offset of a link, float32 each.
CLOCK_BYTES = 8


def pack_symbols(
    scene: Scene,
    receiver: str,
    number: int,
    echo: np.ndarray,
    width: int,
    offsets: ClockOffsets | None = None,
) -> bytes:
    """The packet of one receiver's echo in frame `number`.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), zero where unknown
    width: bits of a real or an imaginary part, a key of STEPS
    offsets: clock offsets of the links from all transmitters; None: none are sent
    """
    # Real and imaginary parts, and their standard deviation over the known samples.
    step, _ = STEPS[width]
    parts = np.ascontiguousarray(echo, np.complex64).view(np.float32)
    num_known = max(np.count_nonzero(parts), 1)
    power = float(np.sum(np.square(parts, dtype=float))) / num_known
    scale = max(float(np.sqrt(power)), np.finfo(np.float32).tiny)

    # Labels of the steps from the lowest one.
    lowest = -(1 << (width - 1))
    highest_label = (1 << width) - 1
    steps = np.floor(parts / np.float32(step * scale))
    labels = np.nan_to_num(steps - lowest)
    labels = np.clip(labels, 0, highest_label).astype(np.uint8)

    # Clock offsets, those of one link after the other.
    clocks = b""
    if offsets is not None:
        by_link = np.column_stack([offsets.timing_s, offsets.frequency_hz])
        clocks = by_link.astype("<f4").tobytes()
    payload = _HEADER.pack(width, scale) + clocks + pack_labels(labels, width)
    return seal(scene, SYMBOLS_FORMAT, receiver, number, payload)


def unpack_symbols(
    scene: Scene, grid: OfdmGrid, receiver: str, number: int, packet: bytes
) -> tuple[np.ndarray, ClockOffsets | None]:
    """The echo in a packet, and the clock offsets of its links, without phases.

    grid: resource elements of the echo
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), in which noise has its
    power before quantization; and offsets where the scene's stations estimate them.
    Raises PacketError with the reason why a packet is refused.
    """
    payload = unseal(scene, SYMBOLS_FORMAT, receiver, number, packet)
    if len(payload) < _HEADER.size:
        raise PacketError(receiver, f"it ends early: {len(payload)} bytes of payload")
    width, scale = _HEADER.unpack_from(payload)
    if width not in STEPS:
        raise PacketError(receiver, f"its samples have {width} bits, expected 1 to {max(STEPS)}")

    # Expected size; bits of the samples fill whole bytes, rounded up.
    shape = (scene.receiver(receiver).num_ant, grid.num_subcarriers, grid.num_symbols)
    num_parts = 2 * int(np.prod(shape))
    num_links = len(scene.transmitters) if scene.sensing.synchronization == "line_of_sight" else 0
    begin = _HEADER.size + CLOCK_BYTES * num_links
    num_bytes = begin + -(-num_parts * width // 8)
    if len(payload) != num_bytes:
        raise PacketError(
            receiver, f"its echo has {len(payload)} bytes, those of the scene have {num_bytes}"
        )

    # Scale, which is at most that of the largest echo.
    largest = np.sqrt(10 ** (LARGEST_ECHO_DB / 10) * scene.propagation.noise_power_w)
    if not 0 <= scale <= largest:
        raise PacketError(receiver, f"the scale {scale:g} of its samples is no level of an echo")

    # Samples at the middles of their steps; noise gets back the variance that it lost.
    step, lost = STEPS[width]
    labels = unpack_labels(payload[begin:], width, num_parts)
    levels = (labels + np.float32(0.5 - (1 << (width - 1)))) * np.float32(step * scale)
    levels *= np.float32(1 / np.sqrt(1 - lost))
    echo = levels.view(np.complex64).reshape(shape)

    # Clock offsets
    if not num_links:
        return echo, None
    clocks = np.frombuffer(payload[_HEADER.size : begin], "<f4").reshape(-1, 2).astype(float)
    if not np.isfinite(clocks).all():
        raise PacketError(receiver, "its clock offsets are not finite")
    return echo, ClockOffsets(clocks[:, 0], clocks[:, 1], np.zeros(num_links))
