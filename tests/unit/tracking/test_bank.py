"""The bank of filters against filterpy's objects, one track after another."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter
from scipy.stats import multivariate_normal

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking import bank
from cooperative_isac.tracking.filters import mode_transition, motion_models
from cooperative_isac.tracking.motion_models import with_turn_rate

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "filterpy_imm.py"
SETTINGS = Tracking(accel_std_mps2=1.7, vertical_accel_std_mps2=0.6, turn_rate_std_radps=0.4)
STEPS_S = (0.1, 0.1, 0.4, 0.05, 0.1, 2.0, 0.1, 0.2, 0.1, 0.1)
NUM_TARGETS = 5


@pytest.fixture(scope="module")
def filterpy_imm():
    """The example module of the same filter with filterpy's objects."""
    spec = importlib.util.spec_from_file_location("filterpy_imm", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_covariances(rng, num, size):
    """Well-conditioned covariances [num, size, size] of about 0.3 squared."""
    factors = 0.1 * rng.standard_normal((num, size, size + 3))
    return factors @ np.swapaxes(factors, 1, 2)


def random_bank(rng, num_modes=2, num_states=7, num_targets=NUM_TARGETS):
    """Filters whose modes differ in everything."""
    probabilities = rng.uniform(0.1, 1.0, (num_targets, num_modes))
    shape = (num_targets, num_modes, num_states, num_states)
    return bank.Bank(
        rng.normal(0, 3, (num_targets, num_modes, num_states)),
        random_covariances(rng, num_targets * num_modes, num_states).reshape(shape),
        probabilities / probabilities.sum(axis=1, keepdims=True),
    )


def assert_equal(ours, theirs):
    """Equal to 1e-9, relative to the largest entry where that is above 1."""
    scale = max(1.0, np.abs(theirs).max())
    assert np.abs(ours - theirs).max() < 1e-9 * scale


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("far_off", [1.0, 30.0])
def test_an_imm_bank_is_equal_to_the_imm_estimator_of_filterpy(filterpy_imm, seed, far_off):
    rng = np.random.default_rng(seed)
    models = motion_models(SETTINGS)
    means = rng.normal(0, 5, (NUM_TARGETS, 6))
    covariances = random_covariances(rng, NUM_TARGETS, 6)
    extended = with_turn_rate(covariances, SETTINGS.turn_rate_std_radps**2)
    ours = bank.start(np.pad(means, ((0, 0), (0, 1))), extended, 2)
    theirs = [filterpy_imm.make_filter(SETTINGS, 3) for _ in range(NUM_TARGETS)]
    for filter_, mean, covariance in zip(theirs, means, extended):
        filter_.x = np.append(mean, 0.0)
        filter_.P = covariance

    for step, dt_s in enumerate(STEPS_S):
        # Every third step has no measurement.
        measured = step % 3 != 2
        noise = random_covariances(rng, NUM_TARGETS, 6)
        ours = bank.predict(ours, models, mode_transition(2, dt_s), dt_s)
        predicted = bank.combine(ours)[0]
        values = predicted[:, :6] + far_off * 0.3 * rng.standard_normal((NUM_TARGETS, 6))
        if measured:
            ours = bank.update(ours, values, noise)
        for filter_, value, covariance in zip(theirs, values, noise):
            filter_.predict(dt=dt_s)
            if measured:
                filter_.update(value, R=covariance)

        combined_means, combined_covariances = bank.combine(ours)
        for target, filter_ in enumerate(theirs):
            for mode in range(2):
                assert_equal(ours.means[target, mode], filter_.modes[mode].x)
                assert_equal(ours.covariances[target, mode], filter_.modes[mode].P)
            assert_equal(ours.mode_probabilities[target], filter_.imm.mu)
            assert_equal(combined_means[target], filter_.x)
            assert_equal(combined_covariances[target], filter_.P)


def test_a_bank_of_one_mode_is_equal_to_the_kalman_filter_of_filterpy():
    rng = np.random.default_rng(3)
    (model,) = models = motion_models(Tracking(model="cv"))
    ours = random_bank(rng, num_modes=1, num_states=6)
    theirs = []
    for target in range(NUM_TARGETS):
        filter_ = KalmanFilter(dim_x=6, dim_z=6)
        filter_.x = ours.means[target, 0].copy()
        filter_.P = ours.covariances[target, 0].copy()
        filter_.H = np.eye(6)
        theirs.append(filter_)

    for dt_s in STEPS_S:
        values = rng.normal(0, 5, (NUM_TARGETS, 6))
        noise = random_covariances(rng, NUM_TARGETS, 6)
        ours = bank.predict(ours, models, mode_transition(1, dt_s), dt_s)
        ours = bank.update(ours, values, noise)
        for target, filter_ in enumerate(theirs):
            filter_.predict(F=model.jacobian(filter_.x, dt_s), Q=model.noise(dt_s))
            filter_.update(values[target], R=noise[target])
            assert_equal(ours.means[target, 0], filter_.x)
            assert_equal(ours.covariances[target, 0], filter_.P)


def test_mixing_agrees_with_a_plain_loop_over_the_equations():
    # Bar-Shalom 2001, eq. 11.6.6-6 to 9
    before = random_bank(np.random.default_rng(4))
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    after = bank.mix(before, transition)
    for target in range(NUM_TARGETS):
        for new in range(2):
            joint = [
                transition[old, new] * before.mode_probabilities[target, old] for old in range(2)
            ]
            mean = sum(joint[old] / sum(joint) * before.means[target, old] for old in range(2))
            covariance = np.zeros((7, 7))
            for old in range(2):
                away = before.means[target, old] - mean
                spread = before.covariances[target, old] + np.outer(away, away)
                covariance += joint[old] / sum(joint) * spread
            assert after.mode_probabilities[target, new] == pytest.approx(sum(joint))
            assert np.allclose(after.means[target, new], mean)
            assert np.allclose(after.covariances[target, new], covariance)


def test_modes_are_weighted_by_the_gaussian_likelihood():
    rng = np.random.default_rng(5)
    before = random_bank(rng)
    values = before.means[:, 0, :6] + 0.2 * rng.standard_normal((NUM_TARGETS, 6))
    noise = random_covariances(rng, NUM_TARGETS, 6)
    after = bank.update(before, values, noise)
    for target in range(NUM_TARGETS):
        weights = [
            before.mode_probabilities[target, mode]
            * multivariate_normal.pdf(
                values[target],
                before.means[target, mode, :6],
                before.covariances[target, mode, :6, :6] + noise[target],
            )
            for mode in range(2)
        ]
        assert np.allclose(after.mode_probabilities[target], weights / np.sum(weights))


def test_a_measurement_that_no_mode_explains_keeps_the_mode_probabilities():
    before = random_bank(np.random.default_rng(6))
    noise = np.tile(np.eye(6), (NUM_TARGETS, 1, 1))
    after = bank.update(before, np.full((NUM_TARGETS, 6), 1e4), noise)
    assert np.allclose(after.mode_probabilities, before.mode_probabilities)


def test_a_singular_innovation_affects_its_own_target_only():
    before = random_bank(np.random.default_rng(7))
    noise = np.tile(np.eye(6), (NUM_TARGETS, 1, 1))
    whole = bank.update(before, np.zeros((NUM_TARGETS, 6)), noise)
    before.covariances[2] = 0.0
    noise[2] = 0.0
    spoiled = bank.update(before, np.zeros((NUM_TARGETS, 6)), noise)
    others = [0, 1, 3, 4]
    assert np.isnan(spoiled.means[2]).all() and np.isnan(spoiled.mode_probabilities[2]).all()
    assert np.allclose(spoiled.means[others], whole.means[others])
    assert np.allclose(spoiled.covariances[others], whole.covariances[others])


def test_targets_are_selected_replaced_and_concatenated():
    rng = np.random.default_rng(8)
    first, second = random_bank(rng), random_bank(rng)
    both = bank.concatenate(first, second)
    assert np.array_equal(both.at(np.arange(5, 10)).covariances, second.covariances)
    changed = bank.replace_at(first, np.array([3, 1]), second.at(np.array([0, 4])))
    assert np.array_equal(changed.means[[3, 1]], second.means[[0, 4]])
    assert np.array_equal(changed.mode_probabilities[[3, 1]], second.mode_probabilities[[0, 4]])
    assert np.array_equal(changed.covariances[[0, 2, 4]], first.covariances[[0, 2, 4]])
    assert not np.array_equal(first.means[1], second.means[4])
