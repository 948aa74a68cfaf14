"""The figures and tables of the cell-free paper, made one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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


def make_figures(
    wanted: str,
    figures: Sequence[str],
    scale: str,
    frames: int,
    seed: int,
    out: Path,
    schemes: str | None,
    effort: tuple[int, int, int],
) -> None:
    """Make figures and tables, a picture and a CSV file for each; measured points are kept.

    wanted: one of the figures, or all
    figures: names of those there are
    scale: one of SCALES
    frames: frames a point
    seed: of all draws
    out: folder of pictures, tables and measured points
    schemes: comma-separated; None: all that can run
    effort: epochs and training samples of Fig. 11, frames a batch of Table III

    Raises ValueError: a choice cannot be taken, or a scheme fails
    """
    of_scale = tuple(figures) if scale == "compact" else tuple(map(str, SWEEPS))
    names = of_scale if wanted == "all" else (wanted,)
    if not set(names) <= set(figures) or scale not in SCALES:
        raise ValueError(
            f"--fig {wanted} --scale {scale}: figures are {', '.join(figures)}, all; scales "
            f"{', '.join(SCALES)}"
        )
    chosen = tuple(name.strip() for name in schemes.split(",")) if schemes else None
    console = make_console()
    try:
        store = PointStore(out / "points", frames, seed, num_processors())
        for name in names:
            stem = out / f"cf_{'table' if name[0] == 'I' else 'fig'}{name}_{scale}"
            _make(name, scale, stem, store, chosen, console, effort)
    except SchemeFailure as error:
        raise ValueError(str(error)) from error


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
