"""Links by way of walls at the fusion center: their paths, and how many a target needs."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.fusion.body import limited_reports
from cooperative_isac.fusion.detection import complete
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.paths_needed import paths_needed
from cooperative_isac.fusion.reports import arrays_of
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.report import EchoReport, PathReport

FACADE = 10
SNR = 100.0
PLACE_M = np.array([60.0, -30.0, 1.0])
TARGET = TargetState("car", TargetClass.VEHICLE, PLACE_M, np.array([1.0, -4.0, 0.3]))


@pytest.fixture(scope="module")
def scene():
    return load_scene("side_street")


@pytest.fixture(scope="module")
def reports(scene):
    """Reports of both stations of the target's true paths by way of the facade."""
    reports = []
    for site in scene.receivers:
        paths = draw_paths(scene, site, [TARGET], np.zeros((0, 3)), np.random.default_rng(1))
        assert (paths.mirror == FACADE).all()
        measured = tuple(
            PathReport(int(index), float(shift_hz), SNR, 50 * np.eye(3))
            for index, shift_hz in zip(paths.transmitter, paths.doppler_hz, strict=True)
        )
        reports.append(EchoReport(site.name, PLACE_M, measured, "high", FACADE))
    return reports


def ignoring(scene):
    return replace(scene, sensing=replace(scene.sensing, reflections="ignore"))


def test_links_by_way_of_a_wall_have_the_paths_of_the_channel(scene, reports):
    arrays = arrays_of(scene, reports)
    velocities_mps = np.tile(TARGET.velocity_mps, (4, 1))
    geometry = arrays.geometry(arrays.point_m[arrays.owner], velocities_mps)
    assert np.allclose(geometry.doppler_hz, arrays.doppler_hz)
    for site, own in zip(scene.receivers, (slice(0, 2), slice(2, 4)), strict=True):
        paths = draw_paths(scene, site, [TARGET], np.zeros((0, 3)), np.random.default_rng(1))
        assert np.allclose(geometry.delay_s[own], paths.delay_s)


def test_they_locate_a_target_and_its_horizontal_velocity(scene, reports):
    (detection,) = complete(fuse(scene, reports))
    assert np.allclose(detection.position_m, PLACE_M, atol=1e-3)
    assert np.allclose(detection.velocity_mps[:2], TARGET.velocity_mps[:2], atol=0.1)
    assert detection.num_paths == 4 and detection.sites == ("bs1", "bs2")
    assert {(link.tx, link.rx) for link in detection.links} == {
        (tx, rx) for tx in ("bs1", "bs2") for rx in ("bs1", "bs2")
    }


def test_echoes_by_way_of_walls_limit_the_snr(scene, reports):
    assert limited_reports(ignoring_world(scene), reports) == reports
    for report, limited in zip(reports, limited_reports(scene, reports), strict=True):
        for path, one in zip(report.paths, limited.paths, strict=True):
            # 20 dB beside multipath at -30 dB: 1 / (1 / 100 + 1 / 1000).
            assert one.power == pytest.approx(90.91, abs=0.01)
            assert one.snr == pytest.approx(path.snr)
            assert np.allclose(one.information, path.information / 1.1)


def ignoring_world(scene):
    """The scene without reflections of target paths."""
    return replace(scene, world=replace(scene.world, target_reflections=0), layout=None)


def test_a_target_needs_as_many_paths_as_links_see_it(scene):
    places_m = np.array(
        [
            PLACE_M,  # hidden, both stations see it by way of the facade
            [54.0, -40.0, 1.0],  # hidden, only bs2 does
            [44.0, -30.0, 1.0],  # in a building
        ]
    )
    assert paths_needed(scene, places_m).tolist() == [3, 1, 3]
    assert paths_needed(ignoring(scene), places_m).tolist() == [3, 3, 3]
