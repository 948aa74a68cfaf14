"""Errors against their covariances and bounds."""

import numpy as np
import pytest
from scipy.stats import chi2

from cooperative_isac.metrics.consistency import (
    error_to_bound,
    median_error,
    nees,
    nees_interval,
    rmse,
)

ERRORS = np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0]])  # lengths 5, 1, 2


def test_nees_agrees_with_a_plain_loop():
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((5, 3))
    factors = rng.standard_normal((5, 3, 4))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    for value, error, covariance in zip(nees(errors, covariances), errors, covariances):
        assert value == pytest.approx(error @ np.linalg.inv(covariance) @ error)


def test_the_nees_interval_has_its_probability():
    rng = np.random.default_rng(1)
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    errors = rng.multivariate_normal(np.zeros(2), covariance, (2000, 10))
    means = (
        nees(errors.reshape(-1, 2), np.tile(covariance, (20000, 1, 1)))
        .reshape(2000, 10)
        .mean(axis=1)
    )
    low, high = nees_interval(10, 2, 0.9)
    assert np.mean((low < means) & (means < high)) == pytest.approx(0.9, abs=0.02)


def test_the_interval_is_that_of_the_chi_square_table():
    # Chi-square with 100 degrees of freedom, 2.5 % and 97.5 %: 74.222, 129.561 (50 runs of 2
    # states).
    assert nees_interval(50, 2) == pytest.approx((74.222 / 50, 129.561 / 50), abs=1e-4)
    assert nees_interval(7, 6, 0.9) == tuple(chi2.ppf([0.05, 0.95], 42) / 7)


def test_error_figures():
    assert rmse(ERRORS) == pytest.approx(np.sqrt(10))
    assert median_error(ERRORS) == 2
    assert error_to_bound(ERRORS, np.array([1.0, 1.0, np.sqrt(28)])) == pytest.approx(1)


@pytest.mark.parametrize("figure", [rmse, median_error, lambda e: error_to_bound(e, np.zeros(0))])
def test_no_errors_have_no_figure(figure):
    assert np.isnan(figure(np.zeros((0, 3))))
