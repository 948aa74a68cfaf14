"""The grid's derived quantities and the scene's look-ups."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.file.config import load_scene


def test_a_comb_keeps_bandwidth_and_observation_time():
    full = OfdmGrid(30e9, 240e3, 256, 256, 1.04e-6)
    comb = OfdmGrid(30e9, 240e3, 64, 64, 1.04e-6, subcarrier_stride=4, symbol_stride=4)
    assert np.allclose(comb.subcarrier_offsets_hz, full.subcarrier_offsets_hz[::4])
    assert np.allclose(comb.symbol_times_s, full.symbol_times_s[::4])


def test_a_symbol_lasts_its_inverse_spacing_and_the_cyclic_prefix():
    grid = OfdmGrid(30e9, 240e3, 256, 256, 1.04e-6)
    # CF section II: 1 / Delta f + T_p.
    assert grid.symbol_period_s == pytest.approx(4.16667e-6 + 1.04e-6, rel=1e-6)
    assert grid.wavelength_m == pytest.approx(0.00999308)


def test_a_receiver_is_found_by_name():
    scene = load_scene(Path(__file__).with_name("file") / "good_scene.yaml")
    assert scene.receiver("rx2") is scene.receivers[1] and scene.grid is scene.waveform.grid
    with pytest.raises(
        KeyError, match=r"no receiver 'tx1' in scene 'good_scene'; it has .*rx1.*rx2.*rx3"
    ):
        scene.receiver("tx1")


@pytest.mark.parametrize(
    ("dimension", "max_climb_mps", "expected_mps"),
    [
        (3, 6.0, [20 / 3**0.5, 20 / 3**0.5, 6 / 3**0.5]),  # uniform from -6 to 6 m/s
        (3, 50.0, [20 / 3**0.5] * 3),  # no faster than the largest speed
        (2, 6.0, [20 / 2**0.5] * 2),
    ],
)
def test_velocities_are_within_the_largest_speed_and_rate_of_climb(
    dimension, max_climb_mps, expected_mps
):
    scene = load_scene(Path(__file__).with_name("file") / "good_scene.yaml")
    sensing = replace(scene.sensing, max_speed_mps=20.0, max_climb_mps=max_climb_mps)
    scene = replace(scene, dimension=dimension, sensing=sensing)
    assert scene.velocity_stds_mps == pytest.approx(expected_mps)
