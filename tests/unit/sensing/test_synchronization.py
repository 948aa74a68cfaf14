"""Clock offsets by static paths: against the offsets that the echoes were made with."""

from dataclasses import replace

import numpy as np
import pytest
from networks import RADAR, network

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.pipeline import make_frame, receive_all
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.sensing.clock_stage import ClockStage, synchronized
from cooperative_isac.sensing.synchronization import static_offsets
from cooperative_isac.sensing.target_offsets import (
    ObservedTargets,
    echo_offsets,
    mean_link_offsets,
)

CLOCKS = (
    (
        "    orientation: {yaw_deg: 180}\n",
        "    orientation: {yaw_deg: 180}\n    clock: {timing_offset_s: 2.0e-7, timing_drift: "
        "1.0e-7, frequency_offset_hz: 240, frequency_drift_hzps: 3, phase_offset_deg: 30}\n",
    ),
    (
        "  - name: west\n",
        "  - name: west\n    clock: {timing_offset_s: -5.0e-8, frequency_offset_hz: -315}\n",
    ),
)
POWER = ("    power_dbm: 30\n  - name: low", "    power_dbm: 50\n  - name: low")
SIGHT = "world: {}\n"
# A wall between the two stations, and a second one that reflects between them.
WALLS = (
    "world: {line_of_sight: true, walls: ["
    "{from_m: [33, 20], to_m: [33, 60], height_m: [0, 40], material: {scattering: 0}}, "
    "{from_m: [-10, 70], to_m: [70, 70], height_m: [0, 60], material: {scattering: 0}}]}\n"
)
WHOLE_TURN = 2 * np.pi


def scene_of(world):
    """The network on its band 'high' with clocks that differ, and a world."""
    scene = network(*CLOCKS, POWER, extra=RADAR + world)
    return replace(scene, sensing=replace(scene.sensing, synchronization="line_of_sight"))


def received(scene, number, station, targets=()):
    """Scene, receiver, signal and echo of a frame on the band 'high', and its time."""
    time_s = number / scene.update_rate_hz
    frame = make_frame(scene, number, time_s)
    echoes = receive_all(scene, frame, targets)
    posed = scene.posed(frame.poses)
    receiver = posed.receiver(station)
    return posed, receiver, frame.on("high"), echoes[station]["high"].samples, time_s


@pytest.mark.parametrize("station", ["west", "east", "car", "drone"])
@pytest.mark.parametrize("number", [0, 7])
def test_offsets_are_those_of_the_clocks(station, number):
    # Stations at rest and moving, whose lines of sight have Doppler shifts of their own.
    scene = scene_of(SIGHT)
    posed, receiver, signal, echo, time_s = received(scene, number, station)
    found = static_offsets(posed, receiver, signal, echo).offsets
    true = link_offsets(posed, receiver, time_s)
    names = [site.name for site in posed.transmitters]
    assert set(found) == {index for index, name in enumerate(names) if name != station}
    for index, offset in found.items():
        error = np.array(
            [
                offset.clock.delay_s - true.timing_s[index],
                offset.clock.frequency_hz - true.frequency_hz[index],
            ]
        )
        deviation = np.sqrt(np.diag(offset.clock.covariance))
        assert np.all(np.abs(error) < 5 * deviation)
        turns = (offset.phase_rad - true.phase_rad[index]) / WHOLE_TURN
        assert abs(turns - round(turns)) < 0.01


def test_what_is_left_has_no_line_of_sight():
    scene = scene_of(SIGHT)
    posed, receiver, signal, echo, _ = received(scene, 0, "west")
    remaining = static_offsets(posed, receiver, signal, echo).remaining
    noise_w = scene.propagation.noise_power_w
    assert np.mean(np.abs(echo) ** 2) > 100 * noise_w
    assert np.mean(np.abs(remaining) ** 2) < 1.1 * noise_w


def test_a_known_wall_replaces_a_blocked_line_of_sight():
    scene = scene_of(WALLS)
    posed, receiver, signal, echo, time_s = received(scene, 0, "west")
    east = [site.name for site in posed.transmitters].index("east")
    found = static_offsets(posed, receiver, signal, echo).offsets
    true = link_offsets(posed, receiver, time_s)
    assert found[east].clock.delay_s == pytest.approx(true.timing_s[east], abs=2e-9)
    assert found[east].clock.frequency_hz == pytest.approx(true.frequency_hz[east], abs=15)

    # Without the second wall nothing of known geometry arrives.
    alone = WALLS[: WALLS.index(", {from_m: [-10")] + "]}\n"
    found = static_offsets(*received(scene_of(alone), 0, "west")[:4]).offsets
    assert east not in found


def test_no_offset_is_found_in_noise():
    posed, receiver, signal, echo, _ = received(scene_of(SIGHT), 0, "west")
    parts = np.random.default_rng(1).standard_normal((2, *echo.shape))
    noise = np.sqrt(posed.propagation.noise_power_w / 2) * (parts[0] + 1j * parts[1])
    static = static_offsets(posed, receiver, signal, noise)
    assert not static.offsets
    assert static.canceled is None
    np.testing.assert_allclose(static.remaining, noise, rtol=1e-5)


def test_a_link_without_a_path_keeps_the_offsets_that_its_last_ones_predict():
    scene = scene_of(SIGHT)
    stage = ClockStage(scene)
    for number in range(6):
        posed, receiver, signal, echo, time_s = received(scene, number, "west")
        stage.estimate(posed, receiver, signal, echo, time_s)

    # Without any path in the echo: the drifts go on.
    posed, receiver, signal, echo, time_s = received(scene, 8, "west")
    east = [site.name for site in posed.transmitters].index("east")
    silence = np.zeros_like(echo)
    predicted = stage.estimate(posed, receiver, signal, silence, time_s).offsets
    true = link_offsets(posed, receiver, time_s)
    assert predicted.timing_s[east] == pytest.approx(true.timing_s[east], abs=3e-10)
    assert predicted.frequency_hz[east] == pytest.approx(true.frequency_hz[east], abs=10)

    # A run that begins again has no past.
    again = stage.estimate(posed, receiver, signal, silence, 0.0).offsets
    assert not again.timing_s.any()


def test_without_synchronization_nothing_changes():
    scene = scene_of(SIGHT)
    scene = replace(scene, sensing=replace(scene.sensing, synchronization="none"))
    posed, receiver, signal, echo, time_s = received(scene, 0, "west")
    same = ClockStage(scene).estimate(posed, receiver, signal, echo, time_s)
    assert same.samples is echo
    assert synchronized(signal, same.offsets) is signal


def observed(targets, deviation_m=0.05, deviation_mps=0.1):
    """Targets that an active observation locates exactly."""
    variances = np.repeat(np.square([deviation_m, deviation_mps]), 3)
    return ObservedTargets(
        np.array([target.position_m for target in targets]),
        np.array([target.velocity_mps for target in targets]),
        np.array([np.diag(variances)] * len(targets)),
    )


def test_targets_of_an_active_observation_give_the_offsets():
    # Without a world: nothing but targets.
    scene = scene_of("")
    states = [
        ((20.0, 20.0, 8.0), (3.0, 4.0, 0.0)),
        ((40.0, 35.0, 15.0), (-5.0, 2.0, 1.0)),
        ((25.0, 45.0, 20.0), (6.0, -3.0, 0.0)),
    ]
    targets = [
        TargetState(str(number), TargetClass.VEHICLE, np.array(place), np.array(velocity))
        for number, (place, velocity) in enumerate(states)
    ]
    posed, receiver, signal, echo, time_s = received(scene, 0, "west", targets)
    true = link_offsets(posed, receiver, time_s)
    east = [site.name for site in posed.transmitters].index("east")
    found = mean_link_offsets(echo_offsets(posed, receiver, signal, echo, observed(targets)))
    west = [site.name for site in posed.transmitters].index("west")
    assert west not in found
    # A tenth of a cell of the band: all paths are within the side lobes of each other.
    cell_s = 1 / (32 * 120e3)
    cell_hz = signal.grid.doppler_resolution_hz
    assert found[east].delay_s == pytest.approx(true.timing_s[east], abs=0.1 * cell_s)
    assert found[east].frequency_hz == pytest.approx(true.frequency_hz[east], abs=0.1 * cell_hz)

    # Nothing without targets, and nothing in an echo without their paths.
    nobody = ObservedTargets(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 6, 6)))
    assert echo_offsets(posed, receiver, signal, echo, nobody) == []
    empty = received(scene, 0, "west")[3]
    assert echo_offsets(posed, receiver, signal, empty, observed(targets)) == []

    # Velocities that are hardly known: timing all the same.
    slow = observed(targets, deviation_mps=80.0)
    still = ObservedTargets(slow.positions_m, 0 * slow.velocities_mps, slow.covariances)
    found = mean_link_offsets(echo_offsets(posed, receiver, signal, echo, still))
    assert found[east].delay_s == pytest.approx(true.timing_s[east], abs=0.1 * cell_s)
    assert found[east].covariance[1, 1] > (0.5 * cell_hz) ** 2
