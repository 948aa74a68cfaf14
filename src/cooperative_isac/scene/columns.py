"""Dataclasses whose fields are columns of one table, arrays [num_rows, ...]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Table = TypeVar("Table")


def joined_rows(parts: Sequence[Table]) -> Table:
    """The rows of several tables of one dataclass in one, column by column.

    parts: at least one; a column that all of them lack stays None
    """
    first: Any = parts[0]
    columns = [[getattr(part, field.name) for part in parts] for field in fields(first)]
    return type(first)(*map(_joined, columns))


def _joined(column: list[Any]) -> np.ndarray | None:
    """A column of several tables in one; None where they all lack it."""
    if all(part is None for part in column):
        return None
    return np.concatenate(column)
