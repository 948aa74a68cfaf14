"""Information of reports from stations whose position is uncertain."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

from cooperative_isac.fusion.estimate import _Locations, estimate
from cooperative_isac.fusion.reports import links_of, reports_of
from cooperative_isac.fusion.station_position import (
    PathInformation,
    direction_information,
    displacement_gradient,
    element_moments_m2,
    with_position_error,
)
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry, point_on_ray
from cooperative_isac.sensing.report import EchoReport, PathReport

TRANSMITTER_M = np.array([0.0, 0.0, 25.0])
RECEIVER_M = np.array([180.0, -30.0, 2.0])
STEP_M = 1e-5
WAVELENGTH_M = 0.05
# Four by three elements across the x axis.
ELEMENTS_M = WAVELENGTH_M / 2 * np.array([[0, y, z] for y in range(4) for z in range(3)])


def path_information(point_m, departure=0.0):
    """Information of one path: range, directions of arrival, and a share of those of departure."""
    paths = bistatic_geometry(TRANSMITTER_M, RECEIVER_M, point_m[None], np.zeros(3), WAVELENGTH_M)
    snr, wavelength_m = np.array([1e3]), np.array([WAVELENGTH_M])
    moments_m2 = element_moments_m2(ELEMENTS_M)[None]
    of_aod = direction_information(snr, paths.aod, paths.tx_distance_m, wavelength_m, moments_m2)
    return PathInformation(
        range=np.array([400.0]),
        aod=paths.aod,
        aoa=paths.aoa,
        arrival=direction_information(
            snr, paths.aoa, paths.rx_distance_m, wavelength_m, moments_m2
        ),
        departure=departure * of_aod,
    )


def located(parts, point_m, transmitter_m, receiver_m):
    """Location of least squares from the measurements of a path, its ends assumed elsewhere."""
    root_range = np.sqrt(parts.range[0])

    def measured(location_m, sent_m, received_m):
        legs_m = [np.linalg.norm(location_m - end) for end in (sent_m, received_m)]
        values = [[root_range * sum(legs_m)]]
        for end, leg_m, information in (
            (sent_m, legs_m[0], parts.departure[0]),
            (received_m, legs_m[1], parts.arrival[0]),
        ):
            at_point_m = np.linalg.norm(point_m - (TRANSMITTER_M if end is sent_m else RECEIVER_M))
            squares, vectors = np.linalg.eigh(information)
            root = vectors * np.sqrt(np.maximum(squares, 0)) @ vectors.T * at_point_m
            values.append(root @ (location_m - end) / leg_m)
        return np.concatenate(values)

    true = measured(point_m, TRANSMITTER_M, RECEIVER_M)
    return scipy.optimize.least_squares(
        lambda location_m: measured(location_m, transmitter_m, receiver_m) - true,
        point_m,
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    ).x


@pytest.mark.parametrize("point_m", [[190.0, 10.0, 20.0], [60.0, 20.0, 40.0]])
def test_range_and_arrival_move_a_location_along_its_ray(point_m):
    point_m = np.array(point_m)
    parts = path_information(point_m)
    columns = []
    for axis in np.eye(3):
        range_m = np.linalg.norm(point_m - TRANSMITTER_M) + np.linalg.norm(point_m - RECEIVER_M)
        ends = [
            point_on_ray(TRANSMITTER_M, RECEIVER_M + sign * STEP_M * axis, parts.aoa[0], range_m)
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]) / (2 * STEP_M))
    gradient = displacement_gradient(parts.whole, parts.with_receiver)[0]
    assert np.allclose(gradient, np.stack(columns, axis=-1), atol=1e-4)


@pytest.mark.parametrize("departure", [0.3, 3.0])
def test_the_gradient_is_that_of_the_located_point(departure):
    point_m = np.array([120.0, 25.0, 30.0])
    parts = path_information(point_m, departure)
    for change, moves_sent in ((parts.with_transmitter, 1.0), (parts.with_receiver, 0.0)):
        columns = []
        for axis in np.eye(3):
            step_m = 1e-3 * axis
            found = [
                located(
                    parts,
                    point_m,
                    TRANSMITTER_M + sign * moves_sent * step_m,
                    RECEIVER_M + sign * (1 - moves_sent) * step_m,
                )
                for sign in (1, -1)
            ]
            columns.append((found[0] - found[1]) / 2e-3)
        gradient = displacement_gradient(parts.whole, change)[0]
        assert np.allclose(gradient, np.stack(columns, axis=-1), atol=2e-3)


def test_both_ends_together_move_a_location_along():
    parts = path_information(np.array([120.0, 25.0, 30.0]), 0.5)
    both = parts.with_transmitter + parts.with_receiver
    assert np.allclose(displacement_gradient(parts.whole, both)[0], np.eye(3), atol=1e-5)


def test_the_covariance_grows_by_that_of_the_displacement():
    generator = np.random.default_rng(1)
    root = generator.standard_normal((5, 3, 3))
    information = root @ root.transpose(0, 2, 1) + np.eye(3)
    gradient = generator.standard_normal((5, 3, 3))
    std_m = np.array([0.0, 0.1, 0.5, 1.0, 3.0])

    left = with_position_error(information, std_m[:, None, None] * gradient)

    for index in range(5):
        displaced = std_m[index] ** 2 * gradient[index] @ gradient[index].T
        expected = np.linalg.inv(information[index]) + displaced
        assert np.allclose(np.linalg.inv(left[index]), expected)


def test_what_a_report_does_not_measure_stays_unmeasured():
    information = np.diag([100.0, 0.0, 4.0])[None]
    left = with_position_error(information, 0.5 * np.eye(3)[None])
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


def test_an_error_that_reports_have_in_common_does_not_average_out():
    scene = load_scene("bs_ue")
    scene = scene.posed(scene.poses_at(3.0))
    point_m = np.array([195.0, 0.0, 15.0])
    path = PathReport(0, 50.0, 1e3, 1e4 * np.eye(3))
    generator = np.random.default_rng(2)
    rows = [
        EchoReport(name, point_m + 0.3 * generator.standard_normal(3), (path,), "low")
        for name in ("bs", "ue1", "ue2", "ue2")
    ]
    reports = reports_of(scene, rows)
    points_m = reports.point_m
    locations = _Locations(reports, points_m, np.zeros(4, int), 1)

    # Plain generalized least squares with the covariance of all four reports together.
    displacement = reports.displacement
    gradient = np.concatenate(list(displacement.gradient))
    covariance = gradient @ gradient.T
    for index, information in enumerate(displacement.information):
        block = slice(3 * index, 3 * index + 3)
        covariance[block, block] += np.linalg.inv(information)
    stacked = np.tile(np.eye(3), (4, 1))
    weights = np.linalg.inv(covariance)
    expected = stacked.T @ weights @ stacked
    location_m = np.linalg.solve(expected, stacked.T @ weights @ points_m.ravel())
    residuals_m = points_m.ravel() - stacked @ location_m

    fitted = np.linalg.solve(locations.information, locations.weighted[..., None])[..., 0]
    assert np.allclose(np.linalg.inv(locations.information[0])[:3, :3], np.linalg.inv(expected))
    assert np.allclose(fitted[0, :3], location_m)
    assert locations.misfits(fitted).sum() == pytest.approx(residuals_m @ weights @ residuals_m)

    # The second report of one station adds less than that of another one.
    once = estimate(scene, rows[2:3]).covariance[:3, :3]
    twice = estimate(scene, rows[2:]).covariance[:3, :3]
    assert np.trace(twice) > 0.9 * np.trace(once)
