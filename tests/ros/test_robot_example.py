"""examples/robot.py: it moves as its twist says, where scene campus looks for targets."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nav_msgs.msg import Odometry

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros import qos
from cooperative_isac_ros.messages.conversions import odometry_sample

ROBOT = Path(__file__).resolve().parents[2] / "examples" / "robot.py"


@pytest.fixture
def robot(bench):
    """The robot as a process of its own, in the bench's namespace."""
    with subprocess.Popen(
        [sys.executable, ROBOT, "--ros-args", "-r", f"__ns:={bench.namespace}"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.terminate()
        assert process.wait(timeout=20) == 0, process.stderr.read()


def test_the_robot_moves_along_its_twist_and_fast_enough_for_campus(bench, robot):
    heard = bench.listen(Odometry, "targets/my_robot/odom", qos.ODOMETRY_OF_ANYONE)
    campus = load_scene("campus")

    def enough():
        assert robot.poll() is None, robot.stderr.read()
        return len(heard) >= 30

    bench.until(enough)
    samples = [odometry_sample(message) for message in heard]
    for before, after in itertools.pairwise(samples):
        angle = 0.6 * (after.stamp_ns - before.stamp_ns) * 1e-9
        chord, mean_mps = (
            after.position_m - before.position_m,
            (before.velocity_mps + after.velocity_mps) / 2,
        )
        assert np.allclose(
            0.6 * np.cos(angle / 2) * chord, 2 * np.sin(angle / 2) * mean_mps, atol=1e-3
        )
        assert np.linalg.norm(after.velocity_mps) > campus.sensing.min_speed_mps
        assert np.all(campus.box.low_m < after.position_m) and np.all(
            after.position_m < campus.box.high_m
        )
