"""Labels, outputs, and the loss for targets without an order."""

from itertools import permutations

import numpy as np
import pytest
import torch

from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.targets import PRESENCE_WEIGHT, TargetHead, set_loss


@pytest.fixture
def head(tiny):
    torch.manual_seed(2)
    return TargetHead(tiny, 7, 3)


def batch(generator, size=5, num_targets=3):
    """Random outputs and labels, with fewer targets than outputs in some samples."""
    log_odds, state, label = (
        torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
        for shape in ((size, num_targets), *[(size, num_targets, 4)] * 2)
    )
    counts = torch.from_numpy(generator.integers(num_targets + 1, size=(size, 1)))
    return log_odds, state, torch.arange(num_targets) < counts, label


def plain_loss(log_odds, state, present, label):
    """The least mean cost over all orders, sample by sample, with numbers."""
    total = 0.0
    for odds, row, there, wanted in zip(
        log_odds.numpy(), state.numpy(), present.numpy(), label.numpy()
    ):
        probability, costs = 1 / (1 + np.exp(-odds)), []
        for order in permutations(range(len(there))):
            cost = place = 0.0
            for output, target in enumerate(order):
                squares = there[target] * (row[output] - wanted[target]) ** 2
                right = probability[output] if there[target] else 1 - probability[output]
                cost += np.mean(squares) - PRESENCE_WEIGHT * np.log(right)
                place += np.mean(squares[:2]) - PRESENCE_WEIGHT * np.log(right)
            costs.append((place, cost / len(there)))
        total += min(costs)[1]
    return total / len(log_odds)


def test_the_loss_is_that_of_the_best_order(generator):
    parts = batch(generator)
    assert float(set_loss(*parts)) == pytest.approx(plain_loss(*parts), rel=1e-5)


def test_velocities_do_not_choose_the_order():
    odds, there = torch.full((1, 2), 50.0), torch.tensor([[True, True]])
    state = torch.tensor([[[0.2, 0.2, 1.0, 1.0], [0.8, 0.8, 0.0, 0.0]]])
    label = torch.tensor([[[0.3, 0.2, 0.0, 0.0], [0.8, 0.8, 1.0, 1.0]]])
    assert float(set_loss(odds, state, there, label)) == pytest.approx((0.01 + 4) / 8, rel=1e-4)


def test_absolute_errors_are_not_squared():
    odds, there = torch.full((1, 2), 50.0), torch.tensor([[True, True]])
    state, label = (
        torch.tensor([[[0.1, 0.0], [0.5, 0.5]]]),
        torch.tensor([[[0.5, 0.7], [0.0, 0.0]]]),
    )
    assert float(set_loss(odds, state, there, label, "absolute")) == pytest.approx(
        (0.1 + 0.0 + 0.0 + 0.2) / 4
    )


def test_the_loss_does_not_depend_on_the_order(generator):
    log_odds, state, present, label = batch(generator)
    order = [2, 0, 1]
    expected = set_loss(log_odds, state, present, label)
    assert torch.allclose(set_loss(log_odds, state, present[:, order], label[:, order]), expected)
    assert torch.allclose(set_loss(log_odds[:, order], state[:, order], present, label), expected)


def test_absent_targets_have_no_state(generator):
    log_odds, state, present, label = batch(generator)
    moved = torch.where(present[..., None], label, label + 7)
    assert torch.equal(
        set_loss(log_odds, state, present, moved), set_loss(log_odds, state, present, label)
    )


def test_the_gradient_brings_outputs_to_the_targets(head, tiny):
    optimizer, features = torch.optim.Adam(head.parameters(), 0.05), torch.ones(1, 7)
    truth = Truth(
        torch.tensor([[True, True, False]]),
        torch.tensor([[[10.0, 50.0, -3.0, 4.0], [40.0, 20.0, 8.0, -9.0], [0.0] * 4]]),
    )
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(head(features), truth).backward()
        optimizer.step()
    found = head.decode(head(features).detach(), torch.ones(4))
    detected = found.state[found.presence > 0.5]
    assert len(detected) == 2
    assert torch.allclose(detected[detected[:, 0].argsort()], truth.state[0, :2], atol=0.5)


def test_labels_lie_between_zero_and_one(head, tiny):
    corners = torch.tensor(
        [[*tiny.box.low_m[:2], -10.0, -10.0], [*tiny.box.high_m[:2], 10.0, 10.0]]
    )
    assert torch.allclose(head.normalized(corners.float()), torch.tensor([[0.0] * 4, [1.0] * 4]))


def test_decoding_undoes_the_normalization(head, generator):
    state = torch.tensor([[[12.0, 34.0, 5.0, -6.0]]])
    output = torch.cat([torch.tensor([[[0.0]]]), head.normalized(state)], dim=-1)
    found = head.decode(output, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert torch.allclose(found.state, state, atol=1e-4) and float(found.presence) == 0.5
    assert found.std.tolist() == [[[1.0, 2.0, 3.0, 4.0]]]
