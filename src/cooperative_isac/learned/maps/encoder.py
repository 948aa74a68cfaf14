"""The encoder of the maps network: a map of locations becomes a latent for each of fewer, larger
cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes, strongest
from cooperative_isac.learned.plane.residual import GROUPS, PlaneResidual

NOISE_LEVEL, GATE_SLOPE = (
    1.1,
    6.0,
)  # of log10(1 + power): what noise alone seldom exceeds, and how sharply


class MapEncoder(nn.Module):
    """Maps [batch, num_tx, 3, cells, cells] to latents [batch, coarse^2, layout.size].

    excess_m: lengths of the paths over the fine cells less those over the coarse cells that they
    lie in, [num_tx, cells, cells]; max_excess_m: what a map of excess lengths shows as 1.
    """

    def __init__(
        self,
        layout: LatentLayout,
        coarse: int,
        excess_m: Tensor,
        max_excess_m: float,
        channels: int,
        residuals: int,
    ):
        super().__init__()
        num_tx, cells, _ = excess_m.shape
        self.layout, self.coarse, self.stride, self.max_excess_m = (
            layout,
            coarse,
            cells // coarse,
            max_excess_m,
        )
        self.register_buffer("excess_m", excess_m, persistent=False)
        self.stem = nn.Conv2d(4 * num_tx, channels // 2, 5, padding=2)
        self.down = nn.Conv2d(channels // 2, channels, self.stride + 2, self.stride, padding=1)
        self.beside = nn.Conv2d(4 * num_tx, channels, 1)
        self.place = nn.Parameter(0.02 * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))
        self.head = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.ReLU(),
            nn.Conv2d(channels, layout.num_learned * layout.part_dim, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Latents [batch, coarse^2, layout.size] of maps, as the class has them."""
        power, doppler, excess = maps.unbind(2)
        gate = torch.sigmoid(GATE_SLOPE * (power - NOISE_LEVEL))
        fine = torch.cat([power - 1, doppler * gate, excess * gate, gate], 1)
        best = self._strongest(power, doppler, excess * self.max_excess_m + self.excess_m)
        coarse = torch.cat(
            [best.power - 1, best.doppler, best.doppler.abs(), best.length_m / self.max_excess_m], 1
        )
        plane = self.down(torch.relu(self.stem(fine))) + self.beside(coarse) + self.place
        return self.layout.join(self.head(self.body(plane)), best)

    def _strongest(self, *planes: Tensor) -> StrongestEchoes:
        return strongest(*(self._gathered(plane) for plane in planes), noise_level=NOISE_LEVEL)

    def _gathered(self, plane: Tensor) -> Tensor:
        """[batch, num_tx, cells, cells] to [batch, num_tx, coarse, coarse, stride^2]."""
        shape = self.coarse, self.stride
        return plane.reshape(*plane.shape[:2], *shape, *shape).transpose(3, 4).flatten(4)
