"""Stations that report an uncertain position: keys of the scene file, and drawn errors."""

import numpy as np
import pytest
from networks import TARGETS, network

from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets, true_poses
from cooperative_isac.scene.file.errors import SceneError

CAR = "  - name: car\n"
WEST = "  - name: west\n"
DRONE = "  - name: drone\n"
STD = "    position_std_m: 0.3\n"


@pytest.fixture(scope="module")
def uncertain():
    return network((CAR, CAR + STD), extra=TARGETS)


def test_only_stations_that_move_have_an_uncertain_position():
    with pytest.raises(SceneError) as error:
        network((WEST, WEST + STD))
    (problem,) = error.value.problems
    assert problem.key == "stations[0].position_std_m"
    assert problem.text.startswith("is 0.3, but the station stands")


def test_errors_have_the_stated_deviation(uncertain):
    poses = uncertain.poses_at(1.0)
    errors_m = []
    for number in range(400):
        true = true_poses(uncertain, number, poses)
        errors_m.append(true["car"].position_m - poses["car"].position_m)
        assert true["drone"] is poses["drone"]
    assert np.std(errors_m, axis=0) == pytest.approx([0.3] * 3, rel=0.15)
    assert np.abs(np.mean(errors_m, axis=0)).max() < 0.06


def test_the_error_of_a_frame_is_always_the_same(uncertain):
    poses = uncertain.poses_at(1.0)
    first, again, other = (true_poses(uncertain, number, poses)["car"] for number in (7, 7, 8))
    assert np.array_equal(first.position_m, again.position_m)
    assert not np.array_equal(first.position_m, other.position_m)


def test_echoes_arrive_at_the_true_position(uncertain):
    certain = network(extra=TARGETS)
    frames = [make_frame(scene, 5, 0.5) for scene in (certain, uncertain)]
    assert np.array_equal(frames[0].poses["car"].position_m, frames[1].poses["car"].position_m)
    targets = scene_targets(certain, 0.5)
    for station, is_same in (("west", True), ("car", False)):
        samples = [
            receive(scene, frame, station, targets)["high"].samples
            for scene, frame in zip((certain, uncertain), frames)
        ]
        assert np.array_equal(*samples) == is_same


def test_signals_come_from_the_true_position_of_a_transmitter():
    certain = network(extra=TARGETS)
    uncertain = network((DRONE, DRONE + STD), extra=TARGETS)
    targets = scene_targets(certain, 0.5)
    for station, band, is_same in (("east", "high", False), ("east", "low", True)):
        samples = [
            receive(scene, make_frame(scene, 6, 0.6), station, targets)[band].samples
            for scene in (certain, uncertain)
        ]
        assert np.array_equal(*samples) == is_same
