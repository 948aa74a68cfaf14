"""The network on spectra: what it tells before it has learned, and that it learns."""

import pytest
import torch

from cooperative_isac.fronthaul.learned.network import Truth
from cooperative_isac.fronthaul.learned.weights import make_network

CONFIG = {"hidden": 8, "latent_dim": 8, "cells": 12, "centre_channels": 16, "num_targets": 2,
          "codebook": {"size": 16, "num_parts": 2}}


@pytest.fixture
def spectra(tiny):
    torch.manual_seed(5)
    return make_network(tiny, "spectra", CONFIG)


def test_before_anything_is_learned_nothing_is_there(spectra):
    latents = torch.randn(3, 2, *spectra.latent_shape)
    output = spectra.centre(latents, torch.ones(3, 2), None)
    assert not (spectra.read(output).presence > 0.5).any()
    lengths = spectra.centre.paths.length(spectra.centre.centres_m)
    assert output.length.value[0].detach().numpy() == pytest.approx(lengths.numpy())


def test_a_receiver_that_was_not_heard_changes_nothing(spectra):
    latents = torch.randn(1, 2, *spectra.latent_shape)
    other = latents.clone()
    other[:, 1] += 1
    alone = torch.tensor([[1.0, 0.0]])
    heat = [spectra.centre(each, heard, None).heat for heard in (alone, alone + 1) for each in (latents, other)]
    assert torch.equal(heat[0], heat[1]) and not torch.equal(heat[2], heat[3])


def test_it_learns_where_a_target_is_and_how_fast(spectra):
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(4, 2, *spectra.latent_shape, generator=generator)
    low, high = torch.tensor([5.0, 5.0, -8.0, -8.0]), torch.tensor([45.0, 45.0, 8.0, 8.0])
    state = torch.zeros(4, 2, 4)
    state[:, 0] = low + (high - low) * torch.rand(4, 4, generator=generator)
    truth = Truth(torch.tensor([[True, False]] * 4), state)
    optimiser = torch.optim.Adam(spectra.centre.parameters(), lr=5e-3)
    for _ in range(250):
        output = spectra.centre(latents, torch.ones(4, 2), None)
        optimiser.zero_grad()
        spectra.loss(output, truth).backward()
        optimiser.step()
    found = spectra.read(output)
    assert ((found.presence > 0.5) == truth.present).all()
    error = (found.state[:, 0] - state[:, 0]).detach()
    assert error[:, :2].norm(dim=-1).max() < 1.0 and error[:, 2:].norm(dim=-1).max() < 2.0
