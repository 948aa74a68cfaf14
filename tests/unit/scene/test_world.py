"""Shapes of the static world, and its section of a scene file."""

from pathlib import Path

import numpy as np
import pytest
from unit.scene.file.test_errors import GOOD, PLANE, changed, faults

from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.scene.world import Building, Material, Surface

STONE = Material(5.0 + 0j, None, 0.3)


def segments(generator, count):
    return generator.uniform(-10, 10, (2, count, 3))


def sampled(starts, ends):
    """Points along segments, [2001, num_segments, 3]."""
    return starts + np.linspace(0, 1, 2001)[:, None, None] * (ends - starts)


def test_a_box_blocks_the_segments_of_which_a_sample_is_inside():
    generator = np.random.default_rng(1)
    box = Building(np.array([-3.0, -2.0, -4.0]), np.array([2.0, 5.0, 1.0]), STONE)
    starts, ends = segments(generator, 400)
    starts[:40, 0], starts[40:80, 2] = (
        ends[:40, 0],
        ends[40:80, 2],
    )  # some at right angles to an axis
    expected = box.contains(sampled(starts, ends)).any(axis=0)
    found = box.blocks(starts, ends)
    assert 50 < found.sum() < 350
    # where they differ the segment only cuts an edge between two samples
    assert np.all(found[expected]) and np.count_nonzero(found & ~expected) <= 4


def test_a_rectangle_blocks_segments_through_it():
    generator = np.random.default_rng(2)
    wall = Surface(
        np.array([-5.0, -4.0, -3.0]), np.array([8.0, 4.0, 0.0]), np.array([-2.0, 4.0, 6.0]), STONE
    )
    starts, ends = segments(generator, 400)
    points = sampled(starts, ends)
    sides = np.sign((points - wall.corner_m) @ wall.normal)
    expected = (wall.contains(points)[1:] & (sides[1:] != sides[:-1])).any(axis=0)
    assert (
        30 < expected.sum() < 370 and np.count_nonzero(wall.blocks(starts, ends) != expected) <= 3
    )


def test_a_segment_that_touches_a_surface_is_not_blocked():
    box = Building(np.zeros(3), np.ones(3), STONE)
    on_face = np.array([1.0, 0.5, 0.5])
    away = np.array([4.0, 2.0, 3.0])
    within = np.array([-1.0, 0.5, 0.5])
    assert not box.blocks(on_face, away) and box.blocks(on_face, within)
    assert not box.blocks(np.array([-1.0, 0.5, 1.0]), np.array([2.0, 0.5, 1.0]))
    wall = Surface(np.zeros(3), np.array([0.0, 2, 0]), np.array([0.0, 0, 2]), STONE)
    assert not wall.blocks(np.array([0.0, 1, 1]), away) and not wall.blocks(
        np.array([0.0, -1, 1]), np.array([0.0, 3, 1])
    )


def test_tiles_cover_the_surface():
    wall = Surface(np.array([1.0, 2, 3]), np.array([7.0, 0, 0]), np.array([0.0, 0, 5]), STONE)
    middles, area = wall.tiles(2.0)
    assert len(middles) == 12 and 12 * area == pytest.approx(35)
    assert np.all(wall.contains(middles)) and middles.mean(axis=0) == pytest.approx([4.5, 2, 5.5])


def test_the_faces_of_a_box_are_its_sides_and_top():
    box = Building(np.array([1.0, 2, 0]), np.array([4.0, 6, 3]), STONE)
    areas = [np.linalg.norm(np.cross(face.first_m, face.second_m)) for face in box.faces]
    assert sorted(areas) == [9, 9, 12, 12, 12]
    corners = np.concatenate([face.corners_m for face in box.faces])
    assert np.all(corners.min(axis=0) == box.low_m) and np.all(corners.max(axis=0) == box.high_m)


def with_world(world, *changes):
    return changed(GOOD, *changes) + f"\nworld: {world}\n"


@pytest.mark.parametrize(
    ("world", "fault"),
    [
        (
            "{walls: [{from_m: [1, 2], to_m: [3, 4]}]}",
            "world.walls[0]: needs either corner_m and edges_m, or from_m, to_m and height_m",
        ),
        (
            "{walls: [{from_m: [1, 2], to_m: [1, 2], height_m: [0, 4]}]}",
            "world.walls[0]: has no area: from_m and to_m must differ, and height_m must rise",
        ),
        (
            "{walls: [{corner_m: [0, 0, 0], edges_m: [[1, 0, 0], [1, 1, 0]]}]}",
            "world.walls[0].edges_m: is [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]; the two edges must "
            "have a length and be at "
            "right angles",
        ),
        (
            "{boxes: [{low_m: [0, 0, 0], high_m: [4, 0, 4]}]}",
            "world.boxes[0].high_m: is [4.0, 0.0, 4.0]; must be above low_m ([0.0, 0.0, 0.0]) on "
            "every axis",
        ),
        (
            "{ground: {material: {permittivity: 3, reflection_loss_db: 6}}}",
            "world.ground.material.reflection_loss_db: stands beside permittivity or "
            "conductivity_spm; give the loss, or of "
            "what it is made",
        ),
        (
            "{ground: {material: {permittivity: 0.5}}}",
            "world.ground.material.permittivity: is 0.5; must be at least 1",
        ),
        (
            "{boxes: [{low_m: [-9, -9, 0], high_m: [0, 0, 12]}]}",
            "transmitters[0].position_m: is inside world.boxes[0]; move the site or the box",
        ),
        (
            "{ground: {height_m: 9}}",
            "receivers[0].position_m: is 8 m high; must be above the ground "
            "(world.ground.height_m: "
            "9)",
        ),
        (
            "{ground: {margin_m: 200}}",
            "waveform.cyclic_prefix_s: is 311.8 m of path; must exceed the longest excess path "
            "over the world",
        ),
        (
            "{boxes: [{low_m: [20, 25, 10], high_m: [40, 35, 20]}]}",
            "targets[0].motion: runs through a wall or a box of the world between 0.00 and 0.03 "
            "s; move its way or what "
            "stands there",
        ),
    ],
)
def test_a_wrong_world_is_named(world, fault):
    assert any(line.startswith(f": {fault}") for line in faults(with_world(world)))


def test_a_plane_has_no_world():
    assert faults(PLANE + "\nworld: {}\n") == [
        ": world: is for scenes of dimension 3 only; set dimension: 3 or leave it out"
    ]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("rcs_dbsm: -5.85", "rcs_dbsm: 9999", "bodies.uav.rcs_dbsm"),
        (
            "static_paths:",
            "multipath_ratio_db: -4000.0\n  static_paths:",
            "sensing.multipath_ratio_db",
        ),
        ("noise_power_dbm: -90.0  ", "noise_figure_db: -5.0  ", "propagation.noise_figure_db"),
    ],
)
def test_powers_that_would_overflow_are_refused(old, new, key):
    (fault,) = faults(changed(scene_path("yard").read_text(), (old, new)))
    assert fault.startswith(f": {key}: is ")


def test_noise_is_given_once():
    both = changed(
        GOOD,
        (
            "noise_power_dbm: -90.0\n  clutter",
            "noise_power_dbm: -90.0\n  noise_figure_db: 7\n  clutter",
        ),
    )
    assert faults(both) == [
        ": propagation.noise_figure_db: is 7 beside noise_power_dbm (-90); give one of the two keys"
    ]


def test_walls_of_both_kinds_are_the_same_rectangle():
    text = with_world(
        "{walls: [{from_m: [1, -20], to_m: [9, -20], height_m: [0, 4]}, "
        "{corner_m: [1, -20, 0], edges_m: [[8, 0, 0], [0, 0, 4]]}]}"
    )
    upright, free = parse_scene(text, Path("x.yaml")).world.walls
    assert np.array_equal(upright.corners_m, free.corners_m)
    # concrete of ITU-R P.2040 at 30 GHz: 5.24 - j 18 sigma / f, sigma = 0.0462 f^0.7822 S/m, f in
    # GHz
    assert upright.material.permittivity == pytest.approx(
        5.24 - 17.98j * 0.0462 * 30**0.7822 / 30, rel=1e-3
    )


def test_cross_sections_have_the_usual_values_of_their_class():
    scene = parse_scene(changed(GOOD) + "\nbodies: {vehicle: {rcs_dbsm: 3.0}}\n", Path("x.yaml"))
    found = {
        kind: (10 * np.log10(scene.body(kind).rcs_m2), scene.body(kind).rcs_std_db)
        for kind in TargetClass
    }
    assert found[TargetClass.UAV] == pytest.approx((-12.81, 3.74))
    assert found[TargetClass.VEHICLE] == pytest.approx((3.0, 3.41))
    assert found[TargetClass.UNKNOWN] == pytest.approx((-1.37, 3.94))


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [("campus", "06314bd602992164"), ("cell_free_compact", "39ea4ee0baa68992")],
)
def test_old_scenes_keep_their_fingerprints(name, fingerprint):
    assert load_scene(name).fingerprint == fingerprint


def test_new_keys_at_their_defaults_leave_no_trace():
    text = scene_path("campus").read_text()
    spelled = changed(
        text,
        ("reference_gain_db: -60.0", "model: pathloss\n  reference_gain_db: -60.0"),
        ("num_vertical: 4}", "num_vertical: 4, pattern: isotropic}"),
    )
    assert parse_scene(spelled, Path("x.yaml")).fingerprint == load_scene("campus").fingerprint
    assert (
        parse_scene(text + "\nworld: {}\n", Path("x.yaml")).fingerprint
        != load_scene("campus").fingerprint
    )


def test_routes_of_the_yard_stay_clear_of_its_buildings():
    scene = load_scene("yard")
    for target in scene.targets:
        times = np.arange(0, 120, 0.1)
        positions = np.array([target.motion.state(time)[0] for time in times])
        for box in scene.world.boxes:
            away = np.maximum(np.maximum(box.low_m - positions, positions - box.high_m), 0)
            assert np.linalg.norm(away, axis=1).min() > 2.2 + 0.5


YARD = scene_path("yard").read_text()
HALL = "- {low_m: [70, 62, 0], high_m: [94, 84, 11]}    # hall in the yard, below the UAVs"
HOVERING = """targets:
  - name: still
    motion: {kind: constant_velocity, position_m: [80, 70, 5], velocity_mps: [0, 0, 0]}
"""


def test_a_target_that_hovers_in_a_box_is_refused():
    text = YARD[: YARD.index("targets:\n  - name: uav1")] + HOVERING
    assert faults(text) == [
        ": targets[0].motion: is inside a box of the world at 0.00 s; move the target or the box"
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            ("{height_m: 0.0, margin_m: 20.0}", "{height_m: 3.0, margin_m: 20.0}"),
            ": targets[2].motion: is 1.00 m high at 0.00 s; must be above the ground "
            "(world.ground.height_m: 3)",
        ),
        (
            ("max_climb_mps: 3.0, height_m: [12, 35]", "max_climb_mps: 3.0, height_m: [0.5, 35]"),
            None,
        ),
        # faces of the four boxes, 1540 + 1464 + 1250 + 108 m^2, in tiles of 0.0025 m^2
        (
            ("ground: {height_m: 0.0, margin_m: 20.0}", "tile_m: 0.05"),
            ": world.tile_m: is 0.05, which makes 1744800 tiles; at most 200000: make tiles larger "
            "or the world smaller",
        ),
        (
            (HALL, "- {low_m: [0, 0, 36], high_m: [100, 100, 40]}"),
            None,
        ),
        (
            (
                "height_m: [12, 35]}",
                "height_m: [36, 40]}",
                HALL,
                "- {low_m: [0, 0, 36], high_m: [100, 100, 40]}",
            ),
            ": draw.height_m: is filled by a box of the world; leave drawn targets a place outside "
            "of it",
        ),
    ],
)
def test_what_is_below_the_ground_or_has_no_place_is_refused(change, line):
    text = changed(YARD, *zip(change[::2], change[1::2]))
    if line is None:
        parse_scene(text, Path("x.yaml"))
    else:
        assert line in faults(text)


def test_a_surface_counts_its_tiles_without_making_them():
    wall = Surface(np.zeros(3), np.array([7.0, 0, 0]), np.array([0, 0, 2.5]), STONE)
    for size_m in (0.3, 1.0, 2.5, 100.0):
        assert wall.num_tiles(size_m) == len(wall.tiles(size_m)[0])


def test_more_streams_than_symbols_leave_nothing_beside_static_paths():
    text = changed(YARD, ("num_symbols: 64", "num_symbols: 2"))
    assert faults(text) == [
        ": sensing.static_paths: is 'project', which takes out all of 2 symbols with 2 streams "
        "(users.num_users); needs more symbols than streams, or keep"
    ]
    parse_scene(changed(text, ("num_symbols: 2", "num_symbols: 3")), Path("x.yaml"))
