"""Scheme local_ml beside an interferer: as noise it hides targets, nulls find them again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.pipeline import make_encoders, make_frame, receive, receive_all
from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.schemes.views import receiving_views

# Three UAVs, none of them near the direction of the interferer.
TARGETS = tuple(
    TargetState(f"uav{index}", TargetClass.UAV, np.array(place), np.array(velocity))
    for index, (place, velocity) in enumerate(
        [
            ([20.0, 20, 20], [6.0, 3, 0]),
            ([40.0, 25, 15], [-5.0, 4, 0]),
            ([25.0, 45, 12], [3.0, -6, 0]),
        ]
    )
)


def beside(power_w, mode, signal="coded"):
    """The scene multi_bs with an interferer 100 m beside it."""
    scene = load_scene("multi_bs")
    interferer = Interferer("other", np.array([150.0, -40.0, 20.0]), power_w, signal)
    return replace(
        scene,
        propagation=replace(scene.propagation, interferers=(interferer,)),
        sensing=replace(scene.sensing, interference=mode),
    )


def detected(scene, number):
    """Packets and detections of one independent frame."""
    scheme = make_scheme("local_ml", scene)
    frame = make_frame(scene, number)
    encoders = make_encoders(scheme)
    packets = {
        station: encoders[station].encode(echoes, frame)
        for station, echoes in receive_all(scene, frame, TARGETS).items()
    }
    return packets, scheme.center().decode(packets, frame)


def errors_m(detections):
    """Distance of each target from the nearest detection."""
    if not detections:
        return np.full(len(TARGETS), np.inf)
    found_m = np.array([one.position_m for one in detections])
    true_m = np.array([one.position_m for one in TARGETS])
    return np.linalg.norm(found_m - true_m[:, None], axis=2).min(axis=1)


def test_nulls_find_targets_beside_an_interferer():
    # Up to 20 dB above the noise of an antenna; root bounds are 0.05 to 0.15 m.
    _, detections = detected(beside(0.5, "nulls"), 1)
    assert len(detections) == len(TARGETS)
    assert errors_m(detections).max() < 0.15


def test_the_same_interference_as_noise_hides_them():
    _, detections = detected(beside(0.5, "noise"), 1)
    assert errors_m(detections).min() > 1


def test_behind_nulls_nothing_is_left_in_the_span_of_canceled_lines_of_sight():
    # A car 100 m from an interferer that is 33 dB above its noise.
    text = scene_path("bs_ue").read_text()
    entry = "{name: other, position_m: [300, 100, 20], power_dbm: 20}"
    text = text.replace("\npropagation:", f"\npropagation:\n  interferers: [{entry}]")
    scene = parse_scene(text, Path("x.yaml"))
    frame = make_frame(scene, 1, 0.25)
    (echo,) = receive(scene, frame, "ue2", TARGETS).values()
    (place,) = receiving_views(scene, "ue2")
    prepared = LocalReceiver(place, interference="nulls").prepare(echo, frame)

    # What cancellation took of the interference was in the canceled paths of the array itself.
    outside = prepared.canceled.projected(prepared.samples)
    within_w = np.sum(np.abs(prepared.samples - outside) ** 2)
    assert within_w < scene.views[0].propagation.noise_power_w
    assert prepared.whitening is not None


@pytest.mark.parametrize("position_std_m", [0.05, 0.5])
def test_nulls_of_a_car_of_uncertain_position_leave_noise(position_std_m):
    # An interferer 40 m from a car, 46 dB above the noise of its antennas; no targets.
    text = scene_path("bs_ue").read_text()
    text = text.replace("position_std_m: 0.2", f"position_std_m: {position_std_m}")
    entry = "{name: other, position_m: [250, 60, 12], power_dbm: 25}"
    text = text.replace("\npropagation:", f"\npropagation:\n  interferers: [{entry}]")
    scene = parse_scene(text, Path("x.yaml"))

    for number in (1, 2, 3):
        frame = make_frame(scene, number, number / scene.update_rate_hz)
        (echo,) = receive(scene, frame, "ue2", ()).values()
        (place,) = receiving_views(scene, "ue2")
        prepared = LocalReceiver(place, interference="nulls").prepare(echo, frame)
        noise_w = scene.views[0].propagation.noise_power_w
        assert largest_power_w(echo.samples) > 1e4 * noise_w
        # Largest eigenvalue of noise alone: 1 + sqrt(antennas / samples), squared.
        assert largest_power_w(prepared.samples) < 1.3 * noise_w


def largest_power_w(samples):
    """Largest power of an echo in any direction over the antennas, mean over the samples."""
    flat = samples.reshape(len(samples), -1)
    return np.linalg.eigvalsh(flat @ flat.conj().T / flat.shape[1])[-1]


def test_without_interferers_the_keys_change_no_byte(small):
    nulls = replace(small, sensing=replace(small.sensing, interference="nulls"))
    assert detected(small, 3)[0] == detected(nulls, 3)[0]


def test_the_bound_is_that_of_the_nulls():
    clean = load_scene("multi_bs")
    bounds_m = [
        network_bound(scene, make_frame(scene, 0), TARGETS).location_m
        for scene in (clean, beside(0.5, "noise"), beside(500.0, "noise"))
    ]
    assert np.all(bounds_m[0] < bounds_m[1])
    # A null costs no more however strong the interferer is.
    assert bounds_m[2] == pytest.approx(bounds_m[1], rel=0.02)
    assert np.all(bounds_m[2] < 1.3 * bounds_m[0])
