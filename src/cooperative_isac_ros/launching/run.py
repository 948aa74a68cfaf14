"""`isac run`: a whole scene of nodes, started, shown and ended."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
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
from cooperative_isac_ros.launching.startup import start_ros
from cooperative_isac_ros.launching.supervision import RespawnPolicy, Supervisor
from cooperative_isac_ros.processes.fork_server import ForkServer, ForkServerLost, taken_fork_server
from cooperative_isac_ros.processes.group import Crash, ProcessGroup
from cooperative_isac_ros.processes.interrupts import StopRequest, stop_request
from cooperative_isac_ros.processes.shared_memory import clean_shared_memory

FIRST_FRAME_WITHIN_S = 90.0
# Wait for tracks after the last frame of a recording: far more than a frame takes to become tracks.
LAST_TRACKS_WITHIN_S = 3.0
REFRESH_S = 0.5
# [s] After frame 0, within which every node that is ready has said so: it reports once a second.
REPORTS_WITHIN_S = 2.5
# Nodes whose last warning is printed at the end of a run.
MOST_WARNINGS = 8
# The name of the command's own keys, where SROS 2 is on.
MONITOR_ENCLAVE = ("--enclave", f"/{MONITOR_NAME}")


def run_scene(
    scene: Scene,
    options: GraphOptions,
    duration_s: float | None,
    console: Console,
    policy: RespawnPolicy = RespawnPolicy(),
) -> int:
    """Run a scene until duration_s after frame 0, its path file's end, or Ctrl-C; the exit code.

    0: a report, and every node that ended came back; 1: an error, or a node that was given up.
    """
    server = _server_for(scene, options.scheme or scene.sensing.scheme)
    fault = ros_fault(*MONITOR_ENCLAVE, node=MONITOR_NAME)
    if fault is not None:
        console.print(f"[bold red]error:[/] ROS 2 does not start: {escape(fault)}", soft_wrap=True)
        return 1
    folder = Path(options.out).resolve()

    # What earlier runs left
    logs = folder / "logs"
    state = logs / "state"
    logs.mkdir(parents=True, exist_ok=True)
    clear_checkpoint(folder)
    for name in (SUMMARY_FILE, RECORD_FILE, PICTURE_FILE):
        (folder / name).unlink(missing_ok=True)
    cleaned = clean_shared_memory()
    if cleaned.num_bytes:
        console.print(
            f"{cleaned.num_bytes * 1e-6:.0f} MB of shared memory of killed nodes are cleaned"
        )

    options = replace(options, out=str(folder), state=str(state), run=secrets.randbits(63))
    specs = scene_nodes(scene, options)
    period_s = 1 / (options.rate_hz or scene.update_rate_hz)
    console.print(
        f"scene [bold]{scene.name}[/]: {len(specs)} nodes, Ctrl-C ends them; "
        f"files go to {escape(str(folder))}",
        soft_wrap=True,
    )
    with stop_request() as stop, ProcessGroup(logs, server) as group:
        stop.allow(None)
        # Before frame 0 there is nothing to save: all nodes end at once, also while this process is
        # still starting them.
        stop.on_request(group.interrupt)
        supervisor = Supervisor(group, specs, policy, partial(_notice, console), period_s=period_s)
        fault = _start_and_watch(
            group, specs, supervisor, scene, options.namespace, duration_s, console, stop
        )
        group.stop([specs[-1].full_name])
        time.sleep(min(period_s, 1.0))
        # Ctrl-C may reach a node that is just being started, too.
        if not stop.requested:
            fault = fault or group.crashed()
        group.stop()
        fault = _finish_report(folder, fault)
        _draw(scheme_scene(options.scheme or scene.sensing.scheme, scene), folder, console)
        return _conclude(fault, supervisor, folder, console, stop)


def _server_for(scene: Scene, scheme: str) -> ForkServer | None:
    """The server of this process, which loads a scene and its schemes for all nodes."""
    server = taken_fork_server()
    if server is not None:
        with suppress(ForkServerLost):
            server.prepare(scheme, str(Path(scene.source).resolve()))
    return server


def _notice(console: Console, text: str) -> None:
    console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _start_and_watch(
    group: ProcessGroup,
    specs: Sequence[NodeSpec],
    supervisor: Supervisor,
    scene: Scene,
    namespace: str,
    duration_s: float | None,
    console: Console,
    stop: StopRequest,
) -> Crash | str | None:
    """Until the scene is over or is to end; what went wrong, if anything."""
    for spec in specs:
        if not stop.requested:
            group.start(spec)
    names = [spec.full_name for spec in specs]
    fault = _watch(supervisor, scene, namespace, names, duration_s, console, stop)
    if stop.requested:
        console.print("ending the scene")
    return fault


def _watch(
    supervisor: Supervisor,
    scene: Scene,
    namespace: str,
    names: Sequence[str],
    duration_s: float | None,
    console: Console,
    stop: StopRequest,
) -> Crash | str | None:
    """Show the scene until it is over; what went wrong, if anything."""
    start_ros(["--ros-args", *MONITOR_ENCLAVE], SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    monitor = Monitor(namespace, names)
    executor.add_node(monitor)
    began_s = shown_s = time.monotonic()
    announced = False
    said_missing = False
    try:
        with Live(
            monitor.view(duration_s), console=console, auto_refresh=False, transient=True
        ) as live:
            while duration_s is None or monitor.elapsed_s < duration_s:
                executor.spin_once(timeout_sec=0.1)
                monitor.step()
                if stop.requested:
                    return None
                crash = supervisor.check(monitor)
                if crash is not None:
                    return crash
                paths = scene.propagation.paths
                if paths is not None and recording_is_over(
                    scene, monitor.tracked_number, monitor.elapsed_s
                ):
                    early = f", before --duration {duration_s:g}" if duration_s is not None else ""
                    source = escape(paths.source)
                    console.print(
                        f"the recording {source} ended after {scene.num_frames} frames{early}",
                        soft_wrap=True,
                    )
                    return None
                if (
                    monitor.first_frame_s is None
                    and time.monotonic() - began_s > FIRST_FRAME_WITHIN_S
                ):
                    return f"no frame was announced within {FIRST_FRAME_WITHIN_S:g} s"
                if monitor.first_frame_s is not None and not announced:
                    announced = True
                    stop.on_request(None)
                    os.nice(OBSERVER_NICE)
                    _say_begin(monitor, began_s, console)
                elif not said_missing and monitor.elapsed_s > REPORTS_WITHIN_S:
                    said_missing = True
                    _say_missing(monitor, console)
                if time.monotonic() - shown_s > REFRESH_S:
                    shown_s = time.monotonic()
                    live.update(monitor.view(duration_s), refresh=True)
    finally:
        _say_warnings(monitor, console)
        executor.shutdown()
        monitor.destroy_node()
        rclpy.try_shutdown()
    return None


def _say_begin(monitor: Monitor, began_s: float, console: Console) -> None:
    """The line of frame 0."""
    first_s = began_s if monitor.first_frame_s is None else monitor.first_frame_s
    all_there = "" if monitor.not_ready() else ": all nodes are there"
    console.print(f"frame 0 after {first_s - began_s:.1f} s{all_there}")


def _say_missing(monitor: Monitor, console: Console) -> None:
    """A line for each node that was not ready at frame 0, which came without it."""
    for name, why in monitor.not_ready().items():
        _notice(console, f"frame 0 came without {name}: {why}")


def _say_warnings(monitor: Monitor, console: Console) -> None:
    """What nodes warned of during the run, which the live picture shows for a moment only."""
    warnings = monitor.last_warnings()
    for name, why in list(warnings.items())[:MOST_WARNINGS]:
        _notice(console, f"{name} warned last: {why}")
    if len(warnings) > MOST_WARNINGS:
        _notice(console, f"and {len(warnings) - MOST_WARNINGS} nodes more; see their logs")


def recording_is_over(scene: Scene, tracked_number: int, elapsed_s: float) -> bool:
    """Whether all frames of the scene's path file have been worked on.

    tracked_number: latest frame with tracks
    elapsed_s: time since frame 0, s, for tracks that never come
    """
    if scene.num_frames is None:
        return False
    last = scene.num_frames - 1
    return tracked_number >= last or elapsed_s > last / scene.update_rate_hz + LAST_TRACKS_WITHIN_S


def _finish_report(folder: Path, fault: Crash | str | None) -> Crash | str | None:
    """Complete the report of an evaluator that did not; what is wrong, if anything."""
    try:
        if recover_report(folder):
            clear_checkpoint(folder)
    except (OSError, ValueError) as error:
        return fault or f"the report is not complete: {error}"
    return fault


def _draw(scene: Scene, folder: Path, console: Console) -> None:
    """The picture; without it the rest of the report still comes."""
    record = folder / RECORD_FILE
    if not record.is_file():
        return
    try:
        if load_run_record(record).frame_number.size:
            draw_run(scene, folder)
    except Exception as error:  # whatever a drawing library raises
        _notice(console, f"{folder / PICTURE_FILE} is not drawn: {error or type(error).__name__}")


def _conclude(
    fault: Crash | str | None,
    supervisor: Supervisor,
    folder: Path,
    console: Console,
    stop: StopRequest,
) -> int:
    reported = (folder / SUMMARY_FILE).is_file()
    if reported:
        try:
            print_summary(read_summary(folder), console)
        except ValueError as error:
            fault = fault or str(error)

    # Nodes that ended on the way
    for event in supervisor.events:
        _notice(console, event)
    for crash in supervisor.given_up.values():
        console.print(f"node {crash.name} said last", style="bold", highlight=False)
        console.print(crash.last_output or "nothing", markup=False, highlight=False)

    if isinstance(fault, Crash):
        console.print(
            f"[bold red]error:[/] node {fault.name} ended by itself with exit code "
            f"{fault.exit_code}; it said"
        )
        console.print(fault.last_output or "nothing", markup=False, highlight=False)
    elif fault is not None:
        console.print(f"[bold red]error:[/] {escape(fault)}", soft_wrap=True)
    elif not reported and stop.requested:
        console.print("ended before there was anything to report")
    elif not reported:
        fault = "the evaluator wrote no summary"
        console.print(f"[bold red]error:[/] {fault}")
    made = [name for name in (PICTURE_FILE, SUMMARY_FILE, RECORD_FILE) if (folder / name).is_file()]
    console.print(f"files: {folder} ({', '.join([*made, 'logs/'])})", markup=False, soft_wrap=True)
    return 0 if fault is None and not supervisor.given_up else 1
