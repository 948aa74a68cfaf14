"""Sizes of the paper's network at the scale of its Table I, and its inputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.evaluation.monte_carlo import draw_frame
from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.encoder import Encoder, Residual, downsampled_shape
from cooperative_isac.learned.latent_packet import LatentCodec
from cooperative_isac.learned.paper.config import DvqvaeConfig
from cooperative_isac.scene.file.config import load_scene


@pytest.fixture(scope="module")
def table1():
    """The paper's network with the paper's hyperparameters, without memory."""
    with torch.device("meta"):
        return make_network(load_scene("cell_free_table1"), "paper_dvqvae")


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_numbers_of_parameters_are_those_of_the_paper(table1):
    # CF section V: about 1.2 million in each encoder, 206 million in the decoder.
    assert num_parameters(table1.encoders["rx1"]) == pytest.approx(1.2e6, rel=0.05)
    assert num_parameters(table1.center) == pytest.approx(206e6, rel=0.05)


def test_memory_of_encoder_and_codebook_is_that_of_the_paper(table1):
    words = table1.codebooks["rx1"].codewords.numel()
    size = 4 * (num_parameters(table1.encoders["rx1"]) + words)
    assert size == pytest.approx(5e6, rel=0.05)  # CF section V: about 5 MB


def test_bits_of_indices_are_those_of_the_paper(table1):
    # CF section V-C: L = 16,384, N_b = 5, 82 kbit.
    assert table1.latent_shape == (16_384, 512)
    assert 8 * LatentCodec(table1, 0).body_bytes("rx1") == 81_920


def test_shapes_at_the_scale_of_the_paper_fit_each_other(table1):
    with torch.device("meta"):
        latents = table1.encoders["rx1"](torch.empty(3, 2, 16, 256, 256))
        assert latents.shape == (3, 16_384, 512)
        stacked = torch.stack([latents, latents], dim=1)
        assert table1.center(stacked, torch.ones(3, 2), torch.empty(3, 2, 32, 256, 256)).shape == (
            3,
            2,
            5,
        )


def test_a_frame_of_the_paper_passes_from_echo_to_targets():
    scene = load_scene("cell_free_table1")
    torch.manual_seed(0)
    network = make_network(scene, "paper_dvqvae").eval().requires_grad_(False)
    codec, draw = LatentCodec(network, 1), draw_frame(scene, 0)
    latents = []
    frame = draw.frame.on(scene.band)
    for name, echoes in draw.echoes.items():
        echo = echoes[scene.band].samples
        observation = torch.from_numpy(network.encoder_input(echo, frame, name))
        packet = codec.pack(network.encoders[name](observation[None])[0], name, 0)
        assert len(packet) < 0.02 * echo.nbytes  # CF section V-C: 99 % less
        latents.append(codec.unpack(packet, name, 0))
    side_information = torch.from_numpy(network.side_information(frame))[None]
    found = network.decode(
        network.center(torch.stack(latents)[None], torch.ones(1, 2), side_information)
    )
    assert found.state.shape == (1, 2, 4) and torch.isfinite(found.state).all()


def test_latents_are_the_channels_at_each_position():
    torch.manual_seed(0)
    encoder, signal = Encoder(2, (2, 8), 1, 5), torch.randn(1, 2, 8, 16, 12)
    latents = encoder(signal)
    features = encoder.residuals(encoder.halving(signal))
    assert features.shape == (1, 8, 2, 4, 3) and latents.shape == (1, 24, 5)
    place = 1 * 12 + 2 * 3 + 1  # antenna 1, frequency 2, time 1 of 2 x 4 x 3
    assert torch.allclose(latents[0, place], encoder.projector(features[0, :, 1, 2, 1]))


def test_a_residual_layer_keeps_its_input():
    layer = Residual(4, 4)
    (
        torch.nn.init.zeros_(layer.convolution.weight),
        torch.nn.init.constant_(layer.convolution.bias, -1.0),
    )
    tensor = torch.randn(1, 4, 3, 3, 3)
    assert torch.equal(layer(tensor), tensor)


def test_axes_that_vanish_are_refused():
    assert downsampled_shape((16, 256, 256), 2) == (4, 64, 64)
    with pytest.raises(ValueError, match="3 convolutions of stride 2 leave nothing of"):
        downsampled_shape((4, 64, 64), 3)


def test_unknown_inputs_are_refused():
    with pytest.raises(ValueError, match="'magic' is not known; use one of raw, demodulated"):
        DvqvaeConfig(input="magic")


def test_every_network_has_the_promised_shapes(network, latents, frame_echoes, tiny):
    frame, _ = frame_echoes
    assert all(
        latent.shape == network.latent_shape and latent.dtype == torch.float32
        for latent in latents.values()
    )
    stacked = torch.stack(list(latents.values()))[None]
    output = network.center(
        stacked, torch.ones(1, 2), torch.from_numpy(network.side_information(frame))[None]
    )
    found = network.decode(output)
    assert found.presence.shape == (1, network.config.num_targets)
    assert found.state.shape == found.std.shape == (1, network.config.num_targets, 4)
    assert ((found.presence > 0) & (found.presence < 1)).all()


def test_observations_survive_half_precision(network, frame_echoes):
    frame, echoes = frame_echoes
    for values in (
        network.encoder_input(echoes["rx1"], frame, "rx1"),
        network.side_information(frame),
    ):
        assert values.dtype == np.float32
        assert np.allclose(values.astype(np.float16), values, atol=0.02, rtol=0.002)


def test_raw_networks_need_no_symbols(network, frame_echoes):
    frame, echoes = frame_echoes
    forged = replace(frame, indices=frame.indices * 0)
    same = np.array_equal(
        network.encoder_input(echoes["rx1"], forged, "rx1"),
        network.encoder_input(echoes["rx1"], frame, "rx1"),
    )
    assert same == (not network.needs_symbols)


def test_receivers_with_unlike_arrays_are_refused(tilted):
    for kind in ("paper_dvqvae", "paper_cnn"):
        with pytest.raises(
            ValueError, match="'tilted' has receivers with different numbers of antennas"
        ):
            make_network(tilted, kind)
