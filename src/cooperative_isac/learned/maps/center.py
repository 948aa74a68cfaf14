"""Center of the maps network: latents of all receivers to targets in each cell of one plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes
from cooperative_isac.learned.plane.layers import CELL_BIAS_STD, NORM_GROUPS, PlaneResidual
from cooperative_isac.learned.plane.network import (
    CellPaths,
    PlaneCenter,
    num_changes,
    num_state_channels,
)
from cooperative_isac.learned.plane.output import (
    PlaneOutput,
    at_middle_height,
    cell_centers,
    channels_last,
)
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.model import Scene

# Fine cells of the output along an axis, for each coarse cell of the latents.
UPSAMPLING = 2
# Coarse cells around a fine one, among which the measurement of a path is chosen: 3 x 3.
NEIGHBORS = 9
# Channels of the convolutions behind the upsampling.
HEAD_CHANNELS = (32, 48)
# Initial logits of the choice: of a fine cell's own coarse cell, and per unit of log10(1 + SNR).
OWN_CELL_LOGIT = 2.0
POWER_GAIN = 2.0
# Scales of the inputs in space, 1/m: of lengths, which also differ by the height of a target, and
# of heights.
SPACE_LENGTH_SCALE = 0.2
SPACE_HEIGHT_SCALE = 0.1


class MapCenter(PlaneCenter):
    """Sums the planes of the receivers and looks for targets in the sum.

    The measurement of a path at a fine cell is a soft choice among those of the coarse cells around
    it.

    layout: layout of the latents
    coarse: cells of the latents along an axis
    channels, residuals: channels and number of residual blocks on coarse cells
    max_doppler_hz: Doppler shift that latents have as 1
    """

    ground_m: Tensor  # [coarse, coarse, 2], float32, m, middles of the coarse cells
    lengths_m: Tensor  # [num_paths, coarse, coarse], float32, m, of paths over them

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
        self.layout = layout
        self.coarse = coarse
        self.max_doppler_khz = 1e-3 * max_doppler_hz
        num_rx = len(scene.receivers)
        num_paths = num_rx * layout.num_tx
        inner, outer = HEAD_CHANNELS

        # Coarse cells: the sum over receivers, and residual blocks on it.
        self.enter = nn.ModuleList(
            nn.Conv2d(layout.num_numbers, channels, 1) for _ in range(num_rx)
        )
        self.place = nn.Parameter(CELL_BIAS_STD * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))

        # Fine cells: upsampling, and the output channels.
        self.finer = nn.Sequential(
            nn.GroupNorm(NORM_GROUPS, channels),
            nn.ReLU(),
            nn.Conv2d(channels, inner * UPSAMPLING**2, 3, padding=1),
            nn.PixelShuffle(UPSAMPLING),
            nn.ReLU(),
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.ReLU(),
        )
        num_outputs = num_state_channels(scene.dimension)
        num_outputs += (num_changes(scene.dimension) + NEIGHBORS) * num_paths
        self.out = nn.Conv2d(outer, num_outputs, 1)

        # Measurements of paths.
        self.power_gain = nn.Parameter(torch.tensor(POWER_GAIN))
        self.add_uncertainties(scene.dimension)
        self.paths = PathGeometry(scene)
        self.init_output()

        # Cells, and the lengths of paths over the middles of coarse ones.
        self.add_cells(scene, coarse * UPSAMPLING)
        ground_m = cell_centers(scene, coarse)
        lengths = self.paths.length(at_middle_height(scene, ground_m)).permute(2, 0, 1)
        self.register_buffer("ground_m", ground_m, persistent=False)
        self.register_buffer("lengths_m", lengths.contiguous(), persistent=False)

    @torch.no_grad()
    def init_output(self) -> None:
        """Initialize with few targets, and with preference for measurements in the cell itself."""
        super().init_output()
        assert self.out.bias is not None
        choice = self.out.bias[-NEIGHBORS * self.paths.num_paths :].view(-1, NEIGHBORS)
        own_cell = NEIGHBORS // 2  # the middle of the 3 x 3 cells
        choice[:, own_cell] = OWN_CELL_LOGIT

    def forward(
        self, latents: Tensor, receiver_mask: Tensor, side_information: Tensor
    ) -> PlaneOutput:
        """Output for each fine cell of the plane.

        latents: [batch, M, coarse^2, D], float32
        receiver_mask: [batch, M], float32, 1 where a receiver sent latents, else 0
        side_information: not used
        """
        # Learned bias of each cell, to which the planes of the receivers are added:
        # [batch, channels, coarse, coarse].
        plane = self.place.expand(len(latents), -1, -1, -1)
        measurements = []
        for index, enter in enumerate(self.enter):
            # Learned numbers, and measurements [batch, fields, num_tx, coarse, coarse] of the
            # strongest echo of each path in a cell.
            learned, echoes = self.layout.split(latents[:, index], (self.coarse, self.coarse))
            measured = self._measured(echoes, index)

            # Both enter the plane, unless the receiver sent nothing.
            numbers = torch.cat([learned, self._inputs(measured)], 1)
            plane = plane + enter(numbers) * receiver_mask[:, index, None, None, None]
            measurements.append(measured)

        # Output channels of the fine cells.
        features = self.finer(self.body(plane))
        channels, choice = self.split_output(self.out(features))

        # Measurements of the paths of all receivers at the fine cells.
        paths = self._chosen(torch.cat(measurements, 2), choice)
        path_mask = receiver_mask.repeat_interleave(self.layout.num_tx, 1)
        return self.plane_output(channels, paths, path_mask)

    def _measured(self, echoes: StrongestEchoes, receiver: int) -> Tensor:
        """Measurements of the strongest echoes at one receiver.

        receiver: index
        Returns [batch, fields, num_tx, coarse, coarse], float32: power, Doppler shift and length
        less that over the cell's middle; in space also elevation [degree], and the height [m] over
        the cell's middle that follows from it.
        """
        fields = [echoes.power, echoes.doppler, echoes.length_m]
        if echoes.rise is not None:
            elevation = torch.rad2deg(echoes.rise.clamp(-1, 1).asin())
            by_path = channels_last(echoes.rise)
            heights_m = self.paths.height(self.ground_m, by_path, receiver).permute(0, 3, 1, 2)
            fields += [elevation, heights_m]
        return torch.stack(fields, 1)

    def _inputs(self, measured: Tensor) -> Tensor:
        """Measurements of a receiver as inputs of the plane, [batch, channels, coarse, coarse]."""
        if self.paths.dimension == 2:
            return measured.flatten(1, 2)
        power, doppler, length_m, _, height_m = measured.unbind(1)
        is_detected = (power > 0).to(power.dtype)
        return torch.cat(
            [
                power,
                doppler,
                SPACE_LENGTH_SCALE * length_m,
                SPACE_HEIGHT_SCALE * height_m * is_detected,
            ],
            1,
        )

    def _chosen(self, measured: Tensor, choice: Tensor) -> CellPaths:
        """Soft choice of each path's measurement at each fine cell.

        measured: [batch, fields, num_paths, coarse, coarse], float32, as from _measured
        choice: [batch, num_paths NEIGHBORS, rows, columns], float32, logits
        """
        # Lengths of paths, no longer relative to the cells.
        power, doppler, relative_m, *others = measured.unbind(1)
        measured = torch.stack([power, doppler, relative_m + self.lengths_m, *others], 1)

        # Softmax of learned logits and of power, over the coarse cells around each fine one.
        around = self._neighbors(measured)
        power_around = around[:, 0]
        logits = choice.unflatten(1, (-1, NEIGHBORS)) + self.power_gain * power_around
        weights = torch.softmax(logits, 2)

        # Weighted means of all fields.
        chosen = (weights[:, None] * around).sum(3)
        power, doppler, *others = (channels_last(plane) for plane in chosen.unbind(1))
        return CellPaths(power, doppler * self.max_doppler_khz, *others)

    def _neighbors(self, measured: Tensor) -> Tensor:
        """Measurements in the 3 x 3 coarse cells around each fine cell.

        measured: [batch, fields, num_paths, coarse, coarse], float32
        Returns [batch, fields, num_paths, NEIGHBORS, rows, columns], float32.
        """
        # Patches of 3 x 3 about each coarse cell; at the border the cells repeat.
        padded = nn.functional.pad(measured.flatten(1, 2), (1, 1, 1, 1), mode="replicate")
        patches = nn.functional.unfold(padded, 3)

        # From [batch, fields num_paths NEIGHBORS, coarse^2] to an axis for each.
        patches = patches.unflatten(1, (measured.shape[1], -1, NEIGHBORS))
        patches = patches.unflatten(4, (self.coarse, self.coarse))

        # The same patch for all fine cells of a coarse one.
        by_row = patches.repeat_interleave(UPSAMPLING, 4)
        return by_row.repeat_interleave(UPSAMPLING, 5)
