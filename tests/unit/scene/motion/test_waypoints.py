"""Motions of trajectories: placed, smoothed, looped; with real data where there is some."""

import math
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.scene.motion.trajectory_file import Trajectory, read_trajectory
from cooperative_isac.scene.motion.waypoints import at_height, placed, trajectory_motion

# Real trajectories (TUM) that may be beside the repository; they are not part of it.
DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no real trajectories beside the repository"
)

LINE = Trajectory(
    np.arange(100.0, 111.0), np.column_stack([np.arange(11.0), np.zeros(11), np.full(11, 5.0)])
)


def test_a_stretch_is_cut_by_the_time_since_the_first_stamp():
    stretch = placed(LINE, start_s=2.0, stop_s=5.0)
    assert stretch.times_s.tolist() == [0, 1, 2, 3]
    assert stretch.positions_m[:, 0].tolist() == [2, 3, 4, 5]


def test_a_trajectory_is_turned_about_its_origin_and_moved():
    moved = placed(
        LINE,
        yaw_rad=math.pi / 2,
        origin_m=np.array([3.0, 0, 5]),
        translation_m=np.array([10.0, 20, 1]),
    )
    # The origin lands on the translation; x has become y.
    assert np.allclose(moved.positions_m[3], [10, 20, 1])
    assert np.allclose(moved.positions_m[4], [10, 21, 1])


def test_a_trajectory_can_be_put_at_a_height():
    assert at_height(LINE, 0.5).positions_m.tolist() == [[x, 0, 0.5] for x in range(11)]


def test_an_empty_stretch_is_refused():
    with pytest.raises(
        ValueError, match="start_s 20 and stop_s 30 leave 0 poses of a trajectory that lasts"
    ):
        placed(LINE, start_s=20.0, stop_s=30.0)


def test_smoothing_keeps_millimeter_noise_out_of_the_velocity():
    times = np.arange(0, 20, 0.02)
    clean = np.column_stack([3 * np.sin(times), 3 * np.cos(times), np.ones(len(times))])
    noisy = Trajectory(times, clean + np.random.default_rng(0).normal(scale=1e-3, size=clean.shape))
    truth = np.column_stack([3 * np.cos(times), -3 * np.sin(times), np.zeros(len(times))])

    def error(smoothing_s):
        motion = trajectory_motion(noisy, smoothing_s)
        return np.sqrt(
            np.mean([(motion.state(t)[1] - v) ** 2 for t, v in zip(times[25:-25], truth[25:-25])])
        )

    # White noise s differenced over dt = 20 ms gives about s / dt = 0.05 m/s; the smoother leaves
    # about s sqrt(dt) / tau^1.5 / 3 = 0.004 m/s.
    assert error(0.0) > 0.03
    assert error(0.05) < 0.008


def test_a_smoothed_motion_stays_at_its_positions():
    times = np.arange(0, 20, 0.02)
    positions = np.column_stack([3 * np.sin(times), 3 * np.cos(times), times])
    motion = trajectory_motion(Trajectory(times, positions), smoothing_s=0.05)
    found = np.array([motion.state(t)[0] for t in times])
    # Angular frequency 1 rad/s passes with gain 1 / (1 + 0.05^4): 19 um of 3 m. At the ends
    # the spline is straight: off by about a tau^2 = 3 m/s^2 x (0.05 s)^2.
    assert (
        np.abs(found - positions)[50:-50].max() < 3e-5 and np.abs(found - positions).max() < 7.5e-3
    )


def test_few_poses_are_followed_exactly():
    motion = trajectory_motion(placed(LINE, 0.0, 2.0))
    assert np.allclose(motion.state(1.5)[0], [1.5, 0, 5]) and np.allclose(
        motion.state(1.5)[1], [1, 0, 0]
    )


def test_a_loop_refuses_ends_that_are_apart():
    with pytest.raises(ValueError, match=r"^loop needs a trajectory") as error:
        trajectory_motion(LINE, loop=True)
    assert str(error.value) == (
        "loop needs a trajectory that ends within 1 m of its beginning; the ends are "
        "10 m apart: set loop: false or choose other start_s and stop_s"
    )


def test_a_loop_whose_last_pose_repeats_the_first_has_no_standstill():
    angles = np.linspace(0, 2 * np.pi, 64)
    circle = Trajectory(
        angles, np.column_stack([5 * np.cos(angles), 5 * np.sin(angles), np.ones(64)])
    )
    motion = trajectory_motion(circle, smoothing_s=0.0, loop=True)
    speeds = [np.linalg.norm(motion.state(t)[1]) for t in np.linspace(6, 7, 100)]
    assert motion.period_s == pytest.approx(2 * np.pi) and np.allclose(speeds, 5, rtol=1e-3)


@needs_data
@pytest.mark.parametrize(
    ("name", "smoothing_s", "speed_mps", "accel_mps2", "offset_m"),
    [("euroc_v102_uav.tum", 0.05, 2.3, 9.0, 0.01), ("kitti_00_vehicle.tum", 0.2, 13.0, 7.0, 0.25)],
)
def test_real_machines_move_like_machines(name, smoothing_s, speed_mps, accel_mps2, offset_m):
    trajectory = read_trajectory(DATA / name)
    motion = trajectory_motion(trajectory, smoothing_s)
    times = np.linspace(0, motion.duration_s, 20001)
    velocities = motion.velocity(times)
    positions = motion.position(times)
    accelerations = np.gradient(velocities, times, axis=0)
    assert np.linalg.norm(velocities, axis=1).max() < speed_mps
    assert np.linalg.norm(accelerations, axis=1).max() < accel_mps2
    assert np.allclose(np.gradient(positions, times, axis=0)[5:-5], velocities[5:-5], atol=0.02)
    assert np.abs(motion.position(trajectory.times_s) - trajectory.positions_m).max() < offset_m


@needs_data
def test_the_real_uav_flies_in_a_loop():
    motion = trajectory_motion(read_trajectory(DATA / "euroc_v102_uav.tum"), loop=True)
    (end, end_velocity), (begin, begin_velocity) = (
        motion.state(motion.period_s - 1e-6),
        motion.state(0.0),
    )
    assert np.allclose(end, begin, atol=1e-5) and np.allclose(
        end_velocity, begin_velocity, atol=1e-3
    )
    assert 83.5 < motion.period_s < 84.0
