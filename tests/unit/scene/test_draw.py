"""Random draws as a function of (seed, frame, who), and their ranges."""

from dataclasses import replace

import numpy as np

from cooperative_isac.scene.draw import draw_targets, draw_users, frame_generator, scene_targets
from cooperative_isac.scene.file.config import load_scene


def test_a_generator_depends_on_seed_frame_and_name_only():
    first = frame_generator(1, 2, "rx1").random(4)
    assert np.array_equal(first, frame_generator(1, 2, "rx1").random(4))
    for other in (
        frame_generator(2, 2, "rx1"),
        frame_generator(1, 3, "rx1"),
        frame_generator(1, 2, "rx2"),
    ):
        assert not np.array_equal(first, other.random(4))


def test_a_generator_gives_the_same_numbers_on_every_machine():
    # Frozen once: a change here makes recorded runs unrepeatable.
    numbers = frame_generator(7, 11, "targets").integers(0, 2**32, 3)
    assert numbers.tolist() == [2407625680, 797520335, 3277682809]


def test_drawn_targets_fill_the_table1_scene():
    scene = load_scene("cell_free_table1")
    states = [
        t
        for k in range(500)
        for t in draw_targets(scene, frame_generator(scene.seed, k, "targets"))
    ]
    positions = np.array([state.position_m for state in states])
    velocities = np.array([state.velocity_mps for state in states])
    assert len(states) == 1000
    assert positions[:, :2].min() >= 0 and positions[:, :2].max() <= 100
    assert abs(velocities[:, :2]).max() <= 20
    # Uniform: mean 50 +- 29 / sqrt(1000), standard deviation of a velocity axis 20 / sqrt(3).
    assert np.allclose(positions[:, :2].mean(0), 50, atol=4)
    assert np.allclose(velocities[:, :2].std(0), 20 / np.sqrt(3), rtol=0.08)
    assert not positions[:, 2].any() and not velocities[:, 2].any()


def test_drawn_heights_and_climb_are_within_their_limits():
    scene = load_scene("campus")
    states = [t for k in range(200) for t in draw_targets(scene, frame_generator(0, k, "targets"))]
    heights, climbs = np.array([(s.position_m[2], s.velocity_mps[2]) for s in states]).T
    low, high = scene.draw.height_m
    assert low <= heights.min() < low + 1 and high - 1 < heights.max() <= high
    assert 0.9 * scene.draw.max_climb_mps < abs(climbs).max() <= scene.draw.max_climb_mps


def test_users_stand_at_their_height_inside_the_area():
    scene = load_scene("campus")
    users = draw_users(scene, frame_generator(0, 0, "users"))
    assert users.shape == (scene.users.num_users, 3)
    assert (users[:, 2] == scene.users.height_m).all()
    assert (users[:, :2] >= scene.box.low_m[:2]).all() and (
        users[:, :2] <= scene.box.high_m[:2]
    ).all()


def test_live_targets_carry_their_names_classes_and_states():
    scene = load_scene("campus")
    states = scene_targets(scene, 3.0)
    assert [(s.name, s.target_class) for s in states] == [
        (t.name, t.target_class) for t in scene.targets
    ]
    position, velocity = scene.targets[0].motion.state(3.0)
    assert np.array_equal(states[0].position_m, position) and np.array_equal(
        states[0].velocity_mps, velocity
    )


def test_targets_are_drawn_outside_of_buildings():
    yard = load_scene("yard")
    low = replace(yard, draw=replace(yard.draw, height_m=(0.5, 10.0)))
    bare = replace(low, world=None)
    inside = moved = 0
    for number in range(200):
        pairs = zip(
            draw_targets(low, frame_generator(1, number, "targets")),
            draw_targets(bare, frame_generator(1, number, "targets")),
        )
        for target, free in pairs:
            moved += not np.array_equal(target.position_m, free.position_m)
            inside += bool(yard.world.is_inside(free.position_m))
            assert not yard.world.is_inside(target.position_m)
            assert np.array_equal(target.velocity_mps, free.velocity_mps)
    # the hall stands on 5 % of the area
    assert inside == moved and 15 < inside < 50
