"""The network on spectra: what it tells before it has learned, and that it learns."""

import math

import pytest
import torch

from cooperative_isac.fronthaul.learned.inputs import delay_bins, observation_shape
from cooperative_isac.fronthaul.learned.network import Truth
from cooperative_isac.fronthaul.learned.plane.latents import Measured
from cooperative_isac.fronthaul.learned.weights import make_network

CONFIG = {"hidden": 4, "part_dim": 4, "cells": 12, "centre_channels": 16, "num_targets": 2,
          "codebook": {"size": 16, "num_parts": 7}}
CELL = 4, 7


@pytest.fixture
def spectra(tiny):
    torch.manual_seed(5)
    return make_network(tiny, "spectra", CONFIG)


def latents_of_an_echo(spectra, tiny, excess_m, doppler):
    """What the receivers tell of an echo beyond the middle of CELL: excess path length and Doppler shift."""
    centre, latents = spectra.centre, []
    length_m = centre.paths.length(centre.centres_m[CELL]) + excess_m
    for receiver, projection in enumerate(centre.projections):
        numbers = torch.zeros(3, 1, 2, *centre.latent_axes)
        for transmitter in range(2):
            delay = length_m[2 * receiver + transmitter] / tiny.grid.range_resolution_m - delay_bins(tiny)[0]
            share = projection.shares[transmitter][:, CELL[0] * 12 + CELL[1]].view(centre.latent_axes)
            place = int(share.sum(1).argmax()), round(float(delay))
            between_m = (float(delay) - place[1]) * tiny.grid.range_resolution_m
            numbers[:, 0, transmitter, *place] = torch.tensor([3.0, doppler, between_m])
        learned = torch.zeros(1, centre.layout.num_learned * centre.layout.part_dim, *centre.latent_axes)
        latents.append(centre.layout.join(learned, Measured(*numbers)))
    return torch.stack(latents, 1)


def test_before_anything_is_learned_what_was_measured_reaches_the_centre(spectra, tiny):
    output = spectra.centre(latents_of_an_echo(spectra, tiny, 1.5, -0.25), torch.ones(1, 2), None)
    assert not (spectra.read(output).presence > 0.5).any()
    told = output.length.value[(0, *CELL)] - spectra.centre.paths.length(spectra.centre.centres_m[CELL])
    assert told.detach().numpy() == pytest.approx(1.5, abs=0.1)
    shift_khz = output.doppler.value[(0, *CELL)].detach().numpy()
    assert shift_khz == pytest.approx(-0.25 * spectra.centre.max_doppler_khz, rel=0.02)


@torch.no_grad()
def test_an_encoder_tells_the_strongest_echo_of_each_beam_and_delay(spectra):
    _, beams, delays, shifts = observation_shape(spectra.scene, spectra.scene.receivers[0], "demodulated")
    encoder, layout = spectra.encoders["rx1"], spectra.centre.layout
    spectrum = torch.zeros(1, 2, 4, beams, delays, shifts)
    spectrum[0, 1, :, 3, 5, 2] = torch.tensor([5.0, 0.0, math.sin(0.25 * math.pi), -1.0])
    _, told = layout.split(encoder(spectrum.flatten(1, 2)), (beams, delays))
    power, doppler, length_m = (numbers[0, :, 3, 5].numpy() for numbers in (told.power, told.doppler, told.length_m))
    assert power == pytest.approx([0, (5 + math.log(2)) / math.log(10)], rel=1e-3)
    assert doppler == pytest.approx([0, (2 - 0.5) / (shifts / 2) - 1], abs=1e-3)
    assert length_m == pytest.approx([0, 0.25 * encoder.resolution_m], rel=1e-3)
    assert told.power.count_nonzero() == 1


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
