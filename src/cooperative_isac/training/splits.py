"""Splits of all samples into training and validation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """A named part of all samples.

    first: number of its first sample
    count: its number of samples
    beyond: first of further samples, where more than count are requested; None: there are none
    """

    first: int
    count: int
    beyond: int | None = None


# CF section V: 16,000 + 4,000 samples.
SPLITS = {
    "train": Split(0, 16_000, 20_000),
    "validation": Split(16_000, 4_000),
}
