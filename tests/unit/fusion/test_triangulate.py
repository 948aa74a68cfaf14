"""Detections from path parameters of known targets: exact, consistent with their covariance."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.triangulate import (
    Measurement,
    fit,
    linearized,
    locate_each,
    triangulate,
)
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.path_parameters import PathParameters, accuracy_of

STATES = [((22.0, 31.0), (4.0, -6.0)), ((46.0, 18.0), (-7.0, 2.0)), ((40.0, 50.0), (3.0, 9.0))]


def measure(scene, target, receiver, transmitter, generator=None):
    """Parameters of a target at one receiver, exact or with errors drawn from a generator."""
    accuracy = accuracy_of(scene, receiver, 0.05, 0.05)
    sender = scene.transmitters[transmitter].position_m
    path = bistatic_geometry(
        sender, receiver.position_m, target.position_m, target.velocity_mps, scene.grid.wavelength_m
    )
    errors = np.zeros(3) if generator is None else generator.standard_normal(3)
    cosine = np.clip(path.aoa @ receiver.axis + accuracy.cosine * errors[0], -1, 1)
    rate = -path.doppler_hz * scene.grid.wavelength_m
    return Measurement(
        receiver,
        PathParameters(
            transmitter,
            float(np.arccos(cosine)),
            float(path.range_m + accuracy.range_m * errors[1]),
            float(rate + accuracy.range_rate_mps * errors[2]),
        ),
        accuracy,
    )


@pytest.fixture
def plane(small):
    """A scene with a flat prior of the velocity."""
    return replace(small, sensing=replace(small.sensing, max_speed_mps=1e4))


@pytest.fixture
def targets(target):
    return [target(*state) for state in STATES]


def assert_all_found(detections, targets, distance_m, speed_mps):
    assert len(detections) == len(targets)
    for wanted in targets:
        near = min(detections, key=lambda one: np.linalg.norm(one.position_m - wanted.position_m))
        assert np.linalg.norm(near.position_m - wanted.position_m) < distance_m
        assert np.linalg.norm(near.velocity_mps - wanted.velocity_mps) < speed_mps


@pytest.mark.parametrize("transmitters", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_exact_parameters_give_the_exact_targets(plane, targets, transmitters):
    measurements = [
        measure(plane, target, receiver, transmitter)
        for target in targets
        for receiver, transmitter in zip(plane.receivers, transmitters)
    ]
    for order in (measurements, measurements[::-1]):
        assert_all_found(triangulate(plane, order), targets, 0.05, 0.3)


def test_errors_are_those_of_the_covariance(small, target):
    generator = np.random.default_rng(4)
    squared = []
    for _ in range(200):
        true = target(generator.uniform(8, 52, 2), generator.uniform(-8, 8, 2))
        measurements = [
            measure(small, true, receiver, int(generator.integers(2)), generator)
            for receiver in small.receivers
        ]
        fitted = fit(small, measurements, (0, 1)).fitted
        away = np.concatenate([fitted.position_m, fitted.velocity_mps])
        away -= np.concatenate([true.position_m[:2], true.velocity_mps[:2]])
        squared.append(away @ np.linalg.solve(fitted.covariance, away))
    # Chi-square with four degrees of freedom: median 3.36, and 1 in 100 above 13.3.
    assert 2.6 < np.median(squared) < 4.2
    assert np.mean(np.array(squared) > 13.3) < 0.04


def test_a_third_receiver_joins(plane, targets):
    third = replace(plane.receivers[0], name="rx3", position_m=np.array([30.0, 62.0, 0.0]))
    scene = replace(plane, receivers=(*plane.receivers, third))
    measurements = [
        measure(scene, target, receiver, 1) for target in targets for receiver in scene.receivers
    ]
    detections = triangulate(scene, measurements)
    assert_all_found(detections, targets, 0.05, 0.3)
    assert {detection.sites for detection in detections} == {("rx1", "rx2", "rx3")}


def test_measurements_that_no_other_receiver_confirms_are_rejected(small, targets):
    measurements = [
        measure(small, one, receiver, 0) for one, receiver in zip(targets, small.receivers)
    ]
    assert (
        triangulate(small, measurements)
        == ()
        == triangulate(small, measurements[:1])
        == triangulate(small, [])
    )


def test_static_and_impossible_targets_are_rejected(small, target):
    for velocity in ((0.2, 0.1), (30.0, 40.0)):
        measurements = [
            measure(small, target((22.0, 31.0), velocity), receiver, 0)
            for receiver in small.receivers
        ]
        assert triangulate(small, measurements) == ()


def test_a_range_shorter_than_the_direct_path_leaves_other_targets_alone(plane, targets):
    broken = measure(plane, targets[0], plane.receivers[0], 0)
    broken = replace(broken, parameters=replace(broken.parameters, range_m=1.0))
    measurements = [measure(plane, targets[1], receiver, 1) for receiver in plane.receivers]
    assert_all_found(triangulate(plane, [broken, *measurements]), [targets[1]], 0.05, 0.3)


def test_one_station_measures_one_component_of_the_velocity(small, targets):
    station = replace(small.transmitters[0], name="bs", position_m=np.array([30.0, -2.0, 0.0]))
    scene = replace(small, transmitters=(station,), receivers=(station,))
    detections = locate_each(scene, [measure(scene, one, station, 0) for one in targets])
    for wanted, detection in zip(targets, detections, strict=True):
        away = wanted.position_m - station.position_m
        sight = away / np.linalg.norm(away)
        across = np.array([-sight[1], sight[0], 0])
        assert np.allclose(detection.position_m, wanted.position_m, atol=0.05)
        assert detection.velocity_mps @ sight == pytest.approx(wanted.velocity_mps @ sight, abs=0.1)
        assert abs(detection.velocity_mps @ across) < 0.5
        velocity = detection.covariance[3:, 3:]
        assert np.sqrt(sight @ velocity @ sight) < 0.5 and np.sqrt(across @ velocity @ across) > 10


@pytest.mark.parametrize("offset_m", [0.0, 1e-12, 0.3])
def test_a_start_at_the_receiver_has_finite_slopes(small, target, offset_m):
    measurement = measure(small, target((40.0, 50.0), (3.0, 9.0)), small.receivers[0], 0)
    start_m = measurement.receiver.position_m + np.array([0.0, offset_m, 0.0])
    report = linearized(small, measurement, start_m)
    assert np.isfinite(report.point_m).all()
    assert np.linalg.eigvalsh(report.information)[0] > 0
    assert np.abs(report.information).max() < 1e12
