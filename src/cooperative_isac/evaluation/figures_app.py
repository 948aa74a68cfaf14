"""The command `isac figures`, which imports its libraries inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure and draw figures and tables of two papers.")
Option = typer.Option
FIGURES = ("6", "7", "8", "9", "10", "11", "12", "13", "14", "rate", "I", "II", "III")
Fig = Annotated[
    str, Option(help=f"Comma-separated figures and tables: {', '.join(FIGURES)}, or all.")
]
Scale = Annotated[
    str,
    Option(
        help="Scale of the scene: compact, or table1 (the paper's own, for classical schemes and "
        "dvqvae)."
    ),
]
Frames = Annotated[int, Option(help="Number of frames per point.", min=1)]
Seed = Annotated[int, Option(help="Random seed.", min=0)]
DC_FIGURES = (
    "5a",
    "5b",
    "6a",
    "6b",
    "6c",
    "6d",
    "reference_9",
    "splicing",
    "splicing_time",
    "beamforming",
    "sparse_arrays",
    "reference_signals",
    "fragments",
    "synchronization",
    "observation_time",
    "velocity_resolution",
    "interference",
    "code_division",
    "sensing_codes",
    "reflections",
    "macro_micro",
    "bs_ue_zones",
)
DcFig = Annotated[str, Option(help=f"Comma-separated figures: {', '.join(DC_FIGURES)}, or all.")]
Runs = Annotated[int, Option(help="Number of Monte Carlo runs per point.", min=1)]
Out = Annotated[Path, Option(help="Folder for pictures, tables and measured points.")]
Schemes = Annotated[
    str | None, Option(help="Comma-separated schemes. Default: all schemes that can run.")
]
Epochs = Annotated[int, Option(help="Number of training epochs of Fig. 11.", min=1)]
Samples = Annotated[int, Option(help="Number of training samples of Fig. 11.", min=16)]
Batch = Annotated[int, Option(help="Number of frames per batch of Table III.", min=1)]


def names_of(text: str) -> tuple[str, ...]:
    """Names of a comma-separated list, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


@app.callback()
def figures() -> None:
    """Measure and draw figures and tables of two papers."""


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
    """Measure and draw figures and tables of section V of the cell-free paper (PNG and CSV).

    Measured points are kept, so that a second call measures only what is missing.
    """
    from cooperative_isac.evaluation.cell_free.command import FigureOptions, make_figures

    options = FigureOptions(
        scale=scale,
        frames=frames,
        seed=seed,
        out=out,
        schemes=names_of(schemes) if schemes else None,
        epochs=epochs,
        samples=samples,
        batch=batch,
    )
    try:
        make_figures(names_of(fig), FIGURES, options)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def dc(
    fig: DcFig = "all",
    runs: Runs = 1000,
    seed: Seed = 1,
    out: Out = Path("runs/figures"),
) -> None:
    """Measure and draw figures of section VI of the deep-cooperation paper (PNG and CSV).

    The named figures are curves of methods of its other sections. Measured runs are kept, so that a
    second call measures only what is missing.
    """
    from cooperative_isac.evaluation.deep_cooperation.command import make_figures

    try:
        make_figures(names_of(fig), runs, seed, out)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
