"""`isac evaluate`: accuracy and cost of schemes on independent frames, beside the CRLB."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from cooperative_isac.evaluation.figures import (
    BoundFigures,
    SchemeFigures,
    bound_figures,
    scheme_figures,
)
from cooperative_isac.evaluation.monte_carlo import FrameSample, SchemeFailure
from cooperative_isac.evaluation.summary_file import finite_or_none
from cooperative_isac.evaluation.tables import (
    QualityRow,
    figures_dict,
    figures_table,
    show_quality,
)
from cooperative_isac.evaluation.workers import measure_frames, num_processors
from cooperative_isac.output.console import make_console, make_progress
from cooperative_isac.output.files import OutputError, check_file, write_file
from cooperative_isac.scene.file.build import w_to_dbm
from cooperative_isac.scene.model import Scene

# Defaults for independent frames: enough frames for two digits of an RMSE in about a minute, and a
# seed that makes results repeatable.
DRAWN_FRAMES = 200
DRAWN_SEED = 1


@dataclass(frozen=True)
class PowerResult:
    """All figures at one transmit power.

    schemes: figures by name of the scheme
    sum_rate: bit/s/Hz, over all users, mean over the frames
    """

    power_dbm: float
    schemes: Mapping[str, SchemeFigures]
    bound: BoundFigures
    sum_rate: float


def evaluate(
    scene: Scene,
    schemes: list[str],
    num_frames: int,
    seed: int,
    power_dbm: list[float] | None,
    json_path: Path | None,
) -> None:
    """Evaluate schemes on the same random frames at each power, print tables, write results.

    schemes: names of schemes
    num_frames: number of frames at each power
    seed: seed of all random draws
    power_dbm: transmit powers, dBm; None: the power of the scene
    json_path: results file; None: no file
    """
    refuse_results_file(json_path)

    powers_dbm = list(dict.fromkeys(power_dbm or [scene_power_dbm(scene)]))
    names = list(dict.fromkeys(schemes))
    seeded = replace(scene, seed=seed)
    try:
        with frame_progress(seeded, len(powers_dbm) * num_frames) as on_frame:
            results = measure(seeded, names, powers_dbm, num_frames, num_processors(), on_frame)
    except SchemeFailure as failure:
        fail(str(failure))

    # The file is written first: a reader of the printed table may close the pipe early.
    fault = write_results(json_path, results_dict(scene, results, num_frames, seed))
    show(scene, results, num_frames, seed, make_console())
    if fault is not None:
        fail(fault)


def measure(
    scene: Scene,
    schemes: Sequence[str],
    powers_dbm: Sequence[float],
    num_frames: int,
    num_workers: int,
    on_frame: Callable[[], None] = lambda: None,
) -> list[PowerResult]:
    """Evaluate schemes at each power. The scene holds the random seed.

    num_workers: largest number of worker processes
    on_frame: called after each frame

    Raises SchemeFailure: a scheme failed; the message names it
    """
    # All frames at all powers, from one pool of workers.
    total = len(powers_dbm) * num_frames
    samples = []
    for sample in measure_frames(scene, schemes, powers_dbm, num_frames, min(num_workers, total)):
        samples.append(sample)
        on_frame()

    # The frames of each power.
    results = []
    for index, power in enumerate(powers_dbm):
        first = index * num_frames
        power_samples = samples[first : first + num_frames]
        results.append(power_result(power, schemes, power_samples))
    return results


@contextmanager
def frame_progress(scene: Scene, num_frames: int) -> Generator[Callable[[], None]]:
    """Show a progress bar on standard error. It yields a function that counts one frame."""
    with make_progress() as progress:
        task = progress.add_task(f"frames of {scene.name}", total=num_frames)
        yield lambda: progress.advance(task)


def power_result(
    power_dbm: float, schemes: Sequence[str], samples: Sequence[FrameSample]
) -> PowerResult:
    """Summarize the frames at one power."""
    num_targets = sum(len(sample.location_bounds_m) for sample in samples)
    figures = {
        name: scheme_figures([sample.schemes[name] for sample in samples], num_targets)
        for name in schemes
    }
    sum_rate = sum(sample.sum_rate for sample in samples) / len(samples)
    return PowerResult(power_dbm, figures, bound_figures(samples), sum_rate)


def scene_power_dbm(scene: Scene) -> float:
    """Transmit power of the scene file, dBm."""
    return round(w_to_dbm(scene.waveform.power_w), 6)


def results_dict(scene: Scene, results: Sequence[PowerResult], num_frames: int, seed: int) -> dict:
    """Content of the results file: schemes.<name>.<power>, crlb.<power> and sum_rate.<power>.

    Figures without samples, and infinite bounds, are None.
    """
    schemes = {
        name: {_power_text(result): figures_dict(result.schemes[name]) for result in results}
        for name in results[0].schemes
    }
    bounds = {_power_text(result): finite_or_none(asdict(result.bound)) for result in results}
    return {
        "scene": scene.name,
        "simulated": True,
        "frames": num_frames,
        "seed": seed,
        "schemes": schemes,
        "crlb": bounds,
        "sum_rate": {_power_text(result): result.sum_rate for result in results},
    }


def show(
    scene: Scene, results: Sequence[PowerResult], num_frames: int, seed: int, console: Console
) -> None:
    """Print the tables of accuracy, of sensing quality and of cost."""
    console.print(
        f"\n[bold]{scene.name}[/]: {num_frames} simulated frames, seed {seed}", highlight=False
    )
    console.print(accuracy_table(results))
    rows = [
        QualityRow(_power_text(result), name, figures.quality)
        for result in results
        for name, figures in result.schemes.items()
    ]
    show_quality(rows, "detections", console)
    console.print(cost_table(results))


def accuracy_table(results: Sequence[PowerResult]) -> Table:
    """Table of the errors of detected targets, the root CRLB of the same frames and their ratio."""
    title = "location (m) and velocity (m/s) of detected targets; false alarms per frame"
    headers = (
        "loc.\nRMSE",
        "loc.\nmedian",
        "vel.\nRMSE",
        "vel.\nmedian",
        "found",
        "false\nalarms",
    )
    table = figures_table(title, headers)
    for result in results:
        bound = result.bound
        bounds = (
            bound.root_mean_location_m,
            bound.median_location_m,
            bound.root_mean_velocity_mps,
            bound.median_velocity_mps,
        )
        table.add_row(_power_text(result), "root CRLB", *(f"{value:.3f}" for value in bounds))

        for name, figures in result.schemes.items():
            errors = (
                figures.rmse_location_m,
                figures.median_location_m,
                figures.rmse_velocity_mps,
                figures.median_velocity_mps,
            )
            detected = f"{figures.detection_rate:.1%}"
            false_alarms = f"{figures.false_alarms_per_frame:.3f}"
            table.add_row("", name, *(f"{error:.3f}" for error in errors), detected, false_alarms)

            ratios = [
                f"{error / bound:.2f}" if math.isfinite(bound) else "-"
                for error, bound in zip(errors, bounds)
            ]
            table.add_row("", "over bound", *ratios, style="dim")
    return table


def cost_table(results: Sequence[PowerResult]) -> Table:
    """Table of fronthaul bits and processor times, and of the sum rate of the users meanwhile."""
    table = figures_table(
        "cost per access point and frame",
        ("bits up", "bits down\n(symbols)", "encode\n(ms)", "decode\n(ms)", "sum rate\nbit/s/Hz"),
    )
    for result in results:
        for name, figures in result.schemes.items():
            table.add_row(
                _power_text(result),
                name,
                f"{figures.fronthaul_bits:,.0f}",
                f"{figures.fronthaul_downlink_bits:,.0f}",
                f"{figures.encode_ms:.1f}",
                f"{figures.decode_ms:.1f}",
                f"{result.sum_rate:.1f}",
            )
    return table


def _power_text(result: PowerResult) -> str:
    """The power as tables and the results file have it, dBm."""
    return f"{result.power_dbm:g}"


def refuse_results_file(json_path: Path | None) -> None:
    """End with exit code 1 if the results file cannot be written or holds something else."""
    if json_path is None:
        return
    try:
        check_file(json_path)
    except OutputError as error:
        fail(str(error))
    if json_path.is_file() and not _holds_results(json_path):
        fail(f"{json_path} exists and holds no results of 'isac evaluate'; name another file")


def write_results(json_path: Path | None, results: dict) -> str | None:
    """Write the results file, if any. Returns the error message of a failure, or None."""
    if json_path is None:
        return None
    try:
        write_file(json_path, json.dumps(results, indent=2, allow_nan=False).encode() + b"\n")
    except OutputError as error:
        return str(error)
    return None


def _holds_results(json_path: Path) -> bool:
    """Return whether a file holds earlier results or nothing, so that it may be replaced."""
    try:
        text = json_path.read_bytes().strip()
        return not text or {"scene", "schemes"} <= json.loads(text).keys()
    except (AttributeError, OSError, RecursionError, ValueError):
        return False


def fail(message: str) -> NoReturn:
    """Print an error and end with exit code 1."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)
