"""`isac run`: starts the nodes of a scene, shows them live, and ends them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from cooperative_isac.evaluation.checkpoint import clear_checkpoint, recover_report
from cooperative_isac.evaluation.run_record import RECORD_FILE, load_run_record
from cooperative_isac.evaluation.run_report import (
    PICTURE_FILE,
    draw_run,
    print_summary,
    read_summary,
)
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene
from cooperative_isac_ros.base import OBSERVER_NICE
from cooperative_isac_ros.launching.choices import ros_fault
from cooperative_isac_ros.launching.graph import GraphOptions, NodeSpec, scene_nodes
from cooperative_isac_ros.launching.monitor import MONITOR_NAME, Monitor
from cooperative_isac_ros.launching.process_group import Crash, ProcessGroup
from cooperative_isac_ros.launching.supervision import RespawnPolicy, Supervisor
from cooperative_isac_ros.parameters import RUN_BITS
from cooperative_isac_ros.processes.fork_server import ForkServer, ForkServerLost, taken_fork_server
from cooperative_isac_ros.processes.interrupts import StopRequest, stop_request
from cooperative_isac_ros.processes.kernel import interrupt_no_other
from cooperative_isac_ros.processes.shared_memory import clean_shared_memory
from cooperative_isac_ros.processes.startup import start_ros

# Longest wait for the first frame, s.
FIRST_FRAME_WITHIN_S = 90.0
# Longest wait for tracks after the last frame of a recording, s: much longer than a frame takes.
LAST_TRACKS_WITHIN_S = 3.0
# Interval at which the live view is refreshed, s.
REFRESH_S = 0.5
# Longest wait for a message before the view, the nodes and the signals are checked, s.
SPIN_S = 0.1
# Time after the first frame in which every ready node has reported, s: it does so once a second.
REPORTS_WITHIN_S = 2.5
# Nodes whose last warning is printed at the end of a run.
MAX_WARNINGS = 8
# Longest time for the nodes to process the last frame, s.
LAST_FRAME_S = 1.0
# Enclave of the command's own keys, for SROS 2.
MONITOR_ENCLAVE = ("--enclave", f"/{MONITOR_NAME}")

# End of a node, or description of an error; None: no fault.
Fault = Crash | str | None


@dataclass(frozen=True)
class _Run:
    """A run of a scene, and its terminal.

    duration_s: time after the first frame, s; None: unlimited
    """

    scene: Scene
    specs: Sequence[NodeSpec]
    namespace: str
    duration_s: float | None
    console: Console
    stop: StopRequest


def run_scene(
    scene: Scene,
    options: GraphOptions,
    duration_s: float | None,
    console: Console,
    policy: RespawnPolicy = RespawnPolicy(),
) -> int:
    """Run a scene until its duration, the end of its path file, or Ctrl-C.

    options: validated, with absolute paths
    duration_s: time after the first frame, s; None: unlimited
    policy: of restarts

    Returns the exit code: 0 with a report, where every node that ended could be restarted; else 1.
    """
    # ROS and the fork server
    scheme_name = options.scheme or scene.sensing.scheme
    server = _server_for(scene, scheme_name)
    error = ros_fault(*MONITOR_ENCLAVE, node=MONITOR_NAME)
    if error is not None:
        console.print(f"[bold red]error:[/] ROS 2 does not start: {escape(error)}", soft_wrap=True)
        return 1

    # output folder
    folder = Path(options.out).resolve()
    logs = folder / "logs"
    _clear(folder, logs, console)

    # nodes
    run_number = secrets.randbits(RUN_BITS)
    options = replace(options, out=str(folder), state=str(logs / "state"), run=run_number)
    specs = scene_nodes(scene, options)
    period_s = 1 / (options.rate_hz or scene.update_rate_hz)
    console.print(
        f"scene [bold]{scene.name}[/]: {len(specs)} nodes, Ctrl-C ends them; "
        f"files go to {escape(str(folder))}",
        soft_wrap=True,
    )
    with stop_request() as stop, ProcessGroup(logs, server) as group:
        stop.allow(None)

        # Before the first frame there is nothing to save: a signal ends all nodes at once, also
        # while they are being started.
        stop.on_request(group.interrupt)
        run = _Run(scene, specs, options.namespace, duration_s, console, stop)
        supervisor = Supervisor(group, specs, policy, partial(_notice, console), period_s=period_s)
        fault = _start_and_watch(run, group, supervisor)

        # a node that Ctrl-C has interrupted while it was starting is no crash
        crash = _end_nodes(group, specs, period_s)
        if not stop.requested:
            fault = fault or crash

        # report
        fault = _finish_report(folder, fault)
        _draw(scheme_scene(scheme_name, scene), folder, console)
        return _conclude(run, supervisor, folder, fault)


def _server_for(scene: Scene, scheme: str) -> ForkServer | None:
    """Fork server of this process, which loads a scene and a scheme for all nodes."""
    server = taken_fork_server()
    if server is not None:
        with suppress(ForkServerLost):
            server.prepare(scheme, str(Path(scene.source).resolve()))
    return server


def _clear(folder: Path, logs: Path, console: Console) -> None:
    """Create the output folder, and remove files of earlier runs."""
    logs.mkdir(parents=True, exist_ok=True)
    clear_checkpoint(folder)
    for name in (SUMMARY_FILE, RECORD_FILE, PICTURE_FILE):
        (folder / name).unlink(missing_ok=True)
    cleaned = clean_shared_memory()
    if cleaned.num_bytes:
        console.print(
            f"{cleaned.num_bytes * 1e-6:.0f} MB of shared memory of killed nodes are cleaned"
        )


def _end_nodes(group: ProcessGroup, specs: Sequence[NodeSpec], period_s: float) -> Crash | None:
    """End all nodes. Returns one that had ended by itself.

    specs: of the nodes, the controller last
    period_s: of the frames, s
    """
    # the controller ends first, so that the others can process the last frame
    group.stop([specs[-1].full_name])
    time.sleep(min(period_s, LAST_FRAME_S))
    crash = group.crashed()

    # then the fusion center, whose last counts the evaluator reports
    group.stop([spec.full_name for spec in specs if spec.executable == "fusion_center"])
    group.stop()
    return crash


def _notice(console: Console, text: str) -> None:
    """Print a line about an event."""
    console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _start_and_watch(run: _Run, group: ProcessGroup, supervisor: Supervisor) -> Fault:
    """Start the nodes, and show the scene until the run ends."""
    for spec in run.specs:
        if not run.stop.requested:
            group.start(spec)
    fault = _watch(run, supervisor)
    if run.stop.requested:
        run.console.print("ending the scene")
    return fault


def _watch(run: _Run, supervisor: Supervisor) -> Fault:
    """Show the scene until the run ends."""
    start_ros(["--ros-args", *MONITOR_ENCLAVE], SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    monitor = Monitor(run.namespace, [spec.full_name for spec in run.specs])
    executor.add_node(monitor)
    try:
        view = monitor.view(run.duration_s)
        with Live(view, console=run.console, auto_refresh=False, transient=True) as live:
            return _spin(run, supervisor, executor, monitor, live)
    finally:
        _print_warnings(monitor, run.console)
        executor.shutdown()
        monitor.destroy_node()
        rclpy.try_shutdown()


def _spin(
    run: _Run, supervisor: Supervisor, executor: Executor, monitor: Monitor, live: Live
) -> Fault:
    """Spin the monitor until the run ends; nodes are supervised between the messages."""
    began_s = time.monotonic()
    shown_s = began_s
    is_begun = False
    is_reported = False
    while run.duration_s is None or monitor.elapsed_s < run.duration_s:
        executor.spin_once(timeout_sec=SPIN_S)
        monitor.step()
        now_s = time.monotonic()

        # signals, nodes, and the end of a recording
        if run.stop.requested:
            return None
        crash = supervisor.check(monitor)
        if crash is not None:
            return crash
        if recording_is_over(run.scene, monitor.tracked_number, monitor.elapsed_s):
            _print_recording_end(run)
            return None

        # before the first frame, at it, and later the nodes that were not ready at it
        if monitor.first_frame_s is None:
            if now_s - began_s > FIRST_FRAME_WITHIN_S:
                return f"no frame was announced within {FIRST_FRAME_WITHIN_S:g} s"
        elif not is_begun:
            # from now on there are results to save: an interrupt ends this loop, and no longer
            # all nodes at once
            is_begun = True
            run.stop.on_request(None)

            # the live view leaves the processor to the nodes
            os.nice(OBSERVER_NICE)
            interrupt_no_other()
            _print_begin(monitor, began_s, run.console)
        elif not is_reported and monitor.elapsed_s > REPORTS_WITHIN_S:
            is_reported = True
            _print_missing(monitor, run.console)

        # live view
        if now_s - shown_s > REFRESH_S:
            shown_s = now_s
            live.update(monitor.view(run.duration_s), refresh=True)
    return None


def _print_begin(monitor: Monitor, began_s: float, console: Console) -> None:
    """Print the time of the first frame."""
    first_s = began_s if monitor.first_frame_s is None else monitor.first_frame_s
    all_there = "" if monitor.not_ready() else ": all nodes are there"
    console.print(f"frame 0 after {first_s - began_s:.1f} s{all_there}")


def _print_missing(monitor: Monitor, console: Console) -> None:
    """Print the nodes that were not ready at the first frame."""
    for name, message in monitor.not_ready().items():
        _notice(console, f"frame 0 came without {name}: {message}")


def _print_warnings(monitor: Monitor, console: Console) -> None:
    """Print the last warning of each node, which the live view shows for a moment only."""
    warnings = monitor.last_warnings()
    for name, message in list(warnings.items())[:MAX_WARNINGS]:
        _notice(console, f"{name}: last warning: {message}")
    if len(warnings) > MAX_WARNINGS:
        _notice(console, f"and {len(warnings) - MAX_WARNINGS} more nodes; see their logs")


def _print_recording_end(run: _Run) -> None:
    """Print that the path file of the scene has no further frame."""
    paths = run.scene.propagation.paths
    source = escape(paths.source) if paths is not None else ""
    early = f", before --duration {run.duration_s:g}" if run.duration_s is not None else ""
    run.console.print(
        f"the recording {source} ended after {run.scene.num_frames} frames{early}", soft_wrap=True
    )


def recording_is_over(scene: Scene, tracked_number: int, elapsed_s: float) -> bool:
    """Return whether all frames of the scene's path file are processed; False where it has none.

    tracked_number: number of the latest frame with tracks
    elapsed_s: time since the first frame, s, for tracks that never arrive
    """
    if scene.num_frames is None:
        return False
    last = scene.num_frames - 1
    return tracked_number >= last or elapsed_s > last / scene.update_rate_hz + LAST_TRACKS_WITHIN_S


def _finish_report(folder: Path, fault: Fault) -> Fault:
    """Complete the report from the checkpoints of an evaluator that was killed."""
    try:
        if recover_report(folder):
            clear_checkpoint(folder)
    except (OSError, ValueError) as error:
        return fault or f"the report is not complete: {error}"
    return fault


def _draw(scene: Scene, folder: Path, console: Console) -> None:
    """Draw the picture of the run; the report is complete without it."""
    record = folder / RECORD_FILE
    if not record.is_file():
        return
    try:
        if load_run_record(record).frame_number.size:
            draw_run(scene, folder)
    except Exception as error:  # any error of the drawing library
        _notice(console, f"{folder / PICTURE_FILE} is not drawn: {error or type(error).__name__}")


def _conclude(run: _Run, supervisor: Supervisor, folder: Path, fault: Fault) -> int:
    """Print the report, the nodes that ended, the fault and the files. Returns the exit code."""
    console = run.console
    has_summary = (folder / SUMMARY_FILE).is_file()
    if has_summary:
        try:
            print_summary(read_summary(folder), console)
        except ValueError as error:
            fault = fault or str(error)

    # nodes that ended during the run
    for event in supervisor.events:
        _notice(console, event)
    for crash in supervisor.given_up.values():
        console.print(f"last output of node {crash.name}:", style="bold", highlight=False)
        console.print(crash.last_output or "none", markup=False, highlight=False)

    # fault
    if not has_summary and fault is None and not run.stop.requested:
        fault = "the evaluator wrote no summary"
    if isinstance(fault, Crash):
        console.print(
            f"[bold red]error:[/] node {fault.name} ended by itself with exit code "
            f"{fault.exit_code}; its last output:"
        )
        console.print(fault.last_output or "none", markup=False, highlight=False)
    elif fault is not None:
        console.print(f"[bold red]error:[/] {escape(fault)}", soft_wrap=True)
    elif not has_summary:
        console.print("ended before there was anything to report")

    # files
    names = (PICTURE_FILE, SUMMARY_FILE, RECORD_FILE)
    files = [name for name in names if (folder / name).is_file()]
    console.print(f"files: {folder} ({', '.join([*files, 'logs/'])})", markup=False, soft_wrap=True)
    return 0 if fault is None and not supervisor.given_up else 1
