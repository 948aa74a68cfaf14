"""Center of the spectra network: latents of beams and delays, projected onto the plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.latents import LatentLayout
from cooperative_isac.learned.plane.layers import CELL_BIAS_STD, NORM_GROUPS, PlaneResidual
from cooperative_isac.learned.plane.network import (
    CellPaths,
    PlaneCenter,
    num_output_channels,
)
from cooperative_isac.learned.plane.output import PlaneOutput, channels_last
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.learned.spectra.projection import (
    NUM_CELL_FEATURES,
    Projection,
    projection,
)
from cooperative_isac.scene.model import Scene

# Channels of a path: of the context around each beam and delay, and of the layers in each cell.
CONTEXT_CHANNELS = 16
PATH_CHANNELS = 32
# Initial sharpness of the attention heads: log of a latent's weight per unit of log10(1 + SNR).
# One head averages over neighbors, the other picks the strongest.
INITIAL_SHARPNESS = (3.0, 7.0)
NUM_HEADS = len(INITIAL_SHARPNESS)
# Numbers of a head in a cell: log weight, power, delay, Doppler shift, two of the beam, context.
HEAD_FEATURES = 6 + CONTEXT_CHANNELS
# Largest log of a weight: exp overflows float32 above 88, and weights are summed.
MAX_LOG_WEIGHT = 60.0
# Scale of the log of the weights as a feature of a cell, which brings it to order one.
LOG_WEIGHT_SCALE = 0.1
# Features of a head that are measurements: power, delay and Doppler shift, behind the log weight.
MEASUREMENTS = slice(1, 4)


class SpectraCenter(PlaneCenter):
    """Projects the latents of each receiver onto the plane, once for each transmitter.

    Attention heads average the latents around the beam and delay of each cell. Layers for each
    path, modulated by the place of the cell in the spectrum, and residual blocks over the plane
    look for targets in what the heads of all paths found.

    layout: layout of the latents
    latent_axes: (beams, delays) of the latents
    cells: cells of the plane along an axis
    channels, residuals: channels and number of residual blocks over the plane
    max_doppler_hz: Doppler shift that latents have as 1
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
        self.layout = layout
        self.latent_axes = latent_axes
        self.cells = cells
        self.max_doppler_khz = 1e-3 * max_doppler_hz
        self.resolution_m = scene.grid.range_resolution_m

        # Geometry of the cells in the plane and in the spectra of the receivers.
        self.paths = PathGeometry(scene)
        num_rx = len(scene.receivers)
        num_paths = self.paths.num_paths
        self.add_cells(scene, cells)
        size_m = scene.box.high_m[:2] - scene.box.low_m[:2]
        corner_m = float(np.linalg.norm(size_m)) / (2 * cells)
        self.projections = nn.ModuleList(
            projection(scene, site, scene.cell_points_m(cells), corner_m, latent_axes)
            for site in scene.receivers
        )

        # Layers of each receiver on beams and delays.
        self.contexts = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(layout.num_numbers, PATH_CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(PATH_CHANNELS, CONTEXT_CHANNELS, 3, padding=1),
            )
            for _ in range(num_rx)
        )

        # Heads and layers of each path on cells.
        sharpness = torch.tensor(INITIAL_SHARPNESS)
        self.sharpness = nn.Parameter(sharpness.expand(num_paths, NUM_HEADS).clone())
        head_channels = NUM_HEADS * HEAD_FEATURES
        self.enter = _linear_layers(num_paths, head_channels, PATH_CHANNELS)
        self.modulation = _linear_layers(num_paths, NUM_CELL_FEATURES, 2 * PATH_CHANNELS)
        self.path_layers = _linear_layers(num_paths, PATH_CHANNELS, PATH_CHANNELS)

        # Layers of all paths together over the plane.
        all_path_channels = num_paths * (PATH_CHANNELS + head_channels)
        self.plane = nn.Conv2d(all_path_channels, channels, 1)
        self.cell_bias = nn.Parameter(CELL_BIAS_STD * torch.randn(channels, cells, cells))
        self.body = nn.Sequential(
            *(PlaneResidual(channels) for _ in range(residuals)),
            nn.GroupNorm(NORM_GROUPS, channels),
            nn.ReLU(),
        )
        num_outputs = num_output_channels(scene.dimension, num_paths, NUM_HEADS)
        self.out = nn.Conv2d(channels + all_path_channels, num_outputs, 1)
        self.add_uncertainties(scene.dimension)
        self.init_output()

    def forward(
        self, latents: Tensor, receiver_mask: Tensor, side_information: Tensor
    ) -> PlaneOutput:
        """Output for each cell of the plane.

        latents: [batch, M, L, D], float32
        receiver_mask: [batch, M], float32, 1 where a receiver sent latents, else 0
        side_information: not used
        """
        # Channels and measurements of each path in each cell.
        planes = []
        measurements = []
        for receiver in range(latents.shape[1]):
            own_latents = latents[:, receiver]
            own_mask = receiver_mask[:, receiver]
            for plane, measured in self._paths_of(receiver, own_latents, own_mask):
                planes.append(plane)
                measurements.append(measured)

        # Output channels of the plane, which also depend directly on those of the paths.
        all_paths = torch.cat(planes, 1)
        body = self.body(self.plane(all_paths) + self.cell_bias)
        outputs = self.out(torch.cat([body, all_paths], 1))
        channels, choice = self.split_output(outputs)

        # Choice among the heads' measurements.
        logits = channels_last(choice).unflatten(-1, (NUM_HEADS, self.paths.num_paths))
        power, delay, doppler = _chosen(measurements, logits.softmax(-2))

        # Lengths from delays beyond those of the cells, and shifts in kHz.
        length_m = self.paths.length(self.centers_m) + delay * self.resolution_m
        doppler_khz = doppler * self.max_doppler_khz
        path_mask = receiver_mask.repeat_interleave(self.layout.num_tx, 1)
        return self.plane_output(channels, CellPaths(power, doppler_khz, length_m), path_mask)

    def _paths_of(
        self, receiver: int, latents: Tensor, mask: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Channels and measurements of each path to one receiver, in each cell.

        latents: [batch, L, D], float32
        mask: [batch], float32, 1 where the receiver sent latents, else 0
        Yields for each transmitter channels [batch, PATH_CHANNELS + NUM_HEADS HEAD_FEATURES, cells,
        cells], and measurements [batch, 3, NUM_HEADS, cells, cells]: power, delay less that of the
        cell [bins] and Doppler shift.
        """
        # Context of each beam and delay, from the latents around it.
        learned, echoes = self.layout.split(latents, self.latent_axes)
        assert echoes.beam is not None  # the layout has beams
        delay_offset = echoes.length_m / self.resolution_m
        numbers = [learned, echoes.power, echoes.doppler, delay_offset, echoes.beam]
        context = self.contexts[receiver](torch.cat(numbers, 1))

        # Measurements of each beam and delay.
        delay_bins = torch.arange(self.latent_axes[1], device=latents.device)
        delays = delay_bins + delay_offset
        measured = torch.stack([echoes.power, delays, echoes.doppler, echoes.beam], 1)

        shape = (self.cells, self.cells)
        sent = mask[:, None, None]
        for transmitter in range(self.layout.num_tx):
            # Project onto the cells, in full precision: weights differ by orders of magnitude.
            of_path = measured[:, :, transmitter]
            with torch.autocast(latents.device.type, enabled=False):
                spectrum = torch.cat([of_path, context], 1).float()
                heads = self._at_cells(receiver, transmitter, spectrum)

            # Scale and shift of the features by the place of the cell in the spectrum
            # (feature-wise linear modulation).
            path = receiver * self.layout.num_tx + transmitter
            cell_features = self._projection(receiver).cell_features[transmitter]
            scale, shift = self.modulation[path](cell_features).chunk(2, -1)

            # Layers in each cell; the first one is modulated.
            all_heads = heads.flatten(1, 2)
            entered = self.enter[path](all_heads.mT)
            hidden = torch.relu(entered * (1 + scale) + shift)
            hidden = torch.relu(self.path_layers[path](hidden)).mT

            # Channels, zero where the receiver sent nothing, and measurements, back in the plane.
            channels = torch.cat([hidden, all_heads], 1) * sent
            measurements = heads[:, MEASUREMENTS]
            yield channels.unflatten(2, shape), measurements.unflatten(3, shape)

    def _at_cells(self, receiver: int, transmitter: int, spectrum: Tensor) -> Tensor:
        """Means of the latents around each cell, by each head.

        spectrum: [batch, 4 + CONTEXT_CHANNELS, beams, delays], float32, power, delay, Doppler
        shift, beam less that of the latent, context
        Returns [batch, HEAD_FEATURES, NUM_HEADS, num_cells], float32: log of the weights, power,
        delay less that of the cell, Doppler shift, where in the plane the beam points [cells, from
        this one], context.
        """
        path = receiver * self.layout.num_tx + transmitter
        projection = self._projection(receiver)

        # Weights that grow exponentially with power, [batch, NUM_HEADS, beams, delays].
        log_weights = self.sharpness[path, :, None, None] * spectrum[:, None, 0]
        weights = log_weights.clamp_max(MAX_LOG_WEIGHT).exp()

        # Weighted means around each cell, [batch, 4 + CONTEXT_CHANNELS, NUM_HEADS, num_cells].
        sums = projection(weights, transmitter)
        weighted = (spectrum[:, :, None] * weights[:, None]).flatten(1, 2)
        means = projection(weighted, transmitter).unflatten(1, (-1, NUM_HEADS)) / sums[:, None]
        power, delay, doppler, beam, context = means.split([1, 1, 1, 1, CONTEXT_CHANNELS], 1)

        # Beam offset from the cell: that of the peak from its latent, and of latents from the cell.
        from_cell = projection.beam_moments(weights, transmitter) / sums
        beam = beam + from_cell[:, None]

        # The same as a displacement across the beam, in cells.
        across = beam * (projection.across_m / self.cell_m).mT[:, None]
        return torch.cat(
            [
                LOG_WEIGHT_SCALE * sums[:, None].log(),
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


def _linear_layers(count: int, in_features: int, out_features: int) -> nn.ModuleList:
    """A linear layer for each of `count` paths."""
    return nn.ModuleList(nn.Linear(in_features, out_features) for _ in range(count))


def _chosen(measurements: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...]:
    """Means of the heads' measurements of each path.

    measurements: of each path [batch, 3, NUM_HEADS, rows, columns], float32
    weights: [batch, rows, columns, NUM_HEADS, num_paths], float32
    Returns power, delay and Doppler shift, each [batch, rows, columns, num_paths].
    """
    # Axes [batch, rows, columns, 3, NUM_HEADS, num_paths].
    heads = torch.stack(tuple(measurements), -1).movedim((1, 2), (-3, -2))
    return (heads * weights[:, :, :, None]).sum(-2).unbind(3)
