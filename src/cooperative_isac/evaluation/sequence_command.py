"""`isac evaluate SCENE --sequence N`: consecutive frames through schemes and tracker, as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.command import (
    fail,
    figures_table,
    frame_progress,
    refuse_results_file,
    scene_power_dbm,
    write_results,
)
from cooperative_isac.evaluation.monte_carlo import SchemeFailure
from cooperative_isac.evaluation.sequence import ENOUGH_LINKS, SequenceFigures, measure_sequence
from cooperative_isac.output.console import make_console
from cooperative_isac.pipeline import frame_count
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.scene.model import Scene


@dataclass(frozen=True)
class SequenceResult:
    """All figures at one transmit power."""

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
    """Measure schemes on consecutive frames at each power [dBm]; print tables, write results.

    num_frames: at most those of the scene's path file; all of them when None
    seed: of symbols, users and noise; the scene's when None
    """
    refuse_results_file(json_path)
    scene = scene if seed is None else replace(scene, seed=seed)
    powers = list(dict.fromkeys(power_dbm or [scene_power_dbm(scene)]))
    names = list(dict.fromkeys(schemes))
    count = frame_count(scene, num_frames)
    file = scene.propagation.paths
    if file is not None and num_frames is not None and count < num_frames:
        make_console(stderr=True).print(
            f"{file.source} has {count} frames: the sequence ends with them",
            markup=False,
        )
    try:
        with frame_progress(scene, len(powers) * count) as on_frame:
            results = measure(scene, names, powers, count, on_frame)
    except SchemeFailure as failure:
        fail(str(failure))
    # Written before they are shown: whoever reads the table may leave early
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
    """Figures of schemes at each power.

    on_frame is called after each frame. Raises SchemeFailure: names the scheme that failed.
    """
    results = []
    for power in powers_dbm:
        figures = measure_sequence(with_power(scene, power), schemes, num_frames, on_frame)
        results.append(SequenceResult(power, figures))
    return results


def results_dict(scene: Scene, results: Sequence[SequenceResult], num_frames: int) -> dict:
    """The results file: schemes.<name>.<power>; null where there is nothing to measure."""
    schemes = {
        name: {f"{result.power_dbm:g}": _finite(asdict(result.schemes[name])) for result in results}
        for name in results[0].schemes
    }
    file = scene.propagation.paths
    return {
        "scene": scene.name,
        "scene_fingerprint": scene.fingerprint,
        "simulated": True,
        "sequence": True,
        "frames": num_frames,
        "seed": scene.seed,
        "paths": file and file.source,
        "path_kinds": file and list(scene.propagation.path_kinds),
        "schemes": schemes,
    }


def show(
    scene: Scene, results: Sequence[SequenceResult], num_frames: int, console: Console
) -> None:
    """Print what was found and what was tracked."""
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
    if scene.propagation.paths is not None:
        console.print(visible_table(results))
    console.print(track_table(results))


def found_table(results: Sequence[SequenceResult]) -> Table:
    """Detections beside the truth."""
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
            *map(_percent, (figures.found_near, figures.found, figures.found_held)),
            f"{figures.false_per_frame:.3f}",
            _number(figures.median_location_m),
            _number(figures.median_velocity_mps),
            f"{figures.uplink_bits:,.0f}",
        )
    return table


def visible_table(results: Sequence[SequenceResult]) -> Table:
    """The same for targets that enough pairs of sites see."""
    table = figures_table(
        f"targets in frames with direct paths over at least {ENOUGH_LINKS} pairs of sites: their "
        "share, and of them with a detection within 1 m, 3 m",
        ("share", "1 m", "3 m"),
    )
    for power, name, figures in _rows(results):
        shares = figures.visible, figures.found_near_visible, figures.found_visible
        table.add_row(power, name, *map(_percent, shares))
    return table


def track_table(results: Sequence[SequenceResult]) -> Table:
    """Tracks beside the truth."""
    targets = list(
        dict.fromkeys(target for _, _, figures in _rows(results) for target in figures.continuity)
    )
    table = figures_table(
        "tracks: continuity of each target", (*targets, "identity\nswitches", "false\ntracks")
    )
    for power, name, figures in _rows(results):
        table.add_row(
            power,
            name,
            *(_number(figures.continuity.get(target)) for target in targets),
            str(figures.identity_switches),
            str(figures.false_tracks),
        )
    return table


def _rows(results: Sequence[SequenceResult]) -> list[tuple[str, str, SequenceFigures]]:
    return [
        (f"{result.power_dbm:g}", name, figures)
        for result in results
        for name, figures in result.schemes.items()
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _finite(figures: dict) -> dict:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }
