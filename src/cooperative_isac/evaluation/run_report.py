"""The report of a run: its summary as a table, its record as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.checkpoint import recover_report
from cooperative_isac.evaluation.run_record import RECORD_FILE, load_run_record
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.scene.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene

PICTURE_FILE = "scene.png"

NEEDED = ("scene", "scene_fingerprint", "scheme", "targets", "frames", "frames_late", "frames_lost",
          "false_tracks", "error_to_bound_location", "error_to_bound_velocity", "error_to_bound_samples",
          "fronthaul_bits_per_s", "fronthaul_downlink_bits_per_s", "latency_ms")


def show_report(folder: Path, scene_file: str | None, console: Console) -> None:
    """Print the table of a finished run and draw its picture anew; ValueError names what the folder lacks."""
    summary = read_summary(folder)
    recover_report(folder)
    print_summary(summary, console)
    scene = recorded_scene(summary["scene"], summary["scene_fingerprint"], scene_file, folder)
    draw_run(scheme_scene(summary["scheme"], scene), folder)
    console.print(f"picture: {folder / PICTURE_FILE}", markup=False)


def read_summary(folder: Path) -> dict:
    """What the evaluator reported; ValueError when it is not there or means nothing."""
    path = folder / SUMMARY_FILE
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; name the folder of a run that has ended") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}; it is not the summary of a run") from None
    missing = [key for key in NEEDED if not isinstance(summary, dict) or key not in summary]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it is not the summary of a run")
    return summary


def recorded_scene(name: str, fingerprint: str, scene_file: str | None, recording: Path) -> Scene:
    """The scene of a run: a given file, or the shipped one of its name; ValueError when that is another."""
    remedy = "name the scene file with --scene"
    try:
        scene = load_scene(scene_file or name)
    except ValueError as error:
        raise ValueError(f"{error}" if scene_file else f"{error}; {remedy}") from None
    if scene.fingerprint != fingerprint:
        raise ValueError(f"{recording} was recorded with scene '{name}' ({fingerprint}), but '{scene.name}' "
                         f"is {scene.fingerprint}; {remedy}")
    return scene


def draw_run(scene: Scene, folder: Path) -> None:
    """Draw what the evaluator recorded as scene.png."""
    from cooperative_isac.evaluation.scene_picture import draw_scene_picture  # takes a second to load

    draw_scene_picture(scene, load_run_record(folder / RECORD_FILE), folder / PICTURE_FILE)


def print_summary(summary: dict, console: Console) -> None:
    """Print what summary.json holds."""
    targets = Table("target", "continuity", "RMSE (m)", "identity switches", title=f"{summary['scene']}, "
                    f"scheme {summary['scheme']}", title_justify="left")
    for name, score in summary["targets"].items():
        targets.add_row(name, _number(score["continuity"], 3), _number(score["rmse_m"], 3),
                        str(score["identity_switches"]))
    console.print(targets)
    uplink = ", ".join(f"{site} {_number(bits and bits * 1e-3, 1)}"
                       for site, bits in summary["fronthaul_bits_per_s"].items())
    latency = summary["latency_ms"]
    rows = [
        ("frames", _frames(summary)),
        ("false confirmed tracks", str(summary["false_tracks"])),
        ("rms error / root CRLB", f"location {_number(summary['error_to_bound_location'], 2)}, velocity "
         f"{_number(summary['error_to_bound_velocity'], 2)} ({summary['error_to_bound_samples']} samples)"),
        ("fronthaul up (kbit/s)", uplink or "-"),
        ("fronthaul down (kbit/s)", _number(_kilo(summary["fronthaul_downlink_bits_per_s"]), 1)),
        *((f"{stage.replace('_', ' ')} (ms)", f"median {_number(latency[stage]['p50'], 1)}, "
           f"99 % {_number(latency[stage]['p99'], 1)}") for stage in latency)
    ]
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _frames(summary: dict) -> str:
    """Counts of frames; what is rare only where it happened."""
    text = f"{summary['frames']}, late {summary['frames_late']}, lost {summary['frames_lost']}"
    if summary.get("frames_skipped"):
        text += f", skipped {summary['frames_skipped']}"
    if summary.get("frames_unseen"):
        text += f", unseen by the evaluator {summary['frames_unseen']}"
    return text


def _kilo(value: float | None) -> float | None:
    return None if value is None else value * 1e-3


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
