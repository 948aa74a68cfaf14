"""Time from a command to its first result.

    python benchmarks/startup.py [SCENE] [--times N]

`isac run` is started N times with nodes that are forked from one process, and N times, in turn,
with each node as a program of its own. The output has the median times from the command to frame 0,
to the start, the first report and the readiness of each node, and the times of short commands.
Nothing else should run on the machine, nor in the same ROS domain.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac_ros import qos
from cooperative_isac_ros.launching.graph import node_variables, scene_nodes

# Longest time until frame 0, and until a run has ended, s.
FRAME_WITHIN_S = 120.0
END_WITHIN_S = 30.0
# Time for which reports of an earlier moment may still arrive, s.
EARLIER_REPORTS_S = 1.5
FORKED = "from cooperative_isac.cli import main; main()"
PROGRAMS = (
    "from cooperative_isac_ros.processes import fork_server as f; "
    f"f.start_fork_server = type(None); {FORKED}"
)
WAYS = {"forked": FORKED, "programs": PROGRAMS}
STEPS = ("started", "reported", "ready")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the name of the program: number of the parent process, and clock
# ticks from boot to the start of the process.
PARENT = 1
START_TIME = 19


class Listener:
    """Receives diagnostics: times of the first report and of readiness of each node.

    Times are those of time.monotonic().
    """

    def __init__(self):
        rclpy.init()
        self._node = rclpy.create_node("startup_benchmark")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._report, qos.STREAM)
        self.clear()

    def clear(self) -> None:
        """Discard all reports so far."""
        self.reported_s: dict[str, float] = {}
        self.ready_s: dict[str, float] = {}

    def _report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.reported_s.setdefault(status.name, time.monotonic())
            if any(value.key == "ready" and value.value == "True" for value in status.values):
                self.ready_s.setdefault(status.name, time.monotonic())

    def wait(self, seconds: float) -> None:
        """Receive for a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()


def started_s(runner: int) -> dict[str, float]:
    """Times at which the nodes of a run were started, s, by their full names.

    runner: process number of `isac run`
    """
    boot_s = time.monotonic() - float(Path("/proc/uptime").read_text().split()[0])
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_text().rstrip("\0").split("\0")
        except OSError:
            continue
        if int(fields[PARENT]) == runner and "--enclave" in words:
            name = words[words.index("--enclave") + 1]
            found[name] = boot_s + int(fields[START_TIME]) / TICKS_PER_S
    return found


def frame_0_s(folder: Path) -> float | None:
    """Time of frame 0 from the state file of the transmit controller, s; None before frame 0."""
    path = folder / "logs" / "state" / "transmit_controller.json"
    if not path.is_file():
        return None
    stamp_s = json.loads(path.read_text())["start_ns"] * 1e-9
    return time.monotonic() + stamp_s - time.time()


def measure(way: str, scene: str, folder: Path, listener: Listener) -> dict:
    """Times from the command to frame 0, and to each step of each node, s."""
    listener.wait(EARLIER_REPORTS_S)
    listener.clear()
    command = [sys.executable, "-c", WAYS[way], "run", scene, "--out", str(folder)]
    began_s = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0) as process:
        while (frame_s := frame_0_s(folder)) is None:
            if process.poll() is not None or time.monotonic() > began_s + FRAME_WITHIN_S:
                raise SystemExit("no frame came")
            listener.wait(0.05)
        listener.wait(EARLIER_REPORTS_S)
        times_s = (started_s(process.pid), listener.reported_s, listener.ready_s)
        process.send_signal(signal.SIGINT)
        process.wait(END_WITHIN_S)

    # Relative to the command.
    steps = {}
    for step, of_nodes_s in zip(STEPS, times_s):
        steps[step] = {name: time_s - began_s for name, time_s in of_nodes_s.items()}
    return {"frame": frame_s - began_s, **steps}


def command_s(*arguments: str) -> float:
    """Time that a command of `isac` takes, s."""
    began_s = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "cooperative_isac.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began_s


def print_runs(runs: dict[str, list[dict]], names: list[str], console: Console) -> None:
    """Print a row for each node, and a line for frame 0, with medians in s."""
    columns = [f"{step} (s), {way}" for way in WAYS for step in STEPS]
    table = Table("node", *columns, box=SIMPLE_HEAD)
    for name in names:
        cells = [
            f"{statistics.median(run[step].get(name, float('nan')) for run in runs[way]):.2f}"
            for way in WAYS
            for step in STEPS
        ]
        table.add_row(name, *cells)
    console.print(table)
    medians = {way: statistics.median(run["frame"] for run in runs[way]) for way in WAYS}
    for way in WAYS:
        each = ", ".join(f"{run['frame']:.2f}" for run in runs[way])
        console.print(f"command to frame 0, {way}: {medians[way]:.2f} s ({each})")
    console.print(f"programs / forked: {medians['programs'] / medians['forked']:.2f}")


def print_commands(scene: str, times: int, console: Console) -> None:
    """Print a line with the median time of each short command."""
    for words in ("--help", "run --help", f"check {scene}"):
        taken_s = statistics.median(command_s(*words.split()) for _ in range(times))
        console.print(f"isac {words}: {taken_s:.2f} s")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default="campus")
    parser.add_argument("--times", type=int, default=3)
    choices = parser.parse_args()
    console = Console()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    given = dict(os.environ)
    os.environ.update(node_variables())

    names = [spec.full_name for spec in scene_nodes(load_scene(choices.scene))]
    runs = {way: [] for way in WAYS}
    listener = Listener()
    os.environ.clear()
    os.environ.update(given)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(choices.times):
            for way in WAYS:
                place = Path(folder) / f"{way}{number}"
                runs[way].append(measure(way, choices.scene, place, listener))
    listener.close()
    print_runs(runs, names, console)
    print_commands(choices.scene, choices.times, console)


if __name__ == "__main__":
    main()
