"""Age of a live run's frames after each stage, and the processor time of each node.

    python benchmarks/live.py [SCENE] [--rate HZ] [--duration S]

One `isac run`, listened to from beside: how old a frame is when a stage begins and ends, and, for
each process, its work and its wait for a processor, by frame. Nothing else should run on the
machine, nor in its ROS domain.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import rclpy
from cooperative_isac_msgs.msg import StageTiming
from rclpy.executors import SingleThreadedExecutor
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.run_report import print_summary, read_summary
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros import qos
from cooperative_isac_ros.launching.graph import node_variables

# Longest waits for the first frame, and for the end of all nodes, s.
FIRST_FRAME_WITHIN_S = 60.0
END_WITHIN_S = 30.0
# Time after frame 0 from which on work is counted, s: nodes discover each other, and tables are
# computed.
SETTLE_S = 3.0
# Stages in the order in which a frame passes them.
STAGES = ("encode", "decode", "track")
# Fields of /proc/PID/stat after the name of the program.
PARENT = 1
COMMAND = "from cooperative_isac.cli import main; main()"


class Listener:
    """Subscriber to the durations of the stages of frames, which nodes report."""

    def __init__(self):
        rclpy.init()
        self._node = rclpy.create_node("live_benchmark")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(StageTiming, "/timing", self._hear, qos.COUNTED)
        self.messages: list[StageTiming] = []

    def _hear(self, message: StageTiming) -> None:
        self.messages.append(message)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=deadline - time.monotonic())

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()


def processor_times_s(runner: int) -> dict[str, tuple[float, float]]:
    """Work and wait for a processor of each process of a run, s, by its name."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_text().rstrip("\0").split("\0")
            threads = [path.read_text().split() for path in entry.glob("task/*/schedstat")]
        except OSError:
            continue
        if int(entry.name) == runner:
            name = "isac run"
        elif int(fields[PARENT]) == runner and "--enclave" in words:
            name = words[words.index("--enclave") + 1]
        else:
            continue
        work_ns = sum(int(thread[0]) for thread in threads)
        wait_ns = sum(int(thread[1]) for thread in threads)
        found[name] = (work_ns * 1e-9, wait_ns * 1e-9)
    return found


def machine_work_s() -> float:
    """Work of all processors since the machine was started, s."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, interrupts, soft = map(int, words[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def measure(
    scene: str, rate_hz: float, duration_s: float, folder: Path, listener: Listener
) -> dict[str, tuple[float, ...]]:
    """Run the scene; work and wait of each process over the counted time, in s a second."""
    words = [sys.executable, "-c", COMMAND, "run", scene, "--out", str(folder)]
    words += ["--rate", str(rate_hz), "--duration", str(duration_s)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, process_group=0) as process:
        deadline = time.monotonic() + FIRST_FRAME_WITHIN_S
        while not listener.messages:
            if process.poll() is not None or time.monotonic() > deadline:
                process.send_signal(signal.SIGINT)
                raise SystemExit("no frame came")
            listener.wait(0.1)

        # Work between two looks, both while all nodes live.
        listener.wait(SETTLE_S)
        before = processor_times_s(process.pid)
        machine_before_s = machine_work_s()
        began_s = time.monotonic()
        listener.wait(duration_s - 2 * SETTLE_S)
        after = processor_times_s(process.pid)
        elapsed_s = time.monotonic() - began_s
        machine_s = machine_work_s() - machine_before_s
        while process.poll() is None and time.monotonic() < began_s + duration_s + END_WITHIN_S:
            listener.wait(0.2)
        process.send_signal(signal.SIGINT)
        process.wait(END_WITHIN_S)
    shares = {
        name: tuple((now - then) / elapsed_s for now, then in zip(after[name], before[name]))
        for name in after
        if name in before
    }
    own = sum(work for work, _ in shares.values())
    shares["all others on the machine"] = (machine_s / elapsed_s - own, 0.0)
    return shares


def print_stages(messages: list[StageTiming], console: Console) -> None:
    """A row for each node and stage: how old frames are at its begin and end, and its time."""
    rows = defaultdict(list)
    for message in messages:
        begin_ms = message.latency_ms - message.duration_ms
        rows[message.node, message.stage].append(
            (begin_ms, message.duration_ms, message.latency_ms)
        )
    table = Table("node", "stage", box=SIMPLE_HEAD, title="median, 99 %, worst of all frames (ms)")
    for title in ("age before", "takes", "age after"):
        table.add_column(title, justify="right", no_wrap=True)
    for (node, stage), times in sorted(rows.items(), key=lambda row: STAGES.index(row[0][1])):
        figures = np.percentile(np.array(times), (50, 99, 100), axis=0)
        cells = [" ".join(f"{figure:4.0f}" for figure in column) for column in figures.T]
        table.add_row(node, stage, *cells)
    console.print(table)


def print_processes(shares: dict[str, tuple[float, ...]], rate_hz: float, console: Console) -> None:
    """A row for each process: its work and its wait for a processor, in ms a frame."""
    table = Table("process", box=SIMPLE_HEAD)
    table.add_column("work (ms a frame)", justify="right")
    table.add_column("wait (ms a frame)", justify="right")
    for name, (work, wait) in sorted(shares.items(), key=lambda row: -row[1][0]):
        table.add_row(name, f"{1e3 * work / rate_hz:.1f}", f"{1e3 * wait / rate_hz:.1f}")
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default="campus")
    parser.add_argument("--rate", type=float, help="frames a second (default: the scene's)")
    parser.add_argument("--duration", type=float, default=30.0, help="in s (default: 30)")
    choices = parser.parse_args()
    rate_hz = choices.rate or load_scene(choices.scene).update_rate_hz
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    given = dict(os.environ)
    os.environ.update(node_variables())
    listener = Listener()
    os.environ.clear()
    os.environ.update(given)

    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        shares = measure(choices.scene, rate_hz, choices.duration, place, listener)
        listener.close()
        print_stages(listener.messages, console)
        print_processes(shares, rate_hz, console)
        print_summary(read_summary(place), console)


if __name__ == "__main__":
    main()
