"""Packets of single paths with the clock offsets of their links."""

import struct

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fronthaul.envelope import PacketError, seal
from cooperative_isac.fronthaul.offset_packet import OFFSETS_FORMAT, pack_offsets, unpack_offsets
from cooperative_isac.scene.file.config import load_scene

NUMBER = 7
OFFSETS = {
    1: ClockOffset(50e-9, 200.0, np.eye(2)),
    3: ClockOffset(-130e-9, -470.0, np.eye(2)),
}


@pytest.fixture(scope="module")
def scene():
    return load_scene("multi_bs")


def test_reports_and_offsets_arrive(scene):
    packet = pack_offsets(scene, "bs1", NUMBER, b"reports", OFFSETS)
    reports, offsets = unpack_offsets(scene, "bs1", NUMBER, packet)
    assert reports == b"reports"
    assert set(offsets) == {1, 3}
    for index, sent in OFFSETS.items():
        assert offsets[index].delay_s == pytest.approx(sent.delay_s, rel=1e-6)
        assert offsets[index].frequency_hz == pytest.approx(sent.frequency_hz, rel=1e-6)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "it has no payload"),
        (b"\x02" + bytes(9), "2 links take 19 bytes"),
        (b"\x01" + struct.pack("<Bff", 4, 0, 0), "names transmitter 4"),
        (b"\x01" + struct.pack("<Bff", 0, 0, 0), "names transmitter 0"),
        (b"\x01" + struct.pack("<Bff", 1, float("nan"), 0), "not finite"),
    ],
)
def test_damage_is_refused(scene, payload, reason):
    with pytest.raises(PacketError, match=reason):
        unpack_offsets(scene, "bs1", NUMBER, seal(scene, OFFSETS_FORMAT, "bs1", NUMBER, payload))
