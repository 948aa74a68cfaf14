"""Velocities of points by their displacements."""

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.point_motion import PointMotion

COVARIANCES = np.tile(0.01 * np.eye(3), (2, 1, 1))
FIRST = np.array([[20.0, 20.0, 10.0], [40.0, 30.0, 12.0]])
VELOCITIES = np.array([[8.0, 0.0, 0.0], [0.0, -4.0, 2.0]])


@pytest.fixture
def motion():
    return PointMotion(load_scene("multi_bs"))


def test_displacements_give_velocities_in_any_order(motion):
    _, prior = motion.velocities(0.0, FIRST, COVARIANCES)
    np.testing.assert_allclose(prior[0], np.diag([16.0**2, 16.0**2, 8.0**2]) / 3)  # slow in height
    found, covariances = motion.velocities(0.25, (FIRST + 0.25 * VELOCITIES)[::-1], COVARIANCES)
    np.testing.assert_allclose(found, VELOCITIES[::-1], atol=1e-9)
    np.testing.assert_allclose(covariances[0], 2 * 0.01 / 0.25**2 * np.eye(3))


@pytest.mark.parametrize("time_s", [0.0, -1.0, 2.0, None])
def test_there_is_no_velocity_without_a_recent_frame(motion, time_s):
    motion.velocities(0.0, FIRST, COVARIANCES)
    found, _ = motion.velocities(time_s, FIRST + 0.25 * VELOCITIES, COVARIANCES)
    assert not found.any()


def test_new_points_have_none(motion):
    motion.velocities(0.0, FIRST, COVARIANCES)
    far = FIRST + np.array([[0.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    found, covariances = motion.velocities(0.25, far, COVARIANCES)
    assert not found.any()
    assert covariances[1, 0, 0] > covariances[0, 0, 0]
    found, _ = motion.velocities(0.5, far[:0], COVARIANCES[:0])
    assert found.shape == (0, 3)
