"""The command `isac figures cf`. What it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Figures and tables of papers, measured here.")
Option = typer.Option
FIGURES = ("6", "7", "8", "9", "10", "11", "12", "13", "14", "I", "II", "III")
Fig = Annotated[str, Option(help=f"{', '.join(FIGURES)}, or all.")]
DC_FIGURES = (
    "5a",
    "5b",
    "6a",
    "6b",
    "6c",
    "6d",
    "splicing",
    "sparse_arrays",
    "reference_signals",
    "synchronization",
    "observation_time",
    "interference",
    "code_division",
)
DcFig = Annotated[str, Option(help=f"{', '.join(DC_FIGURES)}, or all.")]
Runs = Annotated[int, Option(help="Monte Carlo runs a point.", min=1)]
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
    from cooperative_isac.evaluation.paper.command import make_figures

    try:
        make_figures(fig, FIGURES, scale, frames, seed, out, schemes, (epochs, samples, batch))
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
    """The deep-cooperation paper's section VI: a PNG and a CSV file for each. Runs that were
    measured already are not measured again.
    """
    from cooperative_isac.evaluation.deep_cooperation.command import make_figures

    try:
        make_figures(fig, runs, seed, out)
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
