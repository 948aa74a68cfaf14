"""Information of reports from stations whose position is uncertain."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.reports import links_of, reports_of
from cooperative_isac.fusion.station_position import displacement_gradient, with_position_error
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry, point_on_ray
from cooperative_isac.sensing.report import EchoReport, PathReport

TRANSMITTER_M = np.array([0.0, 0.0, 25.0])
RECEIVER_M = np.array([180.0, -30.0, 2.0])
STEP_M = 1e-5


@pytest.mark.parametrize("point_m", [[190.0, 10.0, 20.0], [60.0, 20.0, 40.0]])
def test_the_gradient_is_that_of_the_located_point(point_m):
    paths = bistatic_geometry(TRANSMITTER_M, RECEIVER_M, np.array(point_m), np.zeros(3), 0.05)
    columns = []
    for axis in np.eye(3):
        ends = [
            point_on_ray(TRANSMITTER_M, RECEIVER_M + sign * STEP_M * axis, paths.aoa, paths.range_m)
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]) / (2 * STEP_M))
    gradient = displacement_gradient(paths.aod, paths.aoa)
    assert np.allclose(gradient, np.stack(columns, axis=-1), atol=1e-6)


def test_the_covariance_grows_by_that_of_the_displacement():
    generator = np.random.default_rng(1)
    root = generator.standard_normal((5, 3, 3))
    information = root @ root.transpose(0, 2, 1) + np.eye(3)
    gradient = generator.standard_normal((5, 3, 3))
    std_m = np.array([0.0, 0.1, 0.5, 1.0, 3.0])

    left = with_position_error(information, gradient, std_m)

    for index in range(5):
        displaced = std_m[index] ** 2 * gradient[index] @ gradient[index].T
        expected = np.linalg.inv(information[index]) + displaced
        assert np.allclose(np.linalg.inv(left[index]), expected)


def test_what_a_report_does_not_measure_stays_unmeasured():
    information = np.diag([100.0, 0.0, 4.0])[None]
    left = with_position_error(information, np.eye(3)[None], np.array([0.5]))
    assert np.allclose(left[0], np.diag([1 / (0.01 + 0.25), 0.0, 1 / (0.25 + 0.25)]))


def test_reports_of_a_station_with_a_known_position_keep_their_information():
    scene = load_scene("bs_ue")
    scene = scene.posed(scene.poses_at(3.0))
    point_m = np.array([195.0, 0.0, 15.0])
    path = PathReport(0, 50.0, 1e3, 400.0 * np.eye(3))
    reports = [EchoReport(name, point_m, (path,), "low") for name in ("bs", "ue1", "ue2")]

    uncertain = reports_of(scene, reports)
    stations = tuple(replace(station, position_std_m=0.0) for station in scene.stations)
    known = replace(scene, layout=replace(scene.layout, stations=stations))
    certain = reports_of(known, reports, links_of(known))

    assert np.array_equal(uncertain.information[0], certain.information[0])
    assert uncertain.shift_information[0] == certain.shift_information[0]
    for index in (1, 2):
        # 0.2 m against 0.05 m: at least across the direction of the station.
        variances = np.linalg.eigvalsh(np.linalg.inv(uncertain.information[index]))
        assert variances[-1] > 0.2**2
        assert uncertain.shift_information[index] < certain.shift_information[index]
