"""Outlier-robust fusion, against plain least squares and plain numbers."""

from math import log, pi

import pytest
import torch

from cooperative_isac.learned.plane.consensus import (
    PathMeasurements,
    consensus,
    negative_log_likelihood,
)

SLOPES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
TRUTH = torch.tensor([3.0, -2.0])
PRIOR, MASK, WIDTH = 1e-4 * torch.eye(2), torch.ones(4), 20.0


def measurements(value, std=0.1, log_odds=-4.0):
    return PathMeasurements(
        value, torch.full_like(value, log(std)), torch.full_like(value, log_odds)
    )


def test_inliers_give_least_squares():
    value = SLOPES @ TRUTH + 0.05 * torch.tensor([1.0, -1.0, 0.5, 0.3])
    mean, covariance = consensus(measurements(value, log_odds=-30.0), SLOPES, MASK, PRIOR, WIDTH)
    assert mean.numpy() == pytest.approx(
        torch.linalg.lstsq(SLOPES, value[:, None]).solution[:, 0].numpy(), abs=1e-3
    )
    assert covariance.numpy() == pytest.approx(
        0.01 * torch.linalg.inv(SLOPES.T @ SLOPES).numpy(), rel=1e-3, abs=1e-6
    )


@pytest.mark.parametrize("outlier", range(4))
def test_an_outlier_is_rejected(outlier):
    value = SLOPES @ TRUTH
    value[outlier] += 6.0
    mean, _ = consensus(measurements(value), SLOPES, MASK, PRIOR, WIDTH)
    assert mean.numpy() == pytest.approx(TRUTH.numpy(), abs=0.05)


def test_two_contradicting_paths_leave_a_wide_covariance():
    value = torch.tensor([3.0, -2.0, 9.0, 5.0])
    mask = torch.tensor([1.0, 1.0, 1.0, 0.0])
    _, covariance = consensus(measurements(value), SLOPES, mask, PRIOR, WIDTH)
    _, agreed = consensus(measurements(SLOPES @ TRUTH), SLOPES, mask, PRIOR, WIDTH)
    assert torch.trace(covariance) > 10 * torch.trace(agreed)


@pytest.mark.parametrize("mask", [(1.0, 1.0, 1.0, 0.0), (1.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)])
def test_masked_paths_have_no_influence(mask):
    value, is_present = torch.tensor([3.0, -2.0, 2.5, 5.0]), torch.tensor(mask) > 0
    found = consensus(measurements(value, 0.5, -1.0), SLOPES, torch.tensor(mask), PRIOR, WIDTH)
    alone = consensus(
        measurements(value[is_present], 0.5, -1.0),
        SLOPES[is_present],
        MASK[is_present],
        PRIOR,
        WIDTH,
    )
    for part, other in zip(found, alone):
        assert part.numpy() == pytest.approx(other.numpy(), rel=1e-5)


@pytest.mark.parametrize("log_std", [-5.0, 3.0])
@pytest.mark.parametrize("log_spread", [-3.0, 4.0])
def test_extremes_stay_finite(log_std, log_spread):
    values = PathMeasurements(
        1e3 * SLOPES @ TRUTH, torch.full((4,), log_std), torch.full((4,), -4.0)
    )
    values.value.requires_grad_(True)
    found = consensus(
        values, SLOPES, MASK, (-2 * torch.tensor(log_spread)).exp() * torch.eye(2), WIDTH
    )
    sum(part.sum() for part in found).backward()
    assert all(torch.isfinite(part).all() for part in (*found, values.value.grad))
    assert torch.linalg.eigvalsh(found[1]).min() > 0


def test_batches_are_their_rows():
    generator = torch.Generator().manual_seed(3)
    values, slopes = (
        torch.randn(5, 4, generator=generator),
        torch.randn(5, 4, 2, generator=generator),
    )
    both = consensus(measurements(values), slopes, MASK.expand(5, 4), PRIOR.expand(5, 2, 2), WIDTH)
    for row in range(5):
        alone = consensus(measurements(values[row]), slopes[row], MASK, PRIOR, WIDTH)
        assert all(
            part[row].numpy() == pytest.approx(other.numpy(), rel=1e-4, abs=1e-6)
            for part, other in zip(both, alone)
        )


def test_the_likelihood_is_normal_above_a_floor():
    certain = measurements(torch.zeros(2), std=1.0, log_odds=-30.0)
    assert negative_log_likelihood(
        certain, torch.tensor([0.0, 2.0]), WIDTH
    ).numpy() == pytest.approx([0.5 * log(2 * pi), 2 + 0.5 * log(2 * pi)])
    doubtful = measurements(torch.zeros(1), std=0.1, log_odds=0.0)
    assert negative_log_likelihood(doubtful, torch.tensor([9.0]), WIDTH).item() == pytest.approx(
        log(2 * WIDTH)
    )
