"""Packets of raw echoes: restored bit by bit, or refused."""

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS, PacketError, seal
from cooperative_isac.fronthaul.raw_packet import RAW_ECHO, pack_echo, unpack_echo
from cooperative_isac.scene.describe import raw_bits
from cooperative_isac.waveform.signal import comb

NUMBER = 77


@pytest.fixture
def echo(small):
    shape = small.receivers[1].num_ant, small.grid.num_subcarriers, small.grid.num_symbols
    return (
        np.random.default_rng(0)
        .standard_normal((*shape, 2))
        .astype(np.float32)
        .view(np.complex64)[..., 0]
    )


def refused(scene, packet):
    with pytest.raises(PacketError) as caught:
        unpack_echo(scene, scene.grid, "rx2", NUMBER, packet)
    assert caught.value.receiver == "rx2"
    return str(caught.value)


def test_the_echo_is_restored_at_its_size(small, echo):
    packet = pack_echo(small, "rx2", NUMBER, echo)
    assert np.array_equal(unpack_echo(small, small.grid, "rx2", NUMBER, packet), echo)
    # CF section III-D: 64 M_r N_s T_s bits.
    assert (
        8 * len(packet) - OVERHEAD_BITS == 64 * 8 * 64 * 64 == raw_bits(small, small.receivers[1])
    )


def test_a_comb_of_the_echo_is_smaller(small, echo):
    part = echo[:, ::2, ::2]
    packet = pack_echo(small, "rx2", NUMBER, part)
    assert np.array_equal(unpack_echo(small, comb(small.grid, 2, 2), "rx2", NUMBER, packet), part)
    assert "its echo has 65536 bytes, those of the scene have 262144" in refused(small, packet)


def test_damage_is_refused(small, echo):
    packet = pack_echo(small, "rx2", NUMBER, echo)
    assert "checksum" in refused(small, packet[:-1])
    assert "has 100 bytes" in refused(small, seal(small, RAW_ECHO, "rx2", NUMBER, bytes(100)))
    echo[3, 5, 7] = np.nan
    assert "not finite" in refused(small, pack_echo(small, "rx2", NUMBER, echo))
