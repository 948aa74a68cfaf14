"""Static paths in the echoes of every scheme: projected out, they change no detection."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from chain import Chain

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.channel.static import channel_matrix, static_echo
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import draw_targets, frame_generator, scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.catalog import BUILT_IN, LEARNED
from cooperative_isac.schemes.registry import scheme_scene
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.tracking.track import TrackStatus
from cooperative_isac.tracking.tracker import Tracker

STRENGTH_DB = 50.0  # of static paths over the echo of targets
# Differences by rounding: an ascent that ends at its tolerance, and neighboring codewords.
LIMITS = np.array([[0.1], [0.3]])  # m and m/s
PLACES_M = np.array([[10.0, 20.0, 0.0], [30.0, 50.0, 0.0], [44.0, 12.0, 0.0]])


def with_static(scene, mode):
    return replace(scene, sensing=replace(scene.sensing, static_paths=mode))


def static_channel(scene, site, power_w, frame):
    """A channel over three static reflectors, its echo STRENGTH_DB above a power."""
    things = [TargetState("", TargetClass.UNKNOWN, place, np.zeros(3)) for place in PLACES_M]
    paths = draw_paths(scene, site, things, np.zeros((0, 3)), np.random.default_rng(3))
    matrix = channel_matrix(scene, site, paths)
    echo = static_echo(frame, matrix)
    return matrix * np.sqrt(power_w / np.mean(np.abs(echo) ** 2)) * 10 ** (STRENGTH_DB / 20)


@pytest.fixture(params=["payload", "reference_only", "payload among reference symbols"])
def symbols(request):
    return request.param


@pytest.fixture(params=sorted(BUILT_IN))
def name(request):
    return request.param


@pytest.fixture
def scene(name, symbols, small):
    """A scene for the scheme, without clutter."""
    if name in LEARNED:
        if symbols != "payload":
            pytest.skip("shipped weights are for frames without reference symbols")
        return with_static(load_scene("cell_free_compact"), "project")
    clutter = replace(small.propagation.clutter, num_scatterers=0, positions_m=None)
    waveform = small.waveform
    if symbols == "payload":
        waveform = replace(waveform, reference_subcarrier_stride=0, reference_symbol_stride=0)
    kind = "reference_only" if symbols == "reference_only" else "payload"
    propagation = replace(small.propagation, clutter=clutter)
    scene = replace(small, waveform=waveform, propagation=propagation)
    sensing = replace(scene.sensing, symbols=kind, min_speed_mps=0.0)
    return with_static(replace(scene, sensing=sensing), "project")


def frame_and_echoes(scene, number):
    """A frame, the echoes of moving targets in it, and the same with static paths."""
    frame = transmit(scene, number)
    targets = scene_targets(scene, 1.0) or draw_targets(
        scene, frame_generator(scene.seed, number, "targets")
    )
    silent = replace(scene, propagation=replace(scene.propagation, noise_power_w=1e-30))
    plain, static = {}, {}
    for site in scene.receivers:
        power_w = np.mean(np.abs(receive_echo(silent, frame, site.name, targets)) ** 2)
        plain[site.name] = receive_echo(scene, frame, site.name, targets)
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
    scheme = Chain(name, scene)
    frame, plain, static = frame_and_echoes(world, 7)
    expected = states(detected(scheme, frame, plain))
    found = states(detected(scheme, frame, static))
    assert len(expected) > 0 and found.shape == expected.shape
    assert np.all(np.abs(found - expected) < LIMITS)


def test_unsuppressed_static_paths_change_detections(name, scene):
    scene = with_static(scene, "keep")
    world = scheme_scene(name, scene)
    scheme = Chain(name, scene)
    frame, plain, static = frame_and_echoes(world, 3)
    expected = states(detected(scheme, frame, plain))
    found = states(detected(scheme, frame, static))
    assert found.shape != expected.shape or np.any(np.abs(found - expected) > LIMITS)


@pytest.mark.parametrize("name", ["dvqvae_paper", "cnn_paper", "cnn", "raw_ml", "music"])
@pytest.mark.parametrize("mode", ["keep", "project", "learn"])
def test_suppression_needs_the_downlink(name, mode, small):
    scene = load_scene("cell_free_compact") if name in LEARNED else small
    scheme = Chain(name, with_static(scene, mode))
    frame = transmit(scene, 0)
    needed = name == "music" or (name == "dvqvae_paper" and mode != "keep")
    assert scheme.downlink_bits(frame) == (8 * len(pack_downlink(frame)) if needed else 0)


def test_the_reference_symbols_of_a_whole_echo_are_cleaned_too(small):
    scene = with_static(small, "project")
    frame, plain, static = frame_and_echoes(scene, 3)
    stage = StaticStage(scene, scene.receivers[0])
    for receiver in plain:
        clean = stage.clean(static[receiver], frame)
        expected = stage.clean(plain[receiver], frame)
        assert np.mean(np.abs(clean) ** 2) < np.mean(np.abs(plain[receiver]) ** 2)
        assert np.allclose(clean, expected, atol=1e-3 * np.std(plain[receiver]))


def test_static_paths_of_data_and_code_words_are_cleaned_together(small):
    waveform = replace(
        small.waveform,
        signals=("data", "code"),
        code_power_share=0.3,
        reference_subcarrier_stride=0,
    )
    scene = with_static(replace(small, waveform=waveform), "project")
    frame, plain, static = frame_and_echoes(scene, 3)
    stage = StaticStage(scene, scene.receivers[0])
    for receiver in plain:
        clean = stage.clean(static[receiver], frame)
        expected = stage.clean(plain[receiver], frame)
        assert np.allclose(clean, expected, atol=1e-3 * np.std(plain[receiver]))


def test_training_suppresses_static_paths_likewise(tiny, monkeypatch):
    from cooperative_isac.learned.construction import make_network
    from cooperative_isac.training.batches import Examples
    from cooperative_isac.training.recipes import RECIPES

    torch.manual_seed(0)
    recipe = RECIPES["dvqvae_paper"]
    sizes = {"hidden": 8, "latent_dim": 6, "features": 8}
    seen = []
    for mode in ("keep", "project"):
        scene = with_static(tiny, mode)
        network = make_network(scene, recipe.kind, {**recipe.network, **sizes})
        frame, plain, static = frame_and_echoes(scene, 1)
        examples = Examples(network, None, network.receivers)
        seen.append(
            [examples._observation(echoes["rx1"], frame, "rx1") for echoes in (plain, static)]
        )
    assert np.abs(seen[0][1] - seen[0][0]).max() > 10
    assert np.allclose(seen[1][1], seen[1][0], atol=1e-2)


class Hoverer:
    """A target that flies in along x at 4 m/s and then stands still, among strong static paths."""

    arrival_s, place_m, speed_mps = 9.0, np.array([30.0, 40.0, 0.0]), 4.0
    amplitude = 10 ** (-105 / 20)
    static_amplitude = 10 ** (-60 / 20)

    def __init__(self, small, mode, drift=0.0):
        clutter = replace(small.propagation.clutter, num_scatterers=0, positions_m=None)
        waveform = replace(small.waveform, reference_subcarrier_stride=0, reference_symbol_stride=0)
        sensing = replace(small.sensing, min_speed_mps=0.0, static_paths=mode)
        self.scene = replace(
            small,
            waveform=waveform,
            sensing=sensing,
            propagation=replace(small.propagation, clutter=clutter),
        )
        self.drift = drift  # of each static path's phase, a random walk, rad per root of a second
        self.walks = {
            site.name: np.zeros(len(PLACES_M) * len(small.transmitters)) for site in small.receivers
        }

    def target(self, time_s):
        left_s = max(self.arrival_s - time_s, 0.0)
        velocity = np.array([self.speed_mps if left_s else 0.0, 0.0, 0.0])
        place = self.place_m - [self.speed_mps * left_s, 0.0, 0.0]
        return TargetState("uav", TargetClass.UAV, place, velocity)

    def echo(self, frame, site, target):
        scene, period_s = self.scene, 1 / self.scene.update_rate_hz
        generator = frame_generator(1, frame.number, site.name)
        things = [TargetState("", TargetClass.UNKNOWN, at, np.zeros(3)) for at in PLACES_M]
        paths = draw_paths(scene, site, things, np.zeros((0, 3)), np.random.default_rng(3))
        walk = self.walks[site.name]
        walk += self.drift * np.sqrt(period_s) * generator.standard_normal(len(walk))
        turned = self.static_amplitude * np.exp(1j * (np.angle(paths.amplitude) + walk))
        static = channel_matrix(scene, site, replace(paths, amplitude=turned))

        moving = draw_paths(scene, site, [target], np.zeros((0, 3)), generator)
        phases = np.exp(-2j * np.pi * scene.grid.carrier_hz * moving.delay_s)
        moving = replace(moving, amplitude=self.amplitude * phases)
        return apply_paths(scene, frame, site, moving, generator, static)

    def run(self, num_frames):
        """By frame: target found, confirmed track on it, number of false detections."""
        scheme = Chain("local_ml", self.scene, live=True)
        tracker = Tracker(self.scene.tracking, 2)
        found, held, false = [], [], []
        for number in range(num_frames):
            time_s = number / self.scene.update_rate_hz
            frame, target = transmit(self.scene, number), self.target(time_s)
            echoes = {site.name: self.echo(frame, site, target) for site in self.scene.receivers}
            detections = detected(scheme, frame, echoes)
            tracks = tracker.update(time_s, detections)
            near = [np.linalg.norm(one.position_m - target.position_m) < 1.5 for one in detections]
            found.append(any(near))
            false.append(len(near) - sum(near))
            held.append(
                any(
                    one.status is TrackStatus.CONFIRMED
                    and np.linalg.norm(one.position_m - target.position_m) < 1.5
                    for one in tracks
                )
            )
        return np.array(found), np.array(held), np.array(false)


@pytest.mark.parametrize("drift", [0.0, 1e-4])
def test_a_background_keeps_a_target_that_stops(small, drift):
    """Static paths 45 dB above it, at rest or with phases that drift slowly."""
    found, held, false = Hoverer(small, "learn", drift).run(160)
    hovering = slice(95, None)
    assert found[60:88].mean() > 0.9
    assert found[hovering].mean() > 0.9 and held[hovering].mean() > 0.95
    assert false.mean() < 0.05


def test_projection_loses_a_target_that_stops(small):
    found, held, _ = Hoverer(small, "project").run(125)
    assert found[60:88].mean() > 0.9
    assert not found[92:].any() and not held[105:].any()


def test_fast_drifting_static_paths_give_no_detections(small):
    found, _, false = Hoverer(small, "learn", drift=0.03).run(110)
    assert found[60:88].mean() > 0.8 and false.mean() < 0.1
