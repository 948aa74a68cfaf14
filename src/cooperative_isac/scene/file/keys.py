"""Types of the values in scene files, and the base of their sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Levels of dB, dBm and dBsm: far beyond all that is real, and their powers are numbers still.
LEAST_LEVEL_DB = -200.0
MOST_LEVEL_DB = 200.0
Level = Annotated[float, Field(ge=LEAST_LEVEL_DB, le=MOST_LEVEL_DB, allow_inf_nan=False)]
Deviation = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]  # dB
NoiseFigure = Annotated[float, Field(ge=0, le=200)]  # dB
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Vector = Annotated[list[Finite], Field(min_length=3, max_length=3)]
Point = Annotated[list[Finite], Field(min_length=2, max_length=3)]
# Pairs; their titles name both values on the reference pages.
Pair = Annotated[list[Finite], Field(min_length=2, max_length=2, title="[x, y]")]
Limits = Annotated[list[Finite], Field(min_length=2, max_length=2, title="[low, high]")]
ZoneLimits = Annotated[list[Finite], Field(min_length=2, max_length=2, title="[A, B]")]
Fragment = Annotated[
    list[Annotated[int, Field(ge=0)]],
    Field(min_length=2, max_length=2, title="[first, last]"),
]
Count = Annotated[int, Field(ge=1)]
# A part of the names of topics, frames and files, which have 255 characters at most.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


def later(default) -> Any:
    """A key that came after the first release: at its default it leaves no trace in a scene's
    fingerprint.
    """
    return Field(default, exclude_if=lambda value: value == default)


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
