"""The spectra network: measurements through the untrained network, and training."""

import math

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.inputs import delay_bins, observation_shape
from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.plane.latents import StrongestEchoes
from cooperative_isac.learned.spectra.center import NUM_HEADS, PATH_CHANNELS
from cooperative_isac.learned.spectra.encoder import FALSE_ALARM_PROBABILITY
from cooperative_isac.learned.spectra.projection import beam_bins

CONFIG = {
    "hidden": 4,
    "part_dim": 4,
    "cells": 12,
    "center_channels": 16,
    "num_targets": 2,
    "codebook": {"size": 16, "num_parts": 8},
}
CELL = 4, 7


@pytest.fixture
def spectra(tiny):
    torch.manual_seed(5)
    return make_network(tiny, "spectra", CONFIG)


def latents_of_an_echo(spectra, tiny, point_m, length_m, doppler):
    """Latents of the receivers for an echo from a place, with given lengths and Doppler shifts.

    length_m: [num_paths], m
    doppler: [num_paths], over the largest
    """
    center, latents = spectra.center, []
    for receiver, site in enumerate(tiny.receivers):
        numbers = torch.zeros(4, 1, 2, *center.latent_axes)
        direction = np.array([*point_m, 0.0]) - [*site.position_m[:2], 0.0]
        beam = beam_bins(site, direction[None] / np.linalg.norm(direction), tiny.grid.wavelength_m)[
            0
        ]
        for transmitter in range(2):
            path = 2 * receiver + transmitter
            delay = float(length_m[path]) / tiny.grid.range_resolution_m - delay_bins(tiny)[0]
            place = round(beam), round(delay)
            measured = [
                3.0,
                float(doppler[path]),
                (delay - place[1]) * tiny.grid.range_resolution_m,
                beam - place[0],
            ]
            numbers[:, 0, transmitter, place[0] % center.latent_axes[0], place[1]] = torch.tensor(
                measured
            )
        learned = torch.zeros(
            1, center.layout.num_learned * center.layout.part_dim, *center.latent_axes
        )
        latents.append(center.layout.join(learned, StrongestEchoes(*numbers)))
    return torch.stack(latents, 1)


def latents_of_a_target(spectra, tiny, state):
    paths = spectra.center.paths
    return latents_of_an_echo(
        spectra,
        tiny,
        state[:2],
        paths.length(state[:2]),
        paths.doppler(state) / spectra.center.max_doppler_khz,
    )


def test_measurements_reach_an_untrained_center(spectra, tiny):
    middle = spectra.center.centers_m[CELL]
    length_m = spectra.center.paths.length(middle) + 1.5
    output = spectra.center(
        latents_of_an_echo(spectra, tiny, middle, length_m, [-0.25] * 4), torch.ones(1, 2), None
    )
    assert not (spectra.decode(output).presence > 0.5).any()
    measured = output.length.value[(0, *CELL)] - length_m + 1.5
    assert measured.detach().numpy() == pytest.approx(1.5, abs=0.1)
    shift_khz = output.doppler.value[(0, *CELL)].detach().numpy()
    assert shift_khz == pytest.approx(-0.25 * spectra.center.max_doppler_khz, rel=0.02)


@torch.no_grad()
@pytest.mark.parametrize("move_m", [(1.2, 0.8), (-1.5, 0.3)])
def test_beams_are_projected_by_an_untrained_center(spectra, tiny, move_m):
    center, move = spectra.center, torch.tensor(move_m)
    state = torch.cat([center.centers_m[CELL] + move, torch.zeros(2)])
    latents = latents_of_a_target(spectra, tiny, state)
    for receiver, site in enumerate(tiny.receivers):
        planes = list(center._paths_of(receiver, latents[:, receiver], torch.ones(1)))
        measured = planes[1][0][0, PATH_CHANNELS:].unflatten(0, (-1, NUM_HEADS))[
            (slice(None), 1, *CELL)
        ]
        ray = state[:2] - torch.tensor(site.position_m[:2]).float()
        across = torch.stack([-ray[1], ray[0]]) / ray.norm()
        pointed = measured[4:6] * center.cell_m
        assert float(pointed @ across) == pytest.approx(float(move @ across), abs=0.25)
        assert float(pointed @ ray / ray.norm()) == pytest.approx(0, abs=0.1)


@torch.no_grad()
def test_latents_have_the_strongest_echo_of_each_beam_and_delay(spectra):
    _, beams, delays, shifts = observation_shape(
        spectra.scene, spectra.scene.receivers[0], "demodulated"
    )
    encoder, layout = spectra.encoders["rx1"], spectra.center.layout
    spectrum = torch.zeros(1, 2, 4, beams, delays, shifts)
    spectrum[0, 1, :, 3, 5, 2] = torch.tensor(
        [5.0, math.sin(-0.125 * math.pi), math.sin(0.25 * math.pi), -1.0]
    )
    _, measured = layout.split(encoder(spectrum.flatten(1, 2)), (beams, delays))
    power, doppler, length_m, beam = (
        numbers[0, :, 3, 5].numpy()
        for numbers in (measured.power, measured.doppler, measured.length_m, measured.beam)
    )
    assert power == pytest.approx([0, (5 + math.log(2)) / math.log(10)], rel=1e-3)
    assert doppler == pytest.approx([0, (2 - 0.5) / (shifts / 2) - 1], abs=1e-3)
    assert length_m == pytest.approx([0, 0.25 * encoder.resolution_m], rel=1e-3)
    assert beam == pytest.approx([0, -0.125], rel=1e-3)
    assert measured.power.count_nonzero() == 1


@torch.no_grad()
def test_false_alarms_in_noise_are_rare(spectra):
    encoder, (_, beams, delays, shifts) = (
        spectra.encoders["rx1"],
        observation_shape(spectra.scene, spectra.scene.receivers[0], "demodulated"),
    )
    power = (
        np.random.default_rng(8)
        .exponential(size=(20, 2, beams, delays, shifts, encoder.num_departures))
        .max(-1)
    )
    spectrum = torch.zeros(20, 2, 4, beams, delays, shifts)
    spectrum[:, :, 0] = torch.tensor(np.log1p(power) - math.log(2))
    _, measured = spectra.center.layout.split(encoder(spectrum.flatten(1, 2)), (beams, delays))
    assert 0.001 < (measured.power > 0).float().mean() < FALSE_ALARM_PROBABILITY


def test_a_missing_receiver_changes_nothing(spectra):
    latents = torch.randn(1, 2, *spectra.latent_shape)
    other = latents.clone()
    other[:, 1] += 1
    alone = torch.tensor([[1.0, 0.0]])
    heatmap_logits = [
        spectra.center(each, mask, None).heatmap_logits
        for mask in (alone, alone + 1)
        for each in (latents, other)
    ]
    assert torch.equal(heatmap_logits[0], heatmap_logits[1]) and not torch.equal(
        heatmap_logits[2], heatmap_logits[3]
    )


def test_location_and_velocity_are_learned(spectra, tiny):
    generator = torch.Generator().manual_seed(3)
    low, high = torch.tensor([5.0, 5.0, -8.0, -8.0]), torch.tensor([45.0, 45.0, 8.0, 8.0])
    state = torch.zeros(4, 2, 4)
    state[:, 0] = low + (high - low) * torch.rand(4, 4, generator=generator)
    latents = torch.cat([latents_of_a_target(spectra, tiny, each) for each in state[:, 0]])
    truth = Truth(torch.tensor([[True, False]] * 4), state)
    optimizer = torch.optim.Adam(spectra.center.parameters(), lr=2e-3)
    for _ in range(80):
        output = spectra.center(latents, torch.ones(4, 2), None)
        optimizer.zero_grad()
        spectra.loss(output, truth).backward()
        optimizer.step()
    found = spectra.decode(output)
    assert ((found.presence > 0.5) == truth.present).all()
    error = (found.state[:, 0] - state[:, 0]).detach()
    assert error[:, :2].norm(dim=-1).max() < 1.0 and error[:, 2:].norm(dim=-1).max() < 2.0
