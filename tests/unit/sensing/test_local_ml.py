"""Local maximum likelihood on echoes of known targets."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.estimation.coarray import coprime_positions, nested_positions
from cooperative_isac.scene.arrays import line
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.joint_fit import JointFit, MatchBudget
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.memory import LEAST_SINGULAR, Memory, least_squares_velocity
from cooperative_isac.sensing.path_selection import is_same_echo
from cooperative_isac.sensing.path_state import NO_PATHS, PathState, single_path
from cooperative_isac.waveform.signal import whole_signal

PLACES = {
    "small": ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0)),
    "campus": ((30.0, 45.0, 14.0), (70.0, 60.0, 6.0)),
}
VELOCITIES = ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))


def assert_found(fit, scene, places):
    """Exactly these places, each with both transmitters, within five standard deviations."""
    assert fit is not None and fit.state.num_targets == len(places)
    assert np.array_equal(np.bincount(fit.state.owner), [2] * len(places))
    for point, information in zip(fit.state.points_m, fit.target_information):
        away = (point - min(places, key=lambda place: np.linalg.norm(point - np.array(place))))[
            : scene.dimension
        ]
        assert away @ information @ away < 30


def test_two_targets_are_found_with_both_transmitters_and_nothing_else(listener):
    places = PLACES[listener.scene.name]
    echo, _ = listener.echo(places, VELOCITIES, 1e-5, seed=1)
    assert_found(listener.sensor.sense(echo, listener.frame), listener.scene, places)


def test_a_strong_target_leaves_no_ghosts(listener):
    place = PLACES[listener.scene.name][:1]
    echo, _ = listener.echo(place, VELOCITIES, 5e-5)
    assert_found(listener.sensor.sense(echo, listener.frame), listener.scene, place)


def test_noise_alone_is_taken_for_a_target_as_often_as_stated(small, listen):
    probability, tries = 0.1, 300
    scene = replace(small, sensing=replace(small.sensing, false_alarm_probability=probability))
    listener = listen(
        replace(scene, waveform=replace(scene.waveform, reference_subcarrier_stride=0))
    )
    shape = (
        listener.site.num_ant,
        listener.frame.grid.num_subcarriers,
        listener.frame.grid.num_symbols,
    )
    generator = np.random.default_rng(0)
    alarms = sum(
        listener.sensor.sense(
            thermal_noise(shape, scene.propagation.noise_power_w, generator), listener.frame
        )
        is not None
        for _ in range(tries)
    )
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


@pytest.mark.parametrize("kind", ["reference_only", "all", "all with a comb"])
def test_reference_signals_of_nr_find_targets_within_their_deviation(small, listen, kind):
    waveform = small.waveform
    if kind != "all with a comb":
        waveform = replace(
            waveform, signals=("data", "prs", "csi_rs"), reference_subcarrier_stride=0
        )
    scene = replace(small, waveform=waveform)
    listener = listen(scene)
    frame = listener.frame
    known = frame.reference if kind == "reference_only" else whole_signal(frame)
    for seed in range(3):
        echo, _ = listener.echo(PLACES["small"], VELOCITIES, 3e-5, seed)
        fit = listener.sensor.sense(echo, known)
        assert_found(fit, scene, PLACES["small"])
        for path in range(4):
            shift_hz = bistatic_geometry(
                scene.transmitters[fit.state.transmitter[path]].position_m,
                listener.site.position_m,
                np.array(PLACES["small"])[_nearest(fit.state.points_m[fit.state.owner[path]])],
                np.array(VELOCITIES)[_nearest(fit.state.points_m[fit.state.owner[path]])],
                scene.grid.wavelength_m,
            ).doppler_hz
            error_hz = fit.state.doppler_hz[path] - shift_hz
            assert error_hz**2 * fit.doppler_information[path] < 25


SPARSE = {"nested": nested_positions(4, 4), "coprime": coprime_positions(2, 5)}


@pytest.mark.parametrize("kind", SPARSE)
def test_a_sparse_array_is_more_accurate_and_finds_no_ghosts(plane, listen, kind):
    usual = listen(plane)
    rotation = usual.site.rotation
    spacing_m = plane.grid.wavelength_m / 2
    sites = tuple(
        replace(site, elements_m=line(SPARSE[kind] * spacing_m) @ rotation.T)
        for site in plane.receivers
    )
    sparse = listen(replace(plane, receivers=sites))
    fits = {}
    for seed in range(3):
        for name, one in (("usual", usual), ("sparse", sparse)):
            echo, _ = one.echo(PLACES["small"], VELOCITIES, 1e-5, seed)
            fits[name] = one.sensor.sense(echo, one.frame)
            assert_found(fits[name], one.scene, PLACES["small"])

    # Error across the line of sight: eight elements on up to twice the aperture.
    across = {name: _across_m(fit, usual.site.position_m) for name, fit in fits.items()}
    assert np.all(across["sparse"] < 0.75 * across["usual"])


def _across_m(fit, origin_m):
    """Standard deviation of each target's place across the line to the receiver, m, by bearing."""
    deviations = []
    order = np.argsort(fit.state.points_m[:, 0])
    for point_m, information in zip(fit.state.points_m[order], fit.target_information[order]):
        toward = (point_m - origin_m)[:2] / np.linalg.norm(point_m - origin_m)
        normal = np.array([-toward[1], toward[0]])
        deviations.append(math.sqrt(normal @ np.linalg.inv(information) @ normal))
    return np.array(deviations)


def _nearest(point_m):
    """Index of the place of the plane that is nearest to a point."""
    return int(np.argmin(np.linalg.norm(np.array(PLACES["small"]) - point_m, axis=1)))


def test_targets_are_predicted_by_their_doppler_shifts(listener):
    scene, place = listener.scene, PLACES[listener.scene.name][:1]
    echo, _ = listener.echo(place, VELOCITIES, 1e-5)
    fit = listener.sensor.sense(echo, listener.frame)
    memory = Memory(3.0, fit.state)
    expected = memory.predict(scene, listener.site, 3.0 + 1 / scene.update_rate_hz)
    moved = np.array(place[0]) + np.array(VELOCITIES[0]) / scene.update_rate_hz
    before = np.linalg.norm(moved - fit.state.points_m[0])
    assert np.linalg.norm(moved - expected.points_m[0]) < before
    joint = listener.sensor.correlate(listener.echo([moved], VELOCITIES, 1e-5)[0], listener.frame)
    assert_found(listener.sensor.follow(joint, expected), scene, [moved])


def test_the_velocity_is_the_least_one_that_explains_each_targets_shifts(listener):
    scene, site = listener.scene, listener.site
    points_m = np.array([*PLACES[scene.name], (30.0, 30.0, 0.0)])
    state = PathState(
        points_m,
        np.array([0, 2, 0, 1, 2]),
        np.array([1, 0, 0, 1, 1]),
        np.array([200.0, -90.0, 310.0, -150.0, 45.0]),
    )
    found = least_squares_velocity(scene, site, state)
    size = scene.dimension
    assert np.all(found[:, size:] == 0)
    for target, point_m in enumerate(points_m):
        rows = []
        for index in state.transmitter[state.owner == target]:
            sender_m = scene.transmitters[index].position_m
            toward_sender = (sender_m - point_m) / math.dist(sender_m, point_m)
            toward_receiver = (site.position_m - point_m) / math.dist(site.position_m, point_m)
            rows.append((toward_sender + toward_receiver)[:size] / scene.grid.wavelength_m)
        shifts_hz = state.doppler_hz[state.owner == target]
        wanted = np.linalg.lstsq(np.array(rows), shifts_hz, rcond=LEAST_SINGULAR)[0]
        assert found[target, :size] == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("later_s", [0.0, -0.6, 1.1, 200.0])
def test_nothing_is_predicted_over_a_gap_or_into_the_past(listener, later_s):
    echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    memory = Memory(2.0, listener.sensor.sense(echo, listener.frame).state)
    assert memory.predict(listener.scene, listener.site, 2.0 + later_s).num_targets == 0


def test_a_target_at_rest_is_predicted_to_stay_for_a_moving_receiver(small):
    """The shifts of a target at rest are those of the receiver's own motion."""
    receiver = replace(small.receivers[0], velocity_mps=np.array([12.0, -5.0, 0.0]))
    place = np.array([[22.0, 31.0, 0.0]])
    places = np.array([site.position_m for site in small.transmitters])
    shifts = bistatic_geometry(
        places,
        receiver.position_m,
        place,
        np.zeros(3),
        small.grid.wavelength_m,
        receiver_velocity_mps=receiver.velocity_mps,
    ).doppler_hz
    state = PathState(place, np.zeros(2, int), np.arange(2), shifts)
    expected = Memory(0.0, state).predict(small, receiver, 0.5)
    assert np.allclose(expected.points_m, place, atol=1e-9)


def test_following_takes_no_more_matches_than_its_budget(listener, monkeypatch):
    places = PLACES[listener.scene.name]
    echo, _ = listener.echo(places, VELOCITIES, 1e-5, seed=1)
    astray = replace(
        listener.sensor.sense(echo, listener.frame).state,
        points_m=np.array(places) + [1.0, -1.0, 0.0],
    )
    matches, match = [], JointFit.match
    monkeypatch.setattr(
        JointFit, "match", lambda joint, state: matches.append(state) or match(joint, state)
    )
    listener.sensor.follow(listener.sensor.correlate(echo, listener.frame, MatchBudget(4)), astray)
    assert 2 <= len(matches) <= 4 + 3


def test_without_a_prediction_nothing_is_followed(listener):
    echo, _ = listener.echo(PLACES[listener.scene.name], VELOCITIES, 1e-5)
    assert listener.sensor.follow(listener.sensor.correlate(echo, listener.frame), NO_PATHS) is None


def test_a_search_adds_targets_to_the_followed_ones(listener):
    first, second = PLACES[listener.scene.name]
    alone = listener.sensor.sense(listener.echo([first], VELOCITIES, 1e-5)[0], listener.frame)
    joint = listener.sensor.correlate(
        listener.echo([first, second], VELOCITIES, 1e-5)[0], listener.frame
    )
    fit = listener.sensor.follow(joint, alone.state)
    assert fit.state.num_targets == 1
    assert_found(listener.sensor.find(joint, fit, searches=1), listener.scene, [first, second])


def test_receivers_take_turns_to_search(listener):
    turns = [listener.sensor.searches_in(number) for number in range(4)]
    assert sorted(turns[:2]) == [False, True] and turns[:2] == turns[2:]


def two_echoes(listener, coherence, weak_power, strong_power=1e5):
    """A fit of two paths of given coherence and coherent SNR."""
    places = np.array([[30.0, 40.0, 5.0], [33.0, 41.0, 5.0]])
    state = single_path(places[0], 0, 0.0).with_target(single_path(places[1], 0, 0.0))
    echo, _ = listener.echo(places, np.zeros((2, 3)), 1e-5)
    fit = listener.sensor.correlate(echo, listener.frame).match(state)
    both = np.array([[1.0, coherence], [coherence, 1.0]])
    return replace(fit, coherence=both, power=np.array([strong_power, weak_power]))


@pytest.mark.parametrize(
    ("coherence", "weak_power", "is_same"),
    [
        (0.7, 1e4, False),  # 17 dB below the strong one where that does not explain it
        (0.7, 10.0, True),  # noise
        (0.7, 150.0, True),  # within the replica's error
        (0.97, 1e4, True),  # not resolved at any power
        (0.3, 20.0, False),  # outside the main lobe
    ],
)
def test_a_second_echo_in_a_main_lobe_is_kept_if_it_explains_enough(
    listener, coherence, weak_power, is_same
):
    fit = two_echoes(listener, coherence, weak_power)
    assert is_same_echo(fit, threshold=15.0).tolist() == [False, is_same]
