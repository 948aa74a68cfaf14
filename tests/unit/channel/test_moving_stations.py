"""Doppler shifts of moving stations against numerical slopes and closed forms; blockage."""

from dataclasses import replace

import numpy as np
import pytest
from networks import RADAR, network

from cooperative_isac.channel.paths import PathKind, draw_paths
from cooperative_isac.channel.world import moving_static_paths, static_matrix, static_paths
from cooperative_isac.pipeline import (
    make_frame,
    paths_to,
    receive,
    receive_echo,
    static_channel,
    transmit,
)
from cooperative_isac.scene.model import TargetClass, TargetState

LIGHT_MPS = 299_792_458.0
STEP_S = 1e-4
NOTHING = np.zeros((0, 3))
WORLD = (
    "world: {ground: {height_m: -1, margin_m: 20}, tile_m: 20, target_reflections: true, "
    "walls: [{from_m: [-5, 70], to_m: [65, 72], height_m: [0, 20]}]}\n"
)
BODIES = "bodies: {vehicle: {size_m: [4, 2, 1.5]}}\n"


def states(time_s=0.0):
    """A van and a drone, time_s later."""
    rows = (
        ("van", TargetClass.VEHICLE, [20.0, 20.0, 1.0], [3.0, 4.0, 0.0]),
        ("bird", TargetClass.UAV, [40.0, 35.0, 15.0], [-5.0, 2.0, 1.0]),
    )
    return [
        TargetState(name, kind, np.array(place) + time_s * np.array(speed), np.array(speed))
        for name, kind, place, speed in rows
    ]


def at(scene, time_s):
    return scene.posed(scene.poses_at(time_s))


def slope_hz(scene, before, after):
    """Doppler shifts of the same paths at two times, by their delays."""
    assert len(before.delay_s) == len(after.delay_s) > 0
    assert np.array_equal(before.transmitter, after.transmitter)
    return -(after.delay_s - before.delay_s) / (2 * STEP_S) * scene.grid.carrier_hz


@pytest.mark.parametrize("receiver", ["west", "car", "drone"])
@pytest.mark.parametrize("extra", ["", RADAR, WORLD, WORLD + RADAR])
def test_doppler_shifts_of_target_paths_are_slopes_of_their_delays(receiver, extra):
    scene = network(extra=extra)
    sets = [
        draw_paths(
            at(scene, 1 + shift),
            at(scene, 1 + shift).receiver(receiver),
            states(shift),
            np.array([[30.0, 40.0, 3.0]]),
            np.random.default_rng(0),
        )
        for shift in (-STEP_S, 0.0, STEP_S)
    ]
    assert np.allclose(sets[1].doppler_hz, slope_hz(scene, sets[0], sets[2]), atol=0.05)
    of_clutter = sets[1].kind == PathKind.CLUTTER
    assert np.array_equal(of_clutter, sets[1].scatterer == 2)
    # Clutter turns for moving stations alone.
    moves = np.array([site.is_moving for site in at(scene, 1).transmitters])[sets[1].transmitter]
    moves |= receiver != "west"
    assert np.all((sets[1].doppler_hz[of_clutter] != 0) == moves[of_clutter])


@pytest.mark.parametrize("world", ["", WORLD])
def test_corners_of_a_body_move_with_it_past_moving_stations(world):
    scene = network(extra=RADAR + BODIES + world)
    sets = [
        draw_paths(
            at(scene, 1 + shift),
            at(scene, 1 + shift).receiver("car"),
            states(shift)[:1],
            NOTHING,
            np.random.default_rng(0),
        )
        for shift in (-STEP_S, 0.0, STEP_S)
    ]
    slopes = slope_hz(scene, sets[0], sets[2])
    # The glint slides over the body: its slope is that of the body but for the wave's curvature.
    error = np.abs(sets[1].doppler_hz - slopes)
    assert len(error) > len(scene.transmitters) * 3
    assert np.median(error) < 0.05
    assert error.max() < 0.05 * np.abs(slopes).max()


def test_static_doppler_is_the_slope_of_the_delay():
    scene = network(extra=WORLD)
    for receiver in ("west", "car", "drone"):
        sets = [
            static_paths(at(scene, 1 + shift), at(scene, 1 + shift).receiver(receiver))
            for shift in (-STEP_S, 0.0, STEP_S)
        ]
        assert np.allclose(sets[1].doppler_hz, slope_hz(scene, sets[0], sets[2]), atol=0.05)
        kinds = {PathKind.LINE_OF_SIGHT, PathKind.REFLECTOR}
        assert set(sets[1].kind) == kinds
        assert np.array_equal(sets[1].kind == PathKind.REFLECTOR, sets[1].reflected)


def test_a_line_of_sight_in_closed_form():
    # The car drives along y past a station; the angle to its way gives the shift.
    scene = at(network(extra="world: {}\n"), 1.0)
    paths = static_paths(scene, scene.receiver("car"))
    west = int(np.flatnonzero(paths.transmitter == 0)[0])
    away = np.array([-3, 30, 10]) - np.array([5, 10, 2])
    expected_hz = 5 * away[1] / np.linalg.norm(away) * 24e9 / LIGHT_MPS
    assert paths.doppler_hz[west] == pytest.approx(expected_hz)
    # No direct path leads from a station to itself.
    own = static_paths(scene, scene.receiver("drone"))
    assert set(own.transmitter) == {0, 1}


def test_static_paths_of_moving_stations_are_phase_coherent():
    scene = network(extra=WORLD)
    early, late = (
        static_paths(at(scene, time_s), at(scene, time_s).receiver("car"))
        for time_s in (1.0, 1.0 + STEP_S)
    )
    turn = np.angle(late.amplitude / early.amplitude)
    assert np.allclose(turn, 2 * np.pi * early.doppler_hz * STEP_S, atol=1e-3)
    assert np.any(np.abs(turn) > 0.1)


def test_links_at_rest_keep_their_matrix_and_moving_ones_are_paths():
    scene = network(extra=WORLD)
    first = at(scene, 0.5)
    second = at(scene, 1.5)
    matrices = [static_matrix(view, view.receiver("west")) for view in (first, second)]
    assert matrices[0] is matrices[1]
    # West and east stand, the drone's four antennas come last.
    assert np.all(matrices[0][..., 8:] == 0) and np.any(matrices[0][..., 4:8] != 0)
    of_drone = moving_static_paths(first, first.receiver("west"))
    assert set(of_drone.transmitter) == {2}
    assert static_channel(first, first.receiver("car")) is None
    assert set(moving_static_paths(first, first.receiver("car")).transmitter) == {0, 1, 2}
    assert moving_static_paths(network(), network().receiver("car")) is None


def test_a_tracked_station_at_rest_receives_as_a_fixed_one():
    smooth = "material: {scattering: 0}}"
    world = WORLD.replace("margin_m: 20}", f"margin_m: 20, {smooth}")
    world = world.replace("height_m: [0, 20]}", f"height_m: [0, 20], {smooth}")
    still = (
        "    orientation: {yaw_deg: 180}\n",
        "    orientation: {yaw_deg: 180}\n    odometry: e\n",
    )
    scenes = [network(extra=world), network(still, extra=world)]
    for receiver in ("west", "east"):
        echoes = [
            receive_echo(at(scene, 1.0), transmit(at(scene, 1.0), 3), receiver, states())
            for scene in scenes
        ]
        assert np.allclose(echoes[0], echoes[1], atol=2e-5 * np.abs(echoes[0]).max())
        assert (
            moving_static_paths(at(scenes[1], 1.0), at(scenes[1], 1.0).receiver("west")) is not None
        )


def test_the_doppler_shift_of_a_line_of_sight_is_seen_in_the_echo():
    # One transmitter and the driving car, without noise or targets.
    scene = network(extra="world: {}\n")
    view = at(scene, 1.0)
    view = replace(
        view,
        transmitters=view.transmitters[:1],
        propagation=replace(view.propagation, noise_power_w=1e-40),
    )
    signal = transmit(view, 0)
    echo = receive_echo(view, signal, "car", ())
    paths, _ = paths_to(view, 0, view.receiver("car"), ())
    assert list(paths.kind) == [PathKind.LINE_OF_SIGHT]
    # What is left of the phases over the symbols behind the transmitted signal.
    wave = view.grid.wavelength_m
    site = view.transmitters[0]
    toward = np.exp(2j * np.pi / wave * site.elements_m @ paths.aod[0]) / 2
    sent = signal.toward(0, toward[None])[:, 0]
    ratio = (echo[0] / sent).mean(axis=0)
    measured_hz = np.polyfit(view.grid.symbol_times_s, np.unwrap(np.angle(ratio)), 1)[0] / 2 / np.pi
    away = np.array([-3, 30, 10]) - np.array([5, 10, 2])
    assert measured_hz == pytest.approx(5 * away[1] / np.linalg.norm(away) / wave, rel=1e-3)


def test_a_scene_of_one_band_has_no_moving_paths(tilted):
    for site in tilted.receivers:
        paths, _ = paths_to(tilted, 0, site, states())
        assert set(paths.kind) <= {PathKind.TARGET, PathKind.CLUTTER}
        assert np.array_equal(paths.kind == PathKind.TARGET, paths.scatterer < 2)


# A building whose corner (10, 20) hides the west station, at (-3, 30), from the south.
CORNER = "world: {boxes: [{low_m: [0.5, 12, 0], high_m: [10, 20, 60]}]}\n"


def test_a_driving_station_comes_out_behind_a_corner():
    # From west (-3, 30) over the corner (10, 20): 10 m down in 13 m; at x = 36 that is y = 0, and
    # at the way of the car, x = 30, it is 30 - 10 / 13 * 33.
    edge_m = 30 - 10 / 13 * 33
    drive = (
        "position_m: [5, 5, 2], velocity_mps: [0, 5, 0]",
        "position_m: [30, 0, 2], velocity_mps: [0, 5, 0]",
    )
    scene = network(drive, extra=CORNER)
    for offset_m, is_seen in ((-1e-3, False), (1e-3, True)):
        view = at(scene, (edge_m + offset_m) / 5)
        paths = static_paths(view, view.receiver("car"))
        direct = paths.chosen(paths.kind == PathKind.LINE_OF_SIGHT)
        assert (0 in direct.transmitter) == is_seen
        assert 1 in direct.transmitter


def test_targets_behind_a_corner_are_hidden_on_each_link():
    ends_before = (
        "velocity_mps: [0, 5, 0], duration_s: 4",
        "velocity_mps: [0, 5, 0], duration_s: 1",
    )
    scene = network(ends_before, extra=CORNER + RADAR)
    edge_m = 30 - 10 / 13 * 33
    for offset_m, is_seen in ((-1e-3, False), (1e-3, True)):
        target = TargetState(
            "van", TargetClass.VEHICLE, np.array([30.0, edge_m + offset_m, 10.0]), np.zeros(3)
        )
        links = {
            (view.transmitters[index].name, site.name)
            for view in [at(scene, 0.0)]
            for site in view.receivers
            for index in draw_paths(
                view, site, [target], NOTHING, np.random.default_rng(0)
            ).transmitter
        }
        # The monostatic link of west, and all that it shares with others, are there or not.
        assert (("west", "west") in links) == is_seen
        assert (("east", "west") in links) == is_seen
        assert (("west", "east") in links) == is_seen
        assert (("west", "drone") in links) == is_seen
        assert {("east", "east"), ("drone", "drone"), ("east", "drone")} <= links
        # The car, at (5, 5), looks past the building along its south.
        assert ("east", "car") in links


def test_receive_uses_the_poses_of_the_frame():
    scene = network(extra=WORLD)
    frame = make_frame(scene, 20, time_s=2.0)
    echoes = receive(scene, frame, "car", states())
    assert set(echoes) == {"high"}
    view = at(scene, 2.0)
    expected = receive_echo(view, frame.on("high"), "car", states(), 2.0)
    assert np.array_equal(echoes["high"].samples, expected)
    elsewhere = receive_echo(scene, frame.on("high"), "car", states(), 2.0)
    assert not np.allclose(elsewhere, expected)
