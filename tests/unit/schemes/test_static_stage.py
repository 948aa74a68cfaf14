"""Static paths in the echoes of every scheme: they change no detection where they are projected out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.channel.static import channel_matrix, static_echo
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import hear, transmit
from cooperative_isac.scene.config import load_scene
from cooperative_isac.scene.draw import draw_targets, frame_generator, scene_targets
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.registry import make_scheme, scheme_names, scheme_scene

LEARNED = ("cnn", "dvae", "dvqvae")
STRENGTH_DB = 50.0  # of static paths over the echo of targets
# What rounding may change: steps of a climb that end at its tolerance, and codewords that lie next to each other.
LIMITS = np.array([[0.1], [0.3]])  # m and m/s
PLACES_M = np.array([[10.0, 20.0, 0.0], [30.0, 50.0, 0.0], [44.0, 12.0, 0.0]])


def with_static(scene, mode):
    return replace(scene, sensing=replace(scene.sensing, static_paths=mode))


def static_channel(scene, site, power_w, frame):
    """A channel by way of three things that stand still, its echo STRENGTH_DB above a power."""
    things = [TargetState("", TargetClass.UNKNOWN, place, np.zeros(3)) for place in PLACES_M]
    paths = draw_paths(scene, site, things, np.zeros((0, 3)), np.random.default_rng(3))
    matrix = channel_matrix(scene, site, paths)
    echo = static_echo(frame, matrix)
    return matrix * np.sqrt(power_w / np.mean(np.abs(echo) ** 2)) * 10 ** (STRENGTH_DB / 20)


@pytest.fixture(params=["payload", "reference_only", "payload among reference symbols"])
def symbols(request):
    return request.param


@pytest.fixture(params=scheme_names())
def name(request):
    return request.param


@pytest.fixture
def scene(name, symbols, small):
    """A scene that the scheme can work in, without clutter."""
    if name.startswith(LEARNED):
        if symbols != "payload":
            pytest.skip("shipped weights are for frames without reference symbols")
        return with_static(load_scene("cell_free_compact"), "project")
    clutter = replace(small.propagation.clutter, num_scatterers=0, positions_m=None)
    waveform = small.waveform
    if symbols == "payload":
        waveform = replace(waveform, reference_subcarrier_stride=0, reference_symbol_stride=0)
    kind = "reference_only" if symbols == "reference_only" else "payload"
    scene = replace(small, waveform=waveform, propagation=replace(small.propagation, clutter=clutter))
    sensing = replace(scene.sensing, symbols=kind, min_speed_mps=0.0)
    return with_static(replace(scene, sensing=sensing), "project")


def heard_by(scene, number):
    """A frame, the echoes of moving targets in it, and the same with static paths."""
    frame = transmit(scene, number)
    targets = scene_targets(scene, 1.0) or draw_targets(
        scene, frame_generator(scene.seed, number, "targets")
    )
    silent = replace(scene, propagation=replace(scene.propagation, noise_power_w=1e-30))
    plain, static = {}, {}
    for site in scene.receivers:
        power_w = np.mean(np.abs(hear(silent, frame, site.name, targets)) ** 2)
        plain[site.name] = hear(scene, frame, site.name, targets)
        matrix = static_channel(scene, site, power_w, frame)
        static[site.name] = plain[site.name] + static_echo(frame, matrix)
    return frame, plain, static


def detected(scheme, frame, echoes):
    packets = {receiver: scheme.encode(echo, frame, receiver) for receiver, echo in echoes.items()}
    return scheme.decode(packets, frame)


def states(detections):
    return np.array([(one.position_m, one.velocity_mps) for one in detections])


def test_strong_static_paths_change_no_detection(name, scene):
    world = scheme_scene(name, scene)
    scheme = make_scheme(name, scene)
    frame, plain, static = heard_by(world, 3)
    expected = states(detected(scheme, frame, plain))
    found = states(detected(scheme, frame, static))
    assert len(expected) > 0 and found.shape == expected.shape
    assert np.all(np.abs(found - expected) < LIMITS)


def test_without_suppression_the_same_static_paths_do_change_detections(name, scene):
    scene = with_static(scene, "keep")
    world = scheme_scene(name, scene)
    scheme = make_scheme(name, scene)
    frame, plain, static = heard_by(world, 3)
    expected = states(detected(scheme, frame, plain))
    found = states(detected(scheme, frame, static))
    assert found.shape != expected.shape or np.any(np.abs(found - expected) > LIMITS)


@pytest.mark.parametrize("name", ["dvqvae_paper", "cnn_paper", "cnn", "raw_ml", "music"])
@pytest.mark.parametrize("mode", ["keep", "project", "learn"])
def test_the_downlink_is_counted_where_an_access_point_suppresses(name, mode, small):
    scene = load_scene("cell_free_compact") if name.startswith(LEARNED) else small
    scheme = make_scheme(name, with_static(scene, mode))
    frame = transmit(scene, 0)
    needed = name == "music" or (name == "dvqvae_paper" and mode != "keep")
    assert scheme.downlink_bits(frame) == (8 * len(pack_downlink(frame)) if needed else 0)


def test_the_reference_symbols_of_a_whole_echo_are_cleaned_too(small):
    scene = with_static(small, "project")
    frame, plain, static = heard_by(scene, 3)
    stage = make_scheme("local_ml", scene).static
    for receiver in plain:
        clean = stage.clean(static[receiver], frame, receiver)
        assert np.mean(np.abs(clean) ** 2) < np.mean(np.abs(plain[receiver]) ** 2)
        assert np.allclose(
            clean, stage.clean(plain[receiver], frame, receiver), atol=1e-3 * np.std(plain[receiver])
        )


def test_training_takes_echoes_that_are_cleaned_likewise(tiny, monkeypatch):
    from cooperative_isac.fronthaul.learned.weights import make_network
    from cooperative_isac.training.batches import Examples
    from cooperative_isac.training.recipes import RECIPES

    torch.manual_seed(0)
    recipe = RECIPES["dvqvae_paper"]
    sizes = {"hidden": 8, "latent_dim": 6, "features": 8}
    seen = []
    for mode in ("keep", "project"):
        scene = with_static(tiny, mode)
        network = make_network(scene, recipe.kind, {**recipe.network, **sizes})
        frame, plain, static = heard_by(scene, 1)
        examples = Examples(network, None, network.receivers)
        seen.append(
            [examples._observed(echoes["rx1"], frame, "rx1") for echoes in (plain, static)]
        )
    assert np.abs(seen[0][1] - seen[0][0]).max() > 10
    assert np.allclose(seen[1][1], seen[1][0], atol=1e-2)
