"""A centre for latents of beam, delay and Doppler shift: it knows the geometry and learns the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.plane.consensus import PathTold
from cooperative_isac.fronthaul.learned.plane.output import LOG_DEVIATION, LOG_SPREAD_M, RARE, PlaneOutput, centres, last
from cooperative_isac.fronthaul.learned.plane.path_geometry import PathGeometry
from cooperative_isac.fronthaul.learned.plane.residual import GROUPS, PlaneResidual
from cooperative_isac.fronthaul.learned.spectra.projection import NUM_PLACES, projection
from cooperative_isac.scene.model import Scene

PATH_CHANNELS = 32
DOUBT = -2.0  # log-odds that a path lies before anything is learned
LOG_SPREAD = 0.5


class SpectraCentre(nn.Module):
    """Projects the latents of each receiver onto a plane, once for each transmitter, and reads targets from it."""

    def __init__(self, scene: Scene, latent_dim: int, latent_axes: tuple[int, ...], layers: int, cells: int,
                 channels: int, residuals: int, max_doppler_hz: float):
        super().__init__()
        self.latent_axes, self.cells, self.max_doppler_khz = latent_axes, cells, 1e-3 * max_doppler_hz
        self.paths = PathGeometry(scene)
        num_rx, num_tx, num_paths = len(scene.receivers), len(scene.transmitters), self.paths.num_paths
        low, high = scene.area.low_m[:2], scene.area.high_m[:2]
        self.register_buffer("cell_m", torch.tensor((high - low) / cells, dtype=torch.float32), persistent=False)
        self.register_buffer("centres_m", centres(scene, cells), persistent=False)
        beams, delays, shifts = latent_axes
        self.projections = nn.ModuleList(projection(scene, site, scene.cell_points_m(cells), layers, (beams, delays))
                                         for site in scene.receivers)
        self.enter = nn.ModuleList(nn.Conv2d(latent_dim * shifts, num_tx * PATH_CHANNELS, 1) for _ in range(num_rx))
        self.modulation = nn.ModuleList(nn.Linear(NUM_PLACES, 2 * PATH_CHANNELS) for _ in range(num_paths))
        self.path_layers = nn.ModuleList(nn.Linear(PATH_CHANNELS, PATH_CHANNELS) for _ in range(num_paths))
        self.plane = nn.Conv2d(num_paths * PATH_CHANNELS, channels, 1)
        self.cell_bias = nn.Parameter(0.02 * torch.randn(channels, cells, cells))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)),
                                  nn.GroupNorm(GROUPS, channels), nn.ReLU())
        self.out = nn.Conv2d(channels + num_paths * PATH_CHANNELS, 5 + 6 * num_paths, 1)
        with torch.no_grad():
            self.out.weight[5:].zero_()
            self.out.bias.zero_()
            self.out.bias[0] = RARE

    def forward(self, latents: Tensor, heard: Tensor, knowledge: Tensor) -> PlaneOutput:
        """latents: [batch, M, L, D]; heard: [batch, M]; knowledge is not used."""
        seen = torch.cat([self._seen(index, latents[:, index]) * heard[:, index, None, None, None]
                          for index in range(len(self.enter))], 1)
        body = self.body(self.plane(seen) + self.cell_bias)
        heat, offset, spread, told = self.out(torch.cat([body, seen], 1)).split(
            [1, 2, 2, 6 * self.paths.num_paths], 1)
        shift, shift_deviation, shift_doubt, length, length_deviation, length_doubt = last(told).chunk(6, -1)
        point = self.centres_m + last(offset) * self.cell_m
        return PlaneOutput(
            heat[:, 0], point, last(spread + LOG_SPREAD).clamp(*LOG_SPREAD_M),
            PathTold(shift * self.max_doppler_khz, shift_deviation.clamp(*LOG_DEVIATION), shift_doubt + DOUBT),
            PathTold(self.paths.length(self.centres_m) + length * self.cell_m.max(),
                     (length_deviation + LOG_SPREAD).clamp(*LOG_DEVIATION), length_doubt + DOUBT),
            heard.repeat_interleave(len(self.paths.transmitters), 1))

    def _seen(self, receiver: int, latents: Tensor) -> Tensor:
        """What one receiver says of each cell, [batch, num_tx PATH_CHANNELS, cells, cells]."""
        spectra = latents.mT.unflatten(2, self.latent_axes).movedim(4, 2).flatten(1, 2)
        parts = self.enter[receiver](spectra).chunk(len(self.paths.transmitters), 1)
        projection, seen = self.projections[receiver], []
        for transmitter, part in enumerate(parts):
            number = receiver * len(parts) + transmitter
            scale, shift = self.modulation[number](projection.places[transmitter]).chunk(2, -1)
            inner = torch.relu(projection(part, transmitter).mT * (1 + scale) + shift)
            seen.append(torch.relu(self.path_layers[number](inner)).mT)
        return torch.cat(seen, 1).unflatten(2, (self.cells, self.cells))
