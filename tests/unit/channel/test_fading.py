"""Reflections over a coherence time: what they depend on, and their statistics."""

from dataclasses import replace

import numpy as np
import pytest
from networks import RADAR, TARGETS, network

from cooperative_isac.channel.fading import coherence_block, draw_reflections, link_reflections
from cooperative_isac.channel.paths import PathKind
from cooperative_isac.pipeline import make_frame, paths_to, receive, receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import TargetClass, TargetState

COHERENT = "propagation: {coherence_time_s: 0.5, clutter: {num_scatterers: 2}}\n"
BODY = RADAR.replace("{", "{coherence_time_s: 0.5, ") + "bodies: {vehicle: {size_m: [4, 2, 1.5]}}\n"
PLACES = {"van": [20.0, 20.0, 1.0], "bird": [40.0, 35.0, 15.0]}


def standing(*names):
    return [
        TargetState(name, TargetClass.VEHICLE, np.array(PLACES[name]), np.zeros(3))
        for name in names
    ]


def reflections(scene, block, names=("van", "bird"), ends=(0, 1), count=0):
    targets = standing(*names)
    transmitter = scene.transmitters[ends[0]]
    receiver = scene.receivers[ends[1]]
    return link_reflections(scene, transmitter, receiver, targets, count, block)


def test_blocks_are_floors_of_times_whatever_their_rounding():
    scene = network(extra=COHERENT)
    assert [coherence_block(scene, number / 10) for number in range(12)] == [0] * 5 + [1] * 5 + [
        2
    ] * 2
    fine = replace(scene, propagation=replace(scene.propagation, coherence_time_s=0.1))
    assert [coherence_block(fine, number / 10) for number in range(2000)] == list(range(2000))
    assert coherence_block(scene, None) is None
    assert coherence_block(network(), 3.0) is None


def test_amplitudes_are_constant_in_a_block_and_others_in_the_next():
    scene = network(extra=COHERENT)
    targets = standing("van", "bird")
    sets = {
        number: paths_to(scene, number, scene.receivers[0], targets, number / 10)[0]
        for number in (0, 4, 5)
    }
    still = np.array([not site.is_moving for site in scene.transmitters])[sets[0].transmitter]
    assert still.sum() == 2 * 4
    assert np.array_equal(sets[0].amplitude[still], sets[4].amplitude[still])
    assert np.array_equal(sets[0].delay_s, sets[4].delay_s)
    assert not np.any(np.isclose(sets[0].amplitude, sets[5].amplitude, rtol=1e-3))
    # Drawn clutter stands at the same places as long.
    clutter = sets[0].kind == PathKind.CLUTTER
    assert not np.any(sets[0].delay_s[clutter] == sets[5].delay_s[clutter])
    # Noise is that of the frame.
    echoes = [
        receive_echo(scene, transmit(scene, number), "west", targets, 0.0) for number in (0, 4)
    ]
    assert not np.any(echoes[0] == echoes[1])


def test_independent_draws_and_scenes_without_coherence_draw_anew():
    targets = standing("van")
    for scene, time_s in ((network(extra=COHERENT), None), (network(), 0.1)):
        one, other = (
            paths_to(scene, number, scene.receivers[0], targets, time_s)[0] for number in (0, 1)
        )
        assert not np.any(one.amplitude == other.amplitude)


def test_phases_turn_with_the_length_of_the_path_within_a_block():
    scene = network(extra=COHERENT.replace("2}}", "0}}"))
    speed = np.array([3.0, 4.0, 0.0])
    early, late = (
        paths_to(
            scene,
            0,
            scene.receivers[0],
            [replace(standing("van")[0], position_m=PLACES["van"] + speed * time_s)],
            time_s,
        )[0]
        for time_s in (0.2, 0.3)
    )
    turn = late.amplitude / early.amplitude
    change_s = late.delay_s - early.delay_s
    assert np.allclose(
        np.angle(turn * np.exp(2j * np.pi * scene.grid.carrier_hz * change_s)), 0, atol=1e-6
    )
    assert np.any(np.abs(np.angle(turn)) > 0.1)
    assert np.allclose(np.abs(turn), 1, atol=0.05)


@pytest.mark.parametrize("extra", [BODY, BODY.replace("size_m: [4, 2, 1.5]", "rcs_std_db: 3")])
def test_a_cross_section_is_kept_in_a_block_and_phases_turn(extra):
    scene = network(extra=extra)
    sets = [
        paths_to(
            scene, 0, scene.receivers[0], [replace(standing("van")[0], position_m=place)], time_s
        )[0]
        for place, time_s in (
            (np.array([20.0, 20.0, 1.0]), 0.0),
            (np.array([20.002, 20.0, 1.0]), 0.4),
            (np.array([20.002, 20.0, 1.0]), 0.6),
        )
    ]
    assert np.allclose(np.abs(sets[0].amplitude), np.abs(sets[1].amplitude), rtol=1e-3)
    turn = np.angle(sets[1].amplitude / sets[0].amplitude)
    expected = -2 * np.pi * scene.grid.carrier_hz * (sets[1].delay_s - sets[0].delay_s)
    assert np.allclose(np.angle(np.exp(1j * (turn - expected))), 0, atol=1e-6)
    assert np.abs(expected).max() > 0.5
    changed = np.abs(sets[2].amplitude) != np.abs(sets[1].amplitude)
    assert np.all(changed)


def test_a_target_keeps_its_reflections_when_others_come_and_go():
    scene = network(extra=COHERENT)
    both = reflections(scene, 7)
    alone = reflections(scene, 7, ("bird",))
    assert both[1] == alone[0]
    assert reflections(scene, 7, ("bird", "van"))[1] == both[0]


def test_powers_and_correlations_of_reflections():
    scene = network(extra=COHERENT.replace("{", "{reflection_variance: 0.5, ", 1))
    blocks = range(3000)
    one = np.array([reflections(scene, block, count=1) for block in blocks])
    link = np.array([reflections(scene, block, ends=(1, 0), count=1) for block in blocks])
    low = scene.on("low")
    band = np.array([reflections(low, block, ends=(0, 1), count=1) for block in blocks])
    own = np.array([reflections(scene, block, ends=(0, 0), count=1) for block in blocks])
    again = np.array([reflections(scene, block, count=1) for block in blocks[:20]])

    # Mean powers are chi^2 and the clutter's; their deviation over 3000 draws is 1.8 %.
    power = np.mean(np.abs(one) ** 2, axis=0)
    assert power == pytest.approx([0.5, 0.5, 0.1], rel=0.08)
    assert np.abs(one.mean(axis=0)).max() < 0.05
    assert np.abs(np.mean(one**2, axis=0)).max() < 0.05

    # The same in a block; nothing in common across targets, blocks, links and bands.
    def correlation(first, second):
        product = np.abs(np.vdot(first, second))
        return product / np.linalg.norm(first) / np.linalg.norm(second)

    assert np.array_equal(again, one[:20])
    others = [one[:, 1], np.roll(one[:, 0], 1), link[:, 0], band[:, 0], own[:, 0], one[:, 2]]
    assert max(correlation(one[:, 0], other) for other in others) < 0.08


def test_named_targets_have_cross_sections_of_their_own():
    scene = network(extra=RADAR + TARGETS)
    targets = scene_targets(scene, 0.0)
    drawn = draw_reflections(scene, targets, 0, np.random.default_rng(0))
    van_m2 = scene.body(TargetClass.VEHICLE).rcs_m2
    squares = [
        np.abs(draw_reflections(scene, targets, 0, np.random.default_rng(seed))) ** 2
        for seed in range(2000)
    ]
    means = np.mean(squares, axis=0)
    assert means == pytest.approx([van_m2, 10**-1.3], rel=0.15)
    plain = network(extra=RADAR + TARGETS.replace("    rcs_dbsm: -13\n", ""))
    as_class = draw_reflections(plain, targets, 0, np.random.default_rng(0))
    uav_m2 = plain.body(TargetClass.UAV).rcs_m2
    assert drawn[0] == as_class[0]
    assert drawn[1] == pytest.approx(as_class[1] * np.sqrt(10**-1.3 / uav_m2))


def test_bands_have_noise_of_their_own():
    same = ("subcarrier_spacing_hz: 30.0e3", "subcarrier_spacing_hz: 120.0e3")
    scene = network(same)
    frame = make_frame(scene, 0, 0.0)
    echoes = receive(scene, frame, "east", ())
    noise = [echo.samples.ravel() for echo in echoes.values()]
    common = np.abs(np.vdot(*noise)) / np.linalg.norm(noise[0]) / np.linalg.norm(noise[1])
    assert common < 5 / np.sqrt(len(noise[0]))
