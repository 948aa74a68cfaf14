"""A training run from its first step to its last, through interruptions."""

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
from cooperative_isac.training.samples import split_numbers
from cooperative_isac.training.score import ErrorLog
from cooperative_isac.training.settings import Settings


class Callback:
    """Hears how a run goes on; this one does nothing."""

    def begin(self, training: Training, network: Network) -> None:
        """A run begins, or goes on after an interruption."""

    def begin_epoch(self, epoch: int, steps_done: int) -> None:
        """An epoch begins, or goes on after an interruption."""

    def step(self, loss: float) -> None:
        """A training step is done."""

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is done: its line of the curves."""


class Training:
    """State of a run: all of it is in the checkpoint."""

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
        self.access_points, self.center, self.examples = access_points, center, examples
        self.settings, self.folder, self.num_workers = settings, folder, num_workers
        self.device, self.half = device, half
        self.train_numbers = split_numbers(examples.source, "train", settings.train_samples)
        self.validation_numbers = split_numbers(
            examples.source, "validation", settings.validation_samples
        )
        # Whole batches are trained on: of fewer samples than one they are all of it.
        self.batch_size = min(settings.batch_size, len(self.train_numbers))
        self.epoch, self.step, self.losses, self.rows = 0, 0, [], []
        self.best_loss, self.best_epoch = float("inf"), 0
        state = folder.load()
        if state is not None:
            self._restore(state)

    def run(self, callback: Callback = Callback()) -> None:
        """Train until the last epoch, or until validation has not improved for `patience`
        epochs.
        """
        callback.begin(self, self.center.network)
        while self.epoch < self.settings.epochs and not self.stopped_early:
            began_s = time.monotonic()
            callback.begin_epoch(self.epoch, self.step)
            self._train_epoch(callback)
            row = self._close_epoch(time.monotonic() - began_s)
            callback.end_epoch(row)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self.train_numbers) // self.batch_size

    @property
    def stopped_early(self) -> bool:
        """Whether validation has not improved for too long."""
        return 0 < self.settings.patience <= self.epoch - self.best_epoch

    def _train_epoch(self, callback: Callback) -> None:
        settings = self.settings
        groups = epoch_groups(self.train_numbers, self.batch_size, settings.seed, self.epoch)[
            self.step :
        ]
        for batch in batches(self.examples, groups, self.num_workers, self.device):
            total = self.epoch * self.steps_per_epoch + self.step
            heard = draw_receiver_mask(len(batch.numbers), len(self.access_points), settings, total)
            loss = train_step(
                self.access_points,
                self.center,
                batch,
                heard.to(self.device),
                settings.learning_rate_at(total, self.steps_per_epoch),
            )
            self._refuse_divergence("loss", loss)
            self.losses.append(loss)
            self.step += 1
            callback.step(loss)
            if self.step % settings.checkpoint_steps == 0:
                self.folder.save(self._state())

    def _close_epoch(self, seconds: float) -> dict[str, float]:
        log, validation_loss = self._validate()
        self.epoch, self.step = self.epoch + 1, 0
        row = {
            "epoch": self.epoch,
            "loss": float(np.mean(self.losses)),
            "validation_loss": validation_loss,
            **asdict(log.score()),
            **self._reports(),
            "seconds": round(seconds, 1),
        }
        self.rows, self.losses = [*self.rows, row], []
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = validation_loss, self.epoch
            self._keep(log, row)
        self.folder.write_curves(self.rows)
        self.folder.save(self._state())
        return row

    def _refuse_divergence(self, name: str, loss: float) -> None:
        """ValueError for a loss that is no number: what is trained from here on is worth
        nothing.
        """
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
        numbers = self.validation_numbers
        groups = np.array_split(numbers, -(-len(numbers) // self.batch_size))
        log, total = ErrorLog(self.center.network.scene.dimension), 0.0
        for batch in batches(self.examples, groups, self.num_workers, self.device):
            loss, found = self.center.evaluate(
                all_latents(self.access_points, batch, training=False), batch
            )
            self._refuse_divergence("validation loss", loss)
            assert batch.truth is not None  # the center has it
            log.add(found, batch.truth)
            total += loss * len(batch.numbers)
        return log, total / len(numbers)

    def _reports(self) -> dict[str, float]:
        names = self.examples.network.receivers
        return {
            f"{figure}_{name}": value
            for name, access_point in zip(names, self.access_points)
            for figure, value in access_point.report().items()
        }

    def _keep(self, log: ErrorLog, row: Mapping[str, float]) -> None:
        network = self.center.network
        for access_point in self.access_points:
            access_point.export(network)
        network.deviation.copy_(torch.from_numpy(log.std()))
        figures = {name: value if np.isfinite(value) else None for name, value in row.items()}
        del figures["seconds"]  # the same run leaves the same bytes
        training = {"run": self.folder.description(), "validation": figures}
        self.folder.replace(
            self.folder.weights.name, lambda path: save_weights(path, network, training, self.half)
        )

    def _state(self) -> dict:
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
        try:
            self.epoch, self.step = int(state["epoch"]), int(state["step"])
            self.losses, self.rows = list(state["losses"]), list(state["rows"])
            self.best_loss, self.best_epoch = float(state["best_loss"]), int(state["best_epoch"])
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
    """Which receivers the center hears in a training step, [batch, M], float32: a function of the
    seed and the step.

    At least one is heard in every sample.
    """
    generator = np.random.default_rng([settings.seed, step])
    heard = generator.random((batch_size, num_receivers)) >= settings.receiver_dropout
    heard[np.arange(batch_size), generator.integers(num_receivers, size=batch_size)] |= ~heard.any(
        axis=1
    )
    return torch.from_numpy(heard.astype(np.float32))
