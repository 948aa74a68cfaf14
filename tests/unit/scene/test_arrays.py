"""Steering vectors against a plain loop, their derivatives against finite differences."""

import cmath
import math

import numpy as np
import pytest

from cooperative_isac.scene.arrays import (
    phasors,
    planar,
    steering_derivatives,
    steering_vectors,
    steering_with_slopes,
    ula,
)

WAVELENGTH_M = 0.01
ARRAYS = {
    "ula": ula(5, WAVELENGTH_M / 2),
    "planar": planar(3, 4, WAVELENGTH_M / 2),
    "custom": np.random.default_rng(0).normal(scale=0.02, size=(6, 3)),
}


def test_a_ula_begins_at_the_origin_along_y():
    assert ula(3, 0.5).tolist() == [[0, 0, 0], [0, 0.5, 0], [0, 1, 0]]


def test_a_planar_array_is_centered_and_runs_along_z_first():
    assert planar(2, 3, 1.0).tolist() == [
        [0, -0.5, -1],
        [0, -0.5, 0],
        [0, -0.5, 1],
        [0, 0.5, -1],
        [0, 0.5, 0],
        [0, 0.5, 1],
    ]


@pytest.mark.parametrize("kind", ARRAYS)
def test_steering_vectors_are_those_of_a_plain_loop(kind):
    elements = ARRAYS[kind]
    directions = np.random.default_rng(1).normal(size=(2, 3, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    found = steering_vectors(elements, directions, WAVELENGTH_M)
    for index in np.ndindex(2, 3):
        for n, element in enumerate(elements):
            phase = (
                2 * math.pi / WAVELENGTH_M * sum(e * u for e, u in zip(element, directions[index]))
            )
            assert found[index][n] == pytest.approx(
                cmath.exp(1j * phase) / math.sqrt(len(elements))
            )


def test_a_ula_has_the_conjugate_phases_of_the_paper():
    # CF eq. 1: exp(-j 2 pi d n cos(theta) / lambda), theta from the array's axis; used as a_t^H x
    # when sending.
    theta = 1.1
    direction = np.array([math.sin(theta), math.cos(theta), 0])
    expected = np.exp(1j * np.pi * np.arange(5) * math.cos(theta)) / math.sqrt(5)
    assert np.allclose(steering_vectors(ARRAYS["ula"], direction, WAVELENGTH_M), expected)


@pytest.mark.parametrize("kind", ARRAYS)
def test_steering_follows_from_element_distances(kind):
    """Phase -2 pi d / lambda along element - far point - element, relative to the arrays'
    origins.
    """
    elements = ARRAYS[kind]
    wavelength = WAVELENGTH_M
    sender = np.array([3e4, -1e4, 500.0])
    receiver = np.array([-2e4, 4e3, 30.0])
    point = np.array([40.0, 60.0, 10.0])

    def relative(site):
        lengths = np.array([math.dist(site + element, point) for element in elements]) - math.dist(
            site, point
        )
        return np.exp(-2j * np.pi * lengths / wavelength)

    for site in (sender, receiver):
        direction = (point - site) / math.dist(site, point)
        steering = steering_vectors(elements, direction, wavelength) * math.sqrt(len(elements))
        assert np.allclose(steering, relative(site), atol=0.05)


@pytest.mark.parametrize("kind", ARRAYS)
def test_derivatives_are_those_of_finite_differences(kind):
    elements = ARRAYS[kind]
    point = np.array([12.0, -7.0, 5.0])
    step = 1e-4

    def steering(at):
        return steering_vectors(elements, at / np.linalg.norm(at), WAVELENGTH_M)

    distance = np.linalg.norm(point)
    found = steering_derivatives(elements, point / distance, np.array(distance), WAVELENGTH_M)
    for axis in range(3):
        ahead = point.copy()
        behind = point.copy()
        ahead[axis] += step
        behind[axis] -= step
        assert np.allclose(
            found[:, axis], (steering(ahead) - steering(behind)) / (2 * step), atol=1e-6
        )


def test_phasors_are_exact_to_single_precision_whatever_the_phase():
    cycles = np.array([0.0, 0.25, -0.5, 3.7, -1e3 - 1 / 3, 1e6 + 0.1])
    found = phasors(cycles)
    assert found.dtype == np.complex64
    for value, turns in zip(found, cycles):
        exact = cmath.exp(2j * math.pi * (turns - round(turns)))
        assert abs(value - exact) < 3e-7


@pytest.mark.parametrize("num_slopes", [0, 2, 3])
@pytest.mark.parametrize("kind", ARRAYS)
def test_steering_and_its_slopes_are_those_made_alone(kind, num_slopes):
    elements = ARRAYS[kind]
    points = np.array([[12.0, -7.0, 5.0], [80.0, 3.0, -20.0]])
    distances = np.linalg.norm(points, axis=1)
    directions = points / distances[:, None]
    found = steering_with_slopes(elements, directions, distances, WAVELENGTH_M, num_slopes)
    assert found.shape == (2, 1 + num_slopes, len(elements))
    wanted = steering_vectors(elements, directions, WAVELENGTH_M)
    assert np.allclose(found[:, 0], wanted, atol=1e-6)
    slopes = steering_derivatives(elements, directions, distances, WAVELENGTH_M)
    for axis in range(num_slopes):
        scale = np.abs(slopes).max()
        assert np.allclose(found[:, 1 + axis], slopes[..., axis], rtol=0, atol=1e-6 * scale)
