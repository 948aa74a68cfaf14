"""Delays and directions against a plain loop, Doppler against the path's rate of change."""

import math

import numpy as np
import pytest

from cooperative_isac.scene.geometry import (
    SPEED_OF_LIGHT_MPS,
    bistatic_geometry,
    perpendicular_axes,
    point_on_ray,
)

TX = np.array([-5.0, 2, 8])
RX = np.array([40.0, -3, 6])
WAVELENGTH_M = 0.01
GENERATOR = np.random.default_rng(3)
POINTS = GENERATOR.uniform(5, 30, (4, 5, 3))
VELOCITIES = GENERATOR.uniform(-20, 20, (4, 5, 3))

MOVING = {
    "transmitter_velocity_mps": np.array([3.0, -12, 1]),
    "receiver_velocity_mps": np.array([-7.0, 4, 2]),
}


def path_length(point):
    return math.dist(TX, point) + math.dist(point, RX)


def test_delays_and_directions_are_those_of_a_plain_loop():
    found = bistatic_geometry(TX, RX, POINTS, VELOCITIES, WAVELENGTH_M)
    for index in np.ndindex(4, 5):
        point = POINTS[index]
        assert found.delay_s[index] * SPEED_OF_LIGHT_MPS == pytest.approx(path_length(point))
        assert found.range_m[index] == pytest.approx(path_length(point))
        assert np.allclose(found.aod[index], (point - TX) / math.dist(TX, point))
        assert np.allclose(found.aoa[index], (point - RX) / math.dist(RX, point))


def test_doppler_is_positive_when_the_path_shortens():
    found = bistatic_geometry(TX, RX, POINTS, VELOCITIES, WAVELENGTH_M)
    for index in np.ndindex(4, 5):
        step = 1e-5 * VELOCITIES[index]
        rate = (path_length(POINTS[index] + step) - path_length(POINTS[index] - step)) / 2e-5
        assert found.doppler_hz[index] == pytest.approx(-rate / WAVELENGTH_M, rel=1e-4, abs=1e-2)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_point_at_a_site_has_no_direction_there():
    path = bistatic_geometry(np.zeros(3), np.array([3.0, 0, 0]), np.zeros(3), np.ones(3), 0.01)
    assert path.aod.tolist() == [0, 0, 0] and path.aoa.tolist() == [-1, 0, 0]
    assert path.doppler_hz == pytest.approx(100.0)


def test_the_range_gradient_is_that_of_finite_differences():
    found = bistatic_geometry(TX, RX, POINTS, VELOCITIES, WAVELENGTH_M).range_gradient
    for index in np.ndindex(4, 5):
        for axis, step in enumerate(1e-4 * np.eye(3)):
            slope = (path_length(POINTS[index] + step) - path_length(POINTS[index] - step)) / 2e-4
            assert found[index][axis] == pytest.approx(slope, abs=1e-6)


def test_doppler_slope_with_location_by_finite_differences():
    def shifts(points):
        return bistatic_geometry(TX, RX, points, VELOCITIES, WAVELENGTH_M).doppler_hz

    geometry = bistatic_geometry(TX, RX, POINTS, VELOCITIES, WAVELENGTH_M)
    found = geometry.doppler_location_gradient(VELOCITIES, WAVELENGTH_M)
    for axis, step in enumerate(1e-4 * np.eye(3)):
        slopes = (shifts(POINTS + step) - shifts(POINTS - step)) / 2e-4
        assert np.allclose(found[..., axis], slopes, rtol=1e-5, atol=1e-5)


def test_moving_sites_shift_doppler_as_their_path_changes():
    def length(point, velocity, time_s):
        place = point + time_s * velocity
        tx = TX + time_s * MOVING["transmitter_velocity_mps"]
        rx = RX + time_s * MOVING["receiver_velocity_mps"]
        return math.dist(tx, place) + math.dist(place, rx)

    wavelengths = np.random.default_rng(4).uniform(0.01, 0.1, (4, 5))
    found = bistatic_geometry(TX, RX, POINTS, VELOCITIES, wavelengths, **MOVING)
    for index in np.ndindex(4, 5):
        after = length(POINTS[index], VELOCITIES[index], 1e-5)
        before = length(POINTS[index], VELOCITIES[index], -1e-5)
        expected = -(after - before) / 2e-5 / wavelengths[index]
        assert found.doppler_hz[index] == pytest.approx(expected, rel=1e-4, abs=1e-2)


def test_doppler_slope_with_moving_sites_by_finite_differences():
    paths = bistatic_geometry(TX, RX, POINTS, VELOCITIES, WAVELENGTH_M, **MOVING)
    found = paths.doppler_location_gradient(VELOCITIES, WAVELENGTH_M, **MOVING)
    for axis in range(3):
        step = 1e-4 * np.eye(3)[axis]
        after = bistatic_geometry(TX, RX, POINTS + step, VELOCITIES, WAVELENGTH_M, **MOVING)
        before = bistatic_geometry(TX, RX, POINTS - step, VELOCITIES, WAVELENGTH_M, **MOVING)
        slope = (after.doppler_hz - before.doppler_hz) / 2e-4
        assert np.allclose(found[..., axis], slope, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("transmitter", [TX, RX])
def test_direction_and_range_give_the_point_back(transmitter):
    found = bistatic_geometry(transmitter, RX, POINTS, VELOCITIES, WAVELENGTH_M)
    assert np.allclose(point_on_ray(transmitter, RX, found.aoa, found.range_m), POINTS)


def test_a_range_within_the_direct_path_gives_the_receiver():
    directions = np.array([[1.0, 0, 0], (TX - RX) / math.dist(TX, RX)])
    found = point_on_ray(TX, RX, directions, np.array([0.5, 1.0]) * math.dist(TX, RX))
    assert np.allclose(found, RX)


@pytest.mark.parametrize("direction", [*np.eye(3), *-np.eye(3), [0.6, 0.0, -0.8], [1.0, 2.0, 3.0]])
def test_perpendicular_axes_complete_a_direction_to_an_orthonormal_basis(direction):
    unit = np.asarray(direction) / np.linalg.norm(direction)
    basis = np.column_stack([unit, perpendicular_axes(unit)])
    assert np.allclose(basis.T @ basis, np.eye(3))
