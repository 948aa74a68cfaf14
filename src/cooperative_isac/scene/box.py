"""Box of a scene: the volume in which targets are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """The axis-aligned box in which targets are looked for.

    low_m: [3], float64, m in map, its lowest corner
    high_m: [3], float64, m in map, its highest corner
    """

    low_m: np.ndarray
    high_m: np.ndarray

    def padded(self, share: float) -> Box:
        """The box grown on every side by a share of its size."""
        margin_m = share * (self.high_m - self.low_m)
        return Box(self.low_m - margin_m, self.high_m + margin_m)

    def contains(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the points inside.

        points_m: [..., 3], float64, m
        Returns [...], bool.
        """
        return np.all((points_m >= self.low_m) & (points_m <= self.high_m), axis=-1)

    def cell_centers_m(self, num_cells: int) -> np.ndarray:
        """Centers of num_cells x num_cells cells over the ground.

        Returns [num_cells, num_cells, 2], float64, m, rows along y.
        """
        shares = (np.arange(num_cells)[:, None] + 0.5) / num_cells
        size_m = self.high_m - self.low_m
        x_m, y_m = (self.low_m[:2] + shares * size_m[:2]).T
        return np.stack(np.meshgrid(x_m, y_m), -1)
