"""Makes the figures and tables of the cell-free paper, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cooperative_isac.evaluation.cell_free.results import CRLB, PointStore
from cooperative_isac.evaluation.cell_free.scenes import changed_scene
from cooperative_isac.evaluation.cell_free.sweeps import SCALES, SWEEPS, Sweep, sweep
from cooperative_isac.evaluation.cell_free.trained import has_weights
from cooperative_isac.evaluation.command import scene_power_dbm
from cooperative_isac.evaluation.monte_carlo import SchemeFailure
from cooperative_isac.evaluation.workers import num_processors
from cooperative_isac.output.console import make_console, make_progress
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene

# Headers of the printed table by the keys of the rows; other keys are their own headers.
HEADERS = {
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
# Beginnings of the keys that are in the CSV file only.
NOT_PRINTED = ("median", "fronthaul_down", "encode_ms", "decode_ms")
# Number of frames of Fig. 10, a panel each.
EXAMPLE_FRAMES = 4
# Transmit powers of the figure of rates, over that of the scene, dB: where every access point
# detects all targets, and where many echoes are below its threshold.
RATE_POWERS_DB = (0.0, -10.0)
TABLES = ("I", "II", "III")
# What "all" makes at the scale of the paper's Table I: not the trainings of Fig. 11, not the many
# curves of the figure of rates, and not the tables, which are of both scales.
TABLE1_FIGURES = ("6", "7", "8", "9", "10", "12", "13", "14")
# Figures of a scheme that Fig. 12 shows.
FRONTHAUL_KEYS = ("fronthaul_bits", "rmse_location_m", "rmse_velocity_mps", "detection_rate")


@dataclass(frozen=True)
class FigureOptions:
    """Options of `isac figures cf`.

    scale: one of SCALES
    frames: number of frames per point
    seed: random seed
    out: folder of pictures, tables and measured points
    schemes: names of schemes; None: all that can run
    epochs, samples: epochs and training samples of Fig. 11
    batch: frames per batch of Table III
    """

    scale: str
    frames: int
    seed: int
    out: Path
    schemes: tuple[str, ...] | None
    epochs: int
    samples: int
    batch: int

    @property
    def scene(self) -> Scene:
        """The scene of the scale."""
        return load_scene(SCALES[self.scale])


@dataclass(frozen=True)
class Made:
    """The rows of a figure or table, and the pictures that were drawn."""

    rows: list[dict]
    pictures: list[Path]


def make_figures(choice: Sequence[str], figures: Sequence[str], options: FigureOptions) -> None:
    """Make figures and tables: pictures, a CSV file and a printed table for each.

    choice: some of the names of figures, or "all"
    figures: names of all figures and tables

    Raises ValueError: an option is not valid, or a scheme fails
    """
    if "all" not in choice:
        names = tuple(choice)
    elif options.scale == "compact":
        names = tuple(figures)
    else:
        names = TABLE1_FIGURES
    unknown = set(choice) - {*figures, "all"}
    if unknown or options.scale not in SCALES:
        raise ValueError(
            f"--fig {', '.join(sorted(unknown or choice))} --scale {options.scale}: figures are "
            f"{', '.join(figures)}, all; scales {', '.join(SCALES)}"
        )

    console = make_console()
    try:
        store = PointStore(options.out / "points", options.frames, options.seed, num_processors())
        for name in names:
            _make(name, options, store, console)
    except SchemeFailure as error:
        raise ValueError(str(error)) from error


def _make(name: str, options: FigureOptions, store: PointStore, console: Console) -> None:
    """Make one figure or table."""
    # Imported here, as matplotlib takes a second to load.
    from cooperative_isac.evaluation.cell_free.plots import write_csv

    # Measure and draw.
    kind = "table" if _is_table(name) else "fig"
    picture = options.out / f"cf_{kind}{name}_{options.scale}.png"
    with make_progress() as bar:
        if _is_table(name):
            made = _make_table(name, options, bar)
        elif name == "rate":
            made = _make_rates(options, store, bar, picture)
        elif int(name) in SWEEPS:
            made = _make_sweep(int(name), options, store, bar, picture)
        elif name == "10":
            made = _make_examples(options, picture)
        elif name == "11":
            made = _make_learning(options, bar, console, picture)
        else:
            made = _make_fronthaul(options, store, bar, picture)

    # Write and print the rows.
    csv_file = picture.with_suffix(".csv")
    write_csv(made.rows, csv_file)
    _print_rows(name, made.rows, console)
    files = ", ".join(path.name for path in (*made.pictures, csv_file))
    console.print(f"{options.out}: {files}", markup=False, highlight=False, soft_wrap=True)


def _is_table(name: str) -> bool:
    """Return whether a name is the Roman number of a table."""
    return name in TABLES


def _make_sweep(
    number: int, options: FigureOptions, store: PointStore, bar: Progress, picture: Path
) -> Made:
    """Make Fig. 6, 7, 8, 9, 13 or 14."""
    from cooperative_isac.evaluation.cell_free.plots import draw_sweep, rows_of

    figure = sweep(number, options.scale)
    rows = rows_of(figure, _measured(figure, options, store, bar))
    subtitle = f"{options.scene.name}, {store.num_frames} frames a point"
    return Made(rows, draw_sweep(figure, rows, subtitle, picture))


def _measured(
    figure: Sweep, options: FigureOptions, store: PointStore, bar: Progress
) -> list[dict[str, dict]]:
    """Errors and rates at each point of a sweep, measured now unless they are stored.

    Returns one mapping a point, of metrics (PointStore.figures) by name of the scheme.
    """
    # Scene of each point, and the schemes that can run in it.
    scenes = [changed_scene(SCALES[options.scale], point.changes) for point in figure.points]
    where = f"Fig. {figure.number} at scale {options.scale}"
    schemes = _runnable(scenes, figure.schemes, options.schemes, where)

    # The progress bar counts frames of the points that are not stored.
    total = sum(store.num_missing(scene, names) for scene, names in zip(scenes, schemes))
    task = bar.add_task(f"Fig. {figure.number}: frames", total=total)
    return [
        store.figures(scene, names, lambda: bar.advance(task))
        for scene, names in zip(scenes, schemes)
    ]


def _runnable(
    scenes: Sequence[Scene],
    schemes: tuple[str, ...],
    chosen: tuple[str, ...] | None,
    where: str,
) -> list[list[str]]:
    """Schemes that can run in each scene, out of the chosen ones, or of all.

    where: figure and scale, for the error message

    Raises ValueError: a chosen scheme can run in none of the scenes
    """
    names = [[name for name in chosen or schemes if has_weights(scene, name)] for scene in scenes]
    runnable = {name for scene_names in names for name in scene_names}
    nowhere = set(chosen or ()) - runnable
    if nowhere:
        raise ValueError(
            f"no weights of {', '.join(sorted(nowhere))} fit any point of {where}; train some with "
            "'isac train', or leave it out of --schemes"
        )
    return names


def _make_examples(options: FigureOptions, picture: Path) -> Made:
    """Make Fig. 10, with the first chosen scheme."""
    from cooperative_isac.evaluation.cell_free.examples import draw_examples, example_rows

    scene = options.scene
    if options.schemes:
        scheme = options.schemes[0]
    else:
        scheme = "dvqvae" if has_weights(scene, "dvqvae") else "local_ml"
    rows = example_rows(scene, scheme, EXAMPLE_FRAMES, options.seed)
    return Made(rows, draw_examples(scene, scheme, rows, picture))


def _make_learning(options: FigureOptions, bar: Progress, console: Console, picture: Path) -> Made:
    """Make Fig. 11. The trainings show progress bars of their own."""
    from cooperative_isac.evaluation.cell_free.learning import draw_learning, learning_rows

    bar.stop()
    trainings = options.out / "trainings"
    rows = learning_rows(options.scene, trainings, options.epochs, options.samples, console)
    return Made(rows, draw_learning(options.scene, rows, picture))


def _make_fronthaul(
    options: FigureOptions, store: PointStore, bar: Progress, picture: Path
) -> Made:
    """Make Fig. 12."""
    from cooperative_isac.evaluation.cell_free.fronthaul import codebook_rows, draw_fronthaul

    scene = options.scene
    if not has_weights(scene, "dvqvae"):
        raise ValueError(
            f"Fig. 12 needs weights of dvqvae for scene '{scene.name}': isac train {scene.name} "
            "--scheme dvqvae, then ISAC_WEIGHTS=FILE"
        )
    where = f"Fig. 12 at scale {options.scale}"
    (names,) = _runnable([scene], sweep(6, options.scale).schemes, options.schemes, where)

    # Codebooks are fitted to num_frames frames, and evaluated on as many.
    total = store.num_missing(scene, names) + 2 * store.num_frames
    task = bar.add_task("Fig. 12: frames", total=total)
    figures = store.figures(scene, names, lambda: bar.advance(task))
    curve = codebook_rows(scene, "dvqvae", store.num_frames, store.seed, lambda: bar.advance(task))
    points = [
        {"scheme": name, **{key: figures[name][key] for key in FRONTHAUL_KEYS}} for name in names
    ]
    return Made([*curve, *points], draw_fronthaul(scene, "dvqvae", curve, points, picture))


def _make_rates(options: FigureOptions, store: PointStore, bar: Progress, picture: Path) -> Made:
    """Make the figure of rates."""
    from cooperative_isac.evaluation.cell_free.rate import CODEC, CURVES, draw_rates

    # Curves of chosen schemes that can run in the scene.
    schemes = tuple(dict.fromkeys((CODEC, *(curve.scheme for curve in CURVES))))
    others = set(options.schemes or ()) - set(schemes)
    if others:
        raise ValueError(
            f"the figure of rates has no curve of {', '.join(sorted(others))}; its schemes are "
            f"{', '.join(schemes)}"
        )
    where = f"the figure of rates at scale {options.scale}"
    (names,) = _runnable([options.scene], schemes, options.schemes, where)

    rows: list[dict] = []
    for step_db in RATE_POWERS_DB:
        power_dbm = scene_power_dbm(options.scene) + step_db
        rows += _rates_at(power_dbm, names, options, store, bar)
    return Made(rows, draw_rates(options.scene, rows, picture))


def _rates_at(
    power_dbm: float,
    names: Sequence[str],
    options: FigureOptions,
    store: PointStore,
    bar: Progress,
) -> list[dict]:
    """Rows of the figure of rates at one transmit power.

    names: schemes
    """
    from cooperative_isac.evaluation.cell_free.fronthaul import codebook_rows
    from cooperative_isac.evaluation.cell_free.rate import CODEC, CURVES, codec_rows, rate_rows

    # Points of all curves, as pairs of a scene and a scheme.
    name = SCALES[options.scale]
    power = {"waveform.power_dbm": power_dbm}
    curves = [curve for curve in CURVES if curve.scheme in names]
    points = [
        [(changed_scene(name, power | changes), curve.scheme) for changes in curve.changes()]
        for curve in curves
    ]

    # Those without a changed key have one scene, which is also that of the bound.
    scene = changed_scene(name, power)
    plain = [curve.scheme for curve in curves if not curve.key]
    changed = [line for curve, line in zip(curves, points, strict=True) if curve.key]

    # Frames that are not stored yet.
    total = store.num_missing(scene, plain)
    total += sum(store.num_missing(where, [scheme]) for line in changed for where, scheme in line)
    total += 2 * store.num_frames if CODEC in names else 0
    task = bar.add_task(f"rates at {power_dbm:g} dBm: frames", total=total)

    # Schemes as they are, all on the same echoes; then every point.
    bound = store.figures(scene, plain, lambda: bar.advance(task))[CRLB]
    measured = [
        [store.figures(where, [scheme], lambda: bar.advance(task)) for where, scheme in line]
        for line in points
    ]
    rows = rate_rows(curves, measured, bound, power_dbm)
    if CODEC not in names:
        return rows

    # The learned codec with codebooks of several sizes.
    codebooks = codebook_rows(scene, CODEC, store.num_frames, store.seed, lambda: bar.advance(task))
    return rows + codec_rows(codebooks, power_dbm)


def _make_table(name: str, options: FigureOptions, bar: Progress) -> Made:
    """Make Table I, II or III."""
    from cooperative_isac.evaluation.cell_free.tables import setting_rows, size_rows, time_rows

    task = bar.add_task(f"Table {name}", total=None)
    if name == "I":
        rows = setting_rows()
    elif name == "II":
        rows = size_rows()
    else:
        rows = time_rows(options.batch, lambda: bar.advance(task))
    return Made(rows, [])


def _print_rows(name: str, rows: Sequence[dict], console: Console) -> None:
    """Print the rows of a figure or table."""
    # Keys of all rows, in the order in which they come.
    all_keys = dict.fromkeys(key for row in rows for key in row)
    keys = [key for key in all_keys if not key.startswith(NOT_PRINTED)]

    # The first column may be wrapped, numbers may not.
    kind = "Table" if _is_table(name) else "Fig."
    table = Table(box=SIMPLE_HEAD, title=f"CF {kind} {name}", title_justify="left")
    for index, key in enumerate(keys):
        table.add_column(HEADERS.get(key, key), no_wrap=index > 0)
    for row in rows:
        table.add_row(*(_text(row.get(key, "")) for key in keys))
    console.print(table, highlight=False)


def _text(value: object) -> str:
    """A value as a cell of a table; empty for None."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value or "")
