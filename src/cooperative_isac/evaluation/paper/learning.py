"""CF Fig. 11: the training loss over the epochs for several learning rates."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from cooperative_isac.scene.model import Scene

RATES = (1e-3, 1e-4, 1e-5)
TRAINED = "dvqvae_paper"
# Small enough for a processor, and with an input that it learns from.
CHANGES = {
    "input": "demodulated",
    "hidden": 32,
    "latent_dim": 32,
    "features": 128,
    "transmit_layers": 0,
    "codebook": {"size": 256, "restart_after": 20},
}


def learning_rows(
    scene: Scene, folder: Path, epochs: int, samples: int, console: Console
) -> list[dict]:
    """Losses of a training run with each rate; runs that are there go on, or are only read."""
    from cooperative_isac.training.command import make_job, run_job  # loads torch
    from cooperative_isac.training.samples import SampleRanges

    rows = []
    for rate in RATES:
        run = folder / f"{scene.name}-demodulated-{rate:g}-{samples}"
        chosen = {
            "learning_rate": rate,
            "schedule": "constant",
            "epochs": epochs,
            "train_samples": samples,
            "validation_samples": max(samples // 8, 16),
            "patience": 0,
        }
        job = make_job(scene, TRAINED, run, chosen, SampleRanges(), CHANGES, None)
        run_job(replace(job, cache=folder / f"cache-{scene.name}-demodulated"), console)
        with (run / "curves.csv").open(encoding="utf-8") as file:
            rows += [
                {
                    "learning_rate": rate,
                    "epoch": int(row["epoch"]),
                    "loss": float(row["loss"]),
                    "validation_loss": float(row["validation_loss"]),
                }
                for row in csv.DictReader(file)
            ]
    return rows


def draw_learning(scene: Scene, rows: list[dict], path: Path) -> None:
    """A curve for each learning rate, training and validation."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, rate in enumerate(dict.fromkeys(row["learning_rate"] for row in rows)):
        own = [row for row in rows if row["learning_rate"] == rate]
        for key, style in (("loss", "-"), ("validation_loss", "--")):
            axes.plot(
                [row["epoch"] for row in own],
                [row[key] for row in own],
                style,
                color=f"C{index}",
                label=f"lr {rate:g}, {'training' if key == 'loss' else 'validation'}",
            )
    axes.set(
        xlabel="epoch",
        ylabel="loss",
        yscale="log",
        title=f"CF Fig. 11: demodulated input, {scene.name}, simulated",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=90)
