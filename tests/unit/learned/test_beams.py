"""Convolutions initialized as beams: amplitudes over the noise, averaged over the frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.encoder import ElementMean
from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.paper.beams import (
    GAIN,
    NOISE_AMPLITUDE,
    NOISE_MARGIN,
    set_average,
    set_beams,
    subtract_noise_floor,
)
from cooperative_isac.learned.paper.config import ERROR_KINDS, CnnConfig, DvqvaeConfig
from cooperative_isac.learned.quantizer import CodebookConfig
from cooperative_isac.learned.targets import set_loss
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.file.config import load_scene

BEAMS = 8
DVQVAE = {
    "beams": BEAMS,
    "hidden": 4 * BEAMS,
    "encoder_layers": 3,
    "encoder_residuals": 0,
    "latent_dim": 4 * BEAMS,
    "transmit_layers": 0,
}
NETWORKS = {"paper_dvqvae": DVQVAE, "paper_cnn": {"beams": BEAMS, "channels": (BEAMS, BEAMS)}}


def echo_of(scene, sine, power, seed=0):
    """Noise and one plane wave, [num_ant, N, T]; power: over the noise; sine: of its direction."""
    site, generator = scene.receivers[0], np.random.default_rng(seed)
    side, along = site.elements_m[-1] - site.elements_m[0], site.rotation[:, 0]
    side /= np.linalg.norm(side)
    steering = steering_vectors(
        site.elements_m, sine * side + np.sqrt(1 - sine**2) * along, scene.grid.wavelength_m
    )
    shape = scene.grid.num_subcarriers, scene.grid.num_symbols
    parts = generator.standard_normal((2, 1 + site.num_ant, *shape)) * 0.5**0.5
    wave, noise = (parts[0] + 1j * parts[1])[:1], (parts[0] + 1j * parts[1])[1:]
    wave = np.sqrt(power * site.num_ant) * steering[:, None, None] * wave
    return ((wave + noise) * scene.propagation.noise_power_w**0.5).astype(np.complex64)


@pytest.fixture(scope="module")
def compact():
    return load_scene("cell_free_compact")


@pytest.fixture(scope="module", params=NETWORKS)
def initial_latents(request, compact):
    """Latents of an untrained network for a wave from a direction, averaged over the frame."""
    network = make_network(compact, request.param, NETWORKS[request.param])
    network.init_weights()
    name = network.receivers[0]

    def latents(sine, power):
        with torch.no_grad():
            found = network.encode(echo_of(compact, sine, power), None, name)
        return (
            found.reshape(-1, 64, found.shape[-1])
            .mean(1)
            .reshape(-1, BEAMS, found.shape[-1] // BEAMS)
        )

    return latents


def test_the_beam_towards_a_wave_is_the_strongest(initial_latents):
    quiet = initial_latents(0.0, 0.0)
    for beam in range(BEAMS):
        excess = initial_latents((2 * beam + 1) / BEAMS - 1, 0.2) - quiet
        assert int(excess.mean((0, 2)).argmax()) == beam
        assert excess.amax() > 0.2


@pytest.mark.parametrize(
    ("initial_latents", "least", "most"),
    [("paper_dvqvae", 0.1, 1.0), ("paper_cnn", 1.0, 4.0)],
    indirect=["initial_latents"],
)
def test_noise_alone_leaves_the_margin(initial_latents, least, most):
    """The central network has the maximum of 64 elements, which is larger."""
    assert least < float(initial_latents(0.0, 0.0).mean()) < most


def test_initial_latents_are_the_amplitudes_of_beams(compact):
    network = make_network(compact, "paper_dvqvae", DVQVAE)
    network.init_weights()
    echo = echo_of(compact, 0.3, 0.3)
    with torch.no_grad():
        latents = (
            network.encode(echo, None, "rx1").mean(0).reshape(BEAMS, 2, 2)
        )  # beam, taps of second, third
    unit = echo[::-1] / compact.propagation.noise_power_w**0.5
    sines = (2 * np.arange(BEAMS) + 1) / BEAMS - 1
    for index, first in ((1, 0), (0, 1)):  # antennas 1 to 4 and 3 to 6
        antennas = np.arange(1 + 2 * first, 5 + 2 * first)
        weights = np.exp(1j * np.pi * np.outer(sines, np.arange(4) - 1.5)) / 2
        beams = np.einsum("ba,ant->bnt", weights, unit[antennas])
        amplitude = np.abs(beams.real).mean((1, 2)) / 2 / NOISE_AMPLITUDE
        assert latents[:, index, first].numpy() == pytest.approx(
            GAIN * (amplitude - 1 + NOISE_MARGIN), abs=1e-3
        )


def test_a_channel_has_one_element_and_one_sign():
    first = torch.nn.Conv3d(2, 4, (1, 2, 2), bias=True)
    set_beams(first, 1, [(0, 0), (1, 1)], (1, -1))
    echo = torch.tensor([[3.0, 5.0], [7.0, -2.0]])
    output = first(torch.stack([echo, torch.zeros(2, 2)])[None, :, None]).flatten()
    assert output.tolist() == pytest.approx([3.0, -3.0, -2.0, 2.0])


def test_averages_keep_groups_and_taps_apart():
    second = torch.nn.Conv3d(4, 4, (2, 2, 2))
    set_average(second, [0, 1], slice(None), 2)
    values = torch.arange(32.0).reshape(1, 4, 2, 2, 2)
    means = [values[0, group : group + 2, tap].mean() for group in (0, 2) for tap in (0, 1)]
    assert second(values).flatten().tolist() == means
    subtract_noise_floor(second, 0.5)
    output = float(second(torch.full_like(values, 3.0))[0, 0].detach())
    assert output == pytest.approx(GAIN * (3 / NOISE_AMPLITUDE - 0.5))


@pytest.mark.parametrize("kind", NETWORKS)
def test_mean_pooling_ignores_the_order_of_elements(compact, kind):
    alike, each = (
        make_network(compact, kind, {**NETWORKS[kind], "alike": alike}).eval()
        for alike in (True, False)
    )
    space = alike.latent_shape[0] // 64
    latents = torch.rand(2, 2, *alike.latent_shape)
    moved = latents.unflatten(2, (space, 64))[:, :, :, torch.randperm(64)].flatten(2, 3)
    output = [
        [network.center(tensor, torch.ones(2, 2), torch.empty(2, 0)) for tensor in (latents, moved)]
        for network in (alike, each)
    ]
    assert torch.allclose(*output[0], atol=1e-5) and not torch.allclose(*output[1], atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_predictions_of_a_frame_do_not_depend_on_the_batch(compact, kind):
    network = make_network(compact, kind, {**NETWORKS[kind], "alike": True}).eval()
    frames = torch.rand(2, 1, 2, *network.latent_shape)
    first, _, again = (
        network.center(frames[index], torch.ones(1, 2), torch.empty(1, 0)) for index in (0, 1, 0)
    )
    assert torch.equal(first, again)


def test_means_are_normalized_over_the_samples_of_a_receiver():
    layer = ElementMean(2, 3, 1)
    mask = torch.ones(400, 2)
    mask[::4, 1] = 0.0
    latents = 5 + 0.1 * torch.randn(400, 2, 3, 1, 1, 1) + torch.zeros(400, 2, 3, 1, 2, 4)
    layer(latents * mask[:, :, None, None, None, None], mask)
    output = layer.eval()(latents * mask[:, :, None, None, None, None], mask)
    assert output.shape == (400, 2, 3, 1, 1, 1) and not output[::4, 1].any()
    there = output[mask[:, 1] > 0, 1]
    assert there.mean().abs() < 0.02 and float(there.std()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_error_of_the_loss_is_configured(compact, kind):
    squared, absolute = (
        make_network(compact, kind, {**NETWORKS[kind], "error": error}) for error in ERROR_KINDS
    )
    output, truth = (
        torch.rand(3, 2, 5),
        Truth(torch.ones(3, 2, dtype=torch.bool), torch.rand(3, 2, 4)),
    )
    labels = squared.center.head.normalized(truth.state)
    for network, error in ((squared, "squared"), (absolute, "absolute")):
        assert network.loss(output, truth) == set_loss(
            output[..., 0], output[..., 1:], truth.present, labels, error
        )


@pytest.mark.parametrize(
    "change", [{"hidden": 16}, {"encoder_layers": 2}, {"input": "demodulated"}]
)
def test_beams_that_do_not_fit_the_layers_are_refused(change):
    with pytest.raises(
        ValueError, match="8 beams need input raw, encoder_layers 3 and hidden 32, not"
    ):
        replace(DvqvaeConfig(**{**DVQVAE, "codebook": CodebookConfig(4)}), **change)


@pytest.mark.parametrize("change", [{"encoder_residuals": 1}, {"latent_dim": 16}])
def test_layers_that_mix_beams_are_refused(change):
    with pytest.raises(
        ValueError, match="8 beams need encoder_residuals 0 and latent_dim 32 or more, not"
    ):
        replace(DvqvaeConfig(**{**DVQVAE, "codebook": CodebookConfig(4)}), **change)


def test_the_central_network_needs_as_many_channels_as_beams():
    with pytest.raises(ValueError, match=r"4 beams need channels \[4, 4\], not \[8, 8\]"):
        CnnConfig(beams=4)


@pytest.mark.parametrize("config", [DvqvaeConfig, CnnConfig])
def test_an_unknown_error_is_refused(config):
    with pytest.raises(
        ValueError, match="error 'cubic' is not known; use one of squared, absolute"
    ):
        config(error="cubic")
