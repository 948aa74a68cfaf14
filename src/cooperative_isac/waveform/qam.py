"""Gray-coded square QAM constellations of unit mean power."""

from __future__ import annotations

from functools import cache

import numpy as np

# Numbers of points of the square constellations of TS 38.211 section 5.1: QPSK to 256QAM.
ORDERS = (4, 16, 64, 256)


@cache
def constellation(order: int) -> np.ndarray:
    """Points of square QAM by bit label.

    Returns [order], complex64, of unit mean power.
    Raises ValueError: the order is not one of ORDERS.
    """
    if order not in ORDERS:
        raise ValueError(f"modulation order {order} is not supported; use one of {ORDERS}")

    # Amplitudes of one axis: neighbors differ in one bit of their Gray labels.
    side = int(np.sqrt(order))
    natural = np.arange(side)
    gray = natural ^ (natural >> 1)
    levels = np.empty(side)
    levels[gray] = 2 * natural - (side - 1)

    # The first half of the bits selects the real part, the second half the imaginary part.
    points = (levels[:, None] + 1j * levels[None, :]).ravel()
    return (points / np.sqrt(np.mean(np.abs(points) ** 2))).astype(np.complex64)
