"""`isac evaluate SCENE --sequence N`: detections and tracks of schemes on consecutive frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.command import (
    fail,
    frame_progress,
    refuse_results_file,
    scene_power_dbm,
    write_results,
)
from cooperative_isac.evaluation.monte_carlo import SchemeFailure
from cooperative_isac.evaluation.sequence import ENOUGH_LINKS, SequenceFigures, measure_sequence
from cooperative_isac.evaluation.tables import (
    QualityRow,
    figures_dict,
    figures_table,
    number_text,
    percent_text,
    show_quality,
)
from cooperative_isac.output.console import make_console
from cooperative_isac.pipeline import frame_count
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.model import Scene


@dataclass(frozen=True)
class SequenceResult:
    """All figures at one transmit power, by name of the scheme."""

    power_dbm: float
    schemes: Mapping[str, SequenceFigures]


def evaluate_sequence(
    scene: Scene,
    schemes: list[str],
    num_frames: int | None,
    seed: int | None,
    power_dbm: list[float] | None,
    json_path: Path | None,
) -> None:
    """Evaluate schemes on consecutive frames at each power, print tables, write results.

    schemes: names of schemes
    num_frames: number of frames, limited by the path file; None: all frames of the path file
    seed: seed of symbols, users and noise; None: the seed of the scene
    power_dbm: transmit powers, dBm; None: the power of the scene
    json_path: results file; None: no file
    """
    refuse_results_file(json_path)

    # What is measured.
    if seed is not None:
        scene = replace(scene, seed=seed)
    powers_dbm = list(dict.fromkeys(power_dbm or [scene_power_dbm(scene)]))
    names = list(dict.fromkeys(schemes))
    count = frame_count(scene, num_frames)
    path_file = scene.propagation.paths
    if path_file is not None and num_frames is not None and count < num_frames:
        make_console(stderr=True).print(
            f"{path_file.source} has {count} frames: the sequence ends with them",
            markup=False,
        )

    try:
        with frame_progress(scene, len(powers_dbm) * count) as on_frame:
            results = measure(scene, names, powers_dbm, count, on_frame)
    except SchemeFailure as failure:
        fail(str(failure))

    # The file is written first: a reader of the printed table may close the pipe early.
    fault = write_results(json_path, results_dict(scene, results, count))
    show(scene, results, count, make_console())
    if fault is not None:
        fail(fault)


def measure(
    scene: Scene,
    schemes: Sequence[str],
    powers_dbm: Sequence[float],
    num_frames: int,
    on_frame: Callable[[], None] = lambda: None,
) -> list[SequenceResult]:
    """Evaluate schemes at each power.

    on_frame: called after each frame

    Raises SchemeFailure: a scheme failed; the message names it
    """
    results = []
    for power in powers_dbm:
        figures = measure_sequence(with_power(scene, power), schemes, num_frames, on_frame)
        results.append(SequenceResult(power, figures))
    return results


def results_dict(scene: Scene, results: Sequence[SequenceResult], num_frames: int) -> dict:
    """Content of the results file: schemes.<name>.<power>. Figures without samples are None."""
    schemes = {
        name: {f"{result.power_dbm:g}": figures_dict(result.schemes[name]) for result in results}
        for name in results[0].schemes
    }
    path_file = scene.propagation.paths
    return {
        "scene": scene.name,
        "scene_fingerprint": scene.fingerprint,
        "simulated": True,
        "sequence": True,
        "frames": num_frames,
        "seed": scene.seed,
        "paths": path_file and path_file.source,
        "path_kinds": path_file and list(scene.propagation.path_kinds),
        "schemes": schemes,
    }


def show(
    scene: Scene, results: Sequence[SequenceResult], num_frames: int, console: Console
) -> None:
    """Print the tables of detections, of tracks and of sensing quality."""
    console.print(
        f"\n[bold]{scene.name}[/]: {num_frames} consecutive simulated frames, seed {scene.seed}",
        highlight=False,
    )
    if scene.propagation.paths is not None:
        console.print(
            f"paths: {scene.propagation.paths.source}, {', '.join(scene.propagation.path_kinds)}",
            markup=False,
            highlight=False,
        )
    console.print(found_table(results))
    if scene.has_radio_link:
        console.print(packet_table(results))
    if scene.propagation.paths is not None:
        console.print(visible_table(results))
    console.print(track_table(results))
    rows = [QualityRow(power, name, figures.quality) for power, name, figures in _rows(results)]
    show_quality(rows, "tracks", console)


def found_table(results: Sequence[SequenceResult]) -> Table:
    """Table of the detections beside the truth."""
    table = figures_table(
        "detections: share of targets in frames with one within 1 m, 3 m, and the continuity "
        "threshold",
        (
            "1 m",
            "3 m",
            "thres-\nhold",
            "false a\nframe",
            "loc.\nmedian\n(m)",
            "vel.\nmedian\n(m/s)",
            "bits\nup",
        ),
    )
    for power, name, figures in _rows(results):
        table.add_row(
            power,
            name,
            percent_text(figures.found_near),
            percent_text(figures.found),
            percent_text(figures.found_held),
            f"{figures.false_per_frame:.3f}",
            number_text(figures.median_location_m),
            number_text(figures.median_velocity_mps),
            f"{figures.uplink_bits:,.0f}",
        )
    return table


def packet_table(results: Sequence[SequenceResult]) -> Table:
    """Table of the packets and results that do not arrive, and of the stations that fuse."""
    headers = ("not\ndelivered", "frames fused at", "results\nkept", "in a row")
    table = figures_table("packets of UEs by radio", headers)
    for power, name, figures in _rows(results):
        stations = [f"{station} {count}" for station, count in sorted(figures.fused_at.items())]
        kept = (str(figures.kept), str(figures.longest_kept))
        table.add_row(power, name, str(figures.undelivered), ", ".join(stations), *kept)
    return table


def visible_table(results: Sequence[SequenceResult]) -> Table:
    """Table of the detections of targets with direct paths over enough links."""
    table = figures_table(
        f"targets in frames with direct paths over at least {ENOUGH_LINKS} links: their share, "
        "and of them with a detection within 1 m, 3 m",
        ("share", "1 m", "3 m"),
    )
    for power, name, figures in _rows(results):
        table.add_row(
            power,
            name,
            percent_text(figures.visible),
            percent_text(figures.found_near_visible),
            percent_text(figures.found_visible),
        )
    return table


def track_table(results: Sequence[SequenceResult]) -> Table:
    """Table of the tracks beside the truth, with a column for the continuity of each target."""
    rows = _rows(results)
    targets = list(dict.fromkeys(target for _, _, figures in rows for target in figures.continuity))
    headers = (*targets, "identity\nswitches", "false\ntracks")
    table = figures_table("tracks: continuity of each target", headers)
    for power, name, figures in rows:
        continuities = [number_text(figures.continuity.get(target)) for target in targets]
        switches = str(figures.identity_switches)
        table.add_row(power, name, *continuities, switches, str(figures.false_tracks))
    return table


def _rows(results: Sequence[SequenceResult]) -> list[tuple[str, str, SequenceFigures]]:
    """Power, name of the scheme and figures of each row of a table."""
    return [
        (f"{result.power_dbm:g}", name, figures)
        for result in results
        for name, figures in result.schemes.items()
    ]
