"""Poses between reports: on the cubic, on the shortest turn, through a tree of frames."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cooperative_isac.scene.poses import FrameTree, PoseLog, PoseSample, turned

S = 1_000_000_000


def yaw(degrees):
    return Rotation.from_euler("z", degrees, degrees=True).as_matrix()


def on_circle(time_s, radius_m=10.0, rate=0.5):
    """A car on a circle, as it would report itself."""
    angle = rate * time_s
    place = radius_m * np.array([np.cos(angle), np.sin(angle), 0.0])
    velocity = radius_m * rate * np.array([-np.sin(angle), np.cos(angle), 0.0])
    return PoseSample(round(time_s * S), place, yaw(np.degrees(angle) + 90), velocity)


def circle_log(*times_s, timeout_s=1.0):
    log = PoseLog(timeout_s)
    for time_s in times_s:
        assert log.add("car", on_circle(time_s))
    return log


def test_a_pose_between_two_reports_is_that_of_the_way():
    log = circle_log(1.0, 1.2, 1.4)
    for time_s in (1.0, 1.07, 1.2, 1.33, 1.4):
        pose = log.at(round(time_s * S))
        truth = on_circle(time_s)
        assert np.allclose(pose.position_m, truth.position_m, atol=1e-4)
        assert np.allclose(pose.velocity_mps, truth.velocity_mps, atol=5e-3)
        assert np.allclose(pose.rotation, truth.rotation, atol=1e-6)


def test_a_pose_goes_on_for_the_timeout_and_no_longer():
    log = circle_log(1.0, timeout_s=0.5)
    pose = log.at(round(1.4 * S))
    first = on_circle(1.0)
    assert np.allclose(pose.position_m, first.position_m + 0.4 * first.velocity_mps)
    assert np.array_equal(pose.rotation, first.rotation)
    assert log.at(round(1.6 * S)) is None
    assert log.at(round(0.9 * S)) is None
    assert PoseLog().at(S) is None and PoseLog().newest_ns is None
    assert log.is_complete(S) and not log.is_complete(S + 1)


def test_a_gap_longer_than_the_timeout_is_not_bridged():
    log = circle_log(1.0, 3.0, timeout_s=0.5)
    assert log.at(2 * S) is None
    assert np.allclose(log.at(round(1.2 * S)).rotation, on_circle(1.0).rotation)


def test_reports_out_of_order_and_a_rewound_clock():
    log = circle_log(1.0, 1.2)
    assert not log.add("car", on_circle(1.1))
    assert not log.add("car", on_circle(1.2))
    assert log.newest_ns == round(1.2 * S)
    log = circle_log(5.0)
    assert log.add("car", on_circle(1.0))
    assert log.newest_ns == S


@pytest.mark.parametrize("place", [[np.nan, 0, 0], [2e5, 0, 0]])
def test_what_cannot_be_is_refused(place):
    sample = PoseSample(S, np.array(place, float), np.eye(3), np.zeros(3))
    with pytest.raises(ValueError, match="odometry of 'car'"):
        PoseLog().add("car", sample)


def test_a_turn_takes_the_shorter_way():
    assert np.allclose(turned(yaw(170), yaw(-170), 0.5), yaw(180))
    assert np.allclose(turned(yaw(10), yaw(50), 0.25), yaw(20))


def chain_of(time_s):
    """Twin by homogeneous matrices: a UAV's antenna on a gimbal in an odometry frame."""
    drift = matrix([100.0, -20.0, 0.0], yaw(30))
    body = matrix([5.0 * time_s, 0.0, 20.0], yaw(20 * time_s))
    mount = matrix([0.0, 0.5, -0.2], Rotation.from_euler("y", 90, degrees=True).as_matrix())
    return drift, body, mount


def matrix(place, rotation):
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = rotation, place
    return whole


def tree_of(times_s):
    tree = FrameTree(timeout_s=0.5)
    for time_s in times_s:
        drift, body, mount = chain_of(time_s)
        stamp_ns = round(time_s * S)
        assert tree.add("map", "odom", stamp_ns, drift[:3, 3], drift[:3, :3])
        assert tree.add("odom", "base_link", stamp_ns, body[:3, 3], body[:3, :3])
        assert tree.add("base_link", "antenna", 0, mount[:3, 3], mount[:3, :3], is_fixed=True)
    return tree


def test_a_frame_is_placed_through_all_frames_above_it():
    tree = tree_of([1.0, 1.1, 1.2, 1.3])
    for time_s in (1.05, 1.1, 1.2, 1.24):
        drift, body, mount = chain_of(time_s)
        expected = drift @ body @ mount
        pose = tree.at("antenna", round(time_s * S))
        assert np.allclose(pose.position_m, expected[:3, 3], atol=1e-3)
        assert np.allclose(pose.rotation, expected[:3, :3], atol=1e-6)
    step = 1e-4
    ends = [np.linalg.multi_dot(chain_of(1.15 + side * step))[:3, 3] for side in (-1, 1)]
    velocity = (ends[1] - ends[0]) / (2 * step)
    assert np.allclose(tree.at("antenna", round(1.15 * S)).velocity_mps, velocity, atol=0.01)


def test_frames_are_extrapolated_until_the_timeout():
    tree = tree_of([1.0, 1.1])
    drift, body, _ = chain_of(1.3)
    place = (drift @ body)[:3, 3]
    assert np.allclose(tree.at("base_link", round(1.3 * S)).position_m, place, atol=1e-9)
    assert tree.at("base_link", round(1.7 * S)) is None
    assert tree.at("base_link", round(0.9 * S)) is None
    assert tree.is_complete("antenna", round(1.1 * S))
    assert not tree.is_complete("antenna", round(1.1 * S) + 1)
    assert tree.newest_ns("antenna") == round(1.1 * S)


def test_a_missing_parent_is_named():
    tree = FrameTree()
    assert tree.missing_link("antenna") == "antenna"
    tree.add("base_link", "antenna", 0, np.zeros(3), np.eye(3), is_fixed=True)
    assert tree.missing_link("antenna") == "base_link"
    assert tree.at("antenna", S) is None and not tree.is_complete("antenna", S)
    tree.add("antenna", "base_link", 0, np.zeros(3), np.eye(3), is_fixed=True)
    assert tree.missing_link("antenna") is not None  # a circle
    tree.add("map", "base_link", 0, np.ones(3), np.eye(3), is_fixed=True)
    assert tree.missing_link("antenna") is None
    assert np.allclose(tree.at("antenna", S).position_m, 1.0)
    assert tree.newest_ns("antenna") is None


def test_frames_out_of_order_are_left_out():
    tree = tree_of([1.0, 1.1])
    assert not tree.add("map", "odom", round(1.05 * S), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="not finite"):
        tree.add("map", "odom", 2 * S, np.full(3, np.nan), np.eye(3))
