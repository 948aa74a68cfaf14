"""CF Fig. 11: training loss over the epochs, for several learning rates."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console

from cooperative_isac.evaluation.cell_free.plots import (
    Row,
    add_legend,
    save_picture,
    set_error_scale,
)
from cooperative_isac.scene.model import Scene

# Learning rates of CF Fig. 11.
RATES = (1e-3, 1e-4, 1e-5)
TRAINED = "dvqvae_paper"
# Hyperparameters that make the network small enough for a CPU, with an input from which it learns.
CHANGES = {
    "input": "demodulated",
    "hidden": 32,
    "latent_dim": 32,
    "features": 128,
    "transmit_layers": 0,
    "codebook": {"size": 256, "restart_after": 20},
}
# Training samples for each validation sample, and the least number of validation samples.
TRAIN_PER_VALIDATION = 8
LEAST_VALIDATION = 16
# Curves of a rate: key of the rows, name and line.
CURVES = (("loss", "training", "-"), ("validation_loss", "validation", "--"))


def learning_rows(
    scene: Scene, folder: Path, epochs: int, samples: int, console: Console
) -> list[dict]:
    """Train with each learning rate, and return the losses. Earlier trainings are continued.

    folder: folder of the trainings
    epochs: number of epochs
    samples: number of training samples

    Returns a row for each learning rate and epoch.
    """
    # Imported here, as torch takes seconds to load.
    from cooperative_isac.training.command import make_job, run_job
    from cooperative_isac.training.samples import SampleRanges

    rows = []
    for rate in RATES:
        # Each rate in a folder of its own, without an early stop, so that curves have equal length.
        run = folder / f"{scene.name}-demodulated-{rate:g}-{samples}"
        settings = {
            "learning_rate": rate,
            "schedule": "constant",
            "epochs": epochs,
            "train_samples": samples,
            "validation_samples": max(samples // TRAIN_PER_VALIDATION, LEAST_VALIDATION),
            "patience": 0,
        }
        job = make_job(scene, TRAINED, run, settings, SampleRanges(), CHANGES, None)

        # All rates have the same samples, whose encoder inputs they share in a cache.
        run_job(replace(job, cache=folder / f"cache-{scene.name}-demodulated"), console)
        rows += _curve_rows(run / "curves.csv", rate)
    return rows


def _curve_rows(path: Path, rate: float) -> list[dict]:
    """Losses of one training, by epoch."""
    with path.open(encoding="utf-8") as file:
        return [
            {
                "learning_rate": rate,
                "epoch": int(row["epoch"]),
                "loss": float(row["loss"]),
                "validation_loss": float(row["validation_loss"]),
            }
            for row in csv.DictReader(file)
        ]


def draw_learning(scene: Scene, rows: Sequence[Row], path: Path) -> list[Path]:
    """Draw training and validation loss, with a color for each learning rate.

    Returns the files that were written.
    """
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rates = list(dict.fromkeys(row["learning_rate"] for row in rows))
    for index, rate in enumerate(rates):
        rate_rows = [row for row in rows if row["learning_rate"] == rate]
        epochs = [row["epoch"] for row in rate_rows]
        for key, name, line in CURVES:
            losses = [row[key] for row in rate_rows]
            label = f"learning rate {rate:.0e}, {name}"
            axes.plot(epochs, losses, line, color=f"C{index}", label=label)

    axes.set(xlabel="epoch", ylabel="mean loss of a sample")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    set_error_scale(axes)
    title = f"CF Fig. 11: {TRAINED}, demodulated; {scene.name}, simulated"
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.3, which="both")
    add_legend(figure)
    return [save_picture(figure, path, 1)]
