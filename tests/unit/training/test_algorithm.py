"""CF Algorithm 1: the exchange of latents and gradients is one backward pass through
everything.
"""

import copy

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.quantizer import commitment
from cooperative_isac.training.algorithm import (
    Center,
    LocalAccessPoint,
    Optimization,
    all_latents,
    train_step,
)
from cooperative_isac.training.batches import Examples, batches
from cooperative_isac.training.samples import DrawnSamples

RATE = 1e-3
OPTIMIZATION = Optimization(commitment_weight=0.7)


@pytest.fixture(params=["codebook", "no codebook"])
def network(request, job):
    torch.manual_seed(1)
    changes = {} if request.param == "codebook" else {"codebook": None}
    return make_network(job.scene, job.recipe.kind, {**job.recipe.network, **changes})


@pytest.fixture
def batch(job, network):
    return next(batches(Examples(network, job.samples, network.receivers), [[1, 2, 3, 4]], 0))


def sides(network, optimization=OPTIMIZATION):
    access_points = [
        LocalAccessPoint(name, network.encoders[name], network.codebook(name), optimization, 0)
        for name in network.receivers
    ]
    return access_points, Center(network, optimization)


def joint_step(network, batch, receiver_mask):
    """The same step with one optimizer and one backward pass, codewords straight through."""
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    total, stacked = 0, []
    for name in network.receivers:
        latents, codebook = network.encoders[name](batch.observations[name]), network.codebook(name)
        if codebook is None:
            stacked.append(latents)
            continue
        words = codebook.lookup(codebook.nearest(latents))
        stacked.append(latents + (words - latents).detach())
        total = total + OPTIMIZATION.commitment_weight * commitment(latents, words)
    stacked = torch.stack(stacked, dim=1) * receiver_mask[:, :, None, None]
    total = total + network.loss(
        network.center(stacked, receiver_mask, batch.side_information), batch.truth
    )
    total.backward()
    optimizer.step()


def test_one_step_is_that_of_one_backward_pass(network, batch):
    twin, receiver_mask = (
        copy.deepcopy(network),
        torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    )
    joint_step(twin, batch, receiver_mask)
    train_step(*sides(network), batch, receiver_mask, RATE)
    for (name, own), (_, other) in zip(
        network.named_parameters(), twin.named_parameters(), strict=True
    ):
        assert torch.allclose(
            own.grad, other.grad, atol=1e-6 * float(other.grad.abs().max()), rtol=1e-3
        ), name


def test_a_dropped_receiver_learns_its_commitment_alone(network, batch):
    before = copy.deepcopy(network.encoders["rx2"].state_dict())
    train_step(
        *sides(network, Optimization(commitment_weight=0.0)),
        batch,
        torch.tensor([[1.0, 0.0]] * 4),
        RATE,
    )
    assert all(
        torch.equal(before[name], tensor)
        for name, tensor in network.encoders["rx2"].state_dict().items()
    )


def test_the_center_has_no_access_to_encoders(network, batch):
    access_points, center = sides(network)
    latents = all_latents(access_points, batch, training=True)
    assert not latents.requires_grad
    _, gradients = center.update(latents, torch.ones(4, 2), batch, RATE)
    assert gradients.shape == latents.shape and gradients.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.encoders.parameters())


@pytest.mark.parametrize("network", ["codebook"], indirect=True)
def test_codebooks_are_updated_in_training_alone(network, batch):
    access_points, _ = sides(network)
    before = network.codebook("rx1").codewords.clone()
    all_latents(access_points, batch, training=False)
    assert torch.equal(network.codebook("rx1").codewords, before)
    all_latents(access_points, batch, training=True)
    assert not torch.equal(network.codebook("rx1").codewords, before)
    assert (
        1 <= access_points[0].report()["perplexity"] <= 16
        and access_points[0].report()["commitment"] > 0
    )


def test_many_steps_overfit_a_batch(network, batch):
    access_points, center = sides(network)
    losses = [train_step(access_points, center, batch, torch.ones(4, 2), 3e-3) for _ in range(150)]
    assert losses[-1] < 0.2 * losses[0]
    loss, found = center.evaluate(all_latents(access_points, batch, training=False), batch)
    assert loss < 0.3 * losses[0] and (found.presence > 0.5).all()


def test_mixed_precision_learns_nearly_the_same(network, batch):
    twin = copy.deepcopy(network)
    losses = [
        train_step(*sides(one, Optimization(precision=precision)), batch, torch.ones(4, 2), RATE)
        for one, precision in ((network, "float32"), (twin, "bfloat16"))
    ]
    assert losses[1] != losses[0] and losses[1] == pytest.approx(losses[0], rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in twin.parameters())


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("maps", {"cells": 12, "coarse": 4, "encoder_channels": 8, "center_channels": 8}),
        ("spectra", {"hidden": 4, "part_dim": 2, "cells": 12, "center_channels": 8}),
    ],
)
def test_planes_learn_in_mixed_precision(tiny, kind, config):
    torch.manual_seed(1)
    network = make_network(tiny, kind, {**config, "num_targets": 1})
    samples = Examples(network, DrawnSamples(tiny), network.receivers)
    batch = next(batches(samples, [range(4)], num_workers=0))
    access_points, center = sides(network, Optimization(precision="bfloat16", clip=1.0))
    losses = [train_step(access_points, center, batch, torch.ones(4, 2), 3e-3) for _ in range(20)]
    assert np.isfinite(losses).all() and losses[-1] < 0.8 * losses[0]
    _, found = center.evaluate(all_latents(access_points, batch, training=False), batch)
    assert torch.isfinite(found.state).all()


def test_gradients_are_clipped_on_each_side(network, batch):
    twin = copy.deepcopy(network)
    for one, clip in ((network, 0.0), (twin, 1e-4)):
        train_step(*sides(one, Optimization(clip=clip)), batch, torch.ones(4, 2), RATE)
    norms = [
        torch.stack([parameter.grad.norm() for parameter in one.center.parameters()]).norm()
        for one in (network, twin)
    ]
    assert norms[0] > 1e-3 and norms[1] == pytest.approx(1e-4, rel=1e-2)


def test_a_restored_state_continues_to_the_same_result(network, batch):
    access_points, center = sides(network)
    train_step(access_points, center, batch, torch.ones(4, 2), RATE)
    twin = copy.deepcopy(network)
    others, other_center = sides(twin)
    for other, one in zip([*others, other_center], [*access_points, center]):
        other.load_state_dict(copy.deepcopy(one.state_dict()))
    for parts in ((access_points, center), (others, other_center)):
        train_step(*parts, batch, torch.ones(4, 2), RATE)
    assert all(
        torch.equal(own, other)
        for own, other in zip(network.state_dict().values(), twin.state_dict().values())
    )
