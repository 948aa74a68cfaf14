"""Followed paths whose Doppler shift left its cell since the last frame."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing import local_ml
from cooperative_isac.sensing.path_state import single_path
from cooperative_isac.sensing.reacquire import doppler_reach_hz, reacquired

PLACE = (25.0, 40.0, 10.0)
VELOCITY = (2.0, -7.0, 0.0)


@pytest.fixture
def pair():
    return load_scene("one_pair")


@pytest.fixture
def heard(pair, listen):
    """A listener of the pair, and one target's joint fit and Doppler shift."""
    listener = listen(pair)
    echo, paths = listener.echo([PLACE], [VELOCITY], 3e-7)
    return listener, listener.sensor.correlate(echo, listener.frame), float(paths.doppler_hz[0])


@pytest.mark.parametrize("cells", [-2.4, -1.6, 1.7, 2.3])
def test_a_shift_that_left_its_cell_is_found_again(heard, cells, monkeypatch):
    listener, joint, shift_hz = heard
    cell_hz = listener.scene.grid.doppler_resolution_hz
    expected = single_path(np.array(PLACE), 0, shift_hz + cells * cell_hz)
    followed = listener.sensor.follow(joint, expected)
    assert abs(followed.state.doppler_hz[0] - shift_hz) < 0.1 * cell_hz

    # Without the search Fisher scoring stays on a side lobe.
    monkeypatch.setattr(local_ml, "doppler_reach_hz", lambda grid, period_s: 0.0)
    stuck = listener.sensor.follow(joint, expected)
    assert stuck is None or abs(stuck.state.doppler_hz[0] - shift_hz) > 0.5 * cell_hz


def test_a_shift_within_its_main_lobe_is_left_to_fisher_scoring(heard):
    listener, joint, shift_hz = heard
    expected = single_path(
        np.array(PLACE), 0, shift_hz + 0.2 * listener.scene.grid.doppler_resolution_hz
    )
    state = reacquired(joint, joint.match(expected), 400.0)
    assert np.array_equal(state.doppler_hz, expected.doppler_hz)


def test_a_strong_neighbor_does_not_take_the_shift_of_a_weak_path(pair, listen):
    # Strong and weak at different places, three cells apart, both followed.
    listener = listen(pair)
    cell_hz = pair.grid.doppler_resolution_hz
    strong, paths = listener.echo([PLACE], [VELOCITY], 3e-6)
    weak, others = listener.echo([(45.0, 30.0, 5.0)], [(2.0, -5.0, 0.0)], 3e-7, seed=1)
    joint = listener.sensor.correlate(strong + weak, listener.frame)
    state = single_path(np.array(PLACE), 0, float(paths.doppler_hz[0]))
    second = single_path(np.array((45.0, 30.0, 5.0)), 0, float(others.doppler_hz[0]))
    both = state.with_target(second)
    found = reacquired(joint, joint.match(both), 3 * cell_hz)
    assert np.abs(found.doppler_hz - both.doppler_hz).max() < 0.5 * cell_hz


def test_a_weak_path_does_not_take_the_error_of_a_strong_one_for_its_own_shift(pair, listen):
    # Both at one place: the strong one off by half a cell, the weak one by another.
    listener = listen(pair)
    cell_hz = pair.grid.doppler_resolution_hz
    echo, paths = listener.echo([PLACE], [VELOCITY], 3e-6)
    shift_hz = float(paths.doppler_hz[0])
    joint = listener.sensor.correlate(echo, listener.frame)
    strong = single_path(np.array(PLACE), 0, shift_hz + 0.5 * cell_hz)
    weak = single_path(np.array(PLACE) + (0.5, 0.5, 0.0), 0, shift_hz + 1.4 * cell_hz)
    fit = joint.match(strong.with_target(weak))
    assert fit.power[0] > 2 * fit.power[1]
    found = reacquired(joint, fit, 3 * cell_hz)
    assert abs(found.doppler_hz[0] - shift_hz) < 0.2 * cell_hz
    assert found.doppler_hz[1] == weak.doppler_hz[0]


def test_short_frames_have_cells_wider_than_any_acceleration(pair):
    campus = load_scene("campus")
    assert doppler_reach_hz(campus.grid, 1 / campus.update_rate_hz) == 0
    # 10 m/s^2 over 0.2 s, there and back.
    assert doppler_reach_hz(pair.grid, 0.2) == pytest.approx(4.0 / pair.grid.wavelength_m)
    assert doppler_reach_hz(replace(pair.grid, num_symbols=16), 0.2) == 0
