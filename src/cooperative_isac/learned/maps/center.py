"""The center of the maps network: latents of all receivers to targets at each cell of one plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.certainty import DOPPLER_KHZ, LENGTH_M, PathUncertainty
from cooperative_isac.learned.plane.latents import LatentLayout
from cooperative_isac.learned.plane.network import PlaneCenter
from cooperative_isac.learned.plane.output import (
    INITIAL_LOG_ODDS,
    LOG_SPREAD_RANGE,
    PlaneOutput,
    cell_centers,
    channels_last,
)
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.learned.plane.residual import GROUPS, PlaneResidual
from cooperative_isac.scene.model import Scene

UPSAMPLING = 2
NEIGHBORS = 9
HEAD_CHANNELS = 32, 48
OWN_CELL, POWER_GAIN = 2.0, 2.0


class MapCenter(PlaneCenter):
    """Adds the receivers' latents, cell by cell, and looks for targets in the sum.

    What a path tells of a target is chosen among what its receiver measured in the cells around.
    """

    def __init__(
        self,
        scene: Scene,
        layout: LatentLayout,
        coarse: int,
        channels: int,
        residuals: int,
        max_doppler_hz: float,
    ):
        super().__init__()
        self.layout, self.coarse, self.max_doppler_khz = layout, coarse, 1e-3 * max_doppler_hz
        num_rx, num_paths, (inner, outer) = (
            len(scene.receivers),
            len(scene.receivers) * layout.num_tx,
            HEAD_CHANNELS,
        )
        self.enter = nn.ModuleList(
            nn.Conv2d(layout.num_numbers, channels, 1) for _ in range(num_rx)
        )
        self.place = nn.Parameter(0.02 * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))
        self.finer = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.ReLU(),
            nn.Conv2d(channels, inner * UPSAMPLING**2, 3, padding=1),
            nn.PixelShuffle(UPSAMPLING),
            nn.ReLU(),
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.ReLU(),
        )
        self.out = nn.Conv2d(outer, 5 + (4 + NEIGHBORS) * num_paths, 1)
        self.power_gain = nn.Parameter(torch.tensor(POWER_GAIN))
        self.doppler = PathUncertainty(*DOPPLER_KHZ)
        self.length = PathUncertainty(*LENGTH_M)
        self.paths = PathGeometry(scene)
        self._begin()
        low, high = scene.box.low_m[:2], scene.box.high_m[:2]
        self.register_buffer(
            "cell_m",
            torch.tensor((high - low) / (coarse * UPSAMPLING), dtype=torch.float32),
            persistent=False,
        )
        self.register_buffer(
            "centers_m", cell_centers(scene, coarse * UPSAMPLING), persistent=False
        )
        lengths = self.paths.length(cell_centers(scene, coarse)).permute(2, 0, 1)
        self.register_buffer("lengths_m", lengths.contiguous(), persistent=False)

    @torch.no_grad()
    def _begin(self) -> None:
        """Nothing is there, and paths tell what was measured in the very cell."""
        self.out.weight[5:].zero_()
        assert self.out.bias is not None
        self.out.bias.zero_()
        self.out.bias[0] = INITIAL_LOG_ODDS
        self.out.bias[-NEIGHBORS * self.paths.num_paths :].view(-1, NEIGHBORS)[
            :, NEIGHBORS // 2
        ] = OWN_CELL

    def forward(self, latents: Tensor, heard: Tensor, side_information: Tensor) -> PlaneOutput:
        """latents: [batch, M, coarse^2, D]; heard: [batch, M]; knowledge is not used."""
        plane, told = self.place.expand(len(latents), -1, -1, -1), []
        for index, enter in enumerate(self.enter):
            learned, measured = self.layout.split(latents[:, index], (self.coarse, self.coarse))
            told.append(torch.stack([measured.power, measured.doppler, measured.length_m], 1))
            plane = (
                plane
                + enter(torch.cat([learned, told[-1].flatten(1, 2)], 1))
                * heard[:, index, None, None, None]
            )
        paths = self.paths.num_paths
        heatmap_logits, offset, spread, changes, choice = self.out(
            self.finer(self.body(plane))
        ).split([1, 2, 2, 4 * paths, NEIGHBORS * paths], 1)
        power, doppler, length = self._chosen(torch.cat(told, 2), choice)
        doppler_change, doppler_doubt, length_change, length_doubt = channels_last(changes).chunk(
            4, -1
        )
        return PlaneOutput(
            heatmap_logits[:, 0],
            self.centers_m + channels_last(offset) * self.cell_m,
            channels_last(spread + 0.5).clamp(*LOG_SPREAD_RANGE),
            self.doppler(doppler * self.max_doppler_khz, power, doppler_change, doppler_doubt),
            self.length(length, power, length_change, length_doubt),
            heard.repeat_interleave(self.layout.num_tx, 1),
        )

    def _chosen(self, told: Tensor, choice: Tensor) -> tuple[Tensor, ...]:
        """Power, Doppler shift and length of each path at each fine cell, [batch, rows, columns,
        num_paths] each.

        told: [batch, 3, num_paths, coarse, coarse].
        """
        told = torch.stack([*told[:, :2].unbind(1), told[:, 2] + self.lengths_m], 1)
        around = nn.functional.pad(told.flatten(1, 2), (1, 1, 1, 1), mode="replicate")
        around = nn.functional.unfold(around, 3).unflatten(1, (3, -1, NEIGHBORS))
        around = around.unflatten(4, (self.coarse, self.coarse))
        around = around.repeat_interleave(UPSAMPLING, 4).repeat_interleave(UPSAMPLING, 5)
        weights = torch.softmax(
            choice.unflatten(1, (-1, NEIGHBORS)) + self.power_gain * around[:, 0], 2
        )
        return tuple(channels_last(plane) for plane in (weights[:, None] * around).sum(3).unbind(1))
