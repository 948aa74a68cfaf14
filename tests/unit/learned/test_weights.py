"""Files of weights: saved, restored, and refused with the reason where they do not fit."""

import json
import pickle
import zlib
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from cooperative_isac.learned.construction import WeightsError, make_network
from cooperative_isac.learned.index_coder import frequency_tables
from cooperative_isac.learned.weights import (
    add_tables,
    load_weights,
    model_before_tables,
    save_weights,
    weights_description,
)
from cooperative_isac.scene.file.config import with_power


@pytest.fixture
def path(network, tmp_path):
    network.deviation.fill_(0.25)
    save_weights(tmp_path / "net.safetensors", network, {"hours": 2})
    return tmp_path / "net.safetensors"


def output(network, seed=0):
    """Predictions of a network for fixed latents."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, 2, *network.latent_shape, generator=generator)
    side_information = torch.zeros(1, 2, 16, 32, 32)
    return network.decode(network.center(latents, torch.ones(1, 2), side_information))


def test_a_saved_network_is_restored(network, path, tiny):
    loaded = load_weights(path, tiny)
    assert loaded.config == network.config and not loaded.training
    for name, tensor in network.state_dict().items():
        if name.rpartition(".")[2] not in ("counts", "sums", "idle_steps"):
            assert torch.equal(loaded.state_dict()[name], tensor), name
    assert torch.equal(output(loaded).state, output(network).state)
    assert torch.equal(loaded.deviation, torch.full((4,), 0.25))
    assert torch.equal(output(loaded).std, output(network).std)


def test_half_precision_halves_the_file_and_changes_little(network, path, tiny, tmp_path):
    save_weights(tmp_path / "half.safetensors", network, {}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.75 * path.stat().st_size
    loaded = load_weights(tmp_path / "half.safetensors", tiny)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert torch.allclose(output(loaded).state, output(network).state, atol=1.0)


def test_the_description_of_the_training_is_kept(path):
    assert weights_description(path)["training"] == {"hours": 2}


def test_power_and_seed_may_differ(path, tiny):
    load_weights(path, replace(with_power(tiny, 13.0), seed=99))


@pytest.mark.parametrize("network", ["raw"], indirect=True)
def test_another_scene_is_refused_with_its_differences(path, tiny, small):
    with pytest.raises(
        WeightsError, match=r"another scene than 'small': num_users 2 there, 3 here; .*isac train"
    ):
        load_weights(path, small)
    faster = replace(tiny, sensing=replace(tiny.sensing, max_speed_mps=30.0))
    with pytest.raises(WeightsError, match=r"sensing\.max_speed_mps 15\.0 there, 30\.0 here"):
        load_weights(path, faster)
    site = tiny.receivers[0]
    elsewhere = replace(site, position_m=site.position_m + [0, 1, 0])
    moved = replace(tiny, receivers=(elsewhere, tiny.receivers[1]))
    with pytest.raises(
        WeightsError,
        match=r"receiver rx1 position_m \[15.0, 62.0, 0.0\] there, \[15.0, 63.0, 0.0\] here",
    ):
        load_weights(path, moved)


def test_other_files_are_refused(tmp_path, tiny):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path / "text", tiny)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(
        WeightsError, match="are of format 'None', not 'cooperative_isac weights 2'"
    ):
        load_weights(tmp_path / "foreign", tiny)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(tmp_path / "absent", tiny)


@pytest.mark.parametrize("network", ["raw"], indirect=True)
def test_incomplete_weights_are_refused(network, tiny, tmp_path):
    del network.center.joint
    save_weights(tmp_path / "part", network, {})
    with pytest.raises(
        WeightsError, match=r"are incomplete or of another version .*missing .*center\.joint"
    ):
        load_weights(tmp_path / "part", tiny)


def test_wrong_hyperparameters_are_named(tiny):
    with pytest.raises(WeightsError, match="hidden"):
        make_network(tiny, "paper_dvqvae", {"hidden": "wide"})
    with pytest.raises(
        WeightsError, match=r"no hyperparameter hiden, codebook\.sise; it has num_targets, input, "
    ):
        make_network(tiny, "paper_dvqvae", {"hiden": 3, "codebook": {"size": 8, "sise": 9}})
    with pytest.raises(WeightsError, match=r"kind 'rnn' is not known; use one of .*dvqvae"):
        make_network(tiny, "rnn")


# Values that a damaged description may have.
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        3,
        63,
        4096,
        10**9,
        2**70,
        1e308,
        float("nan"),
        "",
        "maps",
        "[/]",
        "\x1b[2J\n",
        "\ud800",
        "x" * 3000,
        [],
        [1],
        {},
        {"size": 8},
        {"a": {"b": 1}},
    ]
)
DAMAGED = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The file of a small network, with its tensors and its description."""
    torch.manual_seed(4)
    config = {
        "cells": 12,
        "coarse": 4,
        "encoder_channels": 8,
        "center_channels": 8,
        "codebook": {"size": 16, "num_parts": 6},
    }
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    save_weights(path, make_network(tiny, "maps", config), {})
    return path.read_bytes(), load_file(path), weights_description(path)


def is_loaded_or_refused(path, scene):
    """Load weights: a network that works, or an error of one line with the file's name."""
    try:
        network = load_weights(path, scene)
    except WeightsError as error:
        message = str(error)
        assert str(path) in message and message.isprintable() and len(message) < 1500, message
        assert ";" in message or "Train others" in message, message
        return False
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())
    return True


def places(data, path=()):
    """All paths of keys into nested mappings, except for the many of the scene."""
    for key, value in data.items():
        yield path + (key,)
        if isinstance(value, dict) and key != "scene":
            yield from places(value, path + (key,))


def described(tensors, description):
    """The bytes of a file."""
    text = description if isinstance(description, str) else json.dumps(description)
    return save(tensors, {"cooperative_isac": text})


@DAMAGED
@given(data=st.data())
def test_damaged_bytes_are_loaded_or_refused(whole, tiny, tmp_path, data):
    content = whole[0]
    place = data.draw(st.integers(0, 4000) | st.integers(0, len(content) - 1))
    change = data.draw(st.sampled_from(["cut", "flip", "write"]))
    if change == "cut":
        content = content[:place]
    elif change == "flip":
        content = (
            content[:place]
            + bytes([content[place] ^ 1 << data.draw(st.integers(0, 7))])
            + content[place + 1 :]
        )
    else:
        text = data.draw(st.binary(min_size=1, max_size=40))
        content = content[:place] + text + content[place + len(text) :]
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    is_loaded_or_refused(path, tiny)


@DAMAGED
@given(data=st.data())
def test_odd_descriptions_are_loaded_or_refused(whole, tiny, tmp_path, data):
    _, tensors, description = whole
    description = deepcopy(description)
    *parents, last = data.draw(st.sampled_from(sorted(places(description), key=str)))
    inside = description
    for key in parents:
        inside = inside[key]
    value = inside.pop(last)
    change = data.draw(st.sampled_from(["remove", "rename", "replace", "replace"]))
    if change == "rename":
        inside[data.draw(st.sampled_from(["", "x", "\x1b[31m", "y" * 999]))] = value
    elif change == "replace":
        inside[last] = data.draw(ODD)
    path = tmp_path / "net.safetensors"
    path.write_bytes(described(tensors, description))
    is_loaded_or_refused(path, tiny)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tensor: tensor * float("nan"), "has numbers that are not finite"),
        (lambda tensor: tensor.double(), "is of type torch.float64, must be float32 or float16"),
        (lambda tensor: tensor.to(torch.int32), "is of type torch.int32"),
        (lambda tensor: tensor.to(torch.complex64), "is of type torch.complex64"),
        (lambda tensor: tensor.reshape(1, -1), r"is \[1, \d+\], must be \["),
        (lambda tensor: tensor.flatten()[:0], r"is \[0\], must be \["),
        (None, "are incomplete or of another version"),
    ],
)
def test_a_wrong_tensor_is_named(whole, tiny, tmp_path, change, fault):
    _, tensors, description = whole
    for name in (
        name
        for name in tensors
        if name.startswith(("codebooks.rx1", "center.")) and tensors[name].dim() > 1
    ):
        changed = dict(tensors)
        tensor = changed.pop(name)
        if change is not None:
            changed[name] = change(tensor)
        path = tmp_path / "net.safetensors"
        path.write_bytes(described(changed, description))
        with pytest.raises(WeightsError, match=f"{name}.*{fault}|{fault}.*{name}"):
            load_weights(path, tiny)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read"),
        (pickle.dumps({"a": np.zeros(3)}), "cannot be read"),
        (save({}, {"cooperative_isac": "{broken"}), "their description is no JSON"),
        (save({}, {"cooperative_isac": "[" * 10**5}), "their description is no JSON"),
        (save({}, {"cooperative_isac": "[1, 2]"}), "are of format 'None'"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_other_content_is_named(tiny, tmp_path, content, fault):
    path = tmp_path / "net.safetensors"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=fault):
        load_weights(path, tiny)
    assert not is_loaded_or_refused(path, tiny)


def test_a_network_larger_than_its_file_is_not_made(whole, tiny, tmp_path):
    _, tensors, description = whole
    config = {**description["config"], "center_channels": 2**16, "encoder_channels": 2**16}
    path = tmp_path / "net.safetensors"
    path.write_bytes(described(tensors, {**description, "config": config}))
    with pytest.raises(WeightsError, match=r"of another version of network 'maps': .* must be \["):
        load_weights(path, tiny)


@pytest.mark.parametrize("network", ["maps"], indirect=True)
def test_a_trained_network_is_saved_with_the_tables_of_its_codewords(network, tiny, tmp_path):
    for name in network.codebooks:
        codebook = network.codebook(name)
        codebook.counts.copy_(torch.arange(codebook.counts.numel()).view_as(codebook.counts))
    save_weights(tmp_path / "net.safetensors", network, {})
    loaded = load_weights(tmp_path / "net.safetensors", tiny)
    for name in network.codebooks:
        expected = frequency_tables(network.codebook(name).counts)
        assert torch.equal(loaded.codebook(name).tables, expected)

    # They stay when the loaded network is saved.
    save_weights(tmp_path / "again.safetensors", loaded, {})
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "net.safetensors").read_bytes()


@pytest.mark.parametrize("network", ["maps"], indirect=True)
def test_added_tables_change_nothing_else(network, path, tiny):
    before = path.read_bytes()
    description = weights_description(path)
    assert model_before_tables(path) is None
    tables = frequency_tables(torch.rand(6, 16))
    add_tables(path, {"rx1": tables, "rx2": tables})

    # The same network and description, and the fingerprint of the file before.
    loaded = load_weights(path, tiny)
    assert torch.equal(loaded.codebook("rx2").tables, tables)
    for name, tensor in load_file(path).items():
        if not name.endswith("tables"):
            assert torch.equal(tensor, network.state_dict()[name]), name
    assert model_before_tables(path) == zlib.crc32(before)
    assert description.items() < weights_description(path).items()

    # Other tables later: the packets of before stay the same.
    add_tables(path, {"rx1": frequency_tables(torch.rand(6, 16))})
    assert model_before_tables(path) == zlib.crc32(before)
    assert torch.equal(load_weights(path, tiny).codebook("rx2").tables, tables)


@pytest.mark.parametrize("network", ["maps"], indirect=True)
@pytest.mark.parametrize(
    ("receiver", "tables"),
    [
        ("rx3", frequency_tables(torch.ones(6, 16))),
        ("rx1", frequency_tables(torch.ones(5, 16))),
        ("rx1", frequency_tables(torch.ones(6, 16)).float()),
        ("rx1", frequency_tables(torch.ones(6, 16)) + 1),
        ("rx1", torch.zeros(6, 16, dtype=torch.int32)),
        ("rx1", torch.zeros(0, dtype=torch.int32)),
    ],
)
def test_wrong_tables_are_named(path, tiny, receiver, tables):
    add_tables(path, {receiver: tables})
    with pytest.raises(WeightsError, match=rf"codebooks.{receiver}.tables are no frequencies"):
        load_weights(path, tiny)
