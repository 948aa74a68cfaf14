"""ROS 2 starts with any HOME."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cooperative_isac_ros.processes.startup import log_folder

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
NODE = """
import rclpy
from cooperative_isac_ros.processes.startup import start_ros
start_ros(["program", "--ros-args", "-r", "__ns:=/there"])
node = rclpy.create_node("talker")
node.get_logger().warning("heard")
print(node.get_namespace())
rclpy.shutdown()
"""
# Numbers of mapped files before a node is there, with it, and after its first message.
FIRST_MESSAGE = f"""
import inspect
import rclpy
from cooperative_isac_ros.base import SceneNode
print(len(inspect.modulesbyfile))
rclpy.init(args=["program", "--ros-args", "-p", "scene:={TINY}"])
node = SceneNode("talker")
print(len(inspect.modulesbyfile))
node.get_logger().warning("heard")
print(len(inspect.modulesbyfile))
rclpy.shutdown()
"""
# What `isac run` asks before it starts its nodes
QUESTION = """
from cooperative_isac_ros.launching.choices import ros_fault
print(ros_fault("--enclave", "/there", node="asker"))
"""
ROS_VARIABLES = ("HOME", "ROS_LOG_DIR", "ROS_HOME")


@pytest.fixture(
    params=[{}, {"HOME": "/proc"}, {"HOME": ""}, {"ROS_LOG_DIR": "/dev/null/x"}],
    ids=["no home", "a home that is read-only", "an empty home", "a log folder that cannot be"],
)
def run_program(request, tmp_path):
    """Runs a program where ROS 2 has no folder for its log files."""
    kept = {name: value for name, value in os.environ.items() if name not in ROS_VARIABLES}

    def run(program: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**kept, "TMPDIR": str(tmp_path), **request.param},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_node_starts_without_a_folder_for_its_log(run_program, tmp_path):
    ended = run_program(NODE)
    assert (ended.returncode, ended.stdout) == (0, "/there\n"), ended.stderr
    assert ended.stderr.count("\n") == 1 and "heard" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_finds_no_fault_without_a_folder_for_its_log(run_program):
    ended = run_program(QUESTION)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "None\n", "")


def test_the_first_message_of_a_node_finds_the_files_of_modules_mapped():
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_MESSAGE], capture_output=True, text=True, timeout=60
    )
    before, prepared, after = map(int, ended.stdout.split())
    assert before < 10 and prepared > 500, ended.stderr
    assert after < prepared + 20


@pytest.mark.parametrize(
    ("variables", "folder"),
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
