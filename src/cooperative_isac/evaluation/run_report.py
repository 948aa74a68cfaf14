"""Report of a run: the summary as a table, the record as a picture."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cooperative_isac.evaluation import summary_file
from cooperative_isac.evaluation.checkpoint import recover_report
from cooperative_isac.evaluation.run_ledger import lateness
from cooperative_isac.evaluation.run_record import RECORD_FILE, load_run_record
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE
from cooperative_isac.evaluation.tables import (
    category_text,
    not_compared_text,
    percent_text,
    samples_text,
)
from cooperative_isac.evaluation.truth_log import missing_frames
from cooperative_isac.metrics.requirements import reported_quality
from cooperative_isac.output.files import check_file
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene

PICTURE_FILE = "scene.png"
# Numbers from this value on are printed with an exponent, as they are too long for a column.
LARGE = 1e12


def show_report(folder: Path, scene_file: str | None, console: Console) -> None:
    """Print the summary of a run that has ended, and redraw its picture.

    Raises ValueError: the folder lacks a file, or the scene is another one
    """
    summary = read_summary(folder)
    recover_report(folder)
    print_summary(summary, console)

    # The picture needs the scene file, which the table does not.
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
    """Read the summary of a run. Raises ValueError if it is missing or damaged."""
    return summary_file.read_summary(folder / SUMMARY_FILE)


def recorded_scene(name: str, fingerprint: str, scene_file: str | None, recording: Path) -> Scene:
    """Load the scene of a recorded run: the given file, or the shipped scene of that name.

    name: name of the recorded scene
    fingerprint: fingerprint of the recorded scene
    scene_file: scene file; None: the shipped scene
    recording: folder of the run or bag, for the error message

    Raises ValueError: there is no such scene, or its fingerprint differs
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
    """Draw the record of a run as scene.png in its folder."""
    # Imported here, as matplotlib takes a second to load.
    from cooperative_isac.evaluation.scene_picture import draw_scene_picture

    record = load_run_record(folder / RECORD_FILE)
    draw_scene_picture(scene, record, folder / PICTURE_FILE)


def print_summary(summary: dict, console: Console) -> None:
    """Print the content of summary.json."""
    # Accuracy of the tracks.
    title = Text(f"{summary['scene']}, scheme {summary['scheme']}")
    targets = Table(
        "target",
        "frames compared",
        "continuity",
        "RMSE (m)",
        "identity switches",
        title=title,
        title_justify="left",
    )
    for name, score in summary["targets"].items():
        targets.add_row(
            Text(name),
            str(score.get("frames", "-")),
            _number(score["continuity"], 3),
            _number(score["rmse_m"], 3),
            str(score["identity_switches"]),
        )
    console.print(targets)

    # Frames, ratio to the bound, fronthaul and latency.
    over_bound = (
        f"location {_number(summary['error_to_bound_location'], 2)}, "
        f"velocity {_number(summary['error_to_bound_velocity'], 2)} "
        f"({summary['error_to_bound_samples']} samples)"
    )
    uplink = ", ".join(
        f"{site} {_number(_kilo(bits_per_s), 1)}"
        for site, bits_per_s in summary["fronthaul_bits_per_s"].items()
    )
    downlink = _number(_kilo(summary["fronthaul_downlink_bits_per_s"]), 1)
    rows = [
        ("frames", _frames(summary)),
        ("false confirmed tracks", str(summary["false_tracks"])),
        ("rms error / root CRLB", over_bound),
        ("fronthaul up (kbit/s)", uplink or "-"),
        ("fronthaul down (kbit/s)", downlink),
    ]
    if summary.get("frames_fused_at"):
        stations = [f"{name} {count}" for name, count in summary["frames_fused_at"].items()]
        rows.append(("frames fused at", ", ".join(stations)))
        rows.append(("packets out of range", str(summary.get("packets_undelivered", 0))))
    for stage, times in summary["latency_ms"].items():
        text = f"median {_number(times['p50'], 1)}, 99 % {_number(times['p99'], 1)}"
        rows.append((f"{stage.replace('_', ' ')} (ms)", text))
    late = lateness(summary)
    if late is not None:
        rows.append(("not real time", late))
    missing = missing_frames(summary)
    if missing is not None:
        rows.append(("not compared", missing))
    rows += _quality_rows(summary)
    for name, reason in summary.get("targets_not_compared", {}).items():
        rows.append(("not compared", f"{name}: {reason}"))

    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _quality_rows(summary: dict) -> list[tuple[str, str]]:
    """Rows of the sensing quality; none for files of versions without it."""
    if summary.get("quality") is None:
        return []
    quality = reported_quality(summary["quality"])
    errors = (
        f"horizontal {_number(quality.horizontal_95_m, 3)} m, "
        f"{_number(quality.horizontal_95_mps, 3)} m/s"
    )
    if quality.vertical_95_m is not None:
        errors += (
            f"; vertical {_number(quality.vertical_95_m, 3)} m, "
            f"{_number(quality.vertical_95_mps, 3)} m/s"
        )
    shares = f"{percent_text(quality.missed_share)}, {percent_text(quality.false_share)}"
    return [
        ("errors (95th percentile)", errors),
        ("missed, false", shares),
        ("TS 22.137", category_text(quality)),
        ("samples", samples_text(quality)),
        ("limits not compared", not_compared_text(quality)),
    ]


def _frames(summary: dict) -> str:
    """Counts of frames; skipped and unseen frames are named only if there are any."""
    text = f"{summary['frames']}, late {summary['frames_late']}, lost {summary['frames_lost']}"
    if summary.get("frames_skipped"):
        text += f", skipped {summary['frames_skipped']}"
    if "frames_compared" in summary:
        text += f", compared {summary['frames_compared']}"
    if summary.get("frames_unseen"):
        text += f", unseen by the evaluator {summary['frames_unseen']}"
    return text


def _kilo(value: float | None) -> float | None:
    return None if value is None else value * 1e-3


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" if abs(value) < LARGE else f"{value:.3g}"
