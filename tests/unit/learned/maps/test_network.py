"""The maps network: measurements through the untrained network, predictions, and training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import WeightsError, make_network
from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.output import PlaneOutput
from cooperative_isac.sensing.cleaned_map import CleanedMap
from cooperative_isac.sensing.location_map import LocationMap

CONFIG = {
    "cells": 12,
    "coarse": 4,
    "encoder_channels": 8,
    "center_channels": 16,
    "num_targets": 3,
    "codebook": {"size": 256, "num_parts": 7},
}
ECHO_CELL = 4, 7  # the fine cell with an echo, in the coarse cell (1, 2)


@pytest.fixture
def maps(tiny):
    torch.manual_seed(2)
    return make_network(tiny, "maps", CONFIG)


def map_of_echo(doppler, power=3.0):
    """A map of noise with one echo of each transmitter, over the middle of one cell."""
    plane = torch.zeros(1, 2, 3, 12, 12)
    plane[:, :, 0] = 0.6
    plane[(0, slice(None), 0, *ECHO_CELL)] = power
    plane[(0, slice(None), 1, *ECHO_CELL)] = torch.tensor(doppler)
    return plane


def plane_output(maps, heatmap_logits=None, point_m=None, doppler_khz=None, log_spread_m=None):
    """An output without targets; every cell has a target at rest in its middle as its state."""
    center = maps.center
    rows, columns, _ = center.centers_m.shape
    still = torch.zeros(1, rows, columns, center.paths.num_paths)
    points = center.centers_m[None].clone() if point_m is None else point_m
    return PlaneOutput(
        torch.full((1, rows, columns), -6.0) if heatmap_logits is None else heatmap_logits,
        points,
        torch.zeros(1, rows, columns, 2) if log_spread_m is None else log_spread_m,
        PathMeasurements(still if doppler_khz is None else doppler_khz, still - 2, still - 4),
        PathMeasurements(center.paths.length(points), still, still - 4),
        torch.ones(1, center.paths.num_paths),
    )


def test_measurements_reach_an_untrained_center(maps):
    latents = torch.stack(
        [maps.encoders[name](map_of_echo([0.5, -0.25])) for name in maps.receivers], 1
    )
    output = maps.center(latents, torch.ones(1, 2), torch.empty(1, 0))
    at, center = (0, 2 * (ECHO_CELL[0] // 3), 2 * (ECHO_CELL[1] // 3)), maps.center
    measured = output.doppler.value[at].reshape(2, 2) / center.max_doppler_khz
    assert measured.detach().numpy() == pytest.approx(
        torch.tensor([[0.5, -0.25]] * 2).numpy(), rel=0.1
    )
    low, high = (
        torch.tensor(corner[:2], dtype=torch.float32)
        for corner in (maps.scene.box.low_m, maps.scene.box.high_m)
    )
    place = low + (torch.tensor(ECHO_CELL[::-1]) + 0.5) * (high - low) / 12
    assert output.length.value[at].detach().numpy() == pytest.approx(
        center.paths.length(place).numpy(), abs=0.5
    )
    weak = maps.center(
        torch.stack(
            [maps.encoders[name](map_of_echo([0.5, -0.25], 1.5)) for name in maps.receivers], 1
        ),
        torch.ones(1, 2),
        None,
    )
    assert (weak.doppler.log_std[at] > output.doppler.log_std[at]).all()
    assert (weak.length.outlier_log_odds[at] > output.length.outlier_log_odds[at]).all()


def test_the_hyperparameters_choose_the_map(tiny, frame_echoes, maps):
    frame, echoes = frame_echoes
    cleaning = make_network(tiny, "maps", {**CONFIG, "cleaned": True})
    site = tiny.receivers[0]
    plain = LocationMap(tiny, site, CONFIG["cells"])
    echo = 30 * echoes[site.name]
    expected = CleanedMap(plain).observe(echo, frame)
    assert not np.array_equal(expected, plain.observe(echo, frame))
    assert np.array_equal(cleaning.encoder_input(echo, frame, site.name), expected)
    assert np.array_equal(maps.encoder_input(echo, frame, site.name), plain.observe(echo, frame)), (
        "weights without this hyperparameter were trained on plain maps"
    )
    assert cleaning.input_key != maps.input_key


def test_noise_gives_no_measurement(maps):
    latents = maps.encoders["rx1"](map_of_echo([0.5, -0.25], power=0.7))
    num_measured = 5 * maps.config.part_dim
    assert not latents[..., -num_measured:].any() and latents[..., :-num_measured].any()


def test_without_codebooks_latents_have_no_padding(tiny, maps):
    bare = make_network(tiny, "maps", {**CONFIG, "quantized": False})
    assert bare.codebook("rx1") is None and bare.latent_shape[1] == 2 * bare.config.part_dim + 6
    assert maps.latent_shape[1] == 7 * maps.config.part_dim
    bare.load_state_dict(maps.state_dict(), strict=False)
    output, other = (
        network.center(
            torch.stack(
                [network.encoders[name](map_of_echo([0.5, -0.25])) for name in network.receivers], 1
            ),
            torch.ones(1, 2),
            None,
        )
        for network in (bare, maps)
    )
    assert torch.allclose(output.heatmap_logits, other.heatmap_logits, atol=1e-6)
    assert torch.allclose(output.doppler.value, other.doppler.value, atol=1e-6)
    assert torch.allclose(output.length.value, other.length.value, atol=1e-4)


def test_a_missing_receiver_changes_nothing(maps):
    latents = torch.randn(1, 2, *maps.latent_shape)
    other = latents.clone()
    other[:, 1] += 1
    alone = torch.tensor([[1.0, 0.0]])
    assert torch.equal(
        maps.center(latents, alone, None).heatmap_logits,
        maps.center(other, alone, None).heatmap_logits,
    )
    assert not torch.equal(
        maps.center(latents, alone + 1, None).heatmap_logits,
        maps.center(other, alone + 1, None).heatmap_logits,
    )


def test_peaks_come_highest_first_and_neighbors_are_one_target(maps):
    heatmap_logits = plane_output(maps).heatmap_logits
    heatmap_logits[0, 2, 3], heatmap_logits[0, 2, 4], heatmap_logits[0, 6, 1] = 2.0, 1.0, 3.0
    found = maps.decode(plane_output(maps, heatmap_logits=heatmap_logits))
    assert found.state[0, :2, :2].numpy() == pytest.approx(
        maps.center.centers_m[[6, 2], [1, 3]].numpy()
    )
    assert (found.presence[0] > 0.5).tolist() == [True, True, False]
    assert found.std.shape == found.state.shape == (1, 3, 4) and (found.std > 0).all()


def test_uncertain_locations_are_absent(maps):
    output = plane_output(maps)
    output.heatmap_logits[0, 2, 3], output.heatmap_logits[0, 6, 1] = 5.0, 4.0
    output.log_spread_m[0, 2, 3] = output.length.log_std[0, 2, 3] = 3.0
    assert (maps.decode(output).presence[0] > 0.5).tolist() == [False, True, False]


def test_the_loss_is_least_at_the_truth_and_ignores_the_order(maps):
    center = maps.center
    state = torch.tensor([[[20.0, 31.0, 3.0, -2.0], [47.0, 12.0, -4.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    truth = Truth(torch.tensor([[True, True, False]]), state)
    points, heatmap_logits = center.centers_m[None].clone(), torch.full((1, 8, 8), -6.0)
    doppler = torch.zeros(1, 8, 8, 4)
    for target in state[0, :2]:
        away = (center.centers_m - target[:2]).norm(dim=-1)
        heatmap_logits[0].view(-1)[away.argmin()] = 6.0
        near = away < 2 * center.cell_m.max()
        points[0][near], doppler[0][near] = target[:2], center.paths.doppler(target)
    right = plane_output(maps, heatmap_logits=heatmap_logits, point_m=points, doppler_khz=doppler)
    value = maps.loss(right, truth)
    turned = Truth(truth.present[:, [1, 0, 2]], state[:, [1, 0, 2]])
    assert maps.loss(right, turned) == pytest.approx(value.item(), rel=1e-5)
    for changes in (
        {"heatmap_logits": heatmap_logits.flip(1)},
        {"point_m": points + 1},
        {"doppler_khz": doppler + 0.3},
    ):
        values = {
            "heatmap_logits": heatmap_logits,
            "point_m": points,
            "doppler_khz": doppler,
            **changes,
        }
        assert maps.loss(plane_output(maps, **values), truth) > value + 0.05


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"cells": 50}, "must be a multiple"),
        ({"codebook": {"size": 16, "num_parts": 5}}, "need 6 or more"),
        ({"part_dim": 1}, "need 2 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tiny, config, reason):
    with pytest.raises((ValueError, WeightsError), match=reason):
        make_network(tiny, "maps", {**CONFIG, **config})


def test_an_extreme_heatmap_has_a_gradient_in_half_precision(maps):
    output = plane_output(maps)
    output.heatmap_logits[0, 2, 3] = output.heatmap_logits[0, 2, 4] = 10.0
    heatmap_logits = output.heatmap_logits.bfloat16().requires_grad_(True)
    state = torch.cat([maps.center.centers_m[2, 3], torch.zeros(2)])[None, None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = maps.loss(
            replace(output, heatmap_logits=heatmap_logits), Truth(torch.tensor([[True]]), state)
        )
    loss.backward()
    assert (
        torch.isfinite(loss)
        and torch.isfinite(heatmap_logits.grad).all()
        and heatmap_logits.grad.any()
    )
