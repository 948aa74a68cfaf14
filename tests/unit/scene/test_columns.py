"""Tables of columns: rows of several tables in one."""

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.columns import joined_rows


@dataclass(frozen=True)
class Table:
    number: np.ndarray
    place: np.ndarray


def table(first, count):
    return Table(np.arange(first, first + count), np.full((count, 3), float(first)))


def test_rows_are_joined_in_their_order():
    parts = [table(0, 2), table(7, 0), table(5, 3)]
    joined = joined_rows(parts)
    rows = [(int(n), *p) for part in parts for n, p in zip(part.number, part.place)]
    assert [(int(n), *p) for n, p in zip(joined.number, joined.place)] == rows
    assert isinstance(joined, Table) and joined.number.dtype == parts[0].number.dtype
