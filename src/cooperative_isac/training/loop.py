"""A training run from its first step to its last, across interruptions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.learned.network import Network
from cooperative_isac.learned.weights import save_weights
from cooperative_isac.training.algorithm import AccessPoint, Center, all_latents, train_step
from cooperative_isac.training.batches import Examples, batches, epoch_groups
from cooperative_isac.training.folder import RunFolder
from cooperative_isac.training.mirror import draw_mirrored, find_mirror
from cooperative_isac.training.samples import split_numbers
from cooperative_isac.training.score import ErrorLog
from cooperative_isac.training.settings import Settings


class Callback:
    """Methods that a run calls on its way; this class does nothing in them."""

    def begin(self, training: Training, network: Network) -> None:
        """Called when a run begins, or continues after an interruption."""

    def begin_epoch(self, epoch: int, steps_done: int) -> None:
        """Called when an epoch begins, or continues after an interruption."""

    def step(self, loss: float) -> None:
        """Called after a training step."""

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """Called after an epoch, with its line of the curves."""


class Training:
    """State of a run; all of it is in the checkpoint.

    examples: samples of the run as batches
    num_workers: processes that draw samples beside the training
    half: store weights in 16 bits
    """

    def __init__(
        self,
        access_points: Sequence[AccessPoint],
        center: Center,
        examples: Examples,
        settings: Settings,
        folder: RunFolder,
        num_workers: int = 0,
        device: torch.device = torch.device("cpu"),
        half: bool = False,
    ):
        self.access_points = access_points
        self.center = center
        self.examples = examples
        self.settings = settings
        self.folder = folder
        self.num_workers = num_workers
        self.device = device
        self.half = half
        self.mirror = find_mirror(center.network) if settings.mirror else None

        # Samples. An epoch has whole batches; of fewer samples than a batch it is one of them all.
        source = examples.source
        self.train_numbers = split_numbers(source, "train", settings.train_samples)
        self.validation_numbers = split_numbers(source, "validation", settings.validation_samples)
        self.batch_size = min(settings.batch_size, len(self.train_numbers))

        # Progress, as it is in the checkpoint.
        self.epoch = 0
        self.step = 0
        self.losses: list[float] = []
        self.rows: list[dict[str, float]] = []
        self.best_loss = float("inf")
        self.best_epoch = 0
        state = folder.load()
        if state is not None:
            self._restore(state)

    def run(self, callback: Callback = Callback()) -> None:
        """Train until the last epoch, or until validation has stopped improving."""
        callback.begin(self, self.center.network)
        while self.epoch < self.settings.epochs and not self.stopped_early:
            start_s = time.monotonic()
            callback.begin_epoch(self.epoch, self.step)
            self._train_epoch(callback)
            row = self._close_epoch(time.monotonic() - start_s)
            callback.end_epoch(row)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self.train_numbers) // self.batch_size

    @property
    def stopped_early(self) -> bool:
        """True when validation has not improved for `patience` epochs."""
        return 0 < self.settings.patience <= self.epoch - self.best_epoch

    def _train_epoch(self, callback: Callback) -> None:
        """Train on the batches of the epoch that are left."""
        # All batches of the epoch, without those before an interruption.
        settings = self.settings
        groups = epoch_groups(self.train_numbers, self.batch_size, settings.seed, self.epoch)
        groups = groups[self.step :]
        for batch in batches(self.examples, groups, self.num_workers, self.device):
            # Mirror images of half of the samples.
            total_steps = self.epoch * self.steps_per_epoch + self.step
            if self.mirror is not None:
                chosen = draw_mirrored(len(batch.numbers), settings.seed, total_steps)
                batch = self.mirror.image(batch, chosen.to(self.device))

            # One step of the algorithm.
            receiver_mask = draw_receiver_mask(
                len(batch.numbers), len(self.access_points), settings, total_steps
            )
            loss = train_step(
                self.access_points,
                self.center,
                batch,
                receiver_mask.to(self.device),
                settings.learning_rate_at(total_steps, self.steps_per_epoch),
            )
            self._refuse_divergence("loss", loss)

            # Progress
            self.losses.append(loss)
            self.step += 1
            callback.step(loss)
            if self.step % settings.checkpoint_steps == 0:
                self.folder.save(self._state())

    def _close_epoch(self, seconds: float) -> dict[str, float]:
        """Validate, and write curves, checkpoint and, if they are the best, weights."""
        # Validate: a line of the curves.
        log, validation_loss = self._validate()
        self.epoch += 1
        self.step = 0
        row = {
            "epoch": self.epoch,
            "loss": float(np.mean(self.losses)),
            "validation_loss": validation_loss,
            **asdict(log.score()),
            **self._reports(),
            "seconds": round(seconds, 1),
        }
        self.rows = [*self.rows, row]
        self.losses = []

        # Write the files.
        if validation_loss < self.best_loss:
            self.best_loss = validation_loss
            self.best_epoch = self.epoch
            self._save_weights(log, row)
        self.folder.write_curves(self.rows)
        self.folder.save(self._state())
        return row

    def _refuse_divergence(self, name: str, loss: float) -> None:
        """Raise ValueError for a loss that is not finite: training cannot recover from it."""
        if np.isfinite(loss):
            return
        kept = (
            f"the weights of epoch {self.best_epoch} stay"
            if self.best_epoch
            else "there are no weights"
        )
        raise ValueError(
            f"the {name} is {loss} in step {self.step + 1} of epoch {self.epoch + 1}; {kept}. "
            "Train in another folder with a lower --learning-rate than "
            f"{self.settings.learning_rate:g}"
        )

    def _validate(self) -> tuple[ErrorLog, float]:
        """Errors over the validation samples, and their mean loss."""
        # All samples, in batches of about equal size.
        numbers = self.validation_numbers
        num_batches = -(-len(numbers) // self.batch_size)  # rounded up
        groups = np.array_split(numbers, num_batches)

        # Sums over samples.
        log = ErrorLog(self.center.network.scene.dimension)
        total_loss = 0.0
        for batch in batches(self.examples, groups, self.num_workers, self.device):
            latents = all_latents(self.access_points, batch, training=False)
            loss, predictions = self.center.evaluate(latents, batch)
            self._refuse_divergence("validation loss", loss)
            assert batch.truth is not None  # the center has it
            log.add(predictions, batch.truth)
            total_loss += loss * len(batch.numbers)
        return log, total_loss / len(numbers)

    def _reports(self) -> dict[str, float]:
        """Figures of all access points, with the names of their receivers."""
        names = self.examples.network.receivers
        return {
            f"{figure}_{name}": value
            for name, access_point in zip(names, self.access_points)
            for figure, value in access_point.report().items()
        }

    def _save_weights(self, log: ErrorLog, row: Mapping[str, float]) -> None:
        """Write the weights with the errors of their validation."""
        network = self.center.network
        for access_point in self.access_points:
            access_point.export(network)
        network.deviation.copy_(torch.from_numpy(log.std()))

        # Without the duration, so that the same run writes the same bytes.
        figures = {name: value if np.isfinite(value) else None for name, value in row.items()}
        del figures["seconds"]
        training = {"run": self.folder.description(), "validation": figures}
        self.folder.replace(
            self.folder.weights.name, lambda path: save_weights(path, network, training, self.half)
        )

    def _state(self) -> dict:
        """Content of a checkpoint: progress, curves, and states of the center and access points."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "rows": self.rows,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "center": self.center.state_dict(),
            "access_points": [access_point.state_dict() for access_point in self.access_points],
        }

    def _restore(self, state: dict) -> None:
        """Continue from a checkpoint; ValueError where it is damaged."""
        try:
            self.epoch = int(state["epoch"])
            self.step = int(state["step"])
            self.losses = list(state["losses"])
            self.rows = list(state["rows"])
            self.best_loss = float(state["best_loss"])
            self.best_epoch = int(state["best_epoch"])

            # Curves have a row for each whole epoch.
            if not 0 <= self.best_epoch <= self.epoch == len(self.rows):
                raise ValueError("its curves do not reach its epoch")
            self.center.load_state_dict(state["center"])
            for access_point, part in zip(self.access_points, state["access_points"], strict=True):
                access_point.load_state_dict(part)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            raise self.folder.damaged_checkpoint() from None


def draw_receiver_mask(
    batch_size: int, num_receivers: int, settings: Settings, step: int
) -> Tensor:
    """Receiver dropout of a training step: a function of the seed and the step.

    Every sample keeps one receiver or more.

    Returns [batch, M], float32, 0 where a receiver is left out, else 1.
    """
    generator = np.random.default_rng([settings.seed, step])
    mask = generator.random((batch_size, num_receivers)) >= settings.receiver_dropout

    # A random receiver for the samples that would have none.
    spare = generator.integers(num_receivers, size=batch_size)
    mask[np.arange(batch_size), spare] |= ~mask.any(axis=1)
    return torch.from_numpy(mask.astype(np.float32))
