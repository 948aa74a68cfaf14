"""Whole scenes through the tracker: smooth loops, optimistic covariances, real machines."""

from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.metrics.run_score import RunScore
from cooperative_isac.scene.model import TargetClass, TargetState, Tracking
from cooperative_isac.scene.motion.trajectory_file import read_trajectory
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking.tracker import Tracker

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def loops(rng, times_s, num=4):
    """States [num, num_times, 6] on smooth figures of eight with at most 4 m/s^2."""
    states = []
    for number in range(num):
        size = rng.uniform(8, 20)
        rate = rng.choice([-1, 1]) * min(rng.uniform(0.2, 0.6), np.sqrt(4 / (2.8 * size)))
        angle = rate * times_s + rng.uniform(0, 6)
        center = np.array([30 * (number % 2), 30 * (number // 2), 2 + 8 * (number % 2)])
        extent = np.array([size, 0.7 * size, 1])
        position = extent * np.stack([np.sin(angle), np.sin(2 * angle), np.sin(angle)], axis=1)
        velocity = (
            rate * extent * np.stack([np.cos(angle), 2 * np.cos(2 * angle), np.cos(angle)], axis=1)
        )
        states.append(np.hstack([center + position, velocity]))
    return np.array(states)


def detections_of(states, stds, stated_stds, rng, detect):
    """Detections of the states [num, 6]: 3 % missed, 2 % with heavy tails, 0.02 false alarms a
    frame.
    """
    found = []
    for state in states[rng.random(len(states)) > 0.03]:
        error = rng.standard_normal(6) * np.repeat(stds, 3) * (7 if rng.random() < 0.02 else 1)
        found.append(detect(state[:3] + error[:3], state[3:] + error[3:], *stated_stds))
    false_alarms = [
        detect(states[0, :3] + rng.uniform(-30, 30, 3), rng.normal(0, 5, 3), *stated_stds)
        for _ in range(rng.poisson(0.02))
    ]
    return found + false_alarms


def play(states, times_s, settings, detect, seed, threshold_m=1.0, stds=(0.15, 0.5), optimism=1.0):
    """Summary of a run of targets with states [num, num_times, 6] at times_s."""
    rng = np.random.default_rng(seed)
    tracker, score = Tracker(settings, 3), RunScore(threshold_m, settings, 3)
    stated = tuple(std / optimism for std in stds)
    for time_s, now in zip(times_s, np.swapaxes(states, 0, 1)):
        truths = [
            TargetState(f"target{i}", TargetClass.UNKNOWN, s[:3], s[3:]) for i, s in enumerate(now)
        ]
        detections = detections_of(now, stds, stated, rng, detect)
        score.add(time_s, truths, detections, tracker.update(time_s, detections))
    return score.summary()


def assert_held(summary, continuity):
    assert summary.false_tracks == 0
    for target in summary.targets.values():
        assert target.continuity >= continuity and target.identity_switches == 0


@pytest.mark.parametrize("model", BUILT_IN_FILTERS)
@pytest.mark.parametrize("seed", range(2))
def test_loops_are_tracked_through_misses_outliers_and_false_alarms(detect, model, seed):
    times_s = np.arange(0, 60, 0.2)
    states = loops(np.random.default_rng(seed), times_s)
    assert_held(play(states, times_s, Tracking(model=model), detect, seed), 0.97)


def test_covariances_that_are_too_small_end_no_track(detect):
    times_s = np.arange(0, 40, 0.2)
    states = loops(np.random.default_rng(5), times_s)
    assert_held(play(states, times_s, Tracking(), detect, 5, optimism=2.0), 0.95)


def real_states(name, step):
    """Times [num_times] and states [1, num_times, 6] of a recorded machine, every step-th pose."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path}")
    trajectory = read_trajectory(path)
    velocity = np.gradient(trajectory.positions_m, trajectory.times_s, axis=0)
    return trajectory.times_s[::step], np.hstack([trajectory.positions_m, velocity])[None, ::step]


def test_a_real_car_is_tracked(detect):
    times_s, states = real_states("kitti_00_vehicle.tum", 2)
    times_s, states = times_s[:1000], states[:, :1000]
    assert_held(play(states, times_s, Tracking(), detect, 0), 0.98)


def test_a_real_uav_indoors_is_tracked_within_three_decimeters(detect):
    times_s, states = real_states("euroc_v102_uav.tum", 5)
    settings = Tracking(max_speed_mps=8.0, uav_height_m=0.5)
    summary = play(states, times_s, settings, detect, 0, threshold_m=0.3, stds=(0.03, 0.1))
    assert_held(summary, 0.98)
    assert summary.targets["target0"].rmse_m < 0.03 * np.sqrt(3)
