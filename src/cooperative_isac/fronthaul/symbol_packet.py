"""Packets of echoes with a few bits a sample, and the clock offsets of their links.

Format 39 in fronthaul.envelope, for scenes of one band:

    payload  an echo
    echo     width 8 | scale float32 | timing float32, carrier float32 of each link | samples

Format 41, for scenes of several bands, of which those on the air are in the packet:

    payload  bands 8 | a section for each, in the order of the scene
    section  band 8 | an echo

A sample has two labels of `width` bits, of its real and its imaginary part. Echoes below the noise
lose 2.0, 0.5 and 0.2 dB of SNR with 1, 2 and 3 bits (Max, IRE Trans. Inf. Theory 6(1), 1960).

The echo of a target near an array is above the noise: with so few bits its strongest samples would
be clipped, and noise would not hide the steps, so that distortion has peaks like targets. Such an
echo has steps below the noise, and as many bits as its largest sample needs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.clocks import ClockOffsets
from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.fronthaul.envelope import PacketError, seal, unseal
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.limits import LARGEST_ECHO_DB
from cooperative_isac.scene.model import Scene

SYMBOLS_FORMAT = 39
SYMBOL_BANDS_FORMAT = 41
FORMATS = (SYMBOLS_FORMAT, SYMBOL_BANDS_FORMAT)

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

# Power of an echo over that of noise, from which it has steps below the noise: weaker targets leave
# no peaks of distortion (measured).
LOUD_LEVEL = 1.25

# Step for such an echo over the standard deviation of noise in a part: distortion is white
# then, with 2 % of the power of noise.
LOUD_STEP = 0.5

# Width in bits, scale of the samples in sqrt(W).
_HEADER = struct.Struct("<Bf")

# Timing and carrier offset of a link, float32 each.
CLOCK_BYTES = 8


@dataclass(frozen=True)
class BandEcho:
    """Echo of one station on one band, and the clock offsets of its links.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), in noise of the power
        of the band, zero where unknown
    offsets: of the links from all transmitters of the band; None: none, they are synchronous
    """

    samples: np.ndarray
    offsets: ClockOffsets | None = None


def pack_symbols(
    scene: Scene, receiver: str, number: int, echoes: Mapping[str, BandEcho], width: int
) -> bytes:
    """The packet of the echoes of one receiver in frame `number`.

    scene: of one or several bands
    echoes: by name of the band, of those on the air
    width: bits of a real or an imaginary part of an echo below the noise, a key of STEPS
    """
    if len(scene.bands) == 1:
        payload = _pack_echo(echoes[scene.band], width, scene.propagation.noise_power_w)
        return seal(scene, SYMBOLS_FORMAT, receiver, number, payload)

    # A section for each band.
    sections = [
        bytes([index]) + _pack_echo(echoes[view.band], width, view.propagation.noise_power_w)
        for index, view in enumerate(scene.views)
        if view.band in echoes
    ]
    payload = bytes([len(sections)]) + b"".join(sections)
    return seal(scene, SYMBOL_BANDS_FORMAT, receiver, number, payload)


def unpack_symbols(
    scene: Scene, grids: Mapping[str, OfdmGrid], receiver: str, number: int, packet: bytes
) -> dict[str, BandEcho]:
    """The echoes in a packet by name of the band, with clock offsets without phases.

    The samples are those at the middles of the quantizer's steps, in which noise has its power
    before quantization. Clock offsets are there where the scene's stations estimate them.

    scene: of one or several bands
    grids: resource elements of the echoes, by name of the band, of those on the air
    Raises PacketError with the reason why a packet is refused.
    """
    if len(scene.bands) == 1:
        payload = unseal(scene, SYMBOLS_FORMAT, receiver, number, packet)
        reader = _EchoReader(receiver, payload)
        echoes = {scene.band: reader.echo(scene, grids[scene.band])}
        reader.check_end()
        return echoes

    # A section for each band.
    reader = _EchoReader(receiver, unseal(scene, SYMBOL_BANDS_FORMAT, receiver, number, packet))
    echoes = {}
    last = -1
    for _ in range(reader.byte()):
        index = reader.byte()
        if not last < index < len(scene.bands):
            raise PacketError(
                receiver, f"it has band {index} after band {last}, of {len(scene.bands)}"
            )
        last = index

        # Echo of the band.
        view = scene.views[index]
        is_receiver = any(site.name == receiver for site in view.receivers)
        if not is_receiver or view.band not in grids:
            raise PacketError(receiver, f"it has an echo of band '{view.band}', which has none")
        echoes[view.band] = reader.echo(view, grids[view.band])
    reader.check_end()
    return echoes


def _pack_echo(echo: BandEcho, width: int, noise_power_w: float) -> bytes:
    """Fields of one echo.

    width: bits of an echo below the noise
    noise_power_w: of a sample, above which an echo has more bits
    """
    # Real and imaginary parts, and their standard deviation over the known samples.
    parts = np.ascontiguousarray(echo.samples, np.complex64).view(np.float32)
    num_known = max(np.count_nonzero(parts), 1)
    power = float(np.sum(np.square(parts, dtype=float))) / num_known
    scale = max(float(np.sqrt(power)), np.finfo(np.float32).tiny)
    if 2 * power > LOUD_LEVEL * noise_power_w:
        largest = float(np.max(np.abs(parts)))
        width, scale = _loud_quantizer(largest, noise_power_w, width)
    step, _ = STEPS[width]

    # Labels of the steps from the lowest one.
    lowest = -(1 << (width - 1))
    highest_label = (1 << width) - 1
    steps = np.floor(parts / np.float32(step * scale))
    labels = np.nan_to_num(steps - lowest)
    labels = np.clip(labels, 0, highest_label).astype(np.uint8)

    # Clock offsets, those of one link after the other.
    clocks = b""
    if echo.offsets is not None:
        by_link = np.column_stack([echo.offsets.timing_s, echo.offsets.frequency_hz])
        clocks = by_link.astype("<f4").tobytes()
    return _HEADER.pack(width, scale) + clocks + pack_labels(labels, width)


def _loud_quantizer(largest: float, noise_power_w: float, least: int) -> tuple[int, float]:
    """Width and scale of the quantizer of an echo above the noise.

    largest: largest absolute value of a part
    least: bits at least
    """
    # Fewest bits with which the largest part fits into steps below the noise.
    step = LOUD_STEP * float(np.sqrt(noise_power_w / 2))
    needed = 1 + int(np.ceil(np.log2(largest / step)))
    width = min(max(needed, least), max(STEPS))

    # Larger steps where no packet has as many bits.
    step = max(step, largest / (1 << (width - 1)))
    return width, step / STEPS[width][0]


class _EchoReader:
    """Reads the echoes of a payload one after another.

    receiver: that sent it, for errors
    """

    def __init__(self, receiver: str, payload: bytes):
        self._receiver = receiver
        self._payload = payload
        self._position = 0

    def byte(self) -> int:
        """The next byte."""
        return self._next(1)[0]

    def echo(self, view: Scene, grid: OfdmGrid) -> BandEcho:
        """The next echo.

        view: the scene on its band
        grid: its resource elements
        """
        width, scale = _HEADER.unpack(self._next(_HEADER.size))
        if width not in STEPS:
            raise PacketError(
                self._receiver, f"its samples have {width} bits, expected 1 to {max(STEPS)}"
            )

        # Scale, which is at most that of the largest echo.
        largest = np.sqrt(10 ** (LARGEST_ECHO_DB / 10) * view.propagation.noise_power_w)
        if not 0 <= scale <= largest:
            raise PacketError(
                self._receiver, f"the scale {scale:g} of its samples is no level of an echo"
            )
        offsets = self._offsets(view)

        # Labels of the samples, which fill whole bytes, rounded up.
        shape = (view.receiver(self._receiver).num_ant, grid.num_subcarriers, grid.num_symbols)
        num_parts = 2 * int(np.prod(shape))
        labels = unpack_labels(self._next(-(-num_parts * width // 8)), width, num_parts)

        # Samples at the middles of their steps; noise gets back the variance that it lost.
        step, lost = STEPS[width]
        levels = (labels + np.float32(0.5 - (1 << (width - 1)))) * np.float32(step * scale)
        levels *= np.float32(1 / np.sqrt(1 - lost))
        return BandEcho(levels.view(np.complex64).reshape(shape), offsets)

    def check_end(self) -> None:
        """Raise PacketError where bytes follow the last echo."""
        left = len(self._payload) - self._position
        if left:
            raise PacketError(self._receiver, f"{left} bytes follow its last echo")

    def _offsets(self, view: Scene) -> ClockOffsets | None:
        """Clock offsets of the next echo, where stations send them."""
        if view.sensing.synchronization != "line_of_sight":
            return None
        num_links = len(view.transmitters)
        clocks = np.frombuffer(self._next(CLOCK_BYTES * num_links), "<f4")
        if not np.isfinite(clocks).all():
            raise PacketError(self._receiver, "its clock offsets are not finite")
        timing_s, frequency_hz = clocks.reshape(-1, 2).astype(float).T
        return ClockOffsets(timing_s, frequency_hz, np.zeros(num_links))

    def _next(self, size: int) -> bytes:
        """The next bytes of the payload."""
        end = self._position + size
        if end > len(self._payload):
            raise PacketError(
                self._receiver,
                f"it ends early: {len(self._payload)} bytes of payload, its echoes need {end}",
            )
        part = self._payload[self._position : end]
        self._position = end
        return part
