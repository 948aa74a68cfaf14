"""Packets are restored, or refused with the receiver's name."""

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import (
    NARROW_HEADER,
    OVERHEAD_BITS,
    PacketError,
    identity,
    seal,
    unseal,
    with_checksum,
)
from cooperative_isac.scene.file.config import with_power

FORMAT, NUMBER = 77, 2**32 + 5
PAYLOAD = np.random.default_rng(0).bytes(50)


@pytest.fixture
def packet(small):
    return seal(small, FORMAT, "rx2", NUMBER, PAYLOAD)


def reason(scene, packet, receiver="rx2", number=NUMBER, format_number=FORMAT):
    with pytest.raises(PacketError, match=f"packet of '{receiver}' refused: ") as caught:
        unseal(scene, format_number, receiver, number, packet)
    assert caught.value.receiver == receiver
    return str(caught.value)


@pytest.mark.parametrize("payload", [PAYLOAD, b""])
def test_the_payload_is_restored(small, payload):
    packet = seal(small, FORMAT, "rx2", NUMBER, payload)
    assert unseal(small, FORMAT, "rx2", NUMBER, packet) == payload
    assert 8 * (len(packet) - len(payload)) == OVERHEAD_BITS == 96


def test_origin_and_frame_are_checked(small, packet):
    assert "its format is 77, expected 78" in reason(small, packet, format_number=78)
    assert "its receiver is 1, expected 0" in reason(small, packet, receiver="rx1")
    assert "its frame is 5, expected 6" in reason(small, packet, number=NUMBER + 1)
    assert "its scene is" in reason(with_power(small, 17.0), packet)


def test_every_flipped_bit_and_every_truncation_is_refused(small, packet):
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        assert "checksum does not fit" in reason(small, bytes(damaged))
    for length in range(len(packet)):
        assert f"{length} bytes; it was damaged or truncated" in reason(small, packet[:length])


def test_a_body_without_a_header_is_refused(small):
    assert "0 bytes, its header alone needs 8" in reason(small, with_checksum(b""))
    assert NARROW_HEADER.size == 8


def test_scenes_have_different_tags(small, tilted):
    assert identity(small, "rx1", 0)["scene"] != identity(tilted, "rx1", 0)["scene"]
