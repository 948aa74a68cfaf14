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
PARTIAL = Quantizer(-5.0, 5.0, 11)
# Smallest diagonal entry, 1/m^2: its log is finite.
LEAST_INFORMATION = 1e-12
# Added to the diagonal of correlations before their factorization: rounding errors.
RIDGE = 1e-6
# Smallest remainder of a row of the factor, and largest partial correlation: atanh is finite.
LEAST_REMAINDER = 1e-12
LARGEST_PARTIAL = 0.9999


def information_fields(information: np.ndarray) -> list[tuple[int, int]]:
    """Code of a positive definite matrix as (index, width) fields.

    The diagonal in dB, then Fisher's z of the canonical partial correlations, row by row.

    information: [size, size], float64, 1/m^2, size at most 3; positive definite but for rounding
    """
    # Diagonal
    diagonal = np.maximum(np.diag(information), LEAST_INFORMATION)
    fields = [(SCALE_DB.encode(10 * math.log10(entry)), SCALE_DB.width) for entry in diagonal]

    # Cholesky factor of the correlations; the ridge makes up for a negative eigenvalue.
    correlation = information / np.sqrt(np.outer(diagonal, diagonal))
    np.fill_diagonal(correlation, 1.0)
    ridge = RIDGE + max(-np.linalg.eigvalsh(correlation)[0], 0.0)
    root = np.linalg.cholesky(correlation + ridge * np.eye(len(correlation))).tolist()

    # Partial correlations: entries of each row over what is left of its unit length.
    for row in range(1, len(root)):
        left = 1.0
        for entry in root[row][:row]:
            partial = entry / math.sqrt(max(left, LEAST_REMAINDER))
            partial = min(max(partial, -LARGEST_PARTIAL), LARGEST_PARTIAL)
            fields.append((PARTIAL.encode(math.atanh(partial)), PARTIAL.width))
            left -= entry**2
    return fields


def information_widths(size: int) -> list[int]:
    """Widths of the fields of a [size, size] information matrix."""
    num_partials = size * (size - 1) // 2
    return [SCALE_DB.width] * size + [PARTIAL.width] * num_partials


def information_matrix(indices: list[int], size: int) -> np.ndarray:
    """The matrix of a code; positive definite for all indices.

    indices: of the fields, in the order of information_fields
    Returns [size, size], float64, 1/m^2.
    """
    scales = np.sqrt([10 ** (SCALE_DB.decode(index) / 10) for index in indices[:size]])
    partials = iter(np.tanh(PARTIAL.decode(index)) for index in indices[size:])

    # Rows of the Cholesky factor, each of unit length.
    root = np.zeros((size, size))
    root[0, 0] = 1.0
    for row in range(1, size):
        left = 1.0
        for column in range(row):
            root[row, column] = next(partials) * np.sqrt(left)
            left -= root[row, column] ** 2
        root[row, row] = np.sqrt(left)

    scaled = scales[:, None] * root
    return scaled @ scaled.T
