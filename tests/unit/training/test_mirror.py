"""Mirror images of samples: what a receiver would have received from the mirrored targets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.network import Truth
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.training.batches import Batch
from cooperative_isac.training.loop import Callback
from cooperative_isac.training.mirror import draw_mirrored, find_mirror
from cooperative_isac.training.recipes import Recipe
from cooperative_isac.training.run import train_distributed, train_locally

# A frame in which no path fades.
FRAME = 4


@pytest.fixture(scope="module")
def network():
    scene = with_power(load_scene("cell_free_compact"), 60.0)
    return make_network(scene, "maps", {"cells": 24, "coarse": 8})


def batch_of(network, position_m, velocity_mps):
    """A batch of one sample with one target."""
    scene = network.scene
    target = TargetState(
        "target", TargetClass.UNKNOWN, np.array([*position_m, 0.0]), np.array([*velocity_mps, 0.0])
    )
    frame = transmit(scene, FRAME)
    observations = {}
    for name in network.receivers:
        echo = receive_echo(scene, frame, name, (target,))
        maps = network.encoder_input(echo, frame, name)
        observations[name] = torch.from_numpy(maps)[None]
    truth = Truth(
        torch.tensor([[True, False]]),
        torch.tensor([[[*position_m, *velocity_mps], [0.0, 0.0, 0.0, 0.0]]]),
    )
    return Batch((3,), observations, None, truth)


def test_an_image_shows_the_mirrored_target(network):
    seen = batch_of(network, (31.0, 44.0), (9.0, -4.0))
    expected = batch_of(network, (69.0, 44.0), (-9.0, -4.0))
    image = find_mirror(network).image(seen, torch.tensor([True]))
    assert torch.equal(image.truth.state, expected.truth.state)
    for name in network.receivers:
        found, wanted = image.observations[name][0], expected.observations[name][0]
        for transmitter in range(2):
            power, doppler, excess = wanted[transmitter]
            peak = np.unravel_index(int(power.argmax()), power.shape)
            assert int(found[transmitter, 0].argmax()) == int(power.argmax())
            assert torch.allclose(found[transmitter, 1][peak], doppler[peak], atol=0.01)
            assert torch.allclose(found[transmitter, 2][peak], excess[peak], atol=0.05)


def test_only_chosen_samples_are_mirrored_and_twice_is_the_same(network):
    one = batch_of(network, (31.0, 44.0), (9.0, -4.0))
    two = Batch(
        (3, 3),
        {name: maps.repeat(2, 1, 1, 1, 1) for name, maps in one.observations.items()},
        None,
        Truth(one.truth.present.repeat(2, 1), one.truth.state.repeat(2, 1, 1)),
    )
    mirror, chosen = find_mirror(network), torch.tensor([False, True])
    image = mirror.image(two, chosen)
    again = mirror.image(image, chosen)
    for name, maps in two.observations.items():
        assert torch.equal(image.observations[name][0], maps[0])
        assert not torch.equal(image.observations[name][1], maps[1])
        assert torch.equal(again.observations[name], maps)
    assert torch.equal(again.truth.state, two.truth.state)


def test_half_of_the_samples_are_mirrored_by_seed_and_step():
    draws = torch.stack([draw_mirrored(64, 5, step) for step in range(100)])
    assert 0.45 < draws.double().mean() < 0.55
    assert torch.equal(draws[7], draw_mirrored(64, 5, 7))
    assert not torch.equal(draws[7], draw_mirrored(64, 6, 7))


def test_scenes_without_symmetry_and_other_networks_are_refused(network, tiny):
    site = network.scene.receivers[0]
    moved = replace(site, position_m=site.position_m + [1.0, 0.0, 0.0])
    scene = replace(network.scene, receivers=(moved, network.scene.receivers[1]))
    with pytest.raises(ValueError, match=r"not symmetric about x = 50 m: 'rx1' has no mirror im"):
        find_mirror(make_network(scene, "maps", {"cells": 24, "coarse": 8}))
    with pytest.raises(ValueError, match="samples of network 'paper_cnn' have no mirror images"):
        find_mirror(make_network(tiny, "paper_cnn", {"channels": (2, 3), "neurons": 8}))


def test_a_run_with_mirror_images_differs_from_one_without(job):
    scene = load_scene("cell_free_compact")
    maps = Recipe("maps", {"cells": 16, "coarse": 4, "num_targets": 2})
    settings = replace(job.settings, epochs=1, train_samples=4, validation_samples=1)
    plain = replace(job, scene=scene, recipe=maps, settings=settings)
    mirrored = replace(
        plain, settings=replace(settings, mirror=True), folder=job.folder.with_name("mirrored")
    )
    rows = [train_locally(each, Callback()).rows[0] for each in (plain, mirrored)]
    assert rows[0]["loss"] != rows[1]["loss"]
    with pytest.raises(ValueError, match="samples are mirrored in one process"):
        train_distributed(mirrored, Callback())
