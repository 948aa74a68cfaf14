"""The parts of all samples: training and validation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """A named part of all samples; beyond: first of more samples for those who want them, None:
    there are no more.
    """

    first: int
    count: int
    beyond: int | None = None


SPLITS = {
    "train": Split(0, 16_000, 20_000),
    "validation": Split(16_000, 4_000),
}  # CF section V: 16,000 + 4,000
