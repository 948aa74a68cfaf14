"""Paths: geometry by hand, statistics of their amplitudes, clutter."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.gain import amplitude_gain
from cooperative_isac.channel.paths import clutter_positions, draw_paths
from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.scene.band import Clutter
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import TargetClass, TargetState


def target(position, velocity=(0.0, 0.0, 0.0)):
    return TargetState(
        "t", TargetClass.UNKNOWN, np.array(position, float), np.array(velocity, float)
    )


def test_pathloss_by_hand(small):
    # -60 dB at 1 m and an exponent of 2: 100 m cost another 40 dB, an amplitude of 1e-5.
    assert amplitude_gain(small.propagation, np.array([1.0, 100.0])) == pytest.approx([1e-3, 1e-5])


def test_a_path_by_hand(small):
    # tx2 (45, -2), target (45, 58), rx1 (15, 62): 60 m up, then 30 m left and 4 m up.
    paths = draw_paths(
        small,
        small.receivers[0],
        [target((45, 58, 0), (0, 5, 0))],
        np.zeros((0, 3)),
        np.random.default_rng(0),
    )
    row = int(np.flatnonzero(paths.transmitter == 1)[0])
    away = np.hypot(30, 4)
    assert paths.delay_s[row] * 299_792_458 == pytest.approx(60 + away)
    # 5 m/s away from the transmitter and 5 * 4 / 30.27 m/s towards the receiver.
    assert paths.doppler_hz[row] == pytest.approx((-5 + 5 * 4 / away) * 30e9 / 299_792_458)
    assert np.allclose(paths.aod[row], [0, 1, 0])
    assert np.allclose(paths.aoa[row], np.array([30, -4, 0]) / away)


def test_targets_come_first_and_clutter_rests(small):
    targets = [target(place, (3, 4, 0)) for place in ((10, 10, 0), (50, 20, 0))]
    clutter = clutter_positions(small, np.random.default_rng(0))
    paths = draw_paths(small, small.receivers[1], targets, clutter, np.random.default_rng(0))
    assert sorted(zip(paths.transmitter, paths.scatterer)) == [
        (tx, q) for tx in (0, 1) for q in range(3)
    ]
    assert np.array_equal(paths.doppler_hz == 0, paths.scatterer == 2)


@pytest.mark.parametrize("site", ["tx2", "rx1"])
def test_what_stands_exactly_at_a_site_is_refused_by_name(small, site):
    place = next(s for s in small.transmitters + small.receivers if s.name == site).position_m
    others = [target((10, 10, 0))]
    nothing = np.zeros((0, 3))
    generator = np.random.default_rng(0)
    with pytest.raises(
        ValueError, match=f"target 't' stands exactly at site '{site}'.*; move one of them"
    ):
        draw_paths(small, small.receivers[0], others + [target(place)], nothing, generator)
    with pytest.raises(
        ValueError, match=f"scatterer 1 of the clutter stands exactly at site '{site}'"
    ):
        draw_paths(small, small.receivers[0], others, np.array([[1.0, 2, 0], place]), generator)
    beside = draw_paths(
        small, small.receivers[0], [target(place + [0, 1e-9, 0])], nothing, generator
    )
    columns = [column for column in vars(beside).values() if column is not None]
    assert all(np.all(np.isfinite(column)) for column in columns)


def test_amplitudes_have_the_variances_of_targets_and_clutter(tilted):
    variances = []
    for seed in range(1500):
        paths = draw_paths(
            tilted,
            tilted.receivers[0],
            [target((20, 20, 9))],
            np.array([[20.0, 20, 9]]),
            np.random.default_rng(seed),
        )
        gains = amplitude_gain(tilted.propagation, paths.delay_s * 299_792_458)
        variances.append(np.abs(paths.amplitude / gains) ** 2)
    mean = dict(zip(zip(paths.transmitter, paths.scatterer), np.mean(variances, axis=0)))
    for tx in (0, 1):
        assert mean[tx, 0] == pytest.approx(1.5, rel=0.1) and mean[tx, 1] == pytest.approx(
            0.3, rel=0.1
        )
    assert np.all(np.abs(np.corrcoef(np.transpose(variances)) - np.eye(4)) < 0.1)


def test_clutter_is_fixed_or_drawn_in_the_area(small, tilted):
    assert np.array_equal(clutter_positions(small, np.random.default_rng(0)), [[30, 45, 0]])
    many = replace(tilted, propagation=replace(tilted.propagation, clutter=Clutter(400, 0.1)))
    drawn = clutter_positions(many, np.random.default_rng(0))
    assert drawn.shape == (400, 3)
    assert np.all(drawn >= tilted.box.low_m) and np.all(drawn <= tilted.box.high_m)
    assert np.allclose(drawn.mean(axis=0), (tilted.box.low_m + tilted.box.high_m) / 2, atol=2)


def test_complex_normal_is_circular():
    draws = complex_normal(np.random.default_rng(0), (40_000,), 4.0)
    assert (
        np.mean(np.abs(draws) ** 2) == pytest.approx(4, rel=0.03) and abs(np.mean(draws**2)) < 0.1
    )


def test_a_scene_without_a_world_keeps_its_draws(tilted):
    # Path by path, as equation 6 has it: the draws and bytes of scenes from before the physical
    # channel.
    targets = [target((20, 20, 9)), target((9, 31, 4), (1, 2, 0))]
    clutter = np.array([[5.0, 6, 7], [30, 3, 2]])
    air = tilted.propagation
    points = np.array([[20.0, 20, 9], [9, 31, 4], [5, 6, 7], [30, 3, 2]])
    paths = draw_paths(tilted, tilted.receivers[1], targets, clutter, np.random.default_rng(5))
    generator = np.random.default_rng(5)
    expected = []
    for site in tilted.transmitters:
        path = bistatic_geometry(
            site.position_m, tilted.receivers[1].position_m, points, np.zeros(3), 1.0
        )
        loss = np.sqrt(
            air.reference_gain * (path.range_m / air.reference_distance_m) ** -air.pathloss_exponent
        )
        gain = loss * np.sqrt([air.reflection_variance] * 2 + [air.clutter.reflection_variance] * 2)
        expected.append(
            gain * (generator.standard_normal((4, 2)) @ (np.array([1, 1j]) * np.sqrt(0.5)))
        )
    assert np.array_equal(paths.amplitude, np.concatenate(expected)) and not paths.reflected.any()
