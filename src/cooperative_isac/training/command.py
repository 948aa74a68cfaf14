"""What `isac train` does: put a job together, run it, show how it goes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cooperative_isac.learned.network import Network
from cooperative_isac.scene.model import Scene
from cooperative_isac.training.algorithm import Optimization
from cooperative_isac.training.distributed import is_distributed
from cooperative_isac.training.loop import Callback, Training
from cooperative_isac.training.progress_bar import progress
from cooperative_isac.training.recipes import Recipe, recipe
from cooperative_isac.training.recordings import RecordedSamples
from cooperative_isac.training.run import Job, train_distributed, train_locally
from cooperative_isac.training.samples import SampleRanges
from cooperative_isac.training.settings import Settings

# Kinds of devices that training is tested on.
DEVICES = ("cpu", "cuda")
SHOWN = (
    "epoch",
    "loss",
    "validation_loss",
    "median_location_m",
    "median_velocity_mps",
    "detection_rate",
    "false_alarms",
)


def make_job(
    scene: Scene,
    scheme: str,
    folder: Path,
    chosen: Mapping[str, object],
    ranges: SampleRanges,
    hyperparameters: Mapping[str, object],
    data: Path | None,
) -> Job:
    """The recipe of a scheme with what the user chose instead; data: folder of recorded samples, or
    None.
    """
    basis = recipe(scheme)
    given = {name: value for name, value in vars(ranges).items() if value is not None}
    ranges = replace(basis.ranges, **given)
    settings: dict[str, Any] = {**basis.settings, **chosen}
    names = {field.name for field in fields(Optimization)}
    optimization = Optimization(**{name: settings.pop(name) for name in names & settings.keys()})
    most = {"num_targets": max(ranges.targets[1] if ranges.targets else scene.draw.num_targets, 1)}
    network = merged(merged(basis.network, most), hyperparameters)
    return Job(
        scene,
        scheme,
        Recipe(basis.kind, network),
        Settings(**settings, ranges=ranges, optimization=optimization),
        folder,
        RecordedSamples(scene, data.resolve()) if data else None,
    )


def run_job(job: Job, console: Console) -> None:
    """Train, with a progress bar and a line for each epoch; say where the weights are."""
    job = replace(job, device=_device(job.device, job.settings.hold_encoders))
    bar = progress()
    callback = ProgressCallback(bar, console, job)
    try:
        training = (
            train_distributed(job, callback) if is_distributed() else train_locally(job, callback)
        )
    finally:
        if bar.live.is_started:
            bar.stop()
    if training is not None:
        show(training, job, console)


class ProgressCallback(Callback):
    """Shows a run on the screen."""

    def __init__(self, bar: Progress, console: Console, job: Job):
        self.bar, self.console, self.job = bar, console, job
        self.loss = float("nan")

    def begin(self, training: Training, network: Network) -> None:
        """Say what is trained, and show the bar."""
        sizes = [
            count_parameters(network.encoders[network.receivers[0]]),
            count_parameters(network.center),
        ]
        self.console.print(
            f"{self.job.scheme} for {self.job.scene.name} on {self.job.device}: encoder "
            f"{sizes[0]:,} parameters, decoder {sizes[1]:,}; {self.job.folder}",
            highlight=False,
        )
        if training.batch_size < training.settings.batch_size:
            self.console.print(
                f"batches of {training.batch_size} samples, which are all there are, not of "
                f"{training.settings.batch_size}",
                highlight=False,
            )
        if training.rows or training.step:
            self.console.print(
                f"going on at epoch {training.epoch + 1}, step {training.step}", highlight=False
            )
        self.bar.start()
        self.task = self.bar.add_task("epoch", total=training.steps_per_epoch, note="")

    def begin_epoch(self, epoch: int, steps_done: int) -> None:
        """Set the bar to what of the epoch is done."""
        self.bar.reset(self.task, completed=steps_done, description=f"epoch {epoch + 1}", note="")

    def step(self, loss: float) -> None:
        """Advance the bar, with the smoothed loss beside it."""
        smooth = loss if self.loss != self.loss else 0.98 * self.loss + 0.02 * loss
        self.loss = smooth
        self.bar.update(self.task, advance=1, note=f"loss {smooth:.4f}")

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """Print the figures of the epoch."""
        self.console.print("  ".join(f"{name} {row[name]:.4g}" for name in SHOWN), highlight=False)


def show(training: Training, job: Job, console: Console) -> None:
    """The best epoch, and how to use its weights."""
    if not training.best_epoch or not training.folder.weights.is_file():
        raise ValueError(
            f"{training.folder.path} has no weights of this run; train in another folder"
        )
    best = training.rows[training.best_epoch - 1]
    table = Table("figure", "best epoch", "last epoch", box=SIMPLE_HEAD)
    for name, value in best.items():
        table.add_row(name, f"{value:.5g}", f"{training.rows[-1][name]:.5g}")
    console.print(table)
    weights = training.folder.weights
    variable, source = (
        f"ISAC_WEIGHTS={shlex.quote(str(weights))}",
        shlex.quote(str(job.scene.source)),
    )
    console.print(
        f"weights: {weights}\nuse them: {variable} isac evaluate {source} --schemes {job.scheme}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def count_parameters(module: torch.nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in module.parameters())


def merged(basis: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """A mapping with changes, those in mappings within it too."""
    result = dict(basis)
    for name, value in changes.items():
        inner = result.get(name)
        result[name] = (
            merged(inner, value)
            if isinstance(inner, Mapping) and isinstance(value, Mapping)
            else value
        )
    return result


def _device(name: str, hold_encoders: bool) -> str:
    if name == "auto":
        return (
            "cuda"
            if torch.cuda.is_available() and not is_distributed() and not hold_encoders
            else "cpu"
        )
    if not _is_there(name):
        raise ValueError(
            f"--device is {name}; torch has no such device here: use cpu, cuda or auto"
        )
    return name


def _is_there(device: str) -> bool:
    """Whether torch computes on a device of this name."""
    try:
        kind = torch.device(device).type
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError):  # a build without CUDA asserts it
        return False
    return kind in DEVICES
