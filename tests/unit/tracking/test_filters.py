"""Every filter: consistent algebra, plausible behavior; the IMM against the single model."""

import numpy as np
import pytest

from cooperative_isac.metrics.consistency import nees, nees_interval, rmse
from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking.filters import BankFilters, make_filters, mode_transition
from cooperative_isac.tracking.motion_models import acceleration_noise, constant_velocity_transition

NOISE = np.diag([0.15**2] * 3 + [0.5**2] * 3)
DT = 0.2


def turning_states(rate, speed=10.0, num=60):
    """Positions and velocities [num, 6] of a level circle, or of a line where rate is 0."""
    heading = rate * DT * np.arange(num)
    velocity = speed * np.stack([np.cos(heading), np.sin(heading), np.zeros(num)], axis=1)
    if rate == 0:
        return np.hstack([velocity * DT * np.arange(num)[:, None], velocity])
    position = (
        speed / rate * np.stack([np.sin(heading), 1 - np.cos(heading), np.zeros(num)], axis=1)
    )
    return np.hstack([position, velocity])


class OneFilter:
    """The filters of a tracker that has one track."""

    def __init__(self, settings, mean, covariance):
        self.all = make_filters(settings, 3)
        self.all.start(mean[None], covariance[None])

    @property
    def mean(self):
        return self.all.means[0]

    @property
    def covariance(self):
        return self.all.covariances[0]

    @property
    def mode_probabilities(self):
        return self.all.modes.mode_probabilities[0]

    def predict(self, dt_s):
        self.all.predict(dt_s)

    def update(self, measurement, noise_covar):
        self.all.update(np.array([0]), measurement[None], noise_covar[None])


def run(model, states, rng):
    """The filter after updates by noisy states, and its means and covariances on the way."""
    filter_ = OneFilter(Tracking(model=model), rng.multivariate_normal(states[0], NOISE), NOISE)
    means = [filter_.mean]
    covariances = [filter_.covariance]
    for state in states[1:]:
        filter_.predict(DT)
        filter_.update(rng.multivariate_normal(state, NOISE), NOISE)
        means.append(filter_.mean)
        covariances.append(filter_.covariance)
    return filter_, np.array(means), np.array(covariances)


def test_constant_velocity_filter_follows_the_kalman_equations():
    rng = np.random.default_rng(0)
    settings = Tracking(model="cv", accel_std_mps2=1.5, vertical_accel_std_mps2=0.5)
    mean, covariance = rng.standard_normal(6), NOISE.copy()
    filter_ = OneFilter(settings, mean, covariance)
    for dt in (0.1, 0.4, 0.2):
        measured = rng.standard_normal(6)
        transition = constant_velocity_transition(dt)
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + acceleration_noise(dt, 1.5, 0.5)
        information = np.linalg.inv(covariance) + np.linalg.inv(NOISE)
        weighted = np.linalg.solve(covariance, mean) + np.linalg.solve(NOISE, measured)
        mean = np.linalg.solve(information, weighted)
        covariance = np.linalg.inv(information)
        filter_.predict(dt)
        filter_.update(measured, NOISE)
    assert np.allclose(filter_.mean, mean) and np.allclose(filter_.covariance, covariance)


def test_constant_velocity_filter_is_consistent_with_its_own_model():
    rng, errors, covariances = np.random.default_rng(1), [], []
    noise = acceleration_noise(DT, 2.0, 1.0)
    for _ in range(40):
        states = [rng.standard_normal(6)]
        for _ in range(10):
            moved = constant_velocity_transition(DT) @ states[-1]
            states.append(rng.multivariate_normal(moved, noise))
        filter_, _, _ = run("cv", np.array(states), rng)
        errors.append(filter_.mean - states[-1])
        covariances.append(filter_.covariance)
    low, high = nees_interval(40, 6, 0.999)
    assert low < nees(np.array(errors), np.array(covariances)).mean() < high


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_every_filter_beats_its_measurements_and_states_a_fair_covariance(model, rate):
    states = turning_states(rate)
    _, means, covariances = run(model, states, np.random.default_rng(2))
    errors = (means - states)[10:]
    assert rmse(errors[:, :3]) < 0.15 * np.sqrt(3) and rmse(errors[:, 3:]) < 0.5 * np.sqrt(3)
    assert 2 < nees(errors, covariances[10:]).mean() < 9
    assert np.array_equal(covariances, np.swapaxes(covariances, 1, 2))
    assert np.linalg.eigvalsh(covariances).min() > 0


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
def test_prediction_grows_uncertainty_and_two_steps_are_one(model):
    start = np.array([0, 0, 5, 8, 0, 0.0])
    filters = [OneFilter(Tracking(model=model), start, NOISE) for _ in range(2)]
    filters[0].predict(0.4)
    filters[1].predict(0.2)
    filters[1].predict(0.2)
    assert np.trace(filters[0].covariance) > np.trace(NOISE)
    assert np.allclose(filters[0].mean, filters[1].mean, atol=0.05)
    assert np.allclose(np.diag(filters[0].covariance), np.diag(filters[1].covariance), rtol=0.1)


def test_the_imm_identifies_the_motion_and_follows_it_better_than_one_model():
    for rate, mode, least, gain in ((0.0, 0, 0.6, 0.8), (0.6, 1, 0.8, 0.8)):
        states = turning_states(rate)
        filter_, means, _ = run("imm", states, np.random.default_rng(3))
        assert filter_.mode_probabilities[mode] > least
        _, single, _ = run("cv", states, np.random.default_rng(3))
        assert rmse((means - states)[10:, 3:]) < gain * rmse((single - states)[10:, 3:])


def test_the_imm_learns_the_rate_of_a_turn_that_begins_after_a_long_straight():
    straight, turn = turning_states(0.0), turning_states(0.8, num=4)
    turn[:, :3] += straight[-1, :3]
    states = np.vstack([straight[:-1], turn])
    filters = [run("imm", states, np.random.default_rng(seed))[0] for seed in range(4)]
    assert min(filter_.mode_probabilities[1] for filter_ in filters) > 0.8
    assert np.mean([filter_.all.modes.means[0, 1, 6] for filter_ in filters]) > 0.8 / 2


def test_a_coasting_imm_keeps_turning_while_its_modes_mix():
    states = turning_states(0.6)
    filter_, _, _ = run("imm", states[:50], np.random.default_rng(4))
    single, _, _ = run("cv", states[:50], np.random.default_rng(4))
    for _ in range(4):
        filter_.predict(DT)
        single.predict(DT)
    errors = [np.linalg.norm(f.mean[:3] - states[53, :3]) for f in (filter_, single)]
    assert errors[0] < 0.6 * errors[1]
    before = filter_.mode_probabilities[1]
    filter_.predict(20.0)
    assert 0.5 < filter_.mode_probabilities[1] < 0.52 < before


def test_filters_are_appended_kept_and_updated_as_each_by_itself():
    rng = np.random.default_rng(5)
    states = rng.normal(0, 3, (4, 6))
    covariances = np.tile(NOISE, (4, 1, 1))
    together = BankFilters(Tracking())
    together.start(states[:1], covariances[:1])
    together.start(states[1:], covariances[1:])
    together.predict(DT)
    before = together.means, together.covariances
    copies = before[0].copy(), before[1].copy()
    together.update(np.array([3, 1]), states[[3, 1]] + 0.1, covariances[:2])
    together.keep(np.array([True, True, False, True]))
    for place, target in enumerate((0, 1, 3)):
        alone = OneFilter(Tracking(), states[target], NOISE)
        alone.predict(DT)
        if target in (1, 3):
            alone.update(states[target] + 0.1, NOISE)
        assert np.allclose(together.means[place], alone.mean, rtol=1e-12, atol=1e-12)
        assert np.allclose(together.covariances[place], alone.covariance, rtol=1e-12, atol=1e-14)
    # Arrays from before an update do not change.
    assert np.array_equal(before[0], copies[0]) and np.array_equal(before[1], copies[1])


def test_modes_last_as_long_for_any_step():
    one = mode_transition(2, 0.4)
    assert np.allclose(np.linalg.matrix_power(mode_transition(2, 0.1), 4), one)
    assert np.allclose(one.sum(axis=1), 1)
    assert np.array_equal(mode_transition(1, 0.4), [[1.0]])


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'singer' is unknown; allowed: cv, imm, or"):
        make_filters(Tracking(model="singer"), 3)
