"""Single paths as arrays: correction by better clock offsets, path by path."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.reports import joined_reports, links_of
from cooperative_isac.fusion.single_paths import (
    FIT_SHARE,
    StationReports,
    corrected_reports,
    path_clocks,
    single_paths,
)
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, point_on_ray
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport


@pytest.fixture(scope="module")
def scene():
    return load_scene("multi_bs")


def offset(rng, common=()):
    """An offset of a link, with a covariance that exceeds that of its common errors."""
    changes = {source: rng.normal(size=(2, 2)) * [[1e-10], [1.0]] for source in common}
    own = np.diag([2e-20, 3.0])
    covariance = own + sum((change @ change.T for change in changes.values()), np.zeros((2, 2)))
    return ClockOffset(rng.normal() * 1e-8, rng.normal() * 100, covariance, changes)


@pytest.fixture(scope="module")
def packets(scene):
    """Paths of two stations on three links each, not in the order of transmitters."""
    rng = np.random.default_rng(2)
    found = {}
    for station in ("bs1", "bs3"):
        reports = []
        for transmitter in (2, 0, 1, 2):
            half = rng.normal(size=(3, 3))
            information = half @ half.T + 50 * np.eye(3)
            path = PathReport(transmitter, rng.normal() * 300, rng.uniform(50, 500), information)
            point_m = rng.uniform([10, 10, 8], [50, 50, 25])
            reports.append(EchoReport(station, point_m, (path,), scene.band))
        names = [site.name for site in scene.transmitters]
        offsets = {index: offset(rng) for index in range(3) if names[index] != station}
        found[station] = StationReports(tuple(reports), offsets)
    return found


def known_offsets(rng):
    """Better offsets of some of the links."""
    return {"bs1": {2: offset(rng, [(0.0, 1.0)])}, "bs3": {0: offset(rng), 1: offset(rng)}}


def corrected_by_loop(scene, report, given, known):
    """Location, information, Doppler shift, SNR and move of a path without its link's offset."""
    path = report.paths[0]
    transmitter = scene.transmitters[path.transmitter]
    receiver = scene.receiver(report.receiver)
    geometry = link_geometry(
        transmitter, receiver, report.point_m, np.zeros(3), scene.grid.wavelength_m
    )
    longer_m = SPEED_OF_LIGHT_MPS * (given.delay_s - known.delay_s)
    range_m = np.array(geometry.range_m + longer_m)
    on_ray_m = point_on_ray(transmitter.position_m, receiver.position_m, geometry.aoa, range_m)
    slope = geometry.aod + geometry.aoa
    covariance = np.linalg.inv(path.information)
    per_meter = covariance @ slope / (slope @ covariance @ slope)
    point_m = on_ray_m + longer_m * (per_meter - geometry.aoa / (slope @ geometry.aoa))

    own = known.covariance.copy()
    for change in known.common.values():
        own -= change @ change.T
    move_mps = -SPEED_OF_LIGHT_MPS * per_meter
    covariance += own[0, 0] * np.outer(move_mps, move_mps)
    covariance += (FIT_SHARE * longer_m) ** 2 * np.eye(3)
    loss = 1 + own[1, 1] * doppler_information(scene.grid, path.power)
    doppler_hz = path.doppler_hz + given.frequency_hz - known.frequency_hz
    return point_m, np.linalg.inv(covariance), doppler_hz, path.power / loss, move_mps


def test_corrected_paths_are_those_of_a_plain_loop(scene, packets):
    known = known_offsets(np.random.default_rng(3))
    paths = single_paths(scene, packets, links_of(scene))
    clocks = path_clocks(paths, known, {})
    reports, chosen, moves_mps = corrected_reports(scene, paths, clocks)

    place = 0
    number = 0
    for station, packet in packets.items():
        for report in packet.reports:
            path = report.paths[0]
            is_own = scene.transmitters[path.transmitter].name == station
            if is_own or path.transmitter in known[station]:
                assert chosen[place] == number
                if is_own:
                    wanted = (report.point_m, path.information, path.doppler_hz, path.power, 0)
                else:
                    given = packet.offsets[path.transmitter]
                    better = known[station][path.transmitter]
                    wanted = corrected_by_loop(scene, report, given, better)
                np.testing.assert_allclose(reports.point_m[place], wanted[0])
                np.testing.assert_allclose(reports.information[place], wanted[1], rtol=1e-6)
                np.testing.assert_allclose(reports.doppler_hz[place], wanted[2])
                np.testing.assert_allclose(reports.snr[place], wanted[3])
                np.testing.assert_allclose(reports.measured_snr[place], path.snr)
                np.testing.assert_allclose(moves_mps[place], wanted[4])
                place += 1
            number += 1
    assert place == len(reports) == 7


def test_common_errors_are_those_of_each_paths_link(scene, packets):
    known = known_offsets(np.random.default_rng(4))
    changes = np.arange(4.0).reshape(2, 2)
    common = {"bs1": {2: changes}, "bs3": {0: 2 * changes, 1: 3 * changes}}
    clocks = path_clocks(single_paths(scene, packets), known, common)
    factors = [1, 0, 0, 1, 0, 2, 3, 0]  # bs1 has no offset of transmitter 1
    for row, factor in zip(clocks.common, factors, strict=True):
        np.testing.assert_array_equal(row, factor * changes)
    assert clocks.is_known.tolist() == [True, True, False, True, True, True, True, True]


def test_paths_that_end_at_the_receiver_are_left_out(scene, packets):
    known = known_offsets(np.random.default_rng(5))
    late = replace(known["bs1"][2], delay_s=1e-6)
    paths = single_paths(scene, packets)
    clocks = path_clocks(paths, {**known, "bs1": {2: late}}, {})
    _, chosen, _ = corrected_reports(scene, paths, clocks)
    assert chosen.tolist() == [1, 4, 5, 6, 7]


def test_no_paths_are_no_reports(scene):
    paths = single_paths(scene, {"bs1": StationReports((), {})}, links_of(scene))
    reports, chosen, _ = corrected_reports(scene, paths, path_clocks(paths, {"bs1": {}}, {}))
    assert len(paths) == len(reports) == len(chosen) == 0


def test_joined_reports_are_those_of_both(scene, packets):
    whole = single_paths(scene, packets).reports
    first = np.array([4, 1])
    second = np.array([0, 7, 5])
    joined = joined_reports(whole.take(first), whole.take(second))
    wanted = whole.take(np.concatenate([first, second]))
    for name in ("point_m", "information", "link", "owner", "doppler_hz", "snr", "snr_loss"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(wanted, name))
    np.testing.assert_array_equal(joined.shift_information, wanted.shift_information)
