"""A center for latents of beam and delay: it knows the geometry and learns the rest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
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
from cooperative_isac.learned.spectra.projection import (
    NUM_CELL_FEATURES,
    Projection,
    projection,
)
from cooperative_isac.scene.model import Scene

CONTEXT, PATH_CHANNELS = 16, 32
SHARPNESS = 3.0, 7.0  # of each head: how much more it listens to what is stronger
NUM_HEADS = len(SHARPNESS)
LARGEST = 60.0  # log of a weight: float32 ends at 88
HEAD_FEATURES = 6 + CONTEXT  # numbers that a head tells of a cell
LOG_SPREAD = 0.5


class SpectraCenter(PlaneCenter):
    """Projects the latents of each receiver onto a plane, once for each transmitter, and reads
    targets from it.
    """

    def __init__(
        self,
        scene: Scene,
        layout: LatentLayout,
        latent_axes: tuple[int, int],
        cells: int,
        channels: int,
        residuals: int,
        max_doppler_hz: float,
    ):
        super().__init__()
        self.layout, self.latent_axes, self.cells = layout, latent_axes, cells
        self.max_doppler_khz, self.resolution_m = (
            1e-3 * max_doppler_hz,
            scene.grid.range_resolution_m,
        )
        self.paths = PathGeometry(scene)
        num_rx, num_paths = len(scene.receivers), self.paths.num_paths
        low, high = scene.box.low_m[:2], scene.box.high_m[:2]
        self.register_buffer(
            "cell_m", torch.tensor((high - low) / cells, dtype=torch.float32), persistent=False
        )
        self.register_buffer("centers_m", cell_centers(scene, cells), persistent=False)
        corner_m = float(np.linalg.norm(high - low)) / (2 * cells)
        self.projections = nn.ModuleList(
            projection(scene, site, scene.cell_points_m(cells), corner_m, latent_axes)
            for site in scene.receivers
        )
        self.contexts = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(layout.num_numbers, PATH_CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(PATH_CHANNELS, CONTEXT, 3, padding=1),
            )
            for _ in range(num_rx)
        )
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS).expand(num_paths, NUM_HEADS).clone())
        self.enter = nn.ModuleList(
            nn.Linear(NUM_HEADS * HEAD_FEATURES, PATH_CHANNELS) for _ in range(num_paths)
        )
        self.modulation = nn.ModuleList(
            nn.Linear(NUM_CELL_FEATURES, 2 * PATH_CHANNELS) for _ in range(num_paths)
        )
        self.path_layers = nn.ModuleList(
            nn.Linear(PATH_CHANNELS, PATH_CHANNELS) for _ in range(num_paths)
        )
        seen = num_paths * (PATH_CHANNELS + NUM_HEADS * HEAD_FEATURES)
        self.plane = nn.Conv2d(seen, channels, 1)
        self.cell_bias = nn.Parameter(0.02 * torch.randn(channels, cells, cells))
        self.body = nn.Sequential(
            *(PlaneResidual(channels) for _ in range(residuals)),
            nn.GroupNorm(GROUPS, channels),
            nn.ReLU(),
        )
        self.out = nn.Conv2d(channels + seen, 5 + (4 + NUM_HEADS) * num_paths, 1)
        self.doppler, self.length = PathUncertainty(*DOPPLER_KHZ), PathUncertainty(*LENGTH_M)
        with torch.no_grad():
            self.out.weight[5:].zero_()
            assert self.out.bias is not None
            self.out.bias.zero_()
            self.out.bias[0] = INITIAL_LOG_ODDS

    def forward(self, latents: Tensor, heard: Tensor, side_information: Tensor) -> PlaneOutput:
        """latents: [batch, M, L, D]; heard: [batch, M]; knowledge is not used."""
        planes, told = zip(
            *(
                path
                for receiver in range(latents.shape[1])
                for path in self._seen(receiver, latents[:, receiver], heard[:, receiver])
            )
        )
        seen, paths = torch.cat(planes, 1), self.paths.num_paths
        body = self.body(self.plane(seen) + self.cell_bias)
        heatmap_logits, offset, spread, changes, choice = self.out(
            torch.cat([body, seen], 1)
        ).split([1, 2, 2, 4 * paths, NUM_HEADS * paths], 1)
        weights = channels_last(choice).unflatten(-1, (NUM_HEADS, paths)).softmax(-2)
        power, beyond, shift = _chosen(told, weights)
        shift_change, shift_doubt, length_change, length_doubt = channels_last(changes).chunk(4, -1)
        return PlaneOutput(
            heatmap_logits[:, 0],
            self.centers_m + channels_last(offset) * self.cell_m,
            channels_last(spread + LOG_SPREAD).clamp(*LOG_SPREAD_RANGE),
            self.doppler(shift * self.max_doppler_khz, power, shift_change, shift_doubt),
            self.length(
                self.paths.length(self.centers_m) + beyond * self.resolution_m,
                power,
                length_change,
                length_doubt,
            ),
            heard.repeat_interleave(self.layout.num_tx, 1),
        )

    def _seen(
        self, receiver: int, latents: Tensor, heard: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each path to a receiver what it tells of each cell: [batch, PATH_CHANNELS + HEADS
        TOLD, cells, cells], and of that power, delay beyond the cell's and Doppler shift, [batch,
        3, HEADS, cells, cells].
        """
        learned, measured = self.layout.split(latents, self.latent_axes)
        assert measured.beam is not None  # the layout has beams
        between = measured.length_m / self.resolution_m
        seen = torch.cat([learned, measured.power, measured.doppler, between, measured.beam], 1)
        context = self.contexts[receiver](seen)
        delays = torch.arange(self.latent_axes[1], device=latents.device) + between
        for transmitter in range(self.layout.num_tx):
            one = torch.stack([measured.power, delays, measured.doppler, measured.beam], 1)[
                :, :, transmitter
            ]
            with torch.autocast(
                latents.device.type, enabled=False
            ):  # these weights want all digits
                told = self._at_cells(receiver, transmitter, torch.cat([one, context], 1).float())
            path = receiver * self.layout.num_tx + transmitter
            places = self._projection(receiver).places[transmitter]
            scale, shift = self.modulation[path](places).chunk(2, -1)
            inner = torch.relu(self.enter[path](told.flatten(1, 2).mT) * (1 + scale) + shift)
            planes = torch.cat(
                [torch.relu(self.path_layers[path](inner)).mT, told.flatten(1, 2)], 1
            )
            shape = self.cells, self.cells
            yield (
                (planes * heard[:, None, None]).unflatten(2, shape),
                told[:, 1:4].unflatten(3, shape),
            )

    def _at_cells(self, receiver: int, transmitter: int, spectrum: Tensor) -> Tensor:
        """Means over the latents around each cell, of each head [batch, TOLD, HEADS, num_cells]:
        log of the weights, power, delay beyond the cell's, Doppler shift, where in the plane the
        beam points, in cells from this one, and
        context. spectrum: power, delay, Doppler shift, beam beyond its own and context, [batch, 4 +
        CONTEXT, beams, delays].
        """
        path = receiver * self.layout.num_tx + transmitter
        projection = self._projection(receiver)
        weights = (
            (self.sharpness[path, :, None, None] * spectrum[:, None, 0]).clamp_max(LARGEST).exp()
        )
        sums = projection(weights, transmitter)
        told = projection((spectrum[:, :, None] * weights[:, None]).flatten(1, 2), transmitter)
        power, delay, doppler, beam, context = (
            told.unflatten(1, (-1, NUM_HEADS)) / sums[:, None]
        ).split([1, 1, 1, 1, CONTEXT], 1)
        beam = beam + (projection.beams_beyond(weights, transmitter) / sums)[:, None]
        across = beam * (projection.across_m / self.cell_m).mT[:, None]
        return torch.cat(
            [
                0.1 * sums[:, None].log(),
                power,
                delay - projection.delays[transmitter],
                doppler,
                across,
                context,
            ],
            1,
        )

    def _projection(self, receiver: int) -> Projection:
        projection = self.projections[receiver]
        assert isinstance(projection, Projection)
        return projection


def _chosen(told: tuple[Tensor, ...], weights: Tensor) -> tuple[Tensor, ...]:
    """Of the heads' [batch, 3, HEADS, rows, columns] of each path a mean, [batch, rows, columns,
    num_paths] each;
    weights: [batch, rows, columns, HEADS, num_paths].
    """
    heads = torch.stack(told, -1).movedim((1, 2), (-3, -2))
    return (heads * weights[:, :, :, None]).sum(-2).unbind(3)
