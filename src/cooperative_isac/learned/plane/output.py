"""What a center says of each cell of a plane of locations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.scene.model import Scene

INITIAL_LOG_ODDS = -4.0  # log-odds of a target in a cell before anything is learned
LOG_SPREAD_RANGE, LOG_STD_RANGE = (-3.0, 4.0), (-5.0, 3.0)


@dataclass(frozen=True)
class PlaneOutput:
    """What each cell of the plane says of a target in it, rows along y; all [batch, rows, columns,
    ...].

    heat: log-odds; point_m, log_spread_m: [..., 2], a first guess of its location and the log of
    its mean absolute error; doppler [kHz], length [m]: [..., num_paths]; heard: [batch, num_paths],
    0 or 1.
    """

    heatmap_logits: Tensor
    point_m: Tensor
    log_spread_m: Tensor
    doppler: PathMeasurements
    length: PathMeasurements
    heard: Tensor

    def float(self) -> PlaneOutput:
        """The same in float32."""
        return PlaneOutput(
            self.heatmap_logits.float(),
            self.point_m.float(),
            self.log_spread_m.float(),
            self.doppler.to(torch.float32),
            self.length.to(torch.float32),
            self.heard.float(),
        )


def cell_centers(scene: Scene, cells: int) -> Tensor:
    """Centers of the cells of a scene's plane, [cells, cells, 2], rows along y, m."""
    return torch.tensor(scene.box.cell_centers_m(cells), dtype=torch.float32, device="cpu")


def channels_last(planes: Tensor) -> Tensor:
    """Channels last: [batch, rows, columns, channels]."""
    return planes.permute(0, 2, 3, 1)
