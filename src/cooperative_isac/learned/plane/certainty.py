"""Uncertainty model of per-path measurements."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.output import LOG_STD_RANGE

# Log-odds that a path of MEAN_POWER is an outlier, and how they change with its power.
DOUBT = -3.0
DOUBT_SLOPE = -2.0
MEAN_POWER = 2.0
# Standard deviations: of the strongest path, and at an SNR of 1.
DOPPLER_KHZ = 0.03, 1.0
LENGTH_M = 0.1, 3.0


class PathUncertainty(nn.Module):
    """Standard deviation (its log) of a path's measurement at a power, and log-odds of an
    outlier.
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
    ) -> PathMeasurements:
        """All [..., num_paths]; power: log10(1 + SNR); changes: what the center sees beside the
        power.
        """
        variance = (2 * self.log_floor).exp() + (2 * self.log_at_0_db).exp() * 10**-power
        return PathMeasurements(
            value,
            (0.5 * variance.log() + log_change).clamp(*LOG_STD_RANGE),
            self.doubt + self.doubt_slope * (power - MEAN_POWER) + doubt_change,
        )
