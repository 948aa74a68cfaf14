"""Signals of other networks at receivers, against the free-space equation written out."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.interference import (
    arrivals,
    interference_covariance,
    interference_echo,
    interference_over_noise,
)
from cooperative_isac.pipeline import make_frame, noise_ahead, receive, receive_echo, transmit
from cooperative_isac.scene.band import Interferer
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene

LIGHT_MPS = 299_792_458.0
PLACE_M = np.array([-20.0, 90.0, 0.0])


def beside(scene, signal="coded", power_w=1.0, place_m=PLACE_M):
    """The scene with one interferer."""
    interferer = Interferer("other", place_m, power_w, signal)
    return replace(scene, propagation=replace(scene.propagation, interferers=(interferer,)))


def other_signal(scene, number=0, receiver="rx1"):
    """What one receiver has of the interferers without any target."""
    signal = transmit(scene, number)
    return interference_echo(scene, signal, scene.receiver(receiver), (), None)


def free_space(scene, receiver, interferer):
    """Channel to each antenna and subcarrier by way of the line of sight."""
    wavelength_m = LIGHT_MPS / scene.grid.carrier_hz
    toward_m = interferer.position_m - receiver.position_m
    distance_m = np.linalg.norm(toward_m)
    gain = wavelength_m / (4 * np.pi * distance_m)
    offsets_hz = scene.grid.subcarrier_offsets_hz
    nearer_m = receiver.elements_m @ toward_m / distance_m
    at_carrier = np.exp(-2j * np.pi * (distance_m - nearer_m) / wavelength_m)
    over_band = np.exp(-2j * np.pi * offsets_hz * distance_m / LIGHT_MPS)
    return gain * at_carrier[:, None] * over_band


def test_a_line_of_sight_carries_symbols_of_one_power(small):
    scene = beside(small)
    receiver = scene.receiver("rx1")
    channel = free_space(scene, receiver, scene.propagation.interferers[0])
    symbols = other_signal(scene) / channel[:, :, None]

    # All antennas have the same symbols, of the interferer's power on each subcarrier.
    assert np.allclose(symbols, symbols[:1], rtol=2e-3, atol=1e-4)
    assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1 / 64, rel=0.05)
    points = np.unique(np.round(symbols[0] * 8 * np.sqrt(10), 1))
    assert len(points) == 16


def test_both_receivers_have_the_same_symbols_and_frames_have_others(small):
    scene = beside(small)
    interferer = scene.propagation.interferers[0]

    def symbols(number, name):
        channel = free_space(scene, scene.receiver(name), interferer)
        return (other_signal(scene, number, name) / channel[:, :, None])[0]

    assert np.allclose(symbols(3, "rx1"), symbols(3, "rx2"), rtol=2e-3, atol=1e-4)
    assert np.array_equal(symbols(3, "rx1"), symbols(3, "rx1"))
    assert not np.allclose(symbols(3, "rx1"), symbols(4, "rx1"), atol=1e-2)


def test_the_same_signal_is_that_of_the_first_transmitter(small):
    scene = beside(small, "same")
    channel = free_space(scene, scene.receiver("rx1"), scene.propagation.interferers[0])
    received = other_signal(scene)[0] / channel[0, :, None]
    first_antenna = np.eye(8)[:1]
    own = transmit(scene, 0).toward(0, first_antenna)[:, 0]
    assert abs(np.vdot(own, received)) == pytest.approx(
        np.linalg.norm(own) * np.linalg.norm(received), rel=1e-5
    )
    assert np.mean(np.abs(received) ** 2) == pytest.approx(1 / 64, rel=1e-4)


def test_orthogonal_interferers_do_not_arrive(small):
    assert other_signal(beside(small, "orthogonal")) is None


def test_the_own_part_of_an_echo_is_unchanged(small):
    # Signal, paths and noise are drawn as without the interferer.
    signal = transmit(small, 2)
    targets = scene_targets(small, 0.0)
    scene = beside(small)
    own = receive_echo(small, signal, "rx2", targets)
    other = interference_echo(scene, signal, scene.receiver("rx2"), targets, None)
    assert np.array_equal(receive_echo(scene, signal, "rx2", targets), own + other)


def test_targets_scatter_the_signal(small):
    scene = beside(small)
    signal = transmit(scene, 2)
    receiver = scene.receiver("rx1")
    targets = scene_targets(scene, 0.0)
    scattered = interference_echo(scene, signal, receiver, targets, None) - other_signal(scene, 2)
    angles = np.linalg.svd(scattered.reshape(8, -1), compute_uv=False)
    assert len(targets) == 2
    assert angles[1] > 1e-3 * angles[0]
    assert angles[2] < 1e-4 * angles[0]


def test_noise_that_is_drawn_ahead_stays_the_same(small):
    scene = beside(small)
    frame = make_frame(scene, 4, 0.4)
    targets = scene_targets(scene, 0.4)
    noise = noise_ahead(scene, frame, "rx1", targets)
    early = receive(scene, frame, "rx1", targets, noise)
    late = receive(scene, frame, "rx1", targets)
    assert np.array_equal(early["default"].samples, late["default"].samples)


def test_the_covariance_is_that_of_the_signal(small):
    scene = beside(small)
    receiver = scene.receiver("rx1")
    samples = other_signal(scene).reshape(8, -1)
    measured = samples @ samples.conj().T / samples.shape[1]
    expected = interference_covariance(scene, receiver)
    assert np.allclose(measured, expected, atol=0.05 * np.abs(expected).max())
    level = interference_over_noise(scene, receiver)["other"]
    mean_w = np.trace(expected).real / 8
    assert level == pytest.approx(mean_w / scene.propagation.noise_power_w)

    # Copies of the own signal are no noise.
    assert not interference_covariance(beside(small, "same"), receiver).any()


def test_interference_is_reflected_and_blocked_by_the_world():
    yard = load_scene("yard")
    scene = beside(yard, place_m=np.array([150.0, -40.0, 20.0]))
    receiver = scene.receivers[0]
    assert len(arrivals(replace(scene, world=None), receiver)) == 1
    assert len(arrivals(scene, receiver)) > 1

    # Behind a building, near the ground.
    box = yard.world.boxes[0]
    middle_m = (box.low_m + box.high_m) / 2
    behind_m = receiver.position_m + 1.6 * (middle_m - receiver.position_m)
    behind_m[2] = 0.5
    hidden = beside(yard, place_m=behind_m)
    free = interference_over_noise(replace(hidden, world=None), receiver)["other"]
    assert interference_over_noise(hidden, receiver)["other"] < 0.5 * free
