"""Warnings of likely mistakes in a scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import network

from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.motion.motion import ConstantVelocity
from cooperative_isac.scene.warnings import warnings


def test_a_receiver_of_a_single_antenna_is_warned_of():
    path = scene_path("cell_free_compact")
    text = path.read_text()
    place = text.index("num_elements: 8", text.index("receivers:"))
    single = text[:place] + text[place:].replace("num_elements: 8", "num_elements: 1", 1)
    assert warnings(parse_scene(single, path)) == [
        "receivers[0] ('rx1') measures no angle, as its array of 1 has no extent across its look "
        "direction: give it more elements"
    ]


def test_arrays_that_face_away_are_warned_of():
    path = scene_path("cell_free_compact")
    away = path.read_text().replace("yaw_deg: -90", "yaw_deg: 90")
    assert warnings(parse_scene(away, path)) == [
        "receivers[0] ('rx1') has 5% of the area in front; it looks for targets in front of its "
        "array alone: turn it, orientation.yaw_deg: -63 looks at the middle of the area",
        "receivers[1] ('rx2') has 5% of the area in front; it looks for targets in front of its "
        "array alone: turn it, orientation.yaw_deg: -117 looks at the middle of the area",
    ]
    assert warnings(load_scene(path)) == []


def test_warnings_of_a_network_name_station_and_band():
    turned = network(("    orientation: {yaw_deg: 180}\n", "    orientation: {yaw_deg: 0}\n"))
    found = warnings(turned)
    assert [line.split(" has ")[0] for line in found] == [
        "station 'east' on band 'high'",
        "station 'east' on band 'low'",
    ]
    assert warnings(network()) == []


def test_stations_without_a_link_are_warned_of():
    scene = network(("stations:\n", "links: active\nstations:\n"))
    found = [line for line in warnings(scene) if "has no link" in line]
    assert [line.split(" has ")[0] for line in found] == [
        "station 'east'",
        "station 'car'",
    ]
    assert "on band 'low': it receives there, and links are active" in found[0]


@pytest.mark.parametrize(
    ("clock", "quantity"),
    [
        ("timing_offset_s: 2.0e-6", "2e-06 s apart, which is more than the cyclic prefix (1.2e-06"),
        ("frequency_offset_hz: 1.0e+5", "100000 Hz apart, and Doppler shifts unambiguous within"),
    ],
)
def test_clocks_too_far_apart_are_warned_of_once_a_band(clock, quantity):
    scene = network(("  - name: west\n", f"  - name: west\n    clock: {{{clock}}}\n"))
    found = warnings(scene)
    assert "on band 'high' are" in found[0]
    assert quantity in found[0]
    assert len(found) == len({line.split(" on ")[1].split(" are ")[0] for line in found})


def test_small_clock_offsets_are_no_warning():
    clock = "clock: {timing_offset_s: 1.0e-8, frequency_offset_hz: 50}"
    assert warnings(network(("  - name: west\n", f"  - name: west\n    {clock}\n"))) == []


def test_an_uplink_shorter_than_zone_b_is_a_warning():
    scene = load_scene("bs_ue_zones")
    assert not [line for line in warnings(scene) if "reach" in line]

    # 6 dB less power reach 10^(-6/30) as far: 284 m instead of 451 m.
    text = scene_path("bs_ue_zones").read_text().replace("power_dbm: 23.0  ", "power_dbm: 17.0  ")
    weak = parse_scene(text, Path("weak.yaml"))
    (found,) = [line for line in warnings(weak) if "reach" in line]
    assert "300 bits of UEs reach 284 m, and zone B ends at 420 m" in found


@pytest.mark.parametrize(("climb_mps", "verb"), [(9.0, "climbs"), (-12.5, "descends")])
def test_a_target_that_climbs_fast_is_warned_of(climb_mps, verb):
    scene = load_scene("campus")
    target = scene.targets[0]
    motion = ConstantVelocity(np.array([25.0, 30.0, 18.0]), np.array([1.0, 0.0, climb_mps]), 1.0)
    fast = replace(scene, targets=(replace(target, motion=motion), *scene.targets[1:]))
    (found,) = warnings(fast)
    assert f"'{target.name}' {verb} with up to {abs(climb_mps):.3g} m/s" in found
    assert "sensing.max_climb_mps is 8:" in found and "raise sensing.max_climb_mps" in found

    # The remedy; and none within the limit.
    for limit_mps, shown in ((13.0, 0), (8.9, 1)):
        sensing = replace(fast.sensing, max_climb_mps=limit_mps)
        assert len(warnings(replace(fast, sensing=sensing))) == shown


def test_the_fastest_climb_of_a_motion_counts():
    # 10 m up in 1 s between two level stretches. The natural spline has the second derivatives 20
    # and -20 m/s^2 at their ends, so that it climbs with 10 + (20 + 20) / 24 m/s halfway.
    text = scene_path("bs_ue_zones").read_text()
    begin = text.index("    motion: {kind: waypoints, points_m: [[60, -20, 40]")
    motion = (
        "    motion: {kind: waypoints, points_m: [[60, 0, 20], [65, 0, 20], [70, 0, 30],"
        " [75, 0, 30]], times_s: [0, 1, 2, 3]}\n"
    )
    scene = parse_scene(text[:begin] + motion, Path("steep.yaml"))
    (found,) = [line for line in warnings(scene) if "climb" in line]
    assert "climbs with up to 11.7 m/s" in found


def test_a_plane_has_no_climb():
    scene = load_scene("cell_free_table1")
    assert scene.dimension == 2
    assert not warnings(replace(scene, sensing=replace(scene.sensing, max_climb_mps=1e-3)))


def test_static_paths_that_stay_in_the_echoes_are_a_warning():
    def lines(name, world, sensing="  scheme: local_ml"):
        text = scene_path(name).read_text().replace("  scheme: local_ml", sensing)
        text = text.replace("world: {}", f"world: {world}")
        scene = parse_scene(text, Path("stations.yaml"))
        return [line for line in warnings(scene) if "stay" in line]

    # Lines of sight and specular reflections are canceled, also those of moving stations.
    assert not lines("bs_ue", "{}")
    assert not lines("bs_ue", "{ground: {material: {scattering: 0}}}")

    # Diffuse scattering is not, where stations move.
    (scattered,) = lines("bs_ue", "{ground: {}}")
    assert "ue1, ue2, ue3" in scattered
    assert "material.scattering: 0" in scattered

    # Nothing is canceled where the file says so, but for synchronization.
    (kept,) = lines("bs_ue", "{}", "  static_paths: keep\n  scheme: local_ml")
    assert "static_paths is 'keep'" in kept
    synchronized = "  static_paths: keep\n  synchronization: line_of_sight\n  scheme: local_ml"
    assert not lines("bs_ue", "{}", synchronized)
    assert not lines("multi_bs_clocks", "{}")
    text = scene_path("multi_bs_clocks").read_text()
    by_targets = text.replace("synchronization: line_of_sight", "synchronization: both_directions")
    (kept,) = warnings(parse_scene(by_targets, Path("stations.yaml")))
    assert "static_paths is 'keep'" in kept


@pytest.mark.parametrize("clutter", ["{num_scatterers: 6}", "{positions_m: [[40, 50]]}"])
def test_clutter_that_nothing_rejects_is_a_warning(clutter):
    def lines(*changes):
        text = scene_path("cell_free_compact").read_text()
        for before, after in (("{num_scatterers: 0}", clutter), *changes):
            assert before in text
            text = text.replace(before, after)
        return warnings(parse_scene(text, Path("clutter.yaml")))

    (kept,) = lines()
    assert "propagation.clutter stays in the echoes" in kept
    assert "set sensing.static_paths: project, or the least speed of a target" in kept

    # The remedies, and scatterers without an echo.
    assert not lines(("  scheme: local_ml", "  static_paths: project\n  scheme: local_ml"))
    assert not lines(("min_speed_mps: 0.0", "min_speed_mps: 1.0"))
    silent = clutter.replace("}", ", reflection_variance: 0}")
    assert not lines((clutter, silent))


@pytest.mark.parametrize("path", sorted(scene_path("campus").parent.glob("*.yaml")))
def test_shipped_scenes_have_no_kept_clutter(path):
    assert not [line for line in warnings(load_scene(path)) if "propagation.clutter" in line]
