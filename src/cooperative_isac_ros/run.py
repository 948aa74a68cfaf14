"""`isac run`: a whole scene of nodes, started, shown and ended."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cooperative_isac.evaluation.run_record import load_run_record
from cooperative_isac.scene.model import Scene
from cooperative_isac_ros.graph import GraphOptions, NodeSpec, scene_nodes
from cooperative_isac_ros.interrupts import first_interrupt_only, ignore_interrupts
from cooperative_isac_ros.monitor import Monitor
from cooperative_isac_ros.processes import Crash, ProcessGroup

FIRST_FRAME_WITHIN_S = 90.0
REFRESH_S = 0.5
SUMMARY_FILE, RECORD_FILE, PICTURE_FILE = "summary.json", "run.npz", "scene.png"


def run_scene(scene: Scene, options: GraphOptions, duration_s: float | None, console: Console) -> int:
    """Run a scene until duration_s after its first frame, or until Ctrl-C; the exit code."""
    folder = Path(options.out).resolve()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for name in (SUMMARY_FILE, RECORD_FILE, PICTURE_FILE):
        (folder / name).unlink(missing_ok=True)
    specs = scene_nodes(scene, replace(options, out=str(folder)))
    console.print(f"scene [bold]{scene.name}[/]: {len(specs)} nodes, Ctrl-C ends them; files go to {folder}")
    with first_interrupt_only(), ProcessGroup(logs) as group:
        fault = _start_and_watch(group, specs, options.namespace, duration_s, console)
        group.stop([specs[-1].full_name])
        time.sleep(min(1 / (options.rate_hz or scene.update_rate_hz), 1.0))
        fault = fault or group.crashed()
        group.stop()
        draw_run(scene, folder)
        return _conclude(fault, folder, console)


def draw_run(scene: Scene, folder: Path) -> None:
    """Draw what the evaluator recorded, if it did, as scene.png."""
    from cooperative_isac.evaluation.scene_picture import draw_scene_picture  # matplotlib takes a second to load

    if (folder / RECORD_FILE).is_file():
        draw_scene_picture(scene, load_run_record(folder / RECORD_FILE), folder / PICTURE_FILE)


def _start_and_watch(group: ProcessGroup, specs: Sequence[NodeSpec], namespace: str,
                     duration_s: float | None, console: Console) -> Crash | str | None:
    """Until the scene is over; what went wrong, if anything. Nothing interrupts what comes then."""
    try:
        for spec in specs:
            group.start(spec)
        fault = _watch(group, namespace, duration_s, console)
        ignore_interrupts()
        return fault
    except KeyboardInterrupt:
        console.print("ending the scene")
        return None


def _watch(group: ProcessGroup, namespace: str, duration_s: float | None,
           console: Console) -> Crash | str | None:
    """Show the scene until it is over; what went wrong, if anything."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    monitor = Monitor(namespace)
    executor.add_node(monitor)
    began_s = shown_s = time.monotonic()
    announced = False
    try:
        with Live(monitor.view(duration_s), console=console, auto_refresh=False, transient=True) as live:
            while duration_s is None or monitor.elapsed_s < duration_s:
                executor.spin_once(timeout_sec=0.1)
                crash = group.crashed()
                if crash is not None:
                    return crash
                if monitor.first_frame_s is None and time.monotonic() - began_s > FIRST_FRAME_WITHIN_S:
                    return f"no frame was announced within {FIRST_FRAME_WITHIN_S:g} s"
                if monitor.first_frame_s is not None and not announced:
                    announced = True
                    console.print(
                        f"frame 0 after {monitor.first_frame_s - began_s:.1f} s: all nodes are there")
                if time.monotonic() - shown_s > REFRESH_S:
                    shown_s = time.monotonic()
                    live.update(monitor.view(duration_s), refresh=True)
    finally:
        executor.shutdown()
        monitor.destroy_node()
        rclpy.try_shutdown()
    return None


def _conclude(fault: Crash | str | None, folder: Path, console: Console) -> int:
    summary_file = folder / SUMMARY_FILE
    if summary_file.is_file():
        print_summary(json.loads(summary_file.read_text(encoding="utf-8")), console)
    if isinstance(fault, Crash):
        console.print(
            f"[bold red]error:[/] node {fault.name} ended by itself with exit code {fault.exit_code}; it said"
        )
        console.print(fault.last_output or "nothing", markup=False, highlight=False)
    elif fault is not None:
        console.print(f"[bold red]error:[/] {fault}")
    elif not summary_file.is_file():
        fault = "the evaluator wrote no summary"
        console.print(f"[bold red]error:[/] {fault}")
    made = [name for name in (PICTURE_FILE, SUMMARY_FILE, RECORD_FILE) if (folder / name).is_file()]
    console.print(f"files: {folder} ({', '.join([*made, 'logs/'])})")
    return 0 if fault is None else 1


def print_summary(summary: dict, console: Console) -> None:
    """Print what summary.json holds."""
    targets = Table("target", "continuity", "RMSE [m]", "identity switches", title=f"{summary['scene']}, "
                    f"scheme {summary['scheme']}", title_justify="left")
    for name, score in summary["targets"].items():
        targets.add_row(name, _number(score["continuity"], 3), _number(score["rmse_m"], 3),
                        str(score["identity_switches"]))
    console.print(targets)
    uplink = ", ".join(f"{site} {_number(bits and bits * 1e-3, 1)}"
                       for site, bits in summary["fronthaul_bits_per_s"].items())
    latency = summary["latency_ms"]
    rows = [
        ("frames", f"{summary['frames']}, late {summary['frames_late']}, lost {summary['frames_lost']}"),
        ("false confirmed tracks", str(summary["false_tracks"])),
        ("rms error / root CRLB", f"location {_number(summary['error_to_bound_location'], 2)}, velocity "
         f"{_number(summary['error_to_bound_velocity'], 2)} ({summary['error_to_bound_samples']} samples)"),
        ("fronthaul up [kbit/s]", uplink or "-"),
        ("fronthaul down [kbit/s]", _number(_kilo(summary["fronthaul_downlink_bits_per_s"]), 1)),
        *((f"{stage.replace('_', ' ')} [ms]", f"median {_number(latency[stage]['p50'], 1)}, "
           f"99 % {_number(latency[stage]['p99'], 1)}") for stage in latency)
    ]
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _kilo(value: float | None) -> float | None:
    return None if value is None else value * 1e-3


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
