"""`isac evaluate`: schemes on random frames, shown as tables beside the bound."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cooperative_isac.evaluation.figures import (
    BoundFigures,
    SchemeFigures,
    bound_figures,
    scheme_figures,
)
from cooperative_isac.evaluation.monte_carlo import FrameSample, SchemeFailure
from cooperative_isac.evaluation.workers import measure_frames, num_processors
from cooperative_isac.output.console import make_console
from cooperative_isac.output.files import OutputError, check_file, write_file
from cooperative_isac.scene.file.build import w_to_dbm
from cooperative_isac.scene.model import Scene

# Independent frames and their seed, where none are named: enough for figures of two digits.
DRAWN_FRAMES = 200
DRAWN_SEED = 1


@dataclass(frozen=True)
class PowerResult:
    """All figures at one transmit power; sum_rate: mean over frames, all users together,
    bit/s/Hz.
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
    """Measure schemes on the same random frames at each power [dBm]; print tables, write
    results.
    """
    refuse_results_file(json_path)
    powers = list(dict.fromkeys(power_dbm or [scene_power_dbm(scene)]))
    names = list(dict.fromkeys(schemes))
    scene = replace(scene, seed=seed)
    try:
        with frame_progress(scene, len(powers) * num_frames) as on_frame:
            results = measure(scene, names, powers, num_frames, num_processors(), on_frame)
    except SchemeFailure as failure:
        fail(str(failure))
    # Written before they are shown: whoever reads the table may leave early
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
    """Figures of schemes at each power; the draws are those of the scene's seed.

    on_frame is called after each frame. Raises SchemeFailure: names the scheme that failed.
    """
    total = len(powers_dbm) * num_frames
    samples = []
    for sample in measure_frames(scene, schemes, powers_dbm, num_frames, min(num_workers, total)):
        samples.append(sample)
        on_frame()
    chunks = [samples[index : index + num_frames] for index in range(0, total, num_frames)]
    return [power_result(power, schemes, chunk) for power, chunk in zip(powers_dbm, chunks)]


@contextmanager
def frame_progress(scene: Scene, num_frames: int) -> Generator[Callable[[], None]]:
    """Show a progress bar on standard error; the function that it yields counts one frame."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=make_console(stderr=True)) as progress:
        task = progress.add_task(f"frames of {scene.name}", total=num_frames)
        yield lambda: progress.advance(task)


def power_result(
    power_dbm: float, schemes: Sequence[str], samples: Sequence[FrameSample]
) -> PowerResult:
    """Figures of the frames at one power."""
    num_targets = sum(len(sample.location_bounds_m) for sample in samples)
    figures = {
        name: scheme_figures([sample.schemes[name] for sample in samples], num_targets)
        for name in schemes
    }
    return PowerResult(
        power_dbm,
        figures,
        bound_figures(samples),
        sum(sample.sum_rate for sample in samples) / len(samples),
    )


def scene_power_dbm(scene: Scene) -> float:
    """The scene's own transmit power."""
    return round(w_to_dbm(scene.waveform.power_w), 6)


def results_dict(scene: Scene, results: Sequence[PowerResult], num_frames: int, seed: int) -> dict:
    """The results file: schemes.<name>.<power>, crlb.<power>, sum_rate.<power>; null without
    samples or bound.
    """
    schemes = {
        name: {_key(result): _finite(asdict(result.schemes[name])) for result in results}
        for name in results[0].schemes
    }
    return {
        "scene": scene.name,
        "simulated": True,
        "frames": num_frames,
        "seed": seed,
        "schemes": schemes,
        "crlb": {_key(result): _finite(asdict(result.bound)) for result in results},
        "sum_rate": {_key(result): result.sum_rate for result in results},
    }


def show(
    scene: Scene, results: Sequence[PowerResult], num_frames: int, seed: int, console: Console
) -> None:
    """Print accuracy beside the bound, and what it costs."""
    console.print(
        f"\n[bold]{scene.name}[/]: {num_frames} simulated frames, seed {seed}", highlight=False
    )
    console.print(accuracy_table(results), cost_table(results))


def accuracy_table(results: Sequence[PowerResult]) -> Table:
    """Errors of detected targets, the root CRLB of the same draws, and their ratio."""
    title = "location (m) and velocity (m/s) of detected targets; false alarms per frame"
    errors = "loc.\nRMSE", "loc.\nmedian", "vel.\nRMSE", "vel.\nmedian"
    table = figures_table(title, (*errors, "found", "false\nalarms"))
    for result in results:
        bounds = list(asdict(result.bound).values())
        table.add_row(_key(result), "root CRLB", *(f"{bound:.3f}" for bound in bounds))
        for name, figures in result.schemes.items():
            errors = list(asdict(figures).values())[: len(bounds)]
            table.add_row(
                "",
                name,
                *(f"{error:.3f}" for error in errors),
                f"{figures.detection_rate:.1%}",
                f"{figures.false_alarms_per_frame:.3f}",
            )
            ratios = (
                f"{error / bound:.2f}" if math.isfinite(bound) else "-"
                for error, bound in zip(errors, bounds)
            )
            table.add_row("", "over bound", *ratios, style="dim")
    return table


def cost_table(results: Sequence[PowerResult]) -> Table:
    """Fronthaul bits per access point and frame, processor time, and what the users get
    meanwhile.
    """
    table = figures_table(
        "cost per access point and frame",
        ("bits up", "bits down\n(symbols)", "encode\n(ms)", "decode\n(ms)", "sum rate\nbit/s/Hz"),
    )
    for result in results:
        for name, figures in result.schemes.items():
            bits = figures.fronthaul_bits, figures.fronthaul_downlink_bits
            others = figures.encode_ms, figures.decode_ms, result.sum_rate
            table.add_row(
                _key(result),
                name,
                *(f"{count:,.0f}" for count in bits),
                *(f"{value:.1f}" for value in others),
            )
    return table


def figures_table(title: str, headers: Sequence[str]) -> Table:
    """An empty table of figures by power and scheme."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("dBm", justify="right", no_wrap=True)
    table.add_column("scheme", no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _key(result: PowerResult) -> str:
    return f"{result.power_dbm:g}"


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def refuse_results_file(json_path: Path | None) -> None:
    """End with exit code 1 where a results file could not be written, or is a file of something
    else.
    """
    if json_path is None:
        return
    try:
        check_file(json_path)
    except OutputError as error:
        fail(str(error))
    if json_path.is_file() and not _holds_results(json_path):
        fail(f"{json_path} exists and holds no results of 'isac evaluate'; name another file")


def write_results(json_path: Path | None, results: dict) -> str | None:
    """Write the results file, where one is wanted; what went wrong in a line."""
    if json_path is None:
        return None
    try:
        write_file(json_path, json.dumps(results, indent=2, allow_nan=False).encode() + b"\n")
    except OutputError as error:
        return str(error)
    return None


def _holds_results(json_path: Path) -> bool:
    """Whether a file may be replaced: earlier results, or nothing."""
    try:
        text = json_path.read_bytes().strip()
        return not text or {"scene", "schemes"} <= json.loads(text).keys()
    except (AttributeError, OSError, RecursionError, ValueError):
        return False


def fail(message: str) -> NoReturn:
    """Print an error and end with exit code 1."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)
