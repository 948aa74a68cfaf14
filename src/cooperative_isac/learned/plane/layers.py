"""Layers shared by the centers that look for targets in a plane of locations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.consensus import PathMeasurements
from cooperative_isac.learned.plane.output import LOG_STD_RANGE

# Groups of channels that are normalized together.
NORM_GROUPS = 8
# Initial standard deviation of the learned bias of each cell, to which features of order one are
# added: small against these, and not the same in all cells.
CELL_BIAS_STD = 0.02

# Initial log-odds that a path of MEAN_POWER is an outlier, and their change per unit of power.
# Power is log10(1 + SNR): stronger paths are outliers less often.
OUTLIER_LOG_ODDS = -3.0
OUTLIER_SLOPE = -2.0
MEAN_POWER = 2.0

# Initial standard deviations of a path's Doppler shift, length and elevation: of a path without
# noise, and at an SNR of 1.
DOPPLER_STD_KHZ = (0.03, 1.0)
LENGTH_STD_M = (0.1, 3.0)
ELEVATION_STD_DEG = (0.5, 12.0)
# In space lengths are those of points on a body.
BODY_LENGTH_STD_M = (0.5, 3.0)


class PlaneResidual(nn.Module):
    """Residual block of two normalized convolutions of kernel 3."""

    def __init__(self, channels: int):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.GroupNorm(NORM_GROUPS, channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
            ]
        self.body = nn.Sequential(*layers)

    def forward(self, plane: Tensor) -> Tensor:
        """Planes [batch, channels, rows, columns] to planes of the same shape."""
        return plane + self.body(plane)


class PathUncertainty(nn.Module):
    """Uncertainty model of per-path measurements, as a function of the power of the path.

    std_floor, std_at_0_db: initial standard deviations without noise and at an SNR of 1
    """

    def __init__(self, std_floor: float, std_at_0_db: float):
        super().__init__()
        # The names of parameters are those in files of weights.
        self.log_floor = nn.Parameter(torch.tensor(std_floor).log())
        self.log_at_0_db = nn.Parameter(torch.tensor(std_at_0_db).log())
        self.doubt = nn.Parameter(torch.tensor(OUTLIER_LOG_ODDS))
        self.doubt_slope = nn.Parameter(torch.tensor(OUTLIER_SLOPE))

    def forward(
        self, value: Tensor, power: Tensor, log_std_change: Tensor, log_odds_change: Tensor
    ) -> PathMeasurements:
        """Measurements with their uncertainty.

        value: [..., num_paths], float32, measured values
        power: [..., num_paths], float32, log10(1 + SNR)
        log_std_change: [..., num_paths], float32, learned correction of the log standard deviation
        log_odds_change: [..., num_paths], float32, learned correction of the outlier log-odds
        """
        # Variance: a floor, and a part that falls as 1 / (1 + SNR).
        floor = (2 * self.log_floor).exp()
        from_noise = (2 * self.log_at_0_db).exp() * 10**-power
        variance = floor + from_noise
        log_std = (0.5 * variance.log() + log_std_change).clamp(*LOG_STD_RANGE)

        # Outlier log-odds, which fall with the power.
        log_odds = self.doubt + self.doubt_slope * (power - MEAN_POWER) + log_odds_change
        return PathMeasurements(value, log_std, log_odds)
