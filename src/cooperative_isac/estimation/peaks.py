"""Peaks between the points of a grid."""

from __future__ import annotations

import numpy as np


def vertex(
    left: np.ndarray, middle: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex of the parabola through three equidistant samples.

    left, middle, right: [...], float64, samples; where they have no maximum the offset is zero
    Returns the offset from the middle one in steps, within [-1, 1], and the height, both [...].
    """
    curvature = left - 2 * middle + right
    peaked = curvature < 0
    offset = np.where(peaked, (left - right) / np.where(peaked, 2 * curvature, -1), 0)
    offset = np.clip(offset, -1, 1)
    return offset, middle - (left - right) * offset / 4
