"""ROS 2 starts whatever HOME is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cooperative_isac_ros.startup import log_folder

PROGRAM = """
import rclpy
from cooperative_isac_ros.startup import start_ros
start_ros(["program", "--ros-args", "-r", "__ns:=/there"])
node = rclpy.create_node("talker")
node.get_logger().warning("heard")
print(node.get_namespace())
rclpy.shutdown()
"""
ROS_VARIABLES = ("HOME", "ROS_LOG_DIR", "ROS_HOME")


@pytest.mark.parametrize(
    "variables", [{}, {"HOME": "/proc"}, {"HOME": ""}, {"ROS_LOG_DIR": "/dev/null/x"}]
)
def test_a_node_starts_without_a_folder_for_its_log(variables, tmp_path):
    kept = {name: value for name, value in os.environ.items() if name not in ROS_VARIABLES}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**kept, "TMPDIR": str(tmp_path), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "/there\n"), ended.stderr
    assert ended.stderr.count("\n") == 1 and "heard" in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "variables, folder",
    [
        ({"HOME": "/h"}, "/h/.ros/log"),
        ({"HOME": "/h", "ROS_HOME": "/r"}, "/r/log"),
        ({"HOME": "/h", "ROS_HOME": "~/r"}, "/h/r/log"),
        ({"HOME": "/h", "ROS_HOME": "/r", "ROS_LOG_DIR": "~/logs"}, "/h/logs"),
        ({"ROS_LOG_DIR": "~/logs"}, None),
        ({}, None),
    ],
)
def test_the_log_folder_is_that_of_ros(variables, folder):
    assert log_folder(variables) == (folder and Path(folder))
