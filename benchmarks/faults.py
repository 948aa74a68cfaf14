"""Fault tolerance of a live scene: nodes are killed or stopped, processors are overloaded.

    python benchmarks/faults.py kills [SCENE]
    python benchmarks/faults.py overload [SCENE] [--hogs N]

Each command prints a table of docs/reliability.md. Nothing else should run on the machine, nor in
the same ROS domain.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.run_record import RECORD_FILE, RunRecord, load_run_record
from cooperative_isac.evaluation.run_report import read_summary
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS
from cooperative_isac_ros import qos
from cooperative_isac_ros.launching.graph import GraphOptions, scene_nodes
from cooperative_isac_ros.launching.process_group import ProcessGroup
from cooperative_isac_ros.processes.fork_server import start_fork_server

# Longest time until frame 0, and until a killed node is ready again, s.
START_WITHIN_S = 120.0
BACK_WITHIN_S = 60.0
# Program of a process that loads a processor.
HOG = "while True: pass"
# Time for which reports of a killed node may still arrive, s.
UNDERWAY_S = 0.5
# Time for the last detections and tracks of a run to arrive, s.
DRAIN_S = 2.0


class Listener:
    """Receives diagnostics: the time of each node's latest report that it is ready."""

    def __init__(self):
        rclpy.init()
        self._node = rclpy.create_node("faults")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._receive, qos.STREAM)
        self.ready_s: dict[str, float] = {}

    def _receive(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if any(value.key == "ready" and value.value == "True" for value in status.values):
                self.ready_s[status.name] = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Receive for a time."""
        self.until(lambda: False, seconds)

    def until(self, condition, within_s: float) -> bool:
        """Receive until a condition holds or the time is over. Returns whether it holds."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if condition():
                return True
            self._executor.spin_once(timeout_sec=0.05)
        return condition()

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown()


class LiveRun:
    """An `isac run` with a folder for its output."""

    def __init__(self, scene: str, folder: Path):
        self._folder = folder
        self._output = (folder / "console.txt").open("w+")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cooperative_isac.cli",
                "run",
                scene,
                "--out",
                str(folder / "run"),
            ],
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200"},
        )

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self._folder / "run"

    def pid(self, name: str) -> int | None:
        """Process number of a node, found by its parameter file; None without a process."""
        stem = name.strip("/").replace("/", ".")
        params_file = str(self.report / "logs" / f"{stem}.yaml")
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if params_file in (entry / "cmdline").read_text(errors="replace"):
                    return int(entry.name)
            except OSError:
                continue
        return None

    def end(self) -> tuple[int, str]:
        """End the run by Ctrl-C. Returns exit code and console output."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=60)
        self._output.seek(0)
        return code, self._output.read()


def begun(log: Path) -> bool:
    """Return whether the transmit controller has announced frame 0."""
    return log.is_file() and "frames/s" in log.read_text(errors="replace")


def held(record: RunRecord, scene: Scene) -> dict[str, dict[int, int]]:
    """Number of the established track of each target, by name of the target and frame number.

    It is the nearest track within the continuity threshold. True positions follow from the frame
    numbers, as odometry may reach a busy evaluator late.
    """
    track_ids: dict[str, dict[int, int]] = {target.name: {} for target in scene.targets}
    positions_m = record.track_state[:, : scene.dimension]
    established = np.isin(record.track_status, ESTABLISHED_NUMBERS)
    for number in record.frame_number:
        rows = np.flatnonzero(established & (record.track_frame == number))
        if not rows.size:
            continue
        for target in scene_targets(scene, float(number) / scene.update_rate_hz):
            target_m = target.position_m[: scene.dimension]
            distances_m = np.linalg.norm(positions_m[rows] - target_m, axis=1)
            nearest = int(distances_m.argmin())
            if distances_m[nearest] < scene.continuity_threshold_m:
                track_ids[target.name][int(number)] = int(record.track_id[rows[nearest]])
    return track_ids


def switches(tracks: dict[str, dict[int, int]], first: int, last: int) -> int:
    """Number of identity switches between two frames, also across a time without tracks."""
    count = 0
    for frames in tracks.values():
        earlier = [number for number in frames if number < first]
        ids = [frames[max(earlier)]] if earlier else []
        ids += [frames[number] for number in sorted(frames) if first <= number < last]
        count += sum(one != other for one, other in itertools.pairwise(ids))
    return count


def share_held(
    tracks: dict[str, dict[int, int]], first: int, last: int, num_skipped: int = 0
) -> float:
    """Share of the pairs of target and frame in which the target has a track.

    Lost frames count as frames without a track. Skipped frames do not count.
    """
    counts = [sum(first <= number < last for number in frames) for frames in tracks.values()]
    num_frames = max(last - first - num_skipped, 1)
    return sum(counts) / (len(tracks) * num_frames) if tracks else 0.0


def make_table(title: str, *headers: str) -> Table:
    """An empty table with a first column of texts and further columns of numbers."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index else "left", no_wrap=True)
    return table


def kills(options: argparse.Namespace, console: Console) -> None:
    """Kill a node of each kind, one after the other, and stop one."""
    scene = load_scene(options.scene)
    names = [
        f"/{scene.receivers[0].name}/access_point",
        "/fusion_center",
        "/tracker",
        "/evaluator",
        "/scene_markers",
        "/target_simulator",
        "/transmit_controller",
    ]
    faults = [(name, signal.SIGKILL, "killed") for name in names] + [
        ("/tracker", signal.SIGSTOP, "stopped")
    ]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        listener = Listener()
        run = LiveRun(options.scene, Path(folder))
        try:
            # Frame 0.
            log = run.report / "logs" / "transmit_controller.log"
            if not listener.until(lambda: begun(log), START_WITHIN_S):
                raise SystemExit("error: no frame 0")
            start_s = time.monotonic()
            listener.wait(options.between_s)

            # Faults, with the time until the node is ready again.
            for name, number, what in faults:
                fault_s = time.monotonic()
                os.kill(run.pid(name), number)
                is_back = listener.until(
                    lambda name=name, fault_s=fault_s: (
                        listener.ready_s.get(name, 0.0) > fault_s + UNDERWAY_S
                    ),
                    BACK_WITHIN_S,
                )
                back_s = listener.ready_s[name] - fault_s if is_back else float("nan")
                listener.wait(options.between_s)
                end_s = time.monotonic()
                results.append((f"{name} {what}", fault_s - start_s, back_s, end_s - start_s))
        finally:
            code, output = run.end()
            listener.close()
        print_kills(scene, run.report, results, console)
        console.print(
            f"exit code {code}; the report is "
            f"{'written' if (run.report / SUMMARY_FILE).is_file() else 'missing'}"
        )
        if options.verbose:
            console.print(output, markup=False, highlight=False)


def print_kills(scene: Scene, report: Path, results: list, console: Console) -> None:
    """Print the table of `kills`, from the record of the run."""
    tracks = held(load_run_record(report / RECORD_FILE), scene)
    table = make_table(
        f"{scene.name}: nodes that end",
        "node",
        "back after (s)",
        "identity switches",
        "frames x targets held",
    )
    for what, from_s, back_s, to_s in results:
        first, last = (round(time_s * scene.update_rate_hz) for time_s in (from_s, to_s))
        table.add_row(
            what,
            f"{back_s:.1f}",
            str(switches(tracks, first, last)),
            f"{share_held(tracks, first, last):.2f}",
        )
    console.print(table)


@contextmanager
def hogs(number: int):
    """Run processes that load the processors."""
    with ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen([sys.executable, "-c", HOG])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def overload(options: argparse.Namespace, console: Console) -> None:
    """Run the scene alone, and beside other processes, with and without skipping of frames."""
    scene = load_scene(options.scene)
    table = make_table(
        f"{scene.name}: {options.duration_s:.0f} s on {os.cpu_count()} processors",
        "",
        "frames",
        "skipped",
        "lost",
        "late",
        "frames x targets held",
        "identity switches",
    )
    for label, num_hogs, ahead in (
        ("alone", 0, 2),
        (f"{options.hogs} hogs, no skipping", options.hogs, 0),
        (f"{options.hogs} hogs", options.hogs, 2),
    ):
        with tempfile.TemporaryDirectory() as folder:
            run_nodes(scene, Path(folder), num_hogs, ahead, options.duration_s)
            table.add_row(label, *overload_figures(scene, Path(folder)))
    console.print(table)


def run_nodes(
    scene: Scene, folder: Path, num_hogs: int, frames_ahead: int, duration_s: float
) -> None:
    """Run the nodes of the scene. The other processes start after frame 0."""
    *others, controller = scene_nodes(scene, GraphOptions(out=str(folder), markers=False))
    controller = replace(
        controller, parameters={**controller.parameters, "max_frames_ahead": frames_ahead}
    )
    with ProcessGroup(folder, start_fork_server()) as group:
        for spec in (*others, controller):
            group.start(spec)
        deadline = time.monotonic() + START_WITHIN_S
        while not begun(folder / "transmit_controller.log"):
            if time.monotonic() > deadline:
                raise SystemExit("error: no frame 0")
            time.sleep(0.1)
        with hogs(num_hogs):
            time.sleep(duration_s)
            group.stop([controller.full_name])
            time.sleep(DRAIN_S)
        group.stop()


def overload_figures(scene: Scene, report: Path) -> list[str]:
    """Cells of the table of `overload`: frame counts, share held, identity switches."""
    summary = read_summary(report)
    tracks = held(load_run_record(report / RECORD_FILE), scene)
    frames = summary["frames"]
    return [
        *(str(summary[key]) for key in ("frames", "frames_skipped", "frames_lost", "frames_late")),
        f"{share_held(tracks, 0, frames, summary['frames_skipped']):.2f}",
        str(switches(tracks, 0, frames)),
    ]


FAULTS = {"kills": kills, "overload": overload}


def main() -> None:
    """Run the benchmark that is chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument(
        "scene", nargs="?", default="campus", help="scene file, or the name of a shipped scene"
    )
    parser.add_argument("--between-s", type=float, default=10.0, help="time between two faults, s")
    parser.add_argument("--hogs", type=int, default=4, help="processes that load the processors")
    parser.add_argument("--duration-s", type=float, default=20.0, help="length of each run, s")
    parser.add_argument(
        "--verbose", action="store_true", help="also print the console output of the run"
    )
    options = parser.parse_args()
    FAULTS[options.fault](options, Console(width=110))


if __name__ == "__main__":
    main()
