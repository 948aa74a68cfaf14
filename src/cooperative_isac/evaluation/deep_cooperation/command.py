"""The figures of the deep-cooperation paper, made one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cooperative_isac.evaluation.deep_cooperation.antennas import (
    sparse_arrays,
    splicing,
    splicing_time,
)
from cooperative_isac.evaluation.deep_cooperation.beamforming import beamforming
from cooperative_isac.evaluation.deep_cooperation.bs_ue_zones import bs_ue_zones
from cooperative_isac.evaluation.deep_cooperation.experiment import (
    Experiment,
    PointResult,
    Quantity,
)
from cooperative_isac.evaluation.deep_cooperation.fragments import (
    fragments,
    fragments_weak,
    highest_sidelobes_db,
)
from cooperative_isac.evaluation.deep_cooperation.holes import mask_figures, reference_signals
from cooperative_isac.evaluation.deep_cooperation.macro_micro import macro_micro
from cooperative_isac.evaluation.deep_cooperation.macro_micro_track import macro_micro_track
from cooperative_isac.evaluation.deep_cooperation.multi_band import multi_band
from cooperative_isac.evaluation.deep_cooperation.multi_station import multi_station
from cooperative_isac.evaluation.deep_cooperation.observation_time import observation_time
from cooperative_isac.evaluation.deep_cooperation.reference_9 import reference_9
from cooperative_isac.evaluation.deep_cooperation.reflections import reflections
from cooperative_isac.evaluation.deep_cooperation.runner import measure, num_batches
from cooperative_isac.evaluation.deep_cooperation.sensing_codes import (
    TABLE_PARTS,
    sensing_codes,
    way_figures,
)
from cooperative_isac.evaluation.deep_cooperation.shared_elements import (
    code_division,
    interference,
)
from cooperative_isac.evaluation.deep_cooperation.synchronization import synchronization
from cooperative_isac.evaluation.deep_cooperation.velocity_resolution import velocity_resolution
from cooperative_isac.output.console import make_console

# Experiment of each figure; two figures of the paper that share their runs share a picture.
EXPERIMENTS: Mapping[str, Callable[[], Experiment]] = {
    "5": partial(multi_band, "5", link_budget=False),
    "5_budget": partial(multi_band, "5_budget", link_budget=True),
    "6ab": partial(multi_station, "6ab", "a"),
    "6cd": partial(multi_station, "6cd", "c"),
    "reference_9": reference_9,
    "splicing": splicing,
    "splicing_time": splicing_time,
    "beamforming": beamforming,
    "sparse_arrays": sparse_arrays,
    "reference_signals": reference_signals,
    "fragments": fragments,
    "fragments_weak": fragments_weak,
    "synchronization": synchronization,
    "observation_time": observation_time,
    "velocity_resolution": velocity_resolution,
    "interference": interference,
    "code_division": code_division,
    "sensing_codes": sensing_codes,
    "reflections": reflections,
    "macro_micro": macro_micro,
    "macro_micro_track": macro_micro_track,
    "bs_ue_zones": bs_ue_zones,
}

# Experiments that each figure is drawn from: those of the paper, and one for each claim that the
# paper makes in words.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "5a": ("5", "5_budget"),
    "5b": ("5", "5_budget"),
    "6a": ("6ab",),
    "6b": ("6ab",),
    "6c": ("6cd",),
    "6d": ("6cd",),
    "reference_9": ("reference_9",),
    "splicing": ("splicing",),
    "splicing_time": ("splicing_time",),
    "beamforming": ("beamforming",),
    "sparse_arrays": ("sparse_arrays",),
    "reference_signals": ("reference_signals",),
    "fragments": ("fragments", "fragments_weak"),
    "synchronization": ("synchronization",),
    "observation_time": ("observation_time",),
    "velocity_resolution": ("velocity_resolution",),
    "interference": ("interference",),
    "code_division": ("code_division",),
    "sensing_codes": ("sensing_codes",),
    "reflections": ("reflections",),
    "macro_micro": ("macro_micro", "macro_micro_track"),
    "bs_ue_zones": ("bs_ue_zones",),
}


def sidelobe_table() -> Table:
    """Side lobes and unambiguous spans of reference signals alone and together."""
    table = Table(
        title="Zero filling: side lobes over the main lobe, unambiguous spans in cells",
        box=SIMPLE_HEAD,
    )
    table.add_column("signal")
    for header in ("elements", "peak (dB)", "integrated (dB)", "delay span", "Doppler span"):
        table.add_column(header, justify="right")
    for name, figures in mask_figures().items():
        table.add_row(
            name,
            f"{figures.share:.1%}",
            f"{figures.peak_db:z.1f}",
            f"{figures.integrated_db:z.1f}",
            str(figures.delay_cells),
            str(figures.doppler_cells),
        )
    return table


def fragments_table() -> Table:
    """Highest side lobe of the same subcarriers in one piece and in several."""
    table = Table(title="Highest side lobe over the main lobe", box=SIMPLE_HEAD)
    table.add_column("subcarriers")
    table.add_column("peak (dB)", justify="right")
    for name, level_db in highest_sidelobes_db().items():
        table.add_row(name, f"{level_db:.1f}")
    return table


def sensing_codes_table() -> Table:
    """Rate, losses, resolutions and unambiguous spans of the ways of sensing beside data."""
    table = Table(
        title=f"Sensing has 1/{TABLE_PARTS}: data, loss of SNR, path length and path speed",
        box=SIMPLE_HEAD,
    )
    table.add_column("way")
    for header in (
        "rate (bit/s/Hz)",
        "rate lost",
        "SNR lost (dB)",
        "resolution (m)",
        "resolution (m/s)",
        "span (m)",
        "span (m/s)",
    ):
        table.add_column(header, justify="right")
    for way, figures in way_figures().items():
        table.add_row(
            way,
            f"{figures.rate:.2f}",
            f"{figures.rate_lost:.2f}",
            f"{figures.snr_lost_db:.1f}",
            f"{figures.resolution_m:.1f}",
            f"{figures.resolution_mps:.1f}",
            f"{figures.span_m:.0f}",
            f"{figures.span_mps:.0f}",
        )
    return table


# Tables beside the measured curves of an experiment.
TABLES: Mapping[str, Callable[[], Table]] = {
    "reference_signals": sidelobe_table,
    "fragments": fragments_table,
    "sensing_codes": sensing_codes_table,
}


def make_figures(choice: Sequence[str], num_runs: int, seed: int, out: Path) -> None:
    """Make figures, a picture and a CSV file for each experiment; measured runs are kept.

    choice: names of FIGURES, or all
    num_runs: Monte Carlo runs a point
    seed: random seed
    out: folder of pictures, tables and runs
    Raises ValueError if there is no such figure.
    """
    figures = tuple(FIGURES) if "all" in choice else choice
    unknown = set(choice) - FIGURES.keys() - {"all"}
    if unknown:
        raise ValueError(
            f"--fig {', '.join(sorted(unknown))}: figures are {', '.join(FIGURES)}, all"
        )
    names = dict.fromkeys(name for figure in figures for name in FIGURES[figure])

    console = make_console()
    for name in names:
        experiment = EXPERIMENTS[name]()
        results = _measured(experiment, num_runs, seed, out, console)
        _write(experiment, results, out, console)
        if name in TABLES:
            console.print(TABLES[name]())


def _measured(
    experiment: Experiment, num_runs: int, seed: int, out: Path, console: Console
) -> list[PointResult]:
    """Results of an experiment, with a progress bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(experiment.name, total=num_batches(experiment, num_runs))
        return measure(experiment, num_runs, seed, out / "runs", lambda: progress.advance(task))


def _write(experiment: Experiment, results: list[PointResult], out: Path, console: Console) -> None:
    """Picture, table and a summary on the screen."""
    # matplotlib takes a second to load.
    from cooperative_isac.evaluation.deep_cooperation.plots import draw_experiment, write_table

    stem = out / f"dc_fig{experiment.name}"
    draw_experiment(experiment, results, stem.with_suffix(".png"))
    write_table(experiment, results, stem.with_suffix(".csv"))

    for name, quantity in experiment.quantities.items():
        console.print(_shown(experiment, results, name, quantity))
    files = f"{stem.name}.png, {stem.name}.csv"
    console.print(f"{out}: {files}", markup=False, highlight=False, soft_wrap=True)


def _shown(
    experiment: Experiment, results: list[PointResult], name: str, quantity: Quantity
) -> Table:
    """One quantity at each place, its ratios to root bound and theory, if any, in brackets."""
    has_bound = any(name in bounds for result in results for bounds in result.bound.values())
    has_theory = any(name in theory for result in results for theory in result.theory.values())
    label = quantity.label
    if has_bound:
        label += " (over its bound, over theory)" if has_theory else " (over its bound)"
    table = Table(title=f"{experiment.title}\n{label}", box=SIMPLE_HEAD)
    table.add_column(experiment.axis)
    for curve in results[0].average:
        table.add_column(curve, justify="right")
    for result in results:
        cells = [f"{result.value:g}"]
        for curve, averages in result.average.items():
            average = averages[name]
            references = [result.bound.get(curve, {}), result.theory.get(curve, {})]
            ratios = [f"{average / values[name]:.2f}" for values in references if values.get(name)]
            ratios = ratios if average else []
            cells.append(f"{average:.3g} ({', '.join(ratios)})" if ratios else f"{average:.3g}")
        table.add_row(*cells)
    return table
