"""Weights: there and back, and clear words when they do not fit."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from cooperative_isac.fronthaul.learned.weights import (WeightsError, load_weights, make_network,
                                                        save_weights, weights_description)
from cooperative_isac.scene.config import with_power


@pytest.fixture
def path(network, tmp_path):
    network.deviation.fill_(0.25)
    save_weights(tmp_path / "net.safetensors", network, {"hours": 2})
    return tmp_path / "net.safetensors"


def output(network, seed=0):
    """What a network makes of some latents."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, 2, *network.latent_shape, generator=generator)
    knowledge = torch.zeros(1, 2, 16, 32, 32)
    return network.read(network.centre(latents, torch.ones(1, 2), knowledge))


def test_a_network_comes_back_as_it_was(network, path, tiny):
    loaded = load_weights(path, tiny)
    assert loaded.config == network.config and not loaded.training
    for name, tensor in network.state_dict().items():
        if name.rpartition(".")[2] not in ("counts", "sums", "idle_steps"):
            assert torch.equal(loaded.state_dict()[name], tensor), name
    assert torch.equal(output(loaded).state, output(network).state)
    assert torch.equal(loaded.deviation, torch.full((4,), 0.25))
    assert torch.equal(output(loaded).deviation, output(network).deviation)


def test_half_precision_halves_the_file_and_changes_little(network, path, tiny, tmp_path):
    save_weights(tmp_path / "half.safetensors", network, {}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.75 * path.stat().st_size
    loaded = load_weights(tmp_path / "half.safetensors", tiny)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert torch.allclose(output(loaded).state, output(network).state, atol=1.0)


def test_what_was_said_of_the_training_is_kept(path):
    assert weights_description(path)["training"] == {"hours": 2}


def test_power_and_seed_may_differ(path, tiny):
    load_weights(path, replace(with_power(tiny, 13.0), seed=99))


@pytest.mark.parametrize("network", ["raw"], indirect=True)
def test_another_scene_is_told_with_its_differences(path, tiny, small):
    with pytest.raises(WeightsError,
                       match="another scene than 'small': num_users 2 there, 3 here; .*isac train"):
        load_weights(path, small)
    faster = replace(tiny, sensing=replace(tiny.sensing, max_speed_mps=30.0))
    with pytest.raises(WeightsError, match="sensing.max_speed_mps 15.0 there, 30.0 here"):
        load_weights(path, faster)
    site = tiny.receivers[0]
    elsewhere = replace(site, position_m=site.position_m + [0, 1, 0])
    moved = replace(tiny, receivers=(elsewhere, tiny.receivers[1]))
    with pytest.raises(WeightsError,
                       match=r"receiver rx1 position_m \[15.0, 62.0, 0.0\] there, \[15.0, 63.0, 0.0\] here"):
        load_weights(path, moved)


def test_files_that_are_no_weights_are_refused(tmp_path, tiny):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path / "text", tiny)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(WeightsError, match="are of format 'None', not 'cooperative_isac weights 1'"):
        load_weights(tmp_path / "foreign", tiny)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path / "absent", tiny)


@pytest.mark.parametrize("network", ["raw"], indirect=True)
def test_incomplete_weights_are_refused(network, tiny, tmp_path):
    del network.centre.joint
    save_weights(tmp_path / "part", network, {})
    with pytest.raises(WeightsError, match="are incomplete or of another version .*missing .*centre.joint"):
        load_weights(tmp_path / "part", tiny)


def test_wrong_hyperparameters_are_named(tiny):
    with pytest.raises(WeightsError, match="hidden"):
        make_network(tiny, "dvqvae", {"hidden": "wide"})
    with pytest.raises(WeightsError,
                       match="no hyperparameter hiden, codebook.sise; it has num_targets, input, "):
        make_network(tiny, "dvqvae", {"hiden": 3, "codebook": {"size": 8, "sise": 9}})
    with pytest.raises(WeightsError, match="kind 'rnn' is not known; use one of .*dvqvae"):
        make_network(tiny, "rnn")
