"""The centre of the maps network: latents of all receivers to targets at each cell of one plane."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.map_encoder import DOPPLER_GAIN, GROUPS, PlaneResidual, doppler_weights
from cooperative_isac.fronthaul.learned.path_velocity import PathVelocity
from cooperative_isac.scene.model import Scene

UPSAMPLING = 2
NEIGHBOURS = 9
RARE = -4.0  # log-odds of a target in a cell before anything is learned
LOG_SPREAD_M, LOG_SPREAD_KHZ = (-3.0, 4.0), (-4.5, 2.5)
HEAD_CHANNELS = 48, 64
CORRECTION_KHZ = 0.2


@dataclass(frozen=True)
class PlaneOutput:
    """What each cell of the plane says of a target in it, rows along y; all [batch, rows, columns, ...].

    heat: log-odds; point_m, log_spread_m: [..., 2], location and log of its mean absolute error;
    doppler_khz, log_spread_khz: [..., num_paths]; heard: [batch, num_paths], 0 or 1.
    """

    heat: Tensor
    point_m: Tensor
    log_spread_m: Tensor
    doppler_khz: Tensor
    log_spread_khz: Tensor
    heard: Tensor


class MapCentre(nn.Module):
    """Adds the receivers' latents, cell by cell, and looks for targets in the sum.

    A path's Doppler shift is chosen among those that its receiver told of the cells around.
    """

    def __init__(self, scene: Scene, coarse: int, num_parts: int, part_dim: int, channels: int, residuals: int,
                 max_doppler_hz: float, doppler_weight: float):
        super().__init__()
        weights = doppler_weights(num_parts, len(scene.transmitters), part_dim, doppler_weight)
        self.register_buffer("weights", weights, persistent=False)
        self.coarse, self.part_dim, self.num_tx = coarse, part_dim, len(scene.transmitters)
        self.num_rx = len(scene.receivers)
        num_paths, (inner, outer) = self.num_rx * self.num_tx, HEAD_CHANNELS
        self.enter = nn.ModuleList(nn.Conv2d(num_parts * part_dim, channels, 1) for _ in range(self.num_rx))
        self.doppler = nn.ModuleList(nn.Conv2d(self.num_tx * part_dim, self.num_tx, 1, groups=self.num_tx)
                                     for _ in range(self.num_rx))
        self.place = nn.Parameter(0.02 * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))
        self.finer = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.ReLU(),
            nn.Conv2d(channels, inner * UPSAMPLING ** 2, 3, padding=1), nn.PixelShuffle(UPSAMPLING), nn.ReLU(),
            nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(outer, 1 + 4 + (2 + NEIGHBOURS) * num_paths, 1)
        self.velocity = PathVelocity(scene, 1e3)
        self._begin(num_paths, max_doppler_hz)
        low, high = scene.area.low_m[:2], scene.area.high_m[:2]
        size = torch.tensor((high - low) / (coarse * UPSAMPLING), dtype=torch.float32)
        steps = torch.arange(coarse * UPSAMPLING) + 0.5
        x, y = torch.meshgrid(steps * size[0] + float(low[0]), steps * size[1] + float(low[1]), indexing="xy")
        self.register_buffer("cell_m", size, persistent=False)
        self.register_buffer("centres_m", torch.stack([x, y], -1), persistent=False)

    @torch.no_grad()
    def _begin(self, num_paths: int, max_doppler_hz: float) -> None:
        """Nothing is there, and Doppler shifts are those that the receivers told of the very cell."""
        self.out.weight[5:].zero_()
        self.out.bias.zero_()
        self.out.bias[0] = RARE
        self.out.bias[5 + 2 * num_paths:].view(num_paths, NEIGHBOURS)[:, NEIGHBOURS // 2] = 3.0
        for layer in self.doppler:
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[:, 0] = 1e-3 * max_doppler_hz / DOPPLER_GAIN

    def forward(self, latents: Tensor, heard: Tensor, knowledge: Tensor) -> PlaneOutput:
        """latents: [batch, M, coarse^2, D]; heard: [batch, M]; knowledge is not used."""
        planes = (latents / self.weights).transpose(2, 3).unflatten(3, (self.coarse, self.coarse))
        plane = self.place.expand(len(latents), -1, -1, -1)
        for index, enter in enumerate(self.enter):
            plane = plane + enter(planes[:, index]) * heard[:, index, None, None, None]
        out = self.out(self.finer(self.body(plane)))
        paths = self.num_rx * self.num_tx
        heat, offset, spread, correction, spread_khz, choice = out.split(
            [1, 2, 2, paths, paths, NEIGHBOURS * paths], 1)
        return PlaneOutput(
            heat[:, 0], self.centres_m + _last(offset) * self.cell_m, _last(spread + 0.5).clamp(*LOG_SPREAD_M),
            _last(self._doppler(planes, choice) + CORRECTION_KHZ * correction),
            _last(spread_khz).clamp(*LOG_SPREAD_KHZ), heard.repeat_interleave(self.num_tx, 1))

    def _doppler(self, planes: Tensor, choice: Tensor) -> Tensor:
        """Doppler shift of each path at each fine cell, [batch, num_paths, rows, columns], kHz."""
        told = torch.cat([layer(planes[:, index, -self.num_tx * self.part_dim:])
                          for index, layer in enumerate(self.doppler)], 1)
        around = nn.functional.unfold(told, 3, padding=1).unflatten(1, (told.shape[1], NEIGHBOURS))
        around = around.unflatten(3, (self.coarse, self.coarse))
        around = around.repeat_interleave(UPSAMPLING, 3).repeat_interleave(UPSAMPLING, 4)
        weights = torch.softmax(choice.unflatten(1, (told.shape[1], NEIGHBOURS)), 2)
        return (weights * around).sum(2)


def _last(planes: Tensor) -> Tensor:
    return planes.permute(0, 2, 3, 1)
