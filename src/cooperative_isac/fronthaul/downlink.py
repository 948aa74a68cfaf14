"""The downlink to a station that needs the transmitted signal: packed symbols and precoders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Signal, antenna_slices, with_reference

DOWNLINK_HEADER = np.dtype(
    [("number", "<u8"), ("order", "<u2"), ("streams", "<u2"), ("scale", "<f4")]
)
# Largest level of a precoder in 16 bits, and bytes of its real and imaginary part together.
MAX_LEVEL = 32767
PRECODER_BYTES = 4
# Largest amplitude of a precoder over that of the scene's transmit power: a real transmitter may be
# 20 dB stronger.
MAX_EXCESS_AMPLITUDE = 10.0


def pack_downlink(frame: Signal) -> bytes:
    """Pack symbols at log2(order) bits and precoders at 16 bits a real number, behind a header."""
    # Header; the scale brings the largest real or imaginary part to the largest level.
    parts = frame.precoders.view(np.float32)
    scale = float(np.abs(parts).max()) / MAX_LEVEL
    header = np.array(
        [(frame.number, frame.modulation_order, frame.indices.shape[1], scale)], DOWNLINK_HEADER
    )

    # Precoders and symbols
    precoders = np.rint(parts / np.float32(scale)).astype("<i2")
    labels = pack_labels(frame.indices, _label_width(frame.modulation_order))
    return header.tobytes() + precoders.tobytes() + labels


def pack_frame(frame: Frame) -> bytes:
    """Pack the signals of all bands on the air, one after the other in their order."""
    return b"".join(pack_downlink(signal) for signal in frame.signals.values())


def unpack_frame(scene: Scene, data: bytes, bands: Sequence[str]) -> dict[str, Signal]:
    """Unpack the signals of a frame; the inverse of pack_frame.

    bands: names of the bands on the air
    Returns the signals by band.
    Raises ValueError where the data do not fit the scene.
    """
    signals = {}
    start = 0
    for band in bands:
        # The last signal takes what is left, so that a wrong size is found in it.
        view = scene.on(band)
        is_last = band == bands[-1]
        end = len(data) if is_last else start + downlink_size(view)
        signals[band] = unpack_downlink(view, data[start:end])
        start = end
    return signals


def downlink_size(scene: Scene) -> int:
    """Bytes of a packed signal of the scene's band (pack_downlink)."""
    num_bits = _num_labels(scene) * _label_width(scene.waveform.modulation_order)
    num_label_bytes = -(-num_bits // 8)  # rounded up
    return _body_start(scene) + num_label_bytes


def unpack_downlink(scene: Scene, data: bytes) -> Signal:
    """Unpack a signal; the inverse of pack_downlink.

    Raises ValueError where the data do not fit the scene.
    """
    # Header
    if len(data) < DOWNLINK_HEADER.itemsize:
        raise ValueError(
            f"downlink payload has {len(data)} bytes, "
            f"its header alone needs {DOWNLINK_HEADER.itemsize}"
        )
    header = np.frombuffer(data[: DOWNLINK_HEADER.itemsize], DOWNLINK_HEADER)[0]
    order = int(header["order"])
    streams = int(header["streams"])
    if (order, streams) != (scene.waveform.modulation_order, scene.users.num_users):
        raise ValueError(
            f"downlink payload has {streams} streams of {order}-QAM, "
            f"the scene {scene.users.num_users} of {scene.waveform.modulation_order}-QAM"
        )

    # Scale and size
    largest = MAX_EXCESS_AMPLITUDE * np.sqrt(scene.waveform.power_w) / MAX_LEVEL
    if not 0 < header["scale"] <= largest:
        raise ValueError(
            f"downlink payload scales its precoders by {header['scale']:g}; it must be positive, "
            f"and the scene's transmit power allows {largest:g} at most"
        )
    size = downlink_size(scene)
    if len(data) != size:
        raise ValueError(f"downlink payload has {len(data)} bytes, the scene's frames have {size}")

    # Precoders, from pairs of levels.
    body = _body_start(scene)
    values = np.frombuffer(data[DOWNLINK_HEADER.itemsize : body], "<i2")
    precoders = (values.astype(np.float32) * header["scale"]).view(np.complex64)
    precoders = precoders.reshape(_precoder_shape(scene))

    # Symbols
    grid = scene.grid
    indices = unpack_labels(data[body:], _label_width(order), _num_labels(scene))
    indices = indices.reshape(grid.num_subcarriers, streams, grid.num_symbols)
    antennas = antenna_slices(scene)
    frame = Signal(
        number=int(header["number"]),
        grid=grid,
        precoders=precoders,
        antennas=antennas,
        modulation_order=order,
        indices=indices,
    )
    return with_reference(scene, frame)


def _precoder_shape(scene: Scene) -> tuple[int, int, int]:
    """Shape of the precoders: [num_groups, num_tx_ant, num_streams]."""
    num_groups = scene.grid.num_subcarriers // scene.waveform.group_size
    return num_groups, antenna_slices(scene)[-1].stop, scene.users.num_users


def _body_start(scene: Scene) -> int:
    """Number of bytes before the labels of the symbols."""
    return DOWNLINK_HEADER.itemsize + PRECODER_BYTES * math.prod(_precoder_shape(scene))


def _num_labels(scene: Scene) -> int:
    """Number of payload symbols of a frame."""
    return scene.grid.num_subcarriers * scene.users.num_users * scene.grid.num_symbols


def _label_width(order: int) -> int:
    """Bits of a symbol of a QAM order."""
    return int(np.log2(order))
