"""Whitening of interference over the antennas, against matrix roots and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import sqrtm

from cooperative_isac.channel.interference import (
    arrivals,
    interference_covariance,
    interference_echo,
)
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.arrays import steering_vectors, steering_with_slopes
from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.file.build_world import build_world
from cooperative_isac.scene.file.world_keys import WorldEntry
from cooperative_isac.sensing.interference import (
    InterferenceStage,
    arrival_span,
    measured_arrivals,
    uncertain_arrivals,
    whitening_of,
)

PLACES_M = ([-20.0, 90.0, 0.0], [80.0, 100.0, 0.0])


@pytest.fixture
def noisy(plane):
    """The plane with two interferers, and what rx1 receives of them and of its noise."""
    interferers = tuple(
        Interferer(f"other{index}", np.array(place), 2.0) for index, place in enumerate(PLACES_M)
    )
    scene = replace(plane, propagation=replace(plane.propagation, interferers=interferers))
    receiver = scene.receiver("rx1")
    signal = transmit(scene, 0)
    samples = interference_echo(scene, signal, receiver, (), None)
    generator = np.random.default_rng(1)
    noise = generator.standard_normal((*samples.shape, 2)) @ [1, 1j]
    samples = samples + noise * np.sqrt(scene.propagation.noise_power_w / 2)
    return scene, receiver, signal, samples.astype(np.complex64)


def uncertain(scene, position_std_m):
    """The scene with receivers that report positions with an error."""
    other = replace(scene)
    stations = [replace(one, position_std_m=position_std_m) for one in scene.stations]
    other.__dict__["stations"] = tuple(stations)
    return other


def true_covariance(scene, receiver):
    """Covariance of interference and noise, over the power of the noise."""
    own = interference_covariance(scene, receiver) / scene.propagation.noise_power_w
    return np.eye(receiver.num_ant) + own


def test_known_interference_becomes_white(noisy):
    scene, receiver, _, _ = noisy
    covariance = true_covariance(scene, receiver)
    powers, directions = np.linalg.eigh(covariance)
    matrix = whitening_of(powers, directions).matrix
    assert np.allclose(matrix @ covariance @ matrix.conj().T, np.eye(8), atol=1e-4)
    assert np.allclose(matrix, np.linalg.inv(sqrtm(covariance)), atol=1e-5)


def test_interference_is_measured_in_the_directions_of_the_interferers(noisy):
    scene, receiver, signal, samples = noisy
    span = arrival_span(scene, receiver)
    assert span.shape == (8, 2)
    powers, directions = measured_arrivals(
        samples.reshape(8, -1), span, scene.propagation.noise_power_w
    )
    found = whitening_of(powers, directions).matrix
    expected = np.linalg.inv(sqrtm(true_covariance(scene, receiver)))
    assert np.allclose(found, expected, atol=0.02)

    # The stage gives the same, and the echo behind it is white.
    stage = InterferenceStage("nulls")
    echo, whitening = stage.prepare(scene, receiver, samples, signal)
    assert np.allclose(whitening.matrix, found, atol=1e-5)
    flat = echo.reshape(8, -1)
    white = flat @ flat.conj().T / flat.shape[1] / scene.propagation.noise_power_w
    assert np.allclose(white, np.eye(8), atol=0.08)


def test_one_dimension_is_left_to_targets(noisy):
    # Interferers all around the receiver.
    scene, receiver, _, _ = noisy
    angles = np.linspace(0, np.pi, 12)
    around_m = 50 * np.column_stack([np.cos(angles), np.sin(angles), np.zeros(12)])
    many = tuple(
        Interferer(f"other{index}", receiver.position_m + place_m, 1.0)
        for index, place_m in enumerate(around_m)
    )
    crowded = replace(scene, propagation=replace(scene.propagation, interferers=many))
    span = arrival_span(crowded, crowded.receiver("rx1"))
    assert span.shape == (8, 7)
    assert np.allclose(span.conj().T @ span, np.eye(7))


def drawn_arrivals(scene, receiver, position_std_m, num_draws):
    """Lines of sight of both interferers to receivers at drawn places.

    Returns [num_draws, 2, num_ant], sqrt(W) on each subcarrier.
    """
    generator = np.random.default_rng(7)
    places_m = receiver.position_m + position_std_m * generator.standard_normal((num_draws, 3))
    away_m = np.array(PLACES_M) - places_m[:, None]
    directions = away_m / np.linalg.norm(away_m, axis=2, keepdims=True)
    steering = steering_vectors(receiver.elements_m, directions, scene.grid.wavelength_m)
    norms = np.linalg.norm(arrivals(scene, receiver), axis=1)
    return norms[:, None] * steering


@pytest.mark.parametrize("position_std_m", [0.05, 0.5, 2.0])
def test_uncertain_arrivals_have_the_covariance_of_drawn_places(noisy, position_std_m):
    scene, receiver, _, _ = noisy
    found = uncertain_arrivals(scene, receiver, position_std_m)
    drawn = drawn_arrivals(scene, receiver, position_std_m, 20_000)
    expected = np.einsum("dpa,dpb->ab", drawn, drawn.conj()) / len(drawn)
    scale = np.abs(expected).max()
    assert np.allclose(found.T @ found.conj(), expected, atol=0.01 * scale)


def test_nulls_widen_only_as_far_as_the_deviations_are_above_the_noise(noisy):
    # Interferers at a thousand times the power.
    scene, receiver, _, _ = noisy
    strong = tuple(replace(one, power_w=2e3) for one in scene.propagation.interferers)
    scene = replace(scene, propagation=replace(scene.propagation, interferers=strong))
    noise_w = scene.propagation.noise_power_w
    sizes = []
    for position_std_m in (1e-6, 0.1, 1.0):
        span = arrival_span(uncertain(scene, position_std_m), receiver)
        assert np.allclose(span.conj().T @ span, np.eye(span.shape[1]))
        sizes.append(span.shape[1])

        # What is left of arrivals at other places, in any direction.
        drawn = drawn_arrivals(scene, receiver, position_std_m, 1000)
        left = drawn - drawn @ span.conj() @ span.T
        powers_w = np.sum(np.abs(left) ** 2, axis=2)
        assert np.quantile(powers_w, 0.99) < noise_w
    assert sizes[0] == 2
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] < 8

    # The direction from the reported place alone is too narrow.
    exact = arrival_span(scene, receiver)
    left = drawn - drawn @ exact.conj() @ exact.T
    assert np.median(np.sum(np.abs(left) ** 2, axis=2)) > 10 * noise_w


def test_an_uncertain_interferer_that_a_building_hides_has_no_direction(noisy):
    # A wall between the receiver and both interferers.
    scene, receiver, _, _ = noisy
    y_m = receiver.position_m[1] + 2
    walls = [{"from_m": [-1000, y_m], "to_m": [1000, y_m], "height_m": [-10, 100]}]
    entry = WorldEntry(walls=walls)
    world = build_world(entry, scene.grid.carrier_hz, receiver.position_m[None])
    span = arrival_span(uncertain(replace(scene, world=world), 0.5), receiver)
    assert span.shape == (8, 0)


def test_weak_interference_is_hardly_suppressed(noisy):
    scene, receiver, _, samples = noisy
    span = arrival_span(scene, receiver)
    loud = 1e6 * scene.propagation.noise_power_w
    powers, directions = measured_arrivals(samples.reshape(8, -1), span, loud)
    assert np.array_equal(powers, [1, 1])
    assert np.allclose(whitening_of(powers, directions).matrix, np.eye(8))


def test_interference_as_noise_scales_the_echo(noisy):
    scene, receiver, signal, samples = noisy
    echo, whitening = InterferenceStage("noise").prepare(scene, receiver, samples, signal)
    assert whitening is None
    power_w = np.mean(np.abs(echo) ** 2)
    assert power_w == pytest.approx(scene.propagation.noise_power_w, rel=0.03)


def test_echoes_stay_as_they_are_without_interferers(plane):
    signal = transmit(plane, 0)
    samples = np.ones((8, 64, 64), np.complex64)
    for mode in ("noise", "nulls"):
        echo, whitening = InterferenceStage(mode).prepare(
            plane, plane.receivers[0], samples, signal
        )
        assert echo is samples
        assert whitening is None


def test_slopes_of_whitened_steering_are_finite_differences(noisy):
    scene, receiver, _, _ = noisy
    whitening = whitening_of(*np.linalg.eigh(true_covariance(scene, receiver)))
    wavelength_m = scene.grid.wavelength_m

    def steering(point_m):
        away_m = point_m - receiver.position_m
        distance_m = np.linalg.norm(away_m)
        plain = steering_with_slopes(
            receiver.elements_m,
            away_m[None] / distance_m,
            np.array([distance_m]),
            wavelength_m,
            2,
        )
        return whitening.of_steering(plain)[0], whitening.of_beams(plain[:, 0].conj())[0]

    point_m = np.array([22.0, 40.0, 0.0])
    middle, beam = steering(point_m)
    assert np.linalg.norm(middle[0]) == pytest.approx(1, rel=1e-5)
    assert np.allclose(beam, middle[0].conj(), atol=1e-5)
    for axis in range(2):
        step_m = 0.05 * np.eye(3)[axis]
        above, _ = steering(point_m + step_m)
        below, _ = steering(point_m - step_m)
        slope = (above[0] - below[0]) / 0.1
        assert np.allclose(middle[1 + axis], slope, atol=2e-3 * np.abs(slope).max())
