"""How much what a path tells counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import PathTold
from cooperative_isac.learned.plane.output import LOG_DEVIATION

DOUBT, DOUBT_SLOPE, MEAN_POWER = (
    -3.0,
    -2.0,
    2.0,
)  # log-odds that a path lies, and how they fall with its power
DOPPLER_KHZ = 0.03, 1.0  # standard deviations: of the strongest path, and at an SNR of 1
LENGTH_M = 0.1, 3.0


class PathCertainty(nn.Module):
    """How much a path's word counts at a power: log of the standard deviation and log-odds of a
    lie.
    """

    def __init__(self, floor: float, at_0_db: float):
        super().__init__()
        self.log_floor, self.log_at_0_db = (
            nn.Parameter(torch.tensor(value).log()) for value in (floor, at_0_db)
        )
        self.doubt, self.doubt_slope = (
            nn.Parameter(torch.tensor(value)) for value in (DOUBT, DOUBT_SLOPE)
        )

    def forward(
        self, value: Tensor, power: Tensor, log_change: Tensor, doubt_change: Tensor
    ) -> PathTold:
        """All [..., num_paths]; power: log10(1 + SNR); changes: what the center sees beside the
        power.
        """
        variance = (2 * self.log_floor).exp() + (2 * self.log_at_0_db).exp() * 10**-power
        return PathTold(
            value,
            (0.5 * variance.log() + log_change).clamp(*LOG_DEVIATION),
            self.doubt + self.doubt_slope * (power - MEAN_POWER) + doubt_change,
        )
