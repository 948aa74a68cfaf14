"""Output of a center for each cell of a plane of locations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.scene.model import Scene

# Limits of the logs of mean absolute errors of locations [m] and of standard deviations of path
# measurements [m, kHz, degree]: from centimeters to tens of meters, so that no likelihood
# overflows.
LOG_SPREAD_RANGE = (-3.0, 4.0)
LOG_STD_RANGE = (-5.0, 3.0)
# Standard deviation of a Laplace distribution over its mean absolute error.
LAPLACE_STD = 2**0.5


@dataclass(frozen=True)
class PlaneOutput:
    """Log-odds of a target in each cell of the plane, and estimates of its state; rows along y.

    Locations have the D axes of the scene's dimension.

    heatmap_logits: [batch, rows, columns], float32, log-odds of a target
    point_m: [batch, rows, columns, D], float32, m, first estimate of its location
    log_spread_m: [batch, rows, columns, D], float32, log of that estimate's mean absolute error
    doppler: values [batch, rows, columns, num_paths], kHz
    length: values [batch, rows, columns, num_paths], m
    path_mask: [batch, num_paths], float32, 1 where the path's receiver sent latents, else 0
    elevation: values [batch, rows, columns, num_paths], degree; None in a plane
    """

    heatmap_logits: Tensor
    point_m: Tensor
    log_spread_m: Tensor
    doppler: PathMeasurements
    length: PathMeasurements
    path_mask: Tensor
    elevation: PathMeasurements | None = None

    def float(self) -> PlaneOutput:
        """The same output in float32."""
        return PlaneOutput(
            self.heatmap_logits.float(),
            self.point_m.float(),
            self.log_spread_m.float(),
            self.doppler.to(torch.float32),
            self.length.to(torch.float32),
            self.path_mask.float(),
            None if self.elevation is None else self.elevation.to(torch.float32),
        )


def cell_centers(scene: Scene, cells: int) -> Tensor:
    """Centers of the cells of a scene's plane, [cells, cells, 2], float32, m; rows along y."""
    return torch.tensor(scene.box.cell_centers_m(cells), dtype=torch.float32, device="cpu")


def at_middle_height(scene: Scene, ground_m: Tensor) -> Tensor:
    """Points over the ground, in space at the middle height of the scene's box.

    ground_m: [..., 2], float32, m
    Returns [..., D], float32, m.
    """
    if scene.dimension == 2:
        return ground_m
    middle_m = float(scene.box.low_m[2] + scene.box.high_m[2]) / 2
    return torch.cat([ground_m, torch.full_like(ground_m[..., :1], middle_m)], -1)


def channels_last(planes: Tensor) -> Tensor:
    """Planes [batch, channels, rows, columns] as [batch, rows, columns, channels]."""
    return planes.permute(0, 2, 3, 1)
