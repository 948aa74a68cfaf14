"""The command `isac figures cf`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from cooperative_isac.evaluation.monte_carlo import SchemeFailure
from cooperative_isac.evaluation.paper.results import PointStore
from cooperative_isac.evaluation.paper.scenes import changed_scene
from cooperative_isac.evaluation.paper.sweeps import SCALES, SWEEPS, Sweep, sweep
from cooperative_isac.evaluation.paper.trained import has_weights
from cooperative_isac.evaluation.workers import num_processors
from cooperative_isac.output.console import make_console
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene

app = typer.Typer(no_args_is_help=True, help="Figures and tables of papers, measured here.")
Option = typer.Option
SHOWN = {
    "x": "",
    "rmse_location_m": "loc. (m)",
    "rmse_velocity_mps": "vel. (m/s)",
    "detection_rate": "found",
    "false_alarms_per_frame": "false",
    "fronthaul_bits": "bits",
    "encoder_parameters": "encoder",
    "decoder_parameters": "decoder",
    "latents": "L",
    "latent_size": "D",
    "codewords": "N_c",
    "encoder_ms": "enc. (ms)",
    "quantizer_ms": "quant. (ms)",
    "decoder_ms": "dec. (ms)",
}
FIGURES = ("6", "7", "8", "9", "10", "11", "12", "13", "14", "I", "II", "III")
Fig = Annotated[str, Option(help=f"{', '.join(FIGURES)}, or all.")]
Scale = Annotated[str, Option(help="compact, or table1: the paper's own, classical schemes only.")]
Frames = Annotated[int, Option(help="Frames a point.", min=1)]
Seed = Annotated[int, Option(help="Of all draws.", min=0)]
Out = Annotated[Path, Option(help="Folder for pictures, tables and measured points.")]
Schemes = Annotated[str | None, Option(help="Comma-separated; default: all that can run.")]
Epochs = Annotated[int, Option(help="Of the trainings of Fig. 11.", min=1)]
Samples = Annotated[int, Option(help="Training samples of Fig. 11.", min=16)]
Batch = Annotated[int, Option(help="Frames a batch of Table III.", min=1)]


@app.callback()
def figures() -> None:
    """Figures and tables of papers, measured here."""


@app.command()
def cf(
    fig: Fig = "all",
    scale: Scale = "compact",
    frames: Frames = 100,
    seed: Seed = 1,
    out: Out = Path("runs/figures"),
    schemes: Schemes = None,
    epochs: Epochs = 10,
    samples: Samples = 2000,
    batch: Batch = 4,
) -> None:
    """The cell-free paper's section V: a PNG and a CSV file for each. What was measured already is
    not again.
    """
    of_scale = FIGURES if scale == "compact" else tuple(map(str, SWEEPS))
    wanted = of_scale if fig == "all" else (fig,)
    if not set(wanted) <= set(FIGURES) or scale not in SCALES:
        _fail(
            f"--fig {fig} --scale {scale}: figures are {', '.join(FIGURES)}, all; scales "
            f"{', '.join(SCALES)}"
        )
    chosen = tuple(name.strip() for name in schemes.split(",")) if schemes else None
    console = make_console()
    try:
        store = PointStore(out / "points", frames, seed, num_processors())
        for name in wanted:
            stem = out / f"cf_{'table' if name[0] == 'I' else 'fig'}{name}_{scale}"
            _make(name, scale, stem, store, chosen, console, (epochs, samples, batch))
    except (SchemeFailure, ValueError) as error:
        _fail(str(error))


def _make(
    name: str,
    scale: str,
    stem: Path,
    store: PointStore,
    chosen: tuple[str, ...] | None,
    console: Console,
    effort: tuple[int, int, int],
) -> None:
    from cooperative_isac.evaluation.paper import (
        examples,
        plots,
    )  # matplotlib takes a second to load

    epochs, samples, batch = effort
    picture, scene = stem.with_suffix(".png"), load_scene(SCALES[scale])
    with _progress() as bar:
        if name.isdigit() and int(name) in SWEEPS:
            figure = sweep(int(name), scale)
            rows = plots.rows_of(figure, _measured(figure, scale, store, chosen, bar))
            plots.draw_sweep(
                figure, rows, f"{scene.name}, {store.num_frames} frames a point", picture
            )
        elif name == "10":
            scheme = (chosen or ("dvqvae" if has_weights(scene, "dvqvae") else "local_ml",))[0]
            rows = examples.example_rows(scene, scheme, 4, store.seed)
            examples.draw_examples(scene, scheme, rows, picture)
        elif name == "12":
            rows = _fronthaul(scale, store, chosen, bar, picture)
        elif name == "11":
            from cooperative_isac.evaluation.paper import learning

            bar.stop()
            rows = learning.learning_rows(
                scene, stem.parent / "trainings", epochs, samples, console
            )
            learning.draw_learning(scene, rows, picture)
        else:
            from cooperative_isac.evaluation.paper import tables

            task = bar.add_task(f"Table {name}", total=None)
            rows = {
                "I": tables.setting_rows,
                "II": tables.size_rows,
                "III": lambda: tables.time_rows(batch, lambda: bar.advance(task)),
            }[name]()
    plots.write_csv(rows, stem.with_suffix(".csv"))
    _show(name, rows, console)
    made = [path.name for path in (picture, stem.with_suffix(".csv")) if path.is_file()]
    console.print(
        f"{stem.parent}: {', '.join(made)}", markup=False, highlight=False, soft_wrap=True
    )


def _measured(
    figure: Sweep, scale: str, store: PointStore, chosen: tuple[str, ...] | None, bar: Progress
) -> list[dict[str, dict]]:
    scenes = [changed_scene(SCALES[scale], point.changes) for point in figure.points]
    names = _fitting(scenes, figure.schemes, chosen, f"Fig. {figure.number} at scale {scale}")
    total = sum(map(store.num_missing, scenes, names))
    task = bar.add_task(f"Fig. {figure.number}: frames", total=total)
    return [
        store.figures(scene, of_scene, lambda: bar.advance(task))
        for scene, of_scene in zip(scenes, names)
    ]


def _fitting(
    scenes: list[Scene], schemes: tuple[str, ...], chosen: tuple[str, ...] | None, where: str
) -> list[list[str]]:
    """The chosen schemes, else all, that can run in each scene. ValueError for a chosen one that
    can in none.
    """
    names = [[name for name in chosen or schemes if has_weights(scene, name)] for scene in scenes]
    nowhere = set(chosen or ()) - {name for of_scene in names for name in of_scene}
    if nowhere:
        raise ValueError(
            f"no weights of {', '.join(sorted(nowhere))} fit any point of {where}; train some with "
            "'isac train', or leave it out of --schemes"
        )
    return names


def _fronthaul(
    scale: str, store: PointStore, chosen: tuple[str, ...] | None, bar: Progress, picture: Path
) -> list[dict]:
    from cooperative_isac.evaluation.paper import fronthaul

    scene = load_scene(SCALES[scale])
    if not has_weights(scene, "dvqvae"):
        raise ValueError(
            f"Fig. 12 needs weights of dvqvae for scene '{scene.name}': isac train {scene.name} "
            "--scheme dvqvae, then ISAC_WEIGHTS=FILE"
        )
    (names,) = _fitting([scene], sweep(6, scale).schemes, chosen, f"Fig. 12 at scale {scale}")
    task = bar.add_task(
        "Fig. 12: frames", total=store.num_missing(scene, names) + 2 * store.num_frames
    )
    known = store.figures(scene, names, lambda: bar.advance(task))
    keys = "fronthaul_bits", "rmse_location_m", "rmse_velocity_mps", "detection_rate"
    rows = fronthaul.codebook_rows(
        scene, "dvqvae", store.num_frames, store.seed, lambda: bar.advance(task)
    )
    rows += [{"scheme": name, **{key: known[name][key] for key in keys}} for name in names]
    fronthaul.draw_fronthaul(scene, rows, picture)
    return rows


def _show(name: str, rows: list[dict], console: Console) -> None:
    keys = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if not key.startswith(("median", "fronthaul_down", "encode_ms", "decode_ms"))
    ]
    title = f"CF {'Table' if name[0] == 'I' else 'Fig.'} {name}"
    columns = (Column(SHOWN.get(key, key), no_wrap=bool(place)) for place, key in enumerate(keys))
    table = Table(*columns, box=SIMPLE_HEAD, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_text(row.get(key, "")) for key in keys))
    console.print(table, highlight=False)


def _text(value) -> str:
    return (
        f"{value:.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value or "")
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=make_console(stderr=True),
    )


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)
