"""Gray-coded square QAM constellations of unit mean power."""

from __future__ import annotations

from functools import cache

import numpy as np

ORDERS = (4, 16, 64, 256)


@cache
def constellation(order: int) -> np.ndarray:
    """Points of square QAM by bit label, [order], complex64, unit mean power."""
    if order not in ORDERS:
        raise ValueError(f"modulation order {order} is not supported; use one of {ORDERS}")
    side = int(np.sqrt(order))
    levels = np.empty(side)
    natural = np.arange(side)
    levels[natural ^ (natural >> 1)] = 2 * natural - (side - 1)
    points = (levels[:, None] + 1j * levels[None, :]).ravel()
    return (points / np.sqrt(np.mean(np.abs(points) ** 2))).astype(np.complex64)
