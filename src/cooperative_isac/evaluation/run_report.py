"""The report of a run: its summary as a table, its record as a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cooperative_isac.evaluation import summary_file
from cooperative_isac.evaluation.checkpoint import recover_report
from cooperative_isac.evaluation.run_record import RECORD_FILE, load_run_record
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.output.files import check_file
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene

PICTURE_FILE = "scene.png"
LARGE = 1e12  # figures from here on are shown with an exponent


def show_report(folder: Path, scene_file: str | None, console: Console) -> None:
    """Print the table of a finished run and draw its picture anew; ValueError names what the folder
    lacks.
    """
    summary = read_summary(folder)
    recover_report(folder)
    print_summary(summary, console)

    # The picture, which needs more than the table does
    scene = recorded_scene(summary["scene"], summary["scene_fingerprint"], scene_file, folder)
    try:
        scene = scheme_scene(summary["scheme"], scene)
    except ValueError as error:
        raise ValueError(f"{folder / SUMMARY_FILE}: {error}") from None
    check_file(folder / PICTURE_FILE)
    draw_run(scene, folder)
    picture = f"picture: {folder / PICTURE_FILE}"
    console.print(picture, markup=False, highlight=False, soft_wrap=True)


def read_summary(folder: Path) -> dict:
    """What the evaluator reported; ValueError when it is not there or means nothing."""
    return summary_file.read_summary(folder / SUMMARY_FILE)


def recorded_scene(name: str, fingerprint: str, scene_file: str | None, recording: Path) -> Scene:
    """The scene of a run: a given file, or the shipped one of its name; ValueError when that is
    another.
    """
    remedy = "name the scene file with --scene"
    try:
        scene = load_scene(scene_file or name)
    except ValueError as error:
        raise ValueError(f"{error}" if scene_file else f"{error}; {remedy}") from None
    if scene.fingerprint != fingerprint:
        raise ValueError(
            f"{recording} was recorded with scene '{name}' ({fingerprint}), but '{scene.name}' "
            f"is {scene.fingerprint}; {remedy}"
        )
    return scene


def draw_run(scene: Scene, folder: Path) -> None:
    """Draw what the evaluator recorded as scene.png."""
    from cooperative_isac.evaluation.scene_picture import (
        draw_scene_picture,
    )  # takes a second to load

    draw_scene_picture(scene, load_run_record(folder / RECORD_FILE), folder / PICTURE_FILE)


def print_summary(summary: dict, console: Console) -> None:
    """Print what summary.json holds."""
    # What was tracked
    title = Text(f"{summary['scene']}, scheme {summary['scheme']}")
    targets = Table(
        "target",
        "continuity",
        "RMSE (m)",
        "identity switches",
        title=title,
        title_justify="left",
    )
    for name, score in summary["targets"].items():
        targets.add_row(
            Text(name),
            _number(score["continuity"], 3),
            _number(score["rmse_m"], 3),
            str(score["identity_switches"]),
        )
    console.print(targets)

    # What it took
    over_bound = (
        f"location {_number(summary['error_to_bound_location'], 2)}, "
        f"velocity {_number(summary['error_to_bound_velocity'], 2)} "
        f"({summary['error_to_bound_samples']} samples)"
    )
    uplink = ", ".join(
        f"{site} {_number(_kilo(bits), 1)}"
        for site, bits in summary["fronthaul_bits_per_s"].items()
    )
    rows = [
        ("frames", _frames(summary)),
        ("false confirmed tracks", str(summary["false_tracks"])),
        ("rms error / root CRLB", over_bound),
        ("fronthaul up (kbit/s)", uplink or "-"),
        ("fronthaul down (kbit/s)", _number(_kilo(summary["fronthaul_downlink_bits_per_s"]), 1)),
    ]
    for stage, times in summary["latency_ms"].items():
        text = f"median {_number(times['p50'], 1)}, 99 % {_number(times['p99'], 1)}"
        rows.append((f"{stage.replace('_', ' ')} (ms)", text))
    rows += [
        ("not compared", f"{name}: {reason}")
        for name, reason in summary.get("targets_not_compared", {}).items()
    ]
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*map(Text, row))
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
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if abs(value) < LARGE else f"{value:.3g}"
