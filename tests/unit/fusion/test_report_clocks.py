"""Synchronization of single paths at the center, against the offsets that they were made with."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion import report_clocks
from cooperative_isac.fusion.points import fuse_reports
from cooperative_isac.fusion.report_clocks import ReportClocks
from cooperative_isac.fusion.reports import links_of
from cooperative_isac.fusion.single_paths import (
    StationReports,
    corrected_reports,
    path_clocks,
    single_paths,
)
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, point_on_ray
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.sensing.report import EchoReport, PathReport

# Far from the lines between stations, on which a path is hardly longer than the direct one.
TARGETS = (
    ((18.0, 34.0, 15.0), (3.0, 3.0, 0.0)),
    ((44.0, 28.0, 12.0), (4.0, 5.0, 1.0)),
    ((28.0, 48.0, 20.0), (2.0, -3.0, 0.0)),
)
# Clocks of the stations: timing in m, carriers in Hz.
TIMING_M = np.array([0.0, 15.0, -24.0, 6.0])
CARRIER_HZ = np.array([0.0, 200.0, -150.0, 320.0])
# Errors of what the stations know of their links.
COARSE_M = 0.3
COARSE_HZ = 30.0
SNR = 300.0
MODES = ("active_observation", "both_directions")


def scene_of(mode):
    scene = load_scene("multi_bs")
    return replace(scene, sensing=replace(scene.sensing, synchronization=mode))


def true_offset(receiver, transmitter):
    """Timing (s) and carrier offset (Hz) of a link between two stations, by their indices."""
    timing_m = TIMING_M[receiver] - TIMING_M[transmitter]
    return timing_m / SPEED_OF_LIGHT_MPS, CARRIER_HZ[transmitter] - CARRIER_HZ[receiver]


def information(path, of_departure=0.0):
    """Information (1/m^2) of a location by the length of its path and its directions."""
    arrival = np.eye(3) - np.outer(path.aoa, path.aoa)
    departure = np.eye(3) - np.outer(path.aod, path.aod)
    length = np.outer(path.range_gradient, path.range_gradient)
    return 400.0 * length + 20.0 * arrival + of_departure * departure


def packets_of(scene, rng, elapsed_s=0.0):
    """Exact paths of all targets, as stations fit them with coarse offsets."""
    packets = {}
    for rx, receiver in enumerate(scene.receivers):
        reports = []
        offsets = {}
        for tx, transmitter in enumerate(scene.transmitters):
            timing_s, frequency_hz = true_offset(rx, tx) if rx != tx else (0.0, 0.0)
            error_m = 0.0 if rx == tx else COARSE_M * rng.standard_normal()
            error_hz = 0.0 if rx == tx else COARSE_HZ * rng.standard_normal()
            if rx != tx:
                offsets[tx] = ClockOffset(
                    timing_s + error_m / SPEED_OF_LIGHT_MPS, frequency_hz + error_hz, np.eye(2)
                )
            for position_m, velocity_mps in TARGETS:
                velocity_mps = np.array(velocity_mps)
                point_m = np.array(position_m) + elapsed_s * velocity_mps
                wavelength_m = scene.grid.wavelength_m
                path = link_geometry(transmitter, receiver, point_m, velocity_mps, wavelength_m)
                seen_m = point_on_ray(
                    transmitter.position_m,
                    receiver.position_m,
                    path.aoa,
                    np.array(path.range_m - error_m),
                )
                seen = link_geometry(transmitter, receiver, seen_m, velocity_mps, wavelength_m)
                one = PathReport(tx, float(path.doppler_hz) - error_hz, SNR, information(seen))
                reports.append(EchoReport(receiver.name, seen_m, (one,), scene.band))
        packets[receiver.name] = StationReports(tuple(reports), offsets)
    return packets


@pytest.mark.parametrize("mode", MODES)
def test_offsets_and_targets_of_exact_paths_are_exact(mode):
    scene = scene_of(mode)
    clocks = ReportClocks(scene, links_of(scene))
    rng = np.random.default_rng(3)
    for number in range(5):
        elapsed_s = number / 4
        detections = clocks.located(packets_of(scene, rng, elapsed_s), elapsed_s)
    assert len(detections) == 3
    for position_m, velocity_mps in TARGETS:
        expected_m = np.array(position_m) + elapsed_s * np.array(velocity_mps)
        nearest = min(
            detections, key=lambda one, at=expected_m: np.linalg.norm(one.position_m - at)
        )
        assert np.linalg.norm(nearest.position_m - expected_m) < 0.02
        assert np.linalg.norm(nearest.velocity_mps - velocity_mps) < 0.05
        assert len(nearest.links) == 16
        # The errors of the offsets do not weaken the echoes.
        assert nearest.snr_db == pytest.approx(10 * np.log10(16 * SNR))

    names = [site.name for site in scene.transmitters]
    for receiver, links in clocks.predicted(elapsed_s).items():
        assert len(links) == 3
        for tx, offset in links.items():
            timing_s, frequency_hz = true_offset(names.index(receiver), tx)
            assert offset.delay_s == pytest.approx(timing_s, abs=0.02 / SPEED_OF_LIGHT_MPS)
            assert offset.frequency_hz == pytest.approx(frequency_hz, abs=3.0)


@pytest.mark.parametrize("mode", MODES)
def test_paths_shorter_than_the_direct_one_are_left_out(mode):
    scene = scene_of(mode)
    clocks = ReportClocks(scene, links_of(scene))
    rng = np.random.default_rng(4)
    for number in range(4):
        packets = packets_of(scene, rng, number / 4)
        clocks.located(packets, number / 4)

    # A ghost between two stations, whose path ends before the direct one with the offsets known.
    middle_m = (scene.transmitters[0].position_m + scene.receivers[1].position_m) / 2 + [0, 1, 0]
    ghost = EchoReport("bs2", middle_m, (PathReport(0, 0.0, SNR, np.eye(3)),), scene.band)
    given = packets["bs2"].offsets[0]
    offsets = packets["bs2"].offsets | {0: replace(given, delay_s=given.delay_s - 10e-9)}
    packets = packets_of(scene, rng, 1.0)
    packets["bs2"] = StationReports((*packets["bs2"].reports, ghost), offsets)
    assert len(clocks.located(packets, 1.0)) == 3


def test_ghosts_of_two_stations_are_no_targets_before_links_are_synchronized():
    scene = scene_of("active_observation")
    clocks = ReportClocks(scene, links_of(scene))
    packets = packets_of(scene, np.random.default_rng(5))
    own = {
        station: StationReports(
            tuple(
                report
                for report in packet.reports
                if scene.transmitters[report.paths[0].transmitter].name == station
            ),
            {},
        )
        for station, packet in packets.items()
    }
    assert len(clocks.located(own, 0.0)) == 3
    two = {name: packet for name, packet in own.items() if name in ("bs1", "bs3")}
    assert clocks.located(two, 0.25) == ()


@pytest.mark.parametrize("of_departure", [0.0, 40.0])
def test_locations_are_the_likeliest_of_the_corrected_length(of_departure):
    scene = scene_of("active_observation")
    transmitter = scene.transmitters[0]
    receiver = scene.receivers[1]
    point_m = np.array(TARGETS[0][0])
    path = link_geometry(transmitter, receiver, point_m, np.zeros(3), scene.grid.wavelength_m)

    # The fit of a path whose length has an error: it keeps the directions as far as it can.
    error_m = 0.2
    with_length = np.linalg.solve(information(path, of_departure), path.range_gradient)
    per_meter = with_length / (path.range_gradient @ with_length)
    seen_m = point_m - error_m * per_meter
    seen = link_geometry(transmitter, receiver, seen_m, np.zeros(3), scene.grid.wavelength_m)
    one = PathReport(0, 0.0, SNR, information(seen, of_departure))
    report = EchoReport(receiver.name, seen_m, (one,), scene.band)
    exact = ClockOffset(0.0, 0.0, np.zeros((2, 2)))
    given = replace(exact, delay_s=error_m / SPEED_OF_LIGHT_MPS)
    packets = {receiver.name: StationReports((report,), {0: given})}
    paths = single_paths(scene, packets)
    clocks = path_clocks(paths, {receiver.name: {0: exact}}, {})
    found, _, _ = corrected_reports(scene, paths, clocks)
    assert np.linalg.norm(found.point_m[0] - point_m) < 0.01

    # Along the direction of arrival alone, a direction of departure would be left out.
    along_m = point_on_ray(
        transmitter.position_m, receiver.position_m, seen.aoa, np.array(path.range_m)
    )
    is_on_ray = np.linalg.norm(along_m - point_m) < 0.01
    assert is_on_ray == (of_departure == 0.0)


def test_frames_of_synchronized_links_are_fused_once(monkeypatch):
    scene = scene_of("both_directions")
    clocks = ReportClocks(scene, links_of(scene))
    fused = []

    def counted(scene, reports, received):
        fused.append(len(reports))
        return fuse_reports(scene, reports, received)

    monkeypatch.setattr(report_clocks, "fuse_reports", counted)
    rng = np.random.default_rng(6)
    for number in range(5):
        fused.clear()
        clocks.located(packets_of(scene, rng, number / 4), number / 4)
        if number == 0:
            # All paths as measured, then those of the stations' own signals.
            assert fused == [48, 12]
    assert fused == [48]
