"""Packets of single paths at the center: those that contradict their format are refused."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fronthaul.offset_packet import pack_offsets
from cooperative_isac.fronthaul.report_packet import pack_reports
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.contract import PacketError
from cooperative_isac.schemes.observed_reports import ObservingDecoder
from cooperative_isac.sensing.report import EchoReport, PathReport

NUMBER = 2
OFFSETS = {1: ClockOffset(50e-9, 200.0, np.eye(2))}


@pytest.fixture(scope="module")
def decoder():
    scene = load_scene("multi_bs")
    sensing = replace(scene.sensing, synchronization="both_directions")
    return ObservingDecoder(replace(scene, sensing=sensing))


def packet_of(scene, transmitters, offsets):
    """A packet of bs1 with one report, of a path from each of some transmitters."""
    paths = tuple(PathReport(index, 50.0, 300.0, 30 * np.eye(3)) for index in transmitters)
    report = EchoReport("bs1", np.array([20.0, 30.0, 12.0]), paths, scene.band)
    reports = pack_reports(scene, "bs1", NUMBER, [report])
    return pack_offsets(scene, "bs1", NUMBER, reports, offsets)


@pytest.mark.parametrize("transmitter", [0, 1])
def test_single_paths_with_their_offsets_arrive(decoder, transmitter):
    frame = make_frame(decoder.scene, NUMBER, 0.5)
    packet = packet_of(decoder.scene, [transmitter], OFFSETS)
    (report,) = decoder.unpack("bs1", packet, frame)
    assert [path.transmitter for path in report.paths] == [transmitter]
    assert decoder.decode({"bs1": packet}, frame) == ()


@pytest.mark.parametrize(
    ("transmitters", "offsets", "reason"),
    [
        ([0, 1], OFFSETS, "has 2 paths instead of one"),
        ([2], OFFSETS, "no clock offset of transmitter 2"),
    ],
)
def test_contradictions_are_refused(decoder, transmitters, offsets, reason):
    frame = make_frame(decoder.scene, NUMBER, 0.5)
    packet = packet_of(decoder.scene, transmitters, offsets)
    with pytest.raises(PacketError, match=reason):
        decoder.decode({"bs1": packet}, frame)
