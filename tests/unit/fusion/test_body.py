"""Extended targets: location of the middle, and association of reports to one body."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.body import (
    body_model,
    distinct_bodies,
    limited_by_multipath,
    limited_information,
)
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, TargetClass, TargetState
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport

SPHERE = Body(np.array([0.7, 0.7, 0.7]))
CAR = Body(np.array([4.4, 1.8, 1.5]))


@pytest.fixture
def yard():
    """A scene in space with a UAV's and a car's body."""
    return replace(load_scene("campus"), bodies={TargetClass.UAV: SPHERE, TargetClass.VEHICLE: CAR})


def bounce_point(body, middle, heading, ends):
    """Point of an ellipsoid's surface with the shortest way between both ends, by search over its
    surface.
    """
    turns, heights = np.meshgrid(
        np.linspace(0, 2 * np.pi, 721), np.linspace(-np.pi / 2, np.pi / 2, 361)
    )
    unit = np.stack(
        [np.cos(heights) * np.cos(turns), np.cos(heights) * np.sin(turns), np.sin(heights)], -1
    )
    local = unit.reshape(-1, 3) * body.size_m / 2
    cosine, sine = heading
    points = middle + local @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    lengths = sum(np.linalg.norm(points - end, axis=1) for end in ends)
    return points[lengths.argmin()]


def reports_at(scene, body, target, generator, extra_m=0.0):
    """A report of every receiver, from the point of an ellipsoid that reflects towards it, one path
    each.
    """
    speed = np.linalg.norm(target.velocity_mps[:2])
    heading = target.velocity_mps[:2] / speed
    reports = []
    for index, site in enumerate(scene.receivers):
        sender = scene.transmitters[index % 2]
        point = bounce_point(body, target.position_m, heading, (sender.position_m, site.position_m))
        path = bistatic_geometry(
            sender.position_m, site.position_m, point, target.velocity_mps, scene.grid.wavelength_m
        )
        point = point + extra_m * np.array([*heading, 0.0]) + 0.01 * generator.standard_normal(3)
        noise_hz = generator.standard_normal() / np.sqrt(doppler_information(scene.grid, 1e3))
        reports.append(
            EchoReport(
                site.name,
                point,
                (PathReport(index % 2, float(path.doppler_hz + noise_hz), 1e3, 1e4 * np.eye(3)),),
            )
        )
    return reports


@pytest.mark.parametrize(("body", "height_m"), [(SPHERE, 20.0), (CAR, 1.0)])
def test_the_middle_is_found_from_points_on_the_near_side(yard, body, height_m):
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array([45.0, 40.0, height_m]), np.array([7.0, 4.0, 0.0])
    )
    reports = reports_at(yard, body, target, np.random.default_rng(1))
    away = [np.linalg.norm(report.point_m - target.position_m) for report in reports]
    model = body_model(yard, reports, body, target.velocity_mps)
    left = np.linalg.norm(model.points_m - target.position_m, axis=1)
    assert min(away) > 0.3
    assert np.all(left < 0.1 + 0.1 * np.array(away))


def test_one_body_is_one_detection_at_its_middle(yard):
    generator = np.random.default_rng(2)
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array([45.0, 40.0, 1.0]), np.array([7.0, 4.0, 0.0])
    )
    reports = reports_at(yard, CAR, target, generator) + reports_at(
        yard, CAR, target, generator, extra_m=-1.5
    )
    assert len(fuse(replace(yard, bodies={}), reports)) != 1
    (detection,) = fuse(yard, reports)
    assert np.linalg.norm(detection.position_m - target.position_m) < 1.0
    assert np.linalg.norm(detection.velocity_mps[:2] - target.velocity_mps[:2]) < 1.5


def test_two_bodies_apart_are_two_detections(yard):
    generator = np.random.default_rng(3)
    targets = [
        TargetState("", TargetClass.UNKNOWN, np.array([x, 40.0, 1.0]), np.array([7.0, 4.0, 0.0]))
        for x in (30.0, 42.0)
    ]
    reports = [report for target in targets for report in reports_at(yard, CAR, target, generator)]
    assert len(fuse(yard, reports)) == 2


def test_an_outlier_path_is_rejected_and_not_its_report(yard):
    generator = np.random.default_rng(4)
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array([45.0, 40.0, 20.0]), np.array([7.0, 4.0, 0.0])
    )
    reports = reports_at(yard, SPHERE, target, generator)
    wrong = PathReport(1, -3000.0, 30.0, 10 * np.eye(3))
    reports[0] = replace(reports[0], paths=(*reports[0].paths, wrong))
    (detection,) = fuse(yard, reports)
    assert detection.num_paths == 3
    assert np.linalg.norm(detection.velocity_mps - target.velocity_mps) < 3.0


def test_errors_of_fused_bodies_agree_with_their_covariance(yard):
    squares = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        place = np.array([*generator.uniform(20, 80, 2), 20.0])
        target = TargetState(
            "", TargetClass.UNKNOWN, place, np.array([*generator.uniform(3, 8, 2), 0.0])
        )
        (detection,) = fuse(yard, reports_at(yard, SPHERE, target, generator))
        error = detection.position_m - target.position_m
        squares.append(error @ np.linalg.solve(detection.covariance[:3, :3], error))
    assert (
        np.mean(squares) < 5.0
    )  # 3 without the spread of a body, which is wider than that of these points


def test_multipath_limits_the_information_of_strong_reports(yard):
    generator = np.random.default_rng(5)
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array([45.0, 40.0, 20.0]), np.array([7.0, 4.0, 0.0])
    )
    strong = reports_at(yard, SPHERE, target, generator)[0]
    strong = replace(strong, paths=(replace(strong.paths[0], power=1e6),))
    limit = 10 ** (yard.sensing.multipath_ratio_db / 10)
    assert limited_by_multipath(yard, np.array([1e-3, 1e6])) == pytest.approx(
        [1e-3, limit], rel=1e-3
    )
    assert np.allclose(
        limited_information(yard, strong), strong.information * limit / 1e6, rtol=1e-3
    )


@pytest.mark.parametrize(("height_m", "body"), [(20.0, POINT_BODY), (1.0, CAR)])
def test_a_class_without_a_size_is_a_point_beside_one_with_a_body(yard, height_m, body):
    scene = replace(yard, bodies={TargetClass.VEHICLE: CAR})
    target = TargetState(
        "", TargetClass.UNKNOWN, np.array([45.0, 40.0, height_m]), np.array([7.0, 4.0, 0.0])
    )
    shape = body if body.radius_m > 0 else Body(np.full(3, 1e-6))
    (detection,) = fuse(scene, reports_at(scene, shape, target, np.random.default_rng(6)))
    limit_m = 0.05 if body is POINT_BODY else 1.0
    assert np.linalg.norm(detection.position_m - target.position_m) < limit_m


def test_scenes_without_bodies_have_points(small, yard):
    assert distinct_bodies(small) == [POINT_BODY]
    assert [body.radius_m for body in distinct_bodies(yard)] == [SPHERE.radius_m, CAR.radius_m]
    vehicles = replace(yard, bodies={TargetClass.VEHICLE: CAR})
    assert [body.radius_m for body in distinct_bodies(vehicles)] == [0.0, CAR.radius_m]
