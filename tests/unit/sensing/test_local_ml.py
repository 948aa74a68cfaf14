"""The access point on echoes whose targets are known."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.local_ml import LIVE_MATCHES, LocalMl
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.path_state import NO_PATHS

PLACES = {"small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)), "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0))}
VELOCITIES = ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))


def assert_found(fit, scene, places):
    """Exactly these places, each with both transmitters, within five standard deviations."""
    assert fit is not None and fit.state.num_targets == len(places)
    assert np.array_equal(np.bincount(fit.state.owner), [2] * len(places))
    for point, information in zip(fit.state.points_m, fit.target_information):
        away = (point - min(places, key=lambda place: np.linalg.norm(point - np.array(place))))[:scene.dimension]
        assert away @ information @ away < 30


def test_two_targets_are_found_with_both_transmitters_and_nothing_else(listener):
    places = PLACES[listener.scene.name]
    echo, _ = listener.echo(places, VELOCITIES, 1e-5)
    assert_found(listener.sensor.sense(echo, listener.frame), listener.scene, places)


def test_a_strong_target_leaves_no_ghosts(listener):
    place = PLACES[listener.scene.name][:1]
    echo, _ = listener.echo(place, VELOCITIES, 5e-5)
    assert_found(listener.sensor.sense(echo, listener.frame), listener.scene, place)


def test_noise_alone_is_taken_for_a_target_as_often_as_stated(small, listen):
    probability, tries = 0.1, 300
    scene = replace(small, sensing=replace(small.sensing, false_alarm_probability=probability))
    listener = listen(replace(scene, waveform=replace(scene.waveform, reference_subcarrier_stride=0)))
    shape = (listener.site.num_ant, listener.frame.grid.num_subcarriers, listener.frame.grid.num_symbols)
    generator = np.random.default_rng(0)
    alarms = sum(listener.sensor.sense(thermal_noise(shape, scene.propagation.noise_power_w, generator),
                                       listener.frame) is not None for _ in range(tries))
    assert 0.4 * probability < alarms / tries < 2.0 * probability


def test_no_more_targets_than_allowed(listener):
    scene = replace(listener.scene, sensing=replace(listener.scene.sensing, max_targets=1))
    echo, _ = listener.echo(PLACES[scene.name], VELOCITIES, 1e-5)
    fit = LocalMl(scene, listener.site, scene.grid).sense(echo, listener.frame)
    assert fit.state.num_targets == 1


def test_reference_symbols_alone_find_a_target(small, listen):
    scene = replace(small, sensing=replace(small.sensing, symbols="reference_only"))
    listener = listen(scene)
    echo, _ = listener.echo(PLACES["small"][:1], VELOCITIES, 5e-5)
    reference = listener.frame.reference
    fit = LocalMl(scene, listener.site, reference.grid).sense(echo[:, ::2, ::2], reference)
    assert np.linalg.norm(fit.state.points_m[0] - PLACES["small"][0]) < 0.3


def test_memory_expects_targets_where_their_doppler_shifts_carry_them(listener):
    scene, place = listener.scene, PLACES[listener.scene.name][:1]
    echo, _ = listener.echo(place, VELOCITIES, 1e-5)
    fit = listener.sensor.sense(echo, listener.frame, NO_PATHS)
    memory = Memory(listener.frame.number, fit.state)
    expected = memory.recall(scene, listener.site, listener.frame.number + 1, 1 / scene.update_rate_hz)
    moved = np.array(place[0]) + np.array(VELOCITIES[0]) / scene.update_rate_hz
    before = np.linalg.norm(moved - fit.state.points_m[0])
    assert np.linalg.norm(moved - expected.points_m[0]) < before
    again = listener.sensor.sense(listener.echo([moved], VELOCITIES, 1e-5)[0], listener.frame, expected)
    assert_found(again, scene, [moved])


@pytest.mark.parametrize("later", [0, -3, 1000])
def test_memory_forgets_across_a_gap_or_a_step_back(listener, later):
    echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    memory = Memory(10, listener.sensor.sense(echo, listener.frame).state)
    assert memory.recall(listener.scene, listener.site, 10 + later, 1 / listener.scene.update_rate_hz).num_targets == 0


def test_a_frame_that_follows_another_matches_states_so_often_at_most(listener, monkeypatch):
    echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    matches = []
    match = JointFit.match
    monkeypatch.setattr(JointFit, "match", lambda joint, state: matches.append(state) or match(joint, state))
    listener.sensor.sense(echo, listener.frame, NO_PATHS)
    assert len(matches) <= LIVE_MATCHES + 3


def test_receivers_that_follow_targets_take_turns_to_search(listener):
    fit = listener.sensor.sense(listener.echo(PLACES[listener.scene.name][:1], VELOCITIES, 1e-5)[0], listener.frame)
    searches = [listener.sensor._searches(number, fit.state, fit) for number in range(4)]
    assert sorted(searches[:2]) == [0, 1] and searches[:2] == searches[2:]
    assert listener.sensor._searches(0, NO_PATHS, None) == listener.sensor._searches(1, NO_PATHS, None) == 1
