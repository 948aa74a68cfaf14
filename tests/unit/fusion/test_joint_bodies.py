"""Extended targets from raw echoes: found by single receivers, and only by the center."""

from dataclasses import replace

import numpy as np
import pytest
from chain import Chain

from cooperative_isac.fusion.detection import detection_problem
from cooperative_isac.fusion.joint_bodies import SensedEcho, detect_bodies, with_valid_information
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.information import positive_definite
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.waveform.frame import Frame

FRAME = 5
TIME_S = 1.0


@pytest.fixture(scope="module")
def yard():
    return load_scene("yard")


@pytest.fixture(scope="module")
def sensed(yard):
    """Fits of every receiver alone in one frame of the yard."""
    return sense(yard, FRAME)


def sense(yard, number):
    frame = transmit(yard, number)
    targets = scene_targets(yard, number / yard.update_rate_hz)
    echoes = {}
    for site in yard.receivers:
        samples = receive_echo(yard, frame, site.name, targets)
        receiver = LocalReceiver(StationView(yard, site.name))
        on_air = Frame(number, {yard.band: frame})
        one = receiver.sense(receiver.prepare_known(samples, on_air), on_air)
        echoes[site.name] = SensedEcho(one.joint, one.fit, one.main)
    return echoes


def near(detections, target, distance_m):
    return [
        one for one in detections if np.linalg.norm(one.position_m - target.position_m) < distance_m
    ]


def test_a_body_is_one_detection(yard):
    number = 15
    detections = detect_bodies(yard, sense(yard, number))
    for target in scene_targets(yard, number / yard.update_rate_hz):
        assert len(near(detections, target, 3.0)) == 1
    powers = [one.snr_db for one in detections]
    assert powers == sorted(powers, reverse=True)


def test_missed_paths_are_found_at_the_prediction_of_the_other_receivers(yard, sensed):
    """One receiver alone determines no velocity; the target's echoes at the others are there."""
    only = "rx2"
    alone = {
        name: echo if name == only else replace(echo, fit=None, main=None)
        for name, echo in sensed.items()
    }
    confirmed = detect_bodies(yard, alone)
    unconfirmed = detect_bodies(yard, {only: sensed[only]})

    found = [target for target in scene_targets(yard, TIME_S) if near(confirmed, target, 2.0)]
    assert len(found) >= 2
    assert not any(near(unconfirmed, target, 2.0) for target in found)
    assert all(len(near(confirmed, target, 2.0)[0].sites) > 1 for target in found)


def test_noise_alone_confirms_no_target(yard, sensed):
    """The other receivers' echoes are noise: targets of one receiver alone stay doubtful."""
    only, generator = "rx3", np.random.default_rng(5)
    frame = transmit(yard, FRAME)
    echoes = {only: sensed[only]}
    deviation = np.sqrt(yard.propagation.noise_power_w / 2)
    for name in ("rx1", "rx2"):
        shape = (yard.receiver(name).num_ant, yard.grid.num_subcarriers, yard.grid.num_symbols)
        noise = deviation * (generator.normal(size=shape) + 1j * generator.normal(size=shape))
        receiver = LocalReceiver(StationView(yard, name))
        on_air = Frame(frame.number, {yard.band: frame})
        echo = receiver.prepare_known(noise.astype(np.complex64), on_air)
        echoes[name] = SensedEcho(receiver.correlate(echo, on_air).joint, None, None)
    assert detect_bodies(yard, echoes) == ()


def test_no_echo_is_no_detection(yard):
    assert detect_bodies(yard, {}) == ()


def test_broken_echoes_do_not_affect_later_frames(yard):
    scheme = Chain("raw_ml", yard, live=True)
    broken = {
        1: lambda echo: np.zeros_like(echo),
        3: lambda echo: one_sample(echo, 1e18),
        5: lambda echo: one_sample(echo, 1e3),
        7: lambda echo: (1e22 * echo).astype(np.complex64),
    }
    found = []
    for number in range(9):
        frame, packets = transmit(yard, number), {}
        for site in yard.receivers:
            targets = scene_targets(yard, number / yard.update_rate_hz)
            echo = receive_echo(yard, frame, site.name, targets)
            echo = broken.get(number, lambda good: good)(echo)
            packets[site.name] = scheme.encode(echo, frame, site.name)
        detections = scheme.decode(packets, frame)
        assert all(detection_problem(one) is None for one in detections)
        found.append(len(detections))
    assert found[1] == found[7] == 0
    assert min(found[0], found[2], found[4], found[8]) >= 2


def one_sample(echo, value):
    spoiled = echo.copy()
    spoiled[0, 3, 5] = value
    return spoiled


def test_information_with_rounding_errors_becomes_positive_definite():
    clean = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
    assert np.allclose(positive_definite(clean), clean, rtol=1e-5)

    # Known along one direction only, one eigenvalue below zero, not symmetric.
    direction = np.array([1.0, 2.0, -1.0])
    spoiled = 100 * np.outer(direction, direction) - 1e-3 * np.eye(3)
    spoiled[0, 1] += 1e-3
    report = with_valid_information(
        EchoReport("rx1", np.zeros(3), (PathReport(0, 0.0, 10.0, spoiled),))
    )
    information = report.paths[0].information
    assert np.array_equal(information, information.T)
    assert np.linalg.eigvalsh(information)[0] > 0
    assert np.allclose(information, spoiled, atol=1e-2)

    # Many at once are the same as each alone.
    both = np.array([clean, spoiled])
    alone = np.array([positive_definite(one) for one in both])
    assert np.array_equal(positive_definite(both), alone)
