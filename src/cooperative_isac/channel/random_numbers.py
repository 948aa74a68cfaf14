"""Complex random numbers."""

from __future__ import annotations

import numpy as np


def complex_normal(
    generator: np.random.Generator, shape: tuple[int, ...], variance: float = 1.0
) -> np.ndarray:
    """Circular complex Gaussian draws CN(0, variance).

    Returns an array of that shape, complex128.
    """
    parts = generator.standard_normal((*shape, 2))
    return parts @ (np.array([1, 1j]) * np.sqrt(variance / 2))
