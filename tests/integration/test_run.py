"""`isac run` with real processes: a tracked robot, Ctrl-C and crashes that leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from traced import car_arrays, write_scene

from cooperative_isac.evaluation.checkpoint import read_checkpoint
from cooperative_isac.evaluation.run_record import load_run_record

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
ROBOT = """
import math, rclpy
from nav_msgs.msg import Odometry
rclpy.init()
node = rclpy.create_node("my_robot")
publisher = node.create_publisher(Odometry, "targets/rover/odom", 10)
def tick():
    now = node.get_clock().now()
    angle = now.nanoseconds * 1e-9 * 0.3
    message = Odometry()
    message.header.stamp, message.header.frame_id = now.to_msg(), "map"
    place = message.pose.pose.position
    place.x, place.y = 30 + 10 * math.cos(angle), 30 + 10 * math.sin(angle)
    message.pose.pose.orientation.w, message.pose.pose.orientation.z = (
        math.cos(angle / 2 + math.pi / 4), math.sin(angle / 2 + math.pi / 4))
    message.twist.twist.linear.x = 3.0
    publisher.publish(message)
node.create_timer(0.05, tick)
rclpy.spin(node)
"""


class Run:
    """One `isac run` in a folder of its own, by which its processes are found."""

    def __init__(self, folder, scene, *options):
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cooperative_isac.cli",
                "run",
                str(scene),
                "--out",
                str(folder),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )

    def pids(self, node=""):
        """Running processes of the run, without itself."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (
                    (entry / "cmdline").read_text(errors="replace") if entry.name.isdigit() else ""
                )
            except OSError:
                continue
            if str(self.folder) in words and f"cooperative_isac_ros.start\0{node}" in words:
                found.append(int(entry.name))
        return found

    def wait_for_frames(self):
        """Wait until the first frames are decoded."""
        log = self.folder / "logs" / "transmit_controller.log"
        deadline = time.monotonic() + 90
        while not (log.is_file() and "frames/s" in log.read_text()):
            assert time.monotonic() < deadline and self.process.poll() is None, self.finish()
            time.sleep(0.1)

    def finish(self):
        """Exit code and output."""
        output, _ = self.process.communicate(timeout=100)
        return self.process.returncode, output

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def wait_until(condition, scene):
    """Wait until a condition holds; fail where the run ends before."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline and scene.process.poll() is None, scene.finish()
        time.sleep(0.1)


@pytest.fixture
def run(tmp_path):
    """Starts runs and ends those that a failed test leaves."""
    runs = []

    def start(scene, *options):
        runs.append(Run(tmp_path / "out", scene, *options))
        return runs[-1]

    yield start
    for item in runs:
        item.end()


@pytest.fixture
def robot():
    """A robot that drives in circles and publishes nothing but its odometry."""
    process = subprocess.Popen([sys.executable, "-c", ROBOT])
    yield
    process.terminate()
    process.wait()


@pytest.fixture
def empty_scene(tmp_path):
    """The tiny scene without targets of its own."""
    content = yaml.safe_load(TINY.read_text())
    del content["targets"]
    path = tmp_path / "empty.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.timeout(240)
def test_a_robot_that_publishes_odometry_is_tracked(run, robot, empty_scene):
    scene = run(empty_scene, "--duration", "12", "--rate", "2", "--no-markers")
    code, output = scene.finish()
    assert code == 0, output
    summary = json.loads((scene.folder / "summary.json").read_text())
    rover = summary["targets"]["rover"]
    assert rover["continuity"] > 0.5 and rover["rmse_m"] < 1.0 and summary["frames"] >= 20
    assert {"rx1", "rx2"} == set(summary["fronthaul_bits_per_s"]) and "rover" in output
    record = load_run_record(scene.folder / "run.npz")
    radius = np.linalg.norm(record.truth_state[:, :2] - 30.0, axis=1)
    assert np.allclose(radius, 10.0, atol=0.01)  # truth at the frame's stamp, between two samples
    assert not scene.pids()


@pytest.mark.timeout(240)
def test_a_learned_codec_tracks_in_the_graph(run):
    scene = run(
        "cell_free_compact", "--scheme", "dvqvae", "--duration", "10", "--rate", "1", "--no-markers"
    )
    code, output = scene.finish()
    assert code == 0, output
    summary = json.loads((scene.folder / "summary.json").read_text())
    assert max(target["continuity"] for target in summary["targets"].values()) > 0.3, output
    assert all(0 < bits < 40_000 for bits in summary["fronthaul_bits_per_s"].values())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_reports(run, number):
    scene = run(TINY, "--rate", "2", "--no-markers")
    scene.wait_for_frames()
    assert len(scene.pids()) == 7
    time.sleep(2.0)
    for _ in range(3):  # the first ends the run, the others must not end its end
        scene.process.send_signal(number)
        time.sleep(0.3)
    code, output = scene.finish()
    assert code == 0 and "car1" in output, output
    assert json.loads((scene.folder / "summary.json").read_text())["frames"] >= 1
    assert (scene.folder / "scene.png").is_file() and not scene.pids()


@pytest.mark.timeout(240)
def test_without_respawn_a_node_that_dies_ends_the_run_and_is_named(run):
    scene = run(TINY, "--rate", "2", "--no-markers", "--no-respawn")
    scene.wait_for_frames()
    os.kill(scene.pids("tracker")[0], signal.SIGKILL)
    code, output = scene.finish()
    assert code == 1 and "node /tracker ended by itself with exit code -9" in output, output
    assert not scene.pids()


@pytest.mark.timeout(240)
def test_killed_nodes_are_restarted_and_the_run_continues(run):
    scene = run(TINY, "--rate", "2", "--no-markers")
    scene.wait_for_frames()
    record = scene.folder / "checkpoint"
    # Frames come before the counts of a checkpoint: an evaluator killed between them has no
    # complete checkpoint to resume.
    wait_until(lambda: read_checkpoint(scene.folder) and list(record.glob("*[0-9].npz")), scene)
    names = ("tracker", "evaluator", "transmit_controller")
    before = {name: scene.pids(name) for name in names}
    for name in names:
        os.kill(before[name][0], signal.SIGKILL)
    for name in names:
        wait_until(lambda: scene.pids(name) not in ([], before[name]), scene)
    wait_until(lambda: "goes on" in (scene.folder / "logs" / "evaluator.log").read_text(), scene)
    scene.process.send_signal(signal.SIGINT)
    code, output = scene.finish()
    assert code == 0, output
    for name in names:
        assert f"node /{name} ended with signal 9; started again (1 of 3)" in output
    frames = load_run_record(scene.folder / "run.npz").frame_number
    assert frames[0] < 5 and (np.diff(frames) > 0).all()
    assert not scene.pids() and not record.exists()


@pytest.mark.timeout(240)
def test_nothing_outlives_a_killed_run(run):
    scene = run(TINY, "--rate", "2", "--no-markers")
    scene.wait_for_frames()
    scene.process.kill()
    scene.process.wait()
    deadline = time.monotonic() + 20
    while scene.pids():
        assert time.monotonic() < deadline, "nodes live on without their parent"
        time.sleep(0.1)


@pytest.mark.timeout(240)
def test_a_path_file_ends_the_run(run, tmp_path):
    # two frames per second, which busy processors can process without skipping any
    path = write_scene(tmp_path, car_arrays(12, period_s=0.5), rate_hz=2.0, path_kinds=["targets"])
    scene = run(path, "--duration", "60", "--no-markers")
    code, output = scene.finish()
    assert code == 0, output
    assert "ended after 12 frames, before --duration 60" in " ".join(output.split())
    summary = json.loads((scene.folder / "summary.json").read_text())
    assert summary["frames"] == 12 and set(summary["targets"]) == {"car1"}
    record = load_run_record(scene.folder / "run.npz")
    east, north = (record.truth_state[:, :2] - [28.0, 26.0]).T
    assert np.allclose(5 * east, 3 * north, atol=0.01)  # on the car's line
    assert not scene.pids()
