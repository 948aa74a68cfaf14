"""The work of `isac train`: make a job, run it, show its progress."""

from __future__ import annotations

import math
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

# Kinds of devices on which training is tested.
DEVICES = ("cpu", "cuda")
# Weight of the past in the moving average of the loss beside the bar: some fifty steps.
SMOOTHING = 0.98
# Figures of an epoch that are printed.
PRINTED_FIGURES = (
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
    """A job from the recipe of a scheme and the user's choices.

    chosen: settings of the run and of its optimization
    ranges: of the samples; those that are None are the recipe's
    hyperparameters: of the network
    data: folder of recorded samples; None: samples are drawn on the fly
    """
    # Ranges of the samples
    basis = recipe(scheme)
    given = {name: value for name, value in vars(ranges).items() if value is not None}
    ranges = replace(basis.ranges, **given)

    # Settings of the run, and of the optimization.
    settings: dict[str, Any] = {**basis.settings, **chosen}
    names = {field.name for field in fields(Optimization)}
    optimization = Optimization(**{name: settings.pop(name) for name in names & settings.keys()})

    # Hyperparameters: enough targets for the samples, then the user's.
    max_targets = ranges.targets[1] if ranges.targets else scene.draw.num_targets
    network = merged(basis.network, {"num_targets": max(max_targets, 1)})
    network = merged(network, hyperparameters)
    return Job(
        scene,
        scheme,
        Recipe(basis.kind, network),
        Settings(**settings, ranges=ranges, optimization=optimization),
        folder,
        RecordedSamples(scene, data.resolve()) if data else None,
    )


def run_job(job: Job, console: Console) -> None:
    """Train, with a progress bar and a line for each epoch; print the file of the weights."""
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
    """Progress of a run on the screen."""

    def __init__(self, bar: Progress, console: Console, job: Job):
        self.bar = bar
        self.console = console
        self.job = job
        self.loss = float("nan")

    def begin(self, training: Training, network: Network) -> None:
        """Print the sizes of the network, and show the bar."""
        # Network
        encoder_size = count_parameters(network.encoders[network.receivers[0]])
        decoder_size = count_parameters(network.center)
        self.console.print(
            f"{self.job.scheme} for {self.job.scene.name} on {self.job.device}: encoder "
            f"{encoder_size:,} parameters, decoder {decoder_size:,}; {self.job.folder}",
            highlight=False,
        )

        # Smaller batches, and the state of a resumed run.
        if training.batch_size < training.settings.batch_size:
            self.console.print(
                f"batches of {training.batch_size} samples, which are all there are, not of "
                f"{training.settings.batch_size}",
                highlight=False,
            )
        if training.rows or training.step:
            self.console.print(
                f"continuing at epoch {training.epoch + 1}, step {training.step}", highlight=False
            )

        # Bar
        self.bar.start()
        self.task = self.bar.add_task("epoch", total=training.steps_per_epoch, note="")

    def begin_epoch(self, epoch: int, steps_done: int) -> None:
        """Set the bar to the steps of the epoch that are done."""
        self.bar.reset(self.task, completed=steps_done, description=f"epoch {epoch + 1}", note="")

    def step(self, loss: float) -> None:
        """Advance the bar, with the smoothed loss beside it."""
        is_first = math.isnan(self.loss)
        self.loss = loss if is_first else SMOOTHING * self.loss + (1 - SMOOTHING) * loss
        self.bar.update(self.task, advance=1, note=f"loss {self.loss:.4f}")

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """Print the figures of the epoch."""
        self.console.print(
            "  ".join(f"{name} {row[name]:.4g}" for name in PRINTED_FIGURES), highlight=False
        )


def show(training: Training, job: Job, console: Console) -> None:
    """Print the figures of the best epoch, and the command that uses its weights."""
    if not training.best_epoch or not training.folder.weights.is_file():
        raise ValueError(
            f"{training.folder.path} has no weights of this run; train in another folder"
        )

    # Figures
    best = training.rows[training.best_epoch - 1]
    table = Table("figure", "best epoch", "last epoch", box=SIMPLE_HEAD)
    for name, value in best.items():
        table.add_row(name, f"{value:.5g}", f"{training.rows[-1][name]:.5g}")
    console.print(table)

    # Command that uses the weights
    weights = training.folder.weights
    variable = f"ISAC_WEIGHTS={shlex.quote(str(weights))}"
    source = shlex.quote(str(job.scene.source))
    console.print(
        f"weights: {weights}\nuse them: {variable} isac evaluate {source} --schemes {job.scheme}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def count_parameters(module: torch.nn.Module) -> int:
    """Number of parameters that training changes."""
    return sum(parameter.numel() for parameter in module.parameters())


def merged(basis: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """A mapping with changes, also inside its nested mappings."""
    result = dict(basis)
    for name, value in changes.items():
        inner = result.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            result[name] = merged(inner, value)
        else:
            result[name] = value
    return result


def _device(name: str, hold_encoders: bool) -> str:
    """The device of a run: auto is cuda where the run can use it."""
    if name == "auto":
        may_use_cuda = not is_distributed() and not hold_encoders
        return "cuda" if torch.cuda.is_available() and may_use_cuda else "cpu"
    if not _is_usable(name):
        raise ValueError(
            f"--device is {name}; torch has no such device here: use cpu, cuda or auto"
        )
    return name


def _is_usable(device: str) -> bool:
    """True where torch computes on a device of this name."""
    try:
        kind = torch.device(device).type
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError):
        # A build of torch without CUDA raises AssertionError.
        return False
    return kind in DEVICES
