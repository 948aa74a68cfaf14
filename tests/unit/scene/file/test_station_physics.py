"""Stations and their motions: clear of the world, of each other, of targets; their speeds count."""

import re

import numpy as np
import pytest
from networks import TARGETS, network

from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.file.physics import ends_speed, unambiguous_speed
from cooperative_isac.scene.file.station_physics import nearest_approach, way_of_target
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Target, TargetClass
from cooperative_isac.scene.motion.motion import ConstantVelocity

DRIVE = "position_m: [5, 5, 2], velocity_mps: [0, 5, 0], duration_s: 4"


def faults(*changes, extra=""):
    with pytest.raises(SceneError) as error:
        network(*changes, extra=extra)
    return [(problem.key, problem.text) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("world", "text"),
    [
        ("{ground: {height_m: 0.3}}", "is 0.20 m high at 0.00 s; must be above the ground"),
        ("{boxes: [{low_m: [4, 15, 0], high_m: [6, 30, 5]}]}", "is inside a box .* at 2.2"),
        ("{boxes: [{low_m: [4, 15, 0], high_m: [6, 15.1, 5]}]}", "through a wall or a box .* 1.78"),
        ("{walls: [{from_m: [0, 11], to_m: [9, 11], height_m: [0, 5]}]}", "through a wall .* 0.89"),
    ],
)
def test_a_station_stays_out_of_the_world(world, text):
    low = [] if "ground" not in world else [("[5, 5, 2]", "[5, 5, 0.2]")]
    found = faults(*low, extra=f"world: {world}\n")
    assert [key for key, _ in found] == ["stations[2].motion"]
    assert re.search(text, found[0][1])


def test_a_way_around_the_world_is_fine():
    network(extra="world: {boxes: [{low_m: [6, 15, 0], high_m: [9, 30, 5]}]}\n")


def test_stations_keep_their_arrays_apart():
    # The car, over the drone's start, up to it.
    meets = (DRIVE, "position_m: [30, 2, 20.0], velocity_mps: [2, 6, 1.5], duration_s: 4")
    found = faults(meets)
    assert [key for key, _ in found] == ["stations[2].motion"]
    assert "comes within" in found[0][1] and "station 'drone' at 2.0 s" in found[0][1]
    # Past a station that stands.
    passes = (DRIVE, "position_m: [-13, 30, 10], velocity_mps: [5, 0, 0], duration_s: 4")
    assert "comes within 0 m of station 'west' at 2.0 s" in faults(passes)[0][1]
    network((DRIVE, "position_m: [-13, 31, 10], velocity_mps: [5, 0, 0], duration_s: 4"))


@pytest.mark.parametrize(("aside_m", "is_clear"), [(0.99, False), (1.01, True)])
def test_targets_keep_a_meter_from_stations_that_move(aside_m, is_clear):
    # It meets the car, 14 m along its way, head on, between two looks.
    target = TARGETS.replace(
        "position_m: [20, 20, 1], velocity_mps: [3, 4, 0]",
        f"position_m: [{5 + aside_m}, 27, 2], velocity_mps: [0, -7, 0]",
    ).replace("duration_s: 4", "duration_s: 3")
    if is_clear:
        network(extra=target)
        return
    (found,) = faults(extra=target)
    assert found[0] == "targets[0].motion"
    assert "comes within 0.99 m of station 'car' at 1.8 s; must stay 1 m away" in found[1]


def test_targets_keep_a_meter_from_stations_that_stand():
    before = "position_m: [63, 32, 12]"
    after = "position_m: [40, 35.5, 15]"
    key, text = faults((before, after), extra=TARGETS)[0]
    assert key == "targets[1].motion"
    assert "of station 'east'" in text


def straight(place, speed, duration_s=10.0):
    motion = ConstantVelocity(np.array(place, float), np.array(speed, float), duration_s)
    return way_of_target(Target("t", TargetClass.UNKNOWN, motion))


def test_the_nearest_approach_of_straight_ways():
    one = straight([0, 0, 0], [3, 0, 0])
    other = straight([30, 4, 1], [-2, 0, 0])
    # They pass each other after 6 s, sqrt(17) m apart.
    distance_m, time_s = nearest_approach(one, other, 5.0)
    assert distance_m == pytest.approx(np.sqrt(17))
    assert time_s == pytest.approx(6.0)
    assert nearest_approach(one, other, 4.0) is None
    # One that ends before they meet.
    assert nearest_approach(one, straight([30, 4, 1], [-2, 0, 0], duration_s=4.0), 5.0) is None


def test_station_speeds_count_for_ambiguity():
    scene = network()
    # The drone is both ends of a link: 6.4 m/s each.
    own_mps = np.linalg.norm([2, 6, -1])
    assert ends_speed(scene) == pytest.approx(own_mps)
    assert ends_speed(scene.on("low")) == 0
    # A target that approaches it head on at the rest of the unambiguous speed turns half a cycle.
    target_mps = unambiguous_speed(scene) - own_mps
    path = bistatic_geometry(
        np.zeros(3),
        np.zeros(3),
        np.array([50.0, 0, 0]),
        np.array([-target_mps, 0, 0]),
        scene.grid.wavelength_m,
        transmitter_velocity_mps=np.array([own_mps, 0, 0]),
        receiver_velocity_mps=np.array([own_mps, 0, 0]),
    )
    assert path.doppler_hz * scene.grid.symbol_period_s == pytest.approx(0.5)

    limit_mps = unambiguous_speed(scene)
    network(("max_speed_mps: 15", f"max_speed_mps: {limit_mps - own_mps - 0.1}"))
    found = faults(("max_speed_mps: 15", f"max_speed_mps: {limit_mps - own_mps + 0.1}"))
    assert [key for key, _ in found] == ["bands[0].symbol_stride"]
    assert "the stations of a link add 6.403 m/s" in found[0][1]
