"""Who lies among paths, against plain least squares and plain numbers."""

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
PRIOR, HEARD, WIDTH = 1e-4 * torch.eye(2), torch.ones(4), 20.0


def told(value, deviation=0.1, doubt=-4.0):
    return PathMeasurements(
        value, torch.full_like(value, log(deviation)), torch.full_like(value, doubt)
    )


def test_honest_paths_give_least_squares():
    value = SLOPES @ TRUTH + 0.05 * torch.tensor([1.0, -1.0, 0.5, 0.3])
    mean, covariance = consensus(told(value, doubt=-30.0), SLOPES, HEARD, PRIOR, WIDTH)
    assert mean.numpy() == pytest.approx(
        torch.linalg.lstsq(SLOPES, value[:, None]).solution[:, 0].numpy(), abs=1e-3
    )
    assert covariance.numpy() == pytest.approx(
        0.01 * torch.linalg.inv(SLOPES.T @ SLOPES).numpy(), rel=1e-3, abs=1e-6
    )


@pytest.mark.parametrize("liar", range(4))
def test_a_liar_is_outvoted(liar):
    value = SLOPES @ TRUTH
    value[liar] += 6.0
    mean, _ = consensus(told(value), SLOPES, HEARD, PRIOR, WIDTH)
    assert mean.numpy() == pytest.approx(TRUTH.numpy(), abs=0.05)


def test_two_that_contradict_each_other_leave_doubt():
    value = torch.tensor([3.0, -2.0, 9.0, 5.0])
    heard = torch.tensor([1.0, 1.0, 1.0, 0.0])
    _, covariance = consensus(told(value), SLOPES, heard, PRIOR, WIDTH)
    _, agreed = consensus(told(SLOPES @ TRUTH), SLOPES, heard, PRIOR, WIDTH)
    assert torch.trace(covariance) > 10 * torch.trace(agreed)


@pytest.mark.parametrize(
    "heard", [(1.0, 1.0, 1.0, 0.0), (1.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)]
)
def test_who_is_not_heard_is_as_if_not_there(heard):
    value, there = torch.tensor([3.0, -2.0, 2.5, 5.0]), torch.tensor(heard) > 0
    found = consensus(told(value, 0.5, -1.0), SLOPES, torch.tensor(heard), PRIOR, WIDTH)
    alone = consensus(told(value[there], 0.5, -1.0), SLOPES[there], HEARD[there], PRIOR, WIDTH)
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
        values, SLOPES, HEARD, (-2 * torch.tensor(log_spread)).exp() * torch.eye(2), WIDTH
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
    both = consensus(told(values), slopes, HEARD.expand(5, 4), PRIOR.expand(5, 2, 2), WIDTH)
    for row in range(5):
        alone = consensus(told(values[row]), slopes[row], HEARD, PRIOR, WIDTH)
        assert all(
            part[row].numpy() == pytest.approx(other.numpy(), rel=1e-4, abs=1e-6)
            for part, other in zip(both, alone)
        )


def test_likelihood_is_a_normal_above_a_floor():
    sure = told(torch.zeros(2), deviation=1.0, doubt=-30.0)
    assert negative_log_likelihood(sure, torch.tensor([0.0, 2.0]), WIDTH).numpy() == pytest.approx(
        [0.5 * log(2 * pi), 2 + 0.5 * log(2 * pi)]
    )
    doubtful = told(torch.zeros(1), deviation=0.1, doubt=0.0)
    assert negative_log_likelihood(doubtful, torch.tensor([9.0]), WIDTH).item() == pytest.approx(
        log(2 * WIDTH)
    )
