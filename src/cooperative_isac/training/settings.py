"""Settings of a training run; stored in its folder, so that a resumed run is the same run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from cooperative_isac.learned.paper.config import check_choice
from cooperative_isac.training.algorithm import Optimization
from cooperative_isac.training.samples import SampleRanges

SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "bfloat16")
# Names of settings in the files of a run where they are others: files keep their first names.
STORED_NAMES = {"receiver_dropout": "drop_out", "ranges": "variety"}


@dataclass(frozen=True)
class Settings:
    """Settings of a run; defaults are CF's where it has any: a constant learning rate of 1e-4.

    epochs: passes over the training samples
    batch_size: samples of a training step
    learning_rate: of Adam
    schedule: constant | cosine, course of the learning rate (cosine: down to zero at the end)
    warmup_steps: training steps over which the learning rate rises linearly
    receiver_dropout: probability that a receiver is left out of a training sample, so that the
    center learns to do without it
    patience: epochs without a lower validation loss after which training stops (0: never)
    seed: of weights, order of samples and dropout
    checkpoint_steps: training steps between checkpoints inside an epoch
    train_samples, validation_samples: samples of the splits in use (0: all)
    hold_encoders: encoders keep their weights, codebooks and center learn
    mirror: train on the mirror images of half of the samples, in symmetric scenes
    ranges: from which samples are drawn
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    receiver_dropout: float = 0.0
    patience: int = 20
    seed: int = 0
    checkpoint_steps: int = 500
    train_samples: int = 0
    validation_samples: int = 0
    hold_encoders: bool = False
    mirror: bool = False
    ranges: SampleRanges = SampleRanges()
    optimization: Optimization = Optimization()

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.optimization.precision, PRECISIONS)
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; it must be 1 or more")

    def stored(self) -> dict[str, object]:
        """The settings under their names in the files of a run.

        The latest range is there only where it is used, so that older runs continue.
        """
        settings = asdict(self)
        if self.ranges.vehicles is None:
            del settings["ranges"]["vehicles"]
        return {STORED_NAMES.get(name, name): value for name, value in settings.items()}

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a training step, counted from 0 over all epochs."""
        # Linear rise.
        rate = self.learning_rate * min(1.0, (step + 1) / (self.warmup_steps + 1))

        # Half a period of the cosine, from 1 to 0 over all steps.
        if self.schedule == "cosine":
            num_steps = self.epochs * steps_per_epoch
            rate *= 0.5 * (1 + math.cos(math.pi * step / num_steps))
        return rate
