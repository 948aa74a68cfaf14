"""Packets of parameters: 96 bits a target and a byte for its transmitter; what makes no sense is
refused.
"""

from dataclasses import astuple, replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import OVERHEAD_BITS, PacketError, seal
from cooperative_isac.fronthaul.parameter_packet import TARGET, pack_parameters, unpack_parameters
from cooperative_isac.sensing.path_parameters import PathParameters

FORMAT, NUMBER = 33, 77
TARGETS = (
    PathParameters(1, 1.25, 83.5, -11.75),
    PathParameters(0, 0.0, 64.125, 20.0),
    PathParameters(0, np.pi, 99.0, 0.0),
)


def refused(scene, packet):
    with pytest.raises(PacketError) as caught:
        unpack_parameters(scene, FORMAT, "rx2", NUMBER, packet)
    assert caught.value.receiver == "rx2"
    return str(caught.value)


@pytest.mark.parametrize("count", range(4))
def test_parameters_are_kept_in_single_precision(small, count):
    packet = pack_parameters(small, FORMAT, "rx2", NUMBER, TARGETS[:count])
    assert 8 * len(packet) == OVERHEAD_BITS + count * (96 + 8)
    found = unpack_parameters(small, FORMAT, "rx2", NUMBER, packet)
    assert [target.transmitter for target in found] == [
        target.transmitter for target in TARGETS[:count]
    ]
    for sent, came in zip(TARGETS, found):
        assert came.angle_rad == pytest.approx(sent.angle_rad, rel=1e-6)
        assert (came.range_m, came.range_rate_mps) == (sent.range_m, sent.range_rate_mps)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"transmitter": 2}, "it names transmitter 2 of 2"),
        ({"angle_rad": -0.1}, "its angle is -0.1; must be between 0 and 3.142"),
        ({"range_m": float("nan")}, "its range is nan; must be between 0 and"),
        ({"range_m": 1e4}, "its range is 10000; must be between 0 and"),
        ({"range_rate_mps": -100.0}, "its range rate is 100; must be between 0 and 60"),
        ({"range_rate_mps": float("inf")}, "its range rate is inf"),
    ],
)
def test_impossible_parameters_are_refused(small, change, reason):
    packet = pack_parameters(
        small, FORMAT, "rx2", NUMBER, [TARGETS[0], replace(TARGETS[1], **change)]
    )
    assert reason in refused(small, packet)


def test_damage_is_refused(small):
    packet = pack_parameters(small, FORMAT, "rx2", NUMBER, TARGETS)
    assert "checksum" in refused(small, packet[:-1]) and "checksum" in refused(small, b"")
    assert "no whole number of targets" in refused(
        small, seal(small, FORMAT, "rx2", NUMBER, bytes(14))
    )
    assert "its format is 34" in refused(small, pack_parameters(small, 34, "rx2", NUMBER, TARGETS))


def test_too_many_targets_are_neither_sent_nor_decoded(small):
    most = small.sensing.max_targets
    many = [TARGETS[0]] * (most + 3)
    packet = pack_parameters(small, FORMAT, "rx2", NUMBER, many)
    assert len(unpack_parameters(small, FORMAT, "rx2", NUMBER, packet)) == most
    payload = b"".join(TARGET.pack(*astuple(target)) for target in many)
    words = refused(small, seal(small, FORMAT, "rx2", NUMBER, payload))
    assert f"it has {most + 3} targets; sensing.max_targets of the scene allows {most}" in words
