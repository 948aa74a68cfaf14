"""The maps network of a scene in space: measurements without training, and its loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.plane.network import CellPaths
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.path_map import PathMap
from cooperative_isac.sensing.space_map import SpaceMap

CONFIG = {
    "cells": 24,
    "coarse": 8,
    "heights": 5,
    "num_targets": 2,
    "encoder_channels": 8,
    "center_channels": 8,
    "codebook": {"size": 16, "num_parts": 8},
}
PLACE_M = np.array([42.0, 61.0, 21.0])
VELOCITY_MPS = np.array([5.0, -7.0, 1.0])
STATE = torch.tensor(np.concatenate([PLACE_M, VELOCITY_MPS]), dtype=torch.float32)


@pytest.fixture(scope="module")
def campus():
    scene = load_scene("campus")
    return replace(scene, waveform=replace(scene.waveform, reference_subcarrier_stride=0))


@pytest.fixture(scope="module")
def maps(campus):
    torch.manual_seed(3)
    return make_network(campus, "maps", CONFIG).eval()


@pytest.fixture(scope="module")
def output(campus, maps):
    """Output of the untrained center for one strong target, from latents before quantization."""
    frame = transmit(campus, 1)
    target = TargetState("", TargetClass.UNKNOWN, PLACE_M, VELOCITY_MPS)
    latents = []
    for site in campus.receivers:
        generator = np.random.default_rng(5)
        paths = draw_paths(campus, site, [target], np.zeros((0, 3)), generator)
        paths.amplitude[:] *= 1e-5 / np.abs(paths.amplitude)
        echo = apply_paths(campus, frame, site, paths, generator)
        latents.append(maps.encode(echo, frame, site.name))
    with torch.no_grad():
        return maps.center(torch.stack(latents)[None], torch.ones(1, len(latents)), None)


@pytest.fixture(scope="module")
def cell(maps):
    """Row and column of the target's cell."""
    offset_m = (maps.center.centers_m - STATE[:2]).norm(dim=-1)
    return np.unravel_index(int(offset_m.argmin()), offset_m.shape)


def test_measurements_reach_an_untrained_center(maps, output, cell):
    at = (0, *cell)
    paths = maps.center.paths
    lengths_m = paths.length(STATE[:3])
    assert (output.length.value[at] - lengths_m).abs().median() < 0.5
    assert (output.elevation.value[at] - paths.elevation(STATE[:3])).abs().median() < 1.0
    assert (output.doppler.value[at] - paths.doppler(STATE)).abs().median() < 0.1


def test_the_first_height_is_that_of_the_strongest_paths(maps):
    center = maps.center
    cells = center.centers_m.shape[:2]
    count = center.paths.num_paths
    still = torch.zeros(1, *cells, count)
    channels, _ = center.split_output(torch.zeros(1, center.out.out_channels, *cells))
    heights_m = torch.linspace(10.0, 30.0, count).expand(1, *cells, count)

    def first_height(power, mask):
        paths = CellPaths(power, still, still, still, heights_m)
        return center.plane_output(channels, paths, mask).point_m[0, 0, 0, 2].item()

    everyone = torch.ones(1, count)
    assert first_height(still + 2, everyone) == pytest.approx(20.0)
    strong = still + torch.tensor([4.0, *[0.5] * (count - 1)])
    assert first_height(strong, everyone) == pytest.approx(10.0, abs=0.5)
    without_first = torch.tensor([[0.0, *[1.0] * (count - 1)]])
    assert first_height(strong, without_first) > 20.0


def test_the_hyperparameters_choose_the_map(campus, maps):
    frame = transmit(campus, 1)
    site = campus.receivers[0]
    echo = receive_echo(campus, frame, site.name, scene_targets(campus, 0.2))
    cleaning = make_network(campus, "maps", {**CONFIG, "cleaned": True})
    plain = SpaceMap(campus, site, CONFIG["cells"], CONFIG["heights"])
    expected = PathMap(plain).observe(echo, frame)
    assert expected.any()
    assert np.array_equal(cleaning.encoder_input(echo, frame, site.name), expected)
    assert np.array_equal(maps.encoder_input(echo, frame, site.name), plain.observe(echo, frame))
    assert cleaning.input_key != maps.input_key
    assert cleaning.center.agreement.sidelobe_penalty < maps.center.agreement.sidelobe_penalty


def test_geometry_finds_the_target_from_its_cell(maps, output, cell):
    at = (0, *cell)
    start = torch.tensor([*maps.center.centers_m[cell].tolist(), 15.0])
    location, _ = maps.center.paths.location(
        start,
        torch.tensor([4.0, 4.0, 10.0]),
        output.length[at],
        output.path_mask[0],
        output.elevation[at],
    )
    velocity, _ = maps.center.paths.velocity(location, output.doppler[at], output.path_mask[0])
    assert location.numpy() == pytest.approx(PLACE_M, abs=0.8)
    assert velocity[:2].numpy() == pytest.approx(VELOCITY_MPS[:2], abs=1.5)


def test_predictions_have_three_axes(maps, output):
    found = maps.decode(output)
    assert found.state.shape == found.std.shape == (1, 2, 6) and (found.std > 0).all()


def test_the_loss_falls_toward_the_true_height(maps, output):
    present = torch.tensor([[True, False]])
    losses = []
    for height_m in (21.0, 26.0, 36.0):
        state = torch.zeros(1, 2, 6)
        state[0, 0] = STATE
        state[0, 0, 2] = height_m
        losses.append(float(maps.loss(output, Truth(present, state))))
    assert losses == sorted(losses)
