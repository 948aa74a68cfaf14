"""Motion models against closed cases, numerical integration and finite differences."""

import numpy as np
import pytest

from cooperative_isac.tracking.motion_models import (
    ACCELERATION_MEMORY_S,
    SMALL_ANGLE_RAD,
    ConstantVelocity,
    StraightMode,
    TurnMode,
    acceleration_noise,
    constant_velocity_transition,
    coordinated_turn,
    coordinated_turn_jacobian,
    turn_decay,
    turn_noise,
)

RATES = [0.0, 1e-6, -4e-3, 0.3, -1.5]


def test_constant_velocity_moves_by_velocity_times_time():
    moved = constant_velocity_transition(0.5) @ [1, 2, 3, 4, -6, 8]
    assert np.array_equal(moved, [3, -1, 7, 4, -6, 8])


def test_acceleration_noise_is_the_integral_of_white_acceleration():
    dt, steps = 0.4, 4000
    density = np.diag([0, 0, 0, *(2 * ACCELERATION_MEMORY_S * np.square([2.0, 2.0, 0.5]))])
    total = np.zeros((6, 6))
    for age in (np.arange(steps) + 0.5) * dt / steps:
        transition = constant_velocity_transition(age)
        total += transition @ density @ transition.T * dt / steps
    assert np.allclose(acceleration_noise(dt, 2.0, 0.5), total, rtol=1e-6)


def test_two_steps_are_as_noisy_as_one_of_twice_the_length():
    half, transition = acceleration_noise(0.2, 2.0, 1.0), constant_velocity_transition(0.2)
    assert np.allclose(transition @ half @ transition.T + half, acceleration_noise(0.4, 2.0, 1.0))


def test_the_turn_rate_keeps_its_standard_deviation():
    assert turn_decay(0.7) ** 2 * 0.3**2 + turn_noise(0.7, 0.3) == pytest.approx(0.3**2)
    assert turn_decay(0.3) * turn_decay(0.4) == pytest.approx(turn_decay(0.7))


def test_a_quarter_turn_ends_where_the_circle_does():
    # Radius v / rate = 2 / pi; from the origin along x, turning left.
    turned = coordinated_turn(np.array([0, 0, 1, 1, 0, 0.5, np.pi / 2]), 1.0)
    assert np.allclose(turned[:6], [2 / np.pi, 2 / np.pi, 1.5, 0, 1, 0.5])


@pytest.mark.parametrize("rate", RATES)
def test_a_turn_is_the_integral_of_its_velocity(rate):
    state, dt, steps = np.array([5, -3, 2, 8, 3, -1, rate]), 0.6, 20000
    expected = state[:3].copy()
    for age in (np.arange(steps) + 0.5) * dt / steps:
        cos, sin = np.cos(rate * age), np.sin(rate * age)
        expected += np.array([cos * 8 - sin * 3, sin * 8 + cos * 3, -1]) * dt / steps
    assert np.allclose(coordinated_turn(state, dt)[:3], expected, atol=1e-8)


@pytest.mark.parametrize("rate", RATES)
def test_the_jacobian_agrees_with_finite_differences(rate):
    state, dt, step = np.array([5, -3, 2, 8, 3, -1, rate]), 0.6, 1e-5
    ahead, behind = (
        np.array([coordinated_turn(state + side * step * axis, dt) for axis in np.eye(7)])
        for side in (1, -1)
    )
    slopes = (ahead - behind).T / (2 * step)
    assert np.allclose(coordinated_turn_jacobian(state, dt), slopes, atol=1e-7)


@pytest.mark.parametrize("function", [coordinated_turn, coordinated_turn_jacobian])
def test_series_and_closed_form_meet(function):
    below, above = (
        function(np.array([0, 0, 0, 20, 10, 0, rate]), 1.0)
        for rate in (SMALL_ANGLE_RAD * (1 - 1e-9), SMALL_ANGLE_RAD * (1 + 1e-9))
    )
    assert np.allclose(below, above, atol=1e-8)


@pytest.mark.parametrize("function", [coordinated_turn, coordinated_turn_jacobian])
def test_many_states_turn_as_each_by_itself(function):
    states = np.random.default_rng(0).normal(0, 5, (3, len(RATES), 7))
    states[..., 6] = RATES
    together = function(states, 0.3)
    for place in np.ndindex(states.shape[:-1]):
        assert np.array_equal(together[place], function(states[place], 0.3))


@pytest.mark.parametrize(
    "model",
    [
        ConstantVelocity(2.0, 1.0),
        StraightMode(ConstantVelocity(2.0, 1.0), 0.3),
        TurnMode(ConstantVelocity(2.0, 1.0), 0.3),
    ],
)
def test_a_model_agrees_with_its_jacobian_and_adds_a_covariance(model):
    rng = np.random.default_rng(1)
    states = rng.normal(0, 1, (4, model.num_states))
    small = 1e-6 * rng.normal(0, 1, states.shape)
    jacobians = np.broadcast_to(
        model.jacobian(states, 0.2), (4, model.num_states, model.num_states)
    )
    difference = model.move(states + small, 0.2) - model.move(states, 0.2)
    expected = (jacobians @ small[..., None])[..., 0]
    assert np.allclose(difference, expected, rtol=0, atol=1e-10)
    noise = model.noise(0.2)
    assert np.array_equal(noise, noise.T) and np.linalg.eigvalsh(noise).min() > 0
