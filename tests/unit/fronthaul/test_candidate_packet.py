"""Packets with weak candidates: a few bytes each, and the report packet as it is without them."""

import numpy as np
import pytest

from cooperative_isac.fronthaul.candidate_packet import (
    CANDIDATES_FORMAT,
    count_fitting,
    pack_candidates,
    unpack_candidates,
)
from cooperative_isac.fronthaul.envelope import PacketError, packet_format, seal
from cooperative_isac.fronthaul.report_packet import pack_reports
from cooperative_isac.sensing.candidates import NO_CANDIDATES, Candidates

NUMBER = 77


def drawn_candidates(scene, count):
    """Random candidates in the box of a scene."""
    generator = np.random.default_rng(3)
    point_m = generator.uniform(scene.box.low_m, scene.box.high_m, (count, 3))
    point_m[:, scene.dimension :] = scene.plane_height_m
    limit_hz = 2 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
    return Candidates(
        transmitter=generator.integers(len(scene.transmitters), size=count),
        point_m=point_m,
        doppler_hz=generator.uniform(-limit_hz, limit_hz, count),
        power=generator.uniform(5.0, 30.0, count),
    )


@pytest.mark.parametrize("name", ["small", "tilted"])
def test_candidates_survive_within_half_a_step(name, request):
    scene = request.getfixturevalue(name)
    receiver = scene.receivers[0].name
    sent = drawn_candidates(scene, 20)
    reports = pack_reports(scene, receiver, NUMBER, ())
    packet = pack_candidates(scene, receiver, NUMBER, reports, sent)
    assert packet_format(receiver, packet) == CANDIDATES_FORMAT

    inner, found = unpack_candidates(scene, receiver, NUMBER, packet)
    assert inner == reports
    assert found.transmitter.tolist() == sent.transmitter.tolist()
    side_m = (scene.box.high_m - scene.box.low_m).max()
    np.testing.assert_allclose(found.point_m, sent.point_m, atol=1.5 * side_m / 1023 / 2)
    limit_hz = 2 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
    limit_hz += scene.grid.doppler_resolution_hz / 2
    np.testing.assert_allclose(found.doppler_hz, sent.doppler_hz, atol=limit_hz / 511 + 1e-9)
    np.testing.assert_allclose(
        10 * np.log10(found.power), 10 * np.log10(sent.power), atol=0.25 + 1e-9
    )


@pytest.mark.parametrize("most_bits", [300, 1000, 4000])
def test_bit_budget_is_used_and_kept(tilted, most_bits):
    receiver = tilted.receivers[0].name
    reports = pack_reports(tilted, receiver, NUMBER, ())
    count = count_fitting(tilted, reports, most_bits)
    packet = pack_candidates(tilted, receiver, NUMBER, reports, drawn_candidates(tilted, count))
    assert most_bits - 80 < 8 * len(packet) <= most_bits


def test_budget_below_the_reports_leaves_no_candidates(tilted):
    reports = pack_reports(tilted, tilted.receivers[0].name, NUMBER, ())
    assert count_fitting(tilted, reports, 100) == 0


def test_packet_without_candidates_round_trips(small):
    reports = pack_reports(small, "rx1", NUMBER, ())
    packet = pack_candidates(small, "rx1", NUMBER, reports, NO_CANDIDATES)
    inner, found = unpack_candidates(small, "rx1", NUMBER, packet)
    assert (inner, len(found)) == (reports, 0)


def test_damaged_packets_are_refused(small):
    reports = pack_reports(small, "rx1", NUMBER, ())
    packet = pack_candidates(small, "rx1", NUMBER, reports, drawn_candidates(small, 3))
    for place in range(len(packet)):
        damaged = bytearray(packet)
        damaged[place] ^= 4
        with pytest.raises(PacketError):
            unpack_candidates(small, "rx1", NUMBER, bytes(damaged))
        with pytest.raises(PacketError):
            unpack_candidates(small, "rx1", NUMBER, packet[:place])


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"\x00\x04abc", b"\x00\x00", b"\x00\x00\x02abc", b"\x00\x00\x00a"],
)
def test_payloads_of_wrong_length_are_refused(small, payload):
    packet = seal(small, CANDIDATES_FORMAT, "rx1", NUMBER, payload)
    with pytest.raises(PacketError):
        unpack_candidates(small, "rx1", NUMBER, packet)
