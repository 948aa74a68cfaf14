"""Packets of reports: restored within the quantizers' steps, or refused where damaged."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cooperative_isac.fronthaul.envelope import PacketError, packet_format, with_checksum
from cooperative_isac.fronthaul.report_packet import (
    BANDS_FORMAT,
    HEADER_FIELDS,
    HEADER_VERSION,
    MAX_REPORTS,
    doppler_quantizer,
    location_quantizers,
    pack_reports,
    unpack_reports,
)
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport

SCENES = ["small", "tilted"]
NUMBER = 77


def some_reports(scene, count, seed=0):
    """Reports of receiver rx2 at random places, the strongest first."""
    generator, size = np.random.default_rng(seed), scene.dimension
    reports = []
    for strength in np.linspace(40, 20, count):
        point = generator.uniform(scene.box.low_m, scene.box.high_m)
        root = generator.standard_normal((2, size, size)) * 10
        paths = tuple(
            PathReport(
                tx,
                generator.uniform(-2000, 2000),
                10 ** (strength / 10),
                root[tx] @ root[tx].T + np.eye(size),
            )
            for tx in (0, 1)
        )
        reports.append(EchoReport("rx2", point, paths[int(generator.integers(2)) :]))
    return tuple(reports)


@pytest.fixture(params=SCENES)
def scene(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def packet(scene):
    return pack_reports(scene, "rx2", NUMBER, some_reports(scene, 3))


def reason(scene, packet, receiver="rx2", number=NUMBER):
    """The reason why a packet is refused; the error must name its receiver."""
    with pytest.raises(PacketError) as caught:
        unpack_reports(scene, receiver, number, packet)
    assert caught.value.receiver == receiver
    assert str(caught.value).startswith(f"packet of '{receiver}' refused: ")
    return str(caught.value)


def test_reports_by_way_of_surfaces_have_sections_of_their_own():
    scene = load_scene("side_street")
    place_m = np.array([60.0, -30.0, 1.0])
    path = PathReport(1, 500.0, 1000.0, np.eye(3))
    reports = tuple(
        EchoReport("bs1", place_m, (path,), "high", surface) for surface in (None, 10, 7, 10)
    )
    found = unpack_reports(scene, "bs1", NUMBER, pack_reports(scene, "bs1", NUMBER, reports))
    assert [report.surface for report in found] == [None, 7, 10, 10]
    assert all(np.allclose(report.point_m, place_m, atol=1e-4) for report in found)

    # A center that ignores reflections does not know the sections.
    ignoring = replace(scene, sensing=replace(scene.sensing, reflections="ignore"))
    packet = pack_reports(scene, "bs1", NUMBER, reports)
    assert "it names section 2 of 1" in reason(ignoring, packet, "bs1")


@pytest.mark.parametrize("count", [0, 1, 3, MAX_REPORTS])
def test_reports_are_restored_within_half_a_step(scene, count):
    reports = some_reports(scene, count)
    found = unpack_reports(scene, "rx2", NUMBER, pack_reports(scene, "rx2", NUMBER, reports))
    assert len(found) == count
    steps = np.array([quantizer.step for quantizer in location_quantizers(scene)])
    for sent, came in zip(reports, found):
        assert came.receiver == "rx2" and came.point_m.shape == (3,)
        assert np.all(np.abs(came.point_m - sent.point_m)[: scene.dimension] <= 0.51 * steps)
        assert [path.transmitter for path in came.paths] == [
            path.transmitter for path in sent.paths
        ]
        for before, after in zip(sent.paths, came.paths):
            assert abs(after.doppler_hz - before.doppler_hz) <= 0.51 * doppler_quantizer(scene).step
            assert after.power == pytest.approx(before.power, rel=0.01)
            assert np.allclose(
                after.information, before.information, atol=0.05 * before.information.max()
            )


@pytest.mark.parametrize("bits", [6, 10, 14])
def test_narrow_fields_save_bits_and_count_their_rounding(scene, bits):
    narrow = replace(scene, sensing=replace(scene.sensing, report_bits=bits))
    (report,) = some_reports(scene, 1)
    packet = pack_reports(narrow, "rx2", NUMBER, [report])

    # Each location axis and each Doppler shift has fewer bits.
    num_fields = scene.dimension + len(report.paths)
    most = 8 * len(pack_reports(scene, "rx2", NUMBER, [report]))
    assert abs(most - 8 * len(packet) - num_fields * (16 - bits)) < 8

    # Covariance of the location: that of the estimate and that of the steps, each uniform.
    (found,) = unpack_reports(narrow, "rx2", NUMBER, packet)
    steps_m = np.array([quantizer.step for quantizer in location_quantizers(narrow, bits)])
    rounding = np.diag(steps_m**2 / 12)
    size = len(report.paths)
    for sent, came in zip(report.paths, found.paths):
        expected = np.linalg.inv(sent.information) + size * rounding
        assert np.allclose(np.linalg.inv(came.information), expected, rtol=0.3)

    # Variance of the Doppler shift: that of the estimate and that of the step.
    step_hz = doppler_quantizer(narrow, bits).step
    unit = doppler_information(scene.grid, 1.0)
    for sent, came in zip(report.paths, found.paths):
        expected_hz2 = 1 / (unit * sent.power) + step_hz**2 / 12
        assert 1 / (unit * came.power) == pytest.approx(expected_hz2, rel=0.02)
        # The SNR is that of the echo.
        assert came.snr == pytest.approx(sent.power, rel=0.02)


def test_steps_are_far_below_the_accuracy(scene):
    assert max(quantizer.step for quantizer in location_quantizers(scene)) < 2e-3
    assert doppler_quantizer(scene).step * scene.grid.wavelength_m < 2e-3


def test_sizes_are_those_of_the_format(small, tilted):
    # Header 65, per report 16 an axis and 2 flags, per path 26 and the information, checksum 32
    # bits.
    for scene, location, information in ((small, 32, 31), (tilted, 48, 63)):
        reports = some_reports(scene, 3)
        num_paths = sum(len(report.paths) for report in reports)
        bits = sum(HEADER_FIELDS.values()) + 3 * (location + 2) + num_paths * (26 + information)
        assert sum(HEADER_FIELDS.values()) == 65
        assert len(pack_reports(scene, "rx2", 0, reports)) == -(-bits // 8) + 4


def test_more_reports_than_the_short_header_counts_are_all_sent(scene):
    reports = some_reports(scene, MAX_REPORTS + 5)
    packet = pack_reports(scene, "rx2", 0, reports)
    assert packet_format("rx2", packet) == BANDS_FORMAT
    found = unpack_reports(scene, "rx2", 0, packet)
    assert len(found) == MAX_REPORTS + 5
    for report, back in zip(reports, found):
        assert back.receiver == "rx2" and back.band == report.band
        assert np.allclose(back.point_m, report.point_m, atol=1e-4)
        assert [path.transmitter for path in back.paths] == [
            path.transmitter for path in report.paths
        ]
        assert back.power == pytest.approx(report.power, rel=0.01)


def test_up_to_that_number_the_header_stays_short(scene):
    for count in (0, 1, MAX_REPORTS):
        packet = pack_reports(scene, "rx2", 0, some_reports(scene, count))
        assert packet_format("rx2", packet) == HEADER_VERSION


def test_reports_outside_the_box_are_left_out(scene):
    inside, outside = some_reports(scene, 2)
    outside = replace(outside, point_m=scene.box.high_m + (scene.box.high_m - scene.box.low_m))
    found = unpack_reports(scene, "rx2", 0, pack_reports(scene, "rx2", 0, (outside, inside)))
    assert len(found) == 1 and np.allclose(found[0].point_m[:2], inside.point_m[:2], atol=0.01)


def test_every_flipped_bit_is_refused(scene, packet):
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        assert "checksum" in reason(scene, bytes(damaged))


def test_every_truncation_is_refused(scene, packet):
    for length in range(len(packet)):
        assert f"{length} bytes" in reason(scene, packet[:length])
    assert "checksum" in reason(scene, packet + b"\0")


def test_a_packet_of_something_else_is_refused(scene, packet):
    assert "its receiver is 1, expected 0" in reason(scene, packet, receiver="rx1")
    assert f"its frame is {NUMBER}, expected {NUMBER + 1}" in reason(
        scene, packet, number=NUMBER + 1
    )
    assert "its scene is" in reason(with_power(scene, 17.0), packet)
    body = bytes([(HEADER_VERSION + 1) << 4 | packet[0] & 15]) + packet[1:-4]
    assert f"its version is {HEADER_VERSION + 1}, expected {HEADER_VERSION}" in reason(
        scene, with_checksum(body)
    )


def test_a_body_of_another_length_than_its_reports_is_refused(scene, packet):
    assert "it ends early" in reason(scene, with_checksum(packet[:-12]))
    assert "bits follow its last report" in reason(scene, with_checksum(packet[:-4] + b"\0\0"))
    assert "it ends early" in reason(scene, with_checksum(b""))


@given(count=st.integers(1, MAX_REPORTS), seed=st.integers(0, 2**32))
def test_any_bits_behind_a_good_header_are_refused_or_valid(tilted, count, seed):
    # 60 bits of a good header, the number of reports, then more bits than they can need.
    head = int.from_bytes(pack_reports(tilted, "rx1", NUMBER, ())[:8], "big") >> 4
    body = ((head << 5 | count) << 7).to_bytes(9, "big") + np.random.default_rng(seed).bytes(1000)
    refused = reason(tilted, with_checksum(body), "rx1")
    if "a report has no path" in refused:
        return
    spare = int(re.search("([0-9]+) bits follow its last report", refused)[1])
    reports = unpack_reports(tilted, "rx1", NUMBER, with_checksum(body[: len(body) - spare // 8]))
    assert len(reports) == count
    for report in reports:
        assert report.paths and np.all(np.isfinite(report.point_m)) and report.power > 0
        np.linalg.cholesky(report.information)


def test_the_frame_number_may_pass_32_bits(scene):
    packet = pack_reports(scene, "rx1", 2**32 + 5, ())
    assert unpack_reports(scene, "rx1", 2**32 + 5, packet) == ()
