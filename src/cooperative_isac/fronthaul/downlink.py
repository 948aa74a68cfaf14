"""What it costs to tell a receive access point what is transmitted: payload symbols and precoders,
packed.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.fronthaul.bits import pack_labels, unpack_labels
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal, antenna_slices, with_reference

HEADER = np.dtype([("number", "<u8"), ("order", "<u2"), ("streams", "<u2"), ("scale", "<f4")])
MAX_LEVEL = 32767
SURPLUS = 10.0  # amplitude that a real transmitter may have over the scene's: 20 dB


def pack_downlink(frame: Signal) -> bytes:
    """Symbols at log2(order) bits and precoders at 16 bits a real number, behind a header."""
    scale = float(np.abs(frame.precoders.view(np.float32)).max()) / MAX_LEVEL
    header = np.array(
        [(frame.number, frame.modulation_order, frame.indices.shape[1], scale)], HEADER
    )
    precoders = np.rint(frame.precoders.view(np.float32) / np.float32(scale)).astype("<i2")
    labels = pack_labels(frame.indices, _label_width(frame.modulation_order))
    return header.tobytes() + precoders.tobytes() + labels


def unpack_downlink(scene: Scene, data: bytes) -> Signal:
    """The frame that pack_downlink packed. ValueError says what does not fit the scene."""
    if len(data) < HEADER.itemsize:
        raise ValueError(
            f"downlink payload has {len(data)} bytes, its header alone needs {HEADER.itemsize}"
        )
    header = np.frombuffer(data[: HEADER.itemsize], HEADER)[0]
    order, streams = int(header["order"]), int(header["streams"])
    if (order, streams) != (scene.waveform.modulation_order, scene.users.num_users):
        raise ValueError(
            f"downlink payload has {streams} streams of {order}-QAM, "
            f"the scene {scene.users.num_users} of {scene.waveform.modulation_order}-QAM"
        )
    largest = SURPLUS * np.sqrt(scene.waveform.power_w) / MAX_LEVEL
    if not 0 < header["scale"] <= largest:
        raise ValueError(
            f"downlink payload scales its precoders by {header['scale']:g}; it must be positive, "
            "and the "
            f"scene's transmit power allows {largest:g} at most"
        )
    grid, antennas = scene.grid, antenna_slices(scene)
    shape = (grid.num_subcarriers // scene.waveform.group_size, antennas[-1].stop, streams)
    body, count = (
        HEADER.itemsize + 4 * int(np.prod(shape)),
        grid.num_subcarriers * streams * grid.num_symbols,
    )
    size = body + -(-count * _label_width(order) // 8)
    if len(data) != size:
        raise ValueError(f"downlink payload has {len(data)} bytes, the scene's frames have {size}")
    values = np.frombuffer(data[HEADER.itemsize : body], "<i2")
    precoders = (values.astype(np.float32) * header["scale"]).view(np.complex64).reshape(shape)
    indices = unpack_labels(data[body:], _label_width(order), count)
    indices = indices.reshape(grid.num_subcarriers, streams, grid.num_symbols)
    frame = Signal(int(header["number"]), grid, order, indices, precoders, antennas)
    return with_reference(scene, frame)


def _label_width(order: int) -> int:
    return int(np.log2(order))
