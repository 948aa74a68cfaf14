"""Weighted least squares: exact for exact reports, and with the covariance that it states."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.estimate import estimate, estimate_all
from cooperative_isac.fusion.reports import reports_of as arrays_of
from cooperative_isac.fusion.reports import with_common_errors
from cooperative_isac.metrics.consistency import nees, nees_interval
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.information import doppler_information

STATES = {
    "small": ((20.0, 30.0), (4.0, -6.0)),
    "campus": ((40.0, 60.0, 14.0), (4.0, -6.0, 1.0)),
    "indoor_uav": ((1.0, 2.0, 1.5), (2.0, -1.5, 0.5)),
}


@pytest.fixture(params=STATES)
def scene(request, small):
    return small if request.param == "small" else load_scene(request.param)


@pytest.fixture
def truth(scene, target):
    return target(*STATES[scene.name])


def test_exact_reports_give_the_exact_state(scene, truth, reports_of):
    found = estimate(scene, reports_of(scene, truth))
    size = scene.dimension
    # The prior shrinks the velocity a little.
    assert np.allclose(found.position_m, truth.position_m[:size], atol=1e-3)
    assert np.allclose(found.velocity_mps, truth.velocity_mps[:size], atol=0.01)
    assert found.degrees == size * len(scene.receivers) + 2 * len(scene.receivers) - 2 * size
    assert found.misfits.shape == (len(scene.receivers),) and found.misfits.max() < 0.01


def doppler_slope(scene, ends, truth):
    """Derivative of a path's Doppler shift with location and velocity, [2 D], by differences."""

    def shift(state):
        point, moving = truth.position_m.copy(), truth.velocity_mps.copy()
        point[:size], moving[:size] = state[:size], state[size:]
        return bistatic_geometry(*ends, point, moving, scene.grid.wavelength_m).doppler_hz

    size = scene.dimension
    state = np.concatenate([truth.position_m[:size], truth.velocity_mps[:size]])
    return (
        np.array([shift(state + step) - shift(state - step) for step in 1e-4 * np.eye(2 * size)])
        / 2e-4
    )


def test_the_covariance_is_the_inverse_of_all_information(scene, truth, reports_of):
    size = scene.dimension
    reports, normal = reports_of(scene, truth), np.zeros((2 * size, 2 * size))
    for site, report in zip(scene.receivers, reports):
        for transmitter, path in zip(scene.transmitters, report.paths):
            slope = doppler_slope(scene, (transmitter.position_m, site.position_m), truth)
            normal += doppler_information(scene.grid, path.power) * np.outer(slope, slope)
            normal[:size, :size] += path.information
    normal[size:, size:] += np.eye(size) / scene.sensing.max_speed_mps**2
    root = np.linalg.cholesky(normal)
    assert np.allclose(
        root.T @ estimate(scene, reports).covariance @ root, np.eye(2 * size), atol=2e-3
    )


def test_errors_agree_with_the_stated_covariance(scene, truth, reports_of):
    generator, size, count = np.random.default_rng(3), scene.dimension, 400
    fits = [estimate(scene, reports_of(scene, truth, generator)) for _ in range(count)]
    states = np.array([np.concatenate([fit.position_m, fit.velocity_mps]) for fit in fits])
    errors = states - np.concatenate([truth.position_m[:size], truth.velocity_mps[:size]])
    low, high = nees_interval(count, 2 * size, 0.999)
    assert low < nees(errors, np.array([fit.covariance for fit in fits])).mean() < high


def test_misfits_are_chi_squares_of_the_stated_degrees(scene, truth, reports_of):
    generator, count = np.random.default_rng(4), 400
    fits = [estimate(scene, reports_of(scene, truth, generator)) for _ in range(count)]
    degrees, mean = fits[0].degrees, np.mean([fit.misfits.sum() for fit in fits])
    assert abs(mean - degrees) < 4 * np.sqrt(2 * degrees / count)


def test_a_stronger_report_weighs_more(scene, truth, reports_of):
    weak, strong = reports_of(scene, truth, power=100.0)[0], reports_of(scene, truth, power=1e4)[1]
    shift = np.zeros(3)
    shift[0] = 1.0
    moved = estimate(scene, [replace(weak, point_m=weak.point_m + shift), strong])
    assert np.linalg.norm(moved.position_m - truth.position_m[: scene.dimension]) < 0.1


def test_an_unobserved_velocity_stays_within_the_maximum_speed(scene, truth, reports_of):
    report = reports_of(scene, truth)[0]
    found = estimate(scene, [replace(report, paths=report.paths[:1])])
    spread = np.sqrt(np.linalg.eigvalsh(found.covariance[scene.dimension :, scene.dimension :]))
    assert spread[-1] == pytest.approx(scene.sensing.max_speed_mps, rel=0.01) and spread[0] < 2


def test_errors_in_common_of_locations_and_shifts_are_those_of_generalized_least_squares(
    scene, truth, reports_of
):
    rng = np.random.default_rng(9)
    arrays = arrays_of(scene, reports_of(scene, truth, rng))
    size = scene.dimension
    gradient = 0.1 * rng.standard_normal((len(arrays), size, 3))
    of_shifts = 0.1 * rng.standard_normal((len(arrays.link), 3))
    of_shifts /= np.sqrt(arrays.shift_information)[:, None]
    group = np.zeros(len(arrays), int)
    found = estimate_all(scene, with_common_errors(arrays, gradient, of_shifts), group, 1)

    # Covariance of all measurements together, and their derivatives about the estimate.
    point_m = np.append(found.position_m[0], truth.position_m[size:])
    moving_mps = np.append(found.velocity_mps[0], truth.velocity_mps[size:])
    at = replace(truth, position_m=point_m, velocity_mps=moving_mps)
    slopes = [np.eye(2 * size)[:size] for _ in range(len(arrays))]
    links = arrays.links
    for link in arrays.link:
        ends = (links.transmitters_m[link], links.receivers_m[link])
        slopes.append(doppler_slope(scene, ends, at)[None])
    whole = np.concatenate([gradient.reshape(-1, 3), of_shifts])
    covariance = whole @ whole.T
    for index, information in enumerate(arrays.information):
        block = slice(size * index, size * (index + 1))
        covariance[block, block] += np.linalg.inv(information)
    places = np.arange(size * len(arrays), len(covariance))
    covariance[places, places] += 1 / arrays.shift_information

    # Its normal matrix, with the prior of the velocity.
    stacked = np.concatenate(slopes)
    normal = stacked.T @ np.linalg.solve(covariance, stacked)
    normal[range(size, 2 * size), range(size, 2 * size)] += scene.sensing.max_speed_mps**-2.0
    expected = np.linalg.inv(normal)
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(found.covariance[0] / scale, expected / scale, atol=5e-3)

    # Without them the estimate states less than its errors.
    alone = estimate_all(scene, arrays, group, 1)
    assert np.trace(found.covariance[0]) > np.trace(alone.covariance[0])
