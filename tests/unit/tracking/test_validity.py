"""Validity of many states at once against that of each by itself."""

import numpy as np
import pytest

from cooperative_isac.scene.limits import TRACK_MARGIN, state_problem
from cooperative_isac.tracking.validity import state_problems


def random_states(rng, num):
    """Means and covariances of any size and shape, of which some are valid."""
    means = rng.normal(0, 10 ** rng.uniform(0, 8, (num, 1)), (num, 6))
    axes, _ = np.linalg.qr(rng.normal(size=(num, 6, 6)))
    variances = 10 ** (rng.uniform(-13, 11, (num, 1)) + rng.uniform(-5, 5, (num, 6)))
    covariances = (axes * variances[:, None]) @ np.swapaxes(axes, 1, 2)
    return means, (covariances + np.swapaxes(covariances, 1, 2)) / 2


@pytest.mark.parametrize("margin", [1.0, TRACK_MARGIN])
@pytest.mark.parametrize("kind", ["any", "positive definite"])
def test_problems_are_those_of_each_state_by_itself(margin, kind):
    means, covariances = random_states(np.random.default_rng(0), 400)
    if kind == "positive definite":
        # One that is not positive definite has all of them checked one by one.
        definite = np.linalg.eigvalsh(covariances).min(axis=1) > 0
        means, covariances = means[definite], covariances[definite]
    expected = {}
    for index, (mean, covariance) in enumerate(zip(means, covariances)):
        problem = state_problem(mean[:3], mean[3:], covariance, margin)
        if problem is not None:
            expected[index] = problem
    assert state_problems(means, covariances, margin) == expected
    assert 20 < len(expected) < len(means) - 20


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_affects_no_other(value):
    means = np.zeros((3, 6))
    covariances = np.tile(np.eye(6), (3, 1, 1))
    means[0, 4] = value
    covariances[2, 1, 1] = value
    problems = state_problems(means, covariances)
    assert problems == {0: "velocity_mps is not finite", 2: "covariance is not finite"}


def test_no_states_have_no_problem():
    assert state_problems(np.zeros((0, 6)), np.zeros((0, 6, 6))) == {}
