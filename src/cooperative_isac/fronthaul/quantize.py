"""Scalar quantizers, and a code of information matrices that is positive definite whatever the
bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantizer:
    """Uniform quantizer of low..high in 2**width steps; values outside are clipped."""

    low: float
    high: float
    width: int

    @property
    def step(self) -> float:
        """Distance of two levels."""
        return (self.high - self.low) / ((1 << self.width) - 1)

    def encode(self, value: float) -> int:
        """Index of the nearest level."""
        return min(max(round((value - self.low) / self.step), 0), (1 << self.width) - 1)

    def decode(self, index: int) -> float:
        """The level of an index."""
        return self.low + index * self.step


SCALE_DB = Quantizer(-40.0, 80.0, 10)
PARTIAL = Quantizer(-5.0, 5.0, 11)
LEAST_INFORMATION = 1e-12
# On the diagonal of correlations, so that they have a Cholesky factor.
RIDGE = 1e-6
# Below the smallest eigenvalue of a correlation matrix whose eigenvalues need not be found.
SAFE_RIDGE = 1e-9


def information_fields(information: np.ndarray) -> list[tuple[int, int]]:
    """Code a symmetric positive definite matrix, but for rounding, as (index, width) fields.

    information: [n, n], n <= 3, 1/m^2. Diagonal in dB, then Fisher's z of the canonical partial
    correlations, whose step keeps 1 - r^2 to about a per cent even where location is known along
    one direction only.
    """
    # Correlations, as numbers: matrices are small.
    entries = information.tolist()
    size = len(entries)
    diagonal = [max(entries[axis][axis], LEAST_INFORMATION) for axis in range(size)]
    fields = [(SCALE_DB.encode(10 * math.log10(entry)), SCALE_DB.width) for entry in diagonal]
    correlation = [
        [
            entries[row][column] / math.sqrt(diagonal[row] * diagonal[column])
            for column in range(row)
        ]
        for row in range(size)
    ]

    # Their Cholesky factor; rounding may leave one direction below nothing.
    ridge = RIDGE
    if _root(correlation, -SAFE_RIDGE) is None:
        whole = np.array([[*row, 1.0, *[0.0] * (size - len(row) - 1)] for row in correlation])
        ridge += max(-np.linalg.eigvalsh(whole, UPLO="L")[0], 0.0)
    root = _root(correlation, ridge)
    assert root is not None  # all eigenvalues are above RIDGE

    # Canonical partial correlations.
    for row in range(1, size):
        left = 1.0
        for entry in root[row][:row]:
            partial = min(max(entry / math.sqrt(max(left, 1e-12)), -0.9999), 0.9999)
            fields.append((PARTIAL.encode(math.atanh(partial)), PARTIAL.width))
            left -= entry**2
    return fields


def _root(correlation: list[list[float]], ridge: float) -> list[list[float]] | None:
    """Cholesky factor of a correlation matrix with a ridge, row by row; None: there is none.

    correlation: its rows up to the diagonal, which is 1
    """
    root: list[list[float]] = []
    for entries in correlation:
        own: list[float] = []
        left = 1.0 + ridge
        for column, entry in enumerate(entries):
            other = root[column]
            for place in range(column):
                entry -= own[place] * other[place]
            entry /= other[column]
            own.append(entry)
            left -= entry**2
        if not left > 0:
            return None
        root.append([*own, math.sqrt(left)])
    return root


def information_widths(size: int) -> list[int]:
    """Field widths of an [size, size] information matrix."""
    return [SCALE_DB.width] * size + [PARTIAL.width] * (size * (size - 1) // 2)


def information_matrix(indices: list[int], size: int) -> np.ndarray:
    """The matrix of the fields' indices, [size, size]."""
    partials = iter(math.tanh(PARTIAL.decode(index)) for index in indices[size:])
    scaled = np.zeros((size, size))
    for row in range(size):
        # A row of the Cholesky factor of the correlation, scaled; numbers, not arrays: rows are
        # short.
        scale = math.sqrt(10 ** (SCALE_DB.decode(indices[row]) / 10))
        left = 1.0
        for column in range(row):
            entry = next(partials) * math.sqrt(left)
            scaled[row, column] = scale * entry
            left -= entry**2
        scaled[row, row] = scale * math.sqrt(left)
    return scaled @ scaled.T
