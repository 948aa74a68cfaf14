"""Scalar quantizers, and a code for information matrices whose every word is positive definite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantizer:
    """Uniform quantizer of low..high with 2**width levels; values outside are clipped."""

    low: float
    high: float
    width: int

    @property
    def step(self) -> float:
        """Distance between two levels."""
        return (self.high - self.low) / ((1 << self.width) - 1)

    def encode(self, value: float) -> int:
        """Index of the nearest level."""
        return min(max(round((value - self.low) / self.step), 0), (1 << self.width) - 1)

    def decode(self, index: int) -> float:
        """The level of an index."""
        return self.low + index * self.step


# Diagonal entries of information matrices, dB over 1/m^2: standard deviations from 0.1 mm to 100 m
# in steps of 0.12 dB.
SCALE_DB = Quantizer(-40.0, 80.0, 10)
# Fisher's z (atanh) of partial correlations; the step keeps 1 - r^2 to about a per cent, even where
# the location is known along one direction only.
PARTIAL_CORRELATION = Quantizer(-5.0, 5.0, 11)
# Smallest diagonal entry, 1/m^2: its log is finite.
LEAST_DIAGONAL = 1e-12
# Added to the diagonal of correlations before their factorization: rounding errors.
RIDGE = 1e-6
# Ridge below the smallest eigenvalue of a matrix whose eigenvalues need not be computed.
SAFE_RIDGE = 1e-9
# Smallest remainder of a row of the factor, and largest partial correlation: atanh is finite.
LEAST_REMAINDER = 1e-12
LARGEST_PARTIAL = 0.9999


def information_fields(information: np.ndarray) -> list[tuple[int, int]]:
    """Code of a positive definite matrix as (index, width) fields.

    The diagonal in dB, then Fisher's z of the canonical partial correlations, row by row.

    information: [size, size], float64, 1/m^2, size at most 3; positive definite but for rounding
    """
    # Correlations, as numbers rather than arrays: matrices have three rows at most.
    entries = information.tolist()
    size = len(entries)
    diagonal = [max(entries[axis][axis], LEAST_DIAGONAL) for axis in range(size)]
    fields = [(SCALE_DB.encode(10 * math.log10(entry)), SCALE_DB.width) for entry in diagonal]
    correlation = [
        [
            entries[row][column] / math.sqrt(diagonal[row] * diagonal[column])
            for column in range(row)
        ]
        for row in range(size)
    ]

    # Cholesky factor; the ridge makes up for an eigenvalue that rounding made negative.
    ridge = RIDGE
    if _root(correlation, -SAFE_RIDGE) is None:
        whole = np.array([[*row, 1.0, *[0.0] * (size - len(row) - 1)] for row in correlation])
        ridge += max(-np.linalg.eigvalsh(whole, UPLO="L")[0], 0.0)
    root = _root(correlation, ridge)
    assert root is not None  # all eigenvalues are above RIDGE

    # Partial correlations: entries of each row over what earlier ones leave of its unit length.
    for row in range(1, size):
        remainder = 1.0
        for entry in root[row][:row]:
            partial = entry / math.sqrt(max(remainder, LEAST_REMAINDER))
            partial = min(max(partial, -LARGEST_PARTIAL), LARGEST_PARTIAL)
            fields.append(
                (PARTIAL_CORRELATION.encode(math.atanh(partial)), PARTIAL_CORRELATION.width)
            )
            remainder -= entry**2
    return fields


def _root(correlation: list[list[float]], ridge: float) -> list[list[float]] | None:
    """Cholesky factor of a correlation matrix with a ridge, row by row; None: there is none.

    correlation: its rows up to the diagonal, which is 1
    """
    root: list[list[float]] = []
    for entries in correlation:
        # Entries left of the diagonal, from the rows above (Cholesky-Banachiewicz).
        row: list[float] = []
        for column, entry in enumerate(entries):
            above = root[column]
            for place in range(column):
                entry -= row[place] * above[place]
            row.append(entry / above[column])

        # Square of the diagonal entry: what the others leave of 1.
        square = 1.0 + ridge
        for entry in row:
            square -= entry**2
        if not square > 0:
            return None
        root.append([*row, math.sqrt(square)])
    return root


def information_widths(size: int) -> list[int]:
    """Widths of the fields of a [size, size] information matrix."""
    num_partials = size * (size - 1) // 2
    return [SCALE_DB.width] * size + [PARTIAL_CORRELATION.width] * num_partials


def information_matrix(indices: list[int], size: int) -> np.ndarray:
    """The matrix of a code; positive definite for all indices.

    indices: of the fields, in the order of information_fields
    Returns [size, size], float64, 1/m^2.
    """
    # Partial correlations in the order of the code, row by row.
    partials = iter(math.tanh(PARTIAL_CORRELATION.decode(index)) for index in indices[size:])
    scaled = np.zeros((size, size))
    for row in range(size):
        # Row of the Cholesky factor of the correlation, of unit length, times its scale.
        scale = math.sqrt(10 ** (SCALE_DB.decode(indices[row]) / 10))
        remainder = 1.0
        for column in range(row):
            entry = next(partials) * math.sqrt(remainder)
            scaled[row, column] = scale * entry
            remainder -= entry**2
        scaled[row, row] = scale * math.sqrt(remainder)
    return scaled @ scaled.T
