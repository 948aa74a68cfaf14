"""The radar equation, free space, noise figures and element patterns against closed forms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.channel.antenna_pattern import element_amplitude, tr38901_gain_dbi
from cooperative_isac.channel.fading import unit_log_normal
from cooperative_isac.channel.gain import expected_power, gain_slope, radar_amplitude, unit_gain
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.channel.users import user_channels
from cooperative_isac.scene.file.build import rotation_matrix, thermal_noise_w
from cooperative_isac.scene.file.config import parse_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.station import Site

TILTED = (Path(__file__).resolve().parents[2] / "scenes" / "tilted.yaml").read_text()
PLACES = np.array([[12.0, 17.0, 6.0], [30.0, 9.0, 14.0]])


def radar_scene(more=""):
    """The tilted scene with the radar equation, without clutter and clock offsets."""
    text = TILTED.replace("  pathloss_exponent: 2.2\n", f"  model: radar_equation\n{more}")
    text = text.replace("  clutter: {num_scatterers: 2, reflection_variance: 0.3}\n", "")
    text = text.replace("  timing_offset_std_s: 50.0e-9\n  frequency_offset_std_hz: 2000.0\n", "")
    return parse_scene(text, Path("radar.yaml"))


def target(place, target_class=TargetClass.UAV, velocity=(3.0, 4.0, 1.0)):
    return TargetState("target", target_class, np.array(place), np.array(velocity))


def test_the_radar_equation_in_decibels():
    # 20 log lambda + 10 log sigma - 30 log 4 pi - 20 log d_tx - 20 log d_rx of 1 cm, -12.81 dBsm,
    # 60 m, 80 m.
    expected = -40 - 12.81 - 30 * np.log10(4 * np.pi) - 20 * np.log10(60) - 20 * np.log10(80)
    assert 20 * np.log10(radar_amplitude(0.01, 10**-1.281, 60.0, 80.0)) == pytest.approx(expected)


def test_drawn_amplitudes_have_the_mean_power_of_the_radar_equation():
    scene = radar_scene()
    count = 4000
    targets = [target(PLACES[0])] * count
    paths = draw_paths(
        scene, scene.receivers[0], targets, np.zeros((0, 3)), np.random.default_rng(1)
    )
    for index, site in enumerate(scene.transmitters):
        amplitude = paths.amplitude[paths.transmitter == index]
        d_tx, d_rx = (
            np.linalg.norm(PLACES[0] - end.position_m) for end in (site, scene.receivers[0])
        )
        mean = 10**-1.281 * scene.grid.wavelength_m**2 / ((4 * np.pi) ** 3 * d_tx**2 * d_rx**2)
        mean *= site.num_ant * scene.receivers[0].num_ant
        assert np.mean(np.abs(amplitude) ** 2) == pytest.approx(mean, rel=0.06)
        # log-normal: decibels deviate by 3.74; phases are uniform
        assert np.std(20 * np.log10(np.abs(amplitude))) == pytest.approx(3.74, rel=0.04)
        assert abs(np.mean(amplitude / np.abs(amplitude))) < 4 / np.sqrt(count)


def test_log_normal_draws_have_mean_one():
    drawn = unit_log_normal(np.full(200_000, 3.74), np.random.default_rng(2))
    assert np.mean(drawn) == pytest.approx(1, rel=0.01)
    assert np.array_equal(unit_log_normal(np.zeros(3), np.random.default_rng(2)), np.ones(3))


def test_expected_power_of_a_given_or_the_smallest_class():
    scene = radar_scene()
    site = scene.transmitters[0]
    receiver = scene.receivers[1]
    path = bistatic_geometry(site.position_m, receiver.position_m, PLACES, np.zeros(3), 0.01)
    unit = unit_gain(scene, site, receiver, path) ** 2
    assert expected_power(scene, site, receiver, path) == pytest.approx(10**-1.281 * unit)
    assert expected_power(scene, site, receiver, path, 2.5) == pytest.approx(2.5 * unit)


@pytest.mark.parametrize("physical", [True, False])
def test_the_slope_of_the_gain_is_that_of_differences(tilted, physical):
    scene = radar_scene() if physical else tilted
    step = 1e-5
    site = scene.transmitters[1]
    receiver = scene.receivers[0]

    def level(point):
        path = bistatic_geometry(site.position_m, receiver.position_m, point, np.zeros(3), 0.01)
        return np.log(unit_gain(scene, site, receiver, path))

    path = bistatic_geometry(site.position_m, receiver.position_m, PLACES[0], np.zeros(3), 0.01)
    differences = [
        (level(PLACES[0] + step * axis) - level(PLACES[0] - step * axis)) / (2 * step)
        for axis in np.eye(3)
    ]
    assert gain_slope(scene, path) == pytest.approx(np.array(differences), rel=1e-6)


def test_a_noise_figure_stands_for_thermal_noise():
    # -174 dBm/Hz of 290 K, 53.8 dB of 240 kHz, 7 dB.
    assert 10 * np.log10(thermal_noise_w(240e3, 7.0) / 1e-3) == pytest.approx(-113.17, abs=0.01)
    scene = radar_scene("  noise_figure_db: 7.0\n")
    assert scene.propagation.noise_power_w == thermal_noise_w(240e3, 7.0)


@pytest.mark.parametrize(
    ("zenith", "azimuth", "gain"),
    [
        (90, 0, 8.0),
        (90, 32.5, 5.0),
        (90, -65, -4.0),
        (57.5, 0, 5.0),
        (122.5, 32.5, 2.0),
        (90, 180, -22.0),
        (0, 0, -15.0),
        (180, 120, -22.0),
    ],
)
def test_the_pattern_of_table_7_3_1(zenith, azimuth, gain):
    # 8 dBi less 12 (angle / 65)^2 of each plane, 30 dB at most together.
    expected = gain if (zenith, azimuth) != (0, 0) else 8 - 12 * (90 / 65) ** 2
    assert tr38901_gain_dbi(np.array(float(zenith)), np.array(float(azimuth))) == pytest.approx(
        expected
    )


def test_the_pattern_turns_with_its_array():
    rotation = rotation_matrix(50.0, 20.0, 30.0)
    site = Site("a", np.zeros(3), rotation, np.zeros((1, 3)), "custom", "tr38901")
    assert 20 * np.log10(element_amplitude(site, site.boresight)) == pytest.approx(8.0)
    aside = rotation @ [np.cos(np.pi / 6), 0.0, np.sin(np.pi / 6)]
    assert 20 * np.log10(element_amplitude(site, aside)) == pytest.approx(8 - 12 * (30 / 65) ** 2)
    assert np.array_equal(
        element_amplitude(replace(site, pattern="isotropic"), np.eye(3)), np.ones(3)
    )


def test_patterns_scale_paths_and_nothing_else(tilted):
    shaped = replace(
        tilted, transmitters=tuple(replace(s, pattern="tr38901") for s in tilted.transmitters)
    )
    plain, scaled = (
        draw_paths(
            scene, scene.receivers[0], [target(PLACES[0])], PLACES[1:], np.random.default_rng(3)
        )
        for scene in (tilted, shaped)
    )
    gains = [
        element_amplitude(shaped.transmitters[index], aod)
        for index, aod in zip(plain.transmitter, plain.aod)
    ]
    assert scaled.amplitude == pytest.approx(plain.amplitude * gains)
    assert np.array_equal(scaled.delay_s, plain.delay_s) and np.array_equal(scaled.aoa, plain.aoa)


def test_users_of_the_radar_equation_are_reached_as_in_free_space():
    scene = radar_scene()
    drawn = np.array(
        [user_channels(scene, PLACES, np.random.default_rng(seed)) for seed in range(400)]
    )
    first = scene.transmitters[0]
    distance = np.linalg.norm(PLACES - first.position_m, axis=1)
    expected = (scene.grid.wavelength_m / (4 * np.pi * distance)) ** 2
    assert np.mean(np.abs(drawn[..., :6]) ** 2, axis=(0, 1, 3)) == pytest.approx(expected, rel=0.1)
