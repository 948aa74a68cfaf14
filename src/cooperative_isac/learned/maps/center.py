"""Center of the maps network: latents of all receivers to targets in each cell of one plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.maps.agreement import (
    BODY_OFFSET_M,
    Agreement,
    Fit,
    decades_below,
)
from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes
from cooperative_isac.learned.plane.layers import CELL_BIAS_STD, NORM_GROUPS, PlaneResidual
from cooperative_isac.learned.plane.network import (
    CellPaths,
    PlaneCenter,
    num_output_channels,
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
# Initial weights in space of votes (paths that agree on a target in a cell) in its log-odds, and of
# their difference to the most votes beside it; votes of as many paths leave the log-odds as they
# are.
VOTE_WEIGHT = 2.0
PEAK_WEIGHT = 2.0
NEUTRAL_VOTES = 1.3
# Features of the output layer in space beside those of the convolutions: votes, and their
# difference to the most votes around.
NUM_VOTE_FEATURES = 2
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
    sidelobe_penalty: of weaker echoes of a Doppler shift in space (Agreement)
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
        sidelobe_penalty: float,
    ):
        super().__init__()
        self.layout = layout
        self.coarse = coarse
        self.max_doppler_khz = 1e-3 * max_doppler_hz
        self.doppler_resolution = scene.grid.doppler_resolution_hz / max_doppler_hz
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
        num_outputs = num_output_channels(scene.dimension, num_paths, NEIGHBORS)
        is_in_space = scene.dimension == 3
        self.out = nn.Conv2d(outer + NUM_VOTE_FEATURES * is_in_space, num_outputs, 1)

        # Measurements of paths, and in space their agreement.
        self.power_gain = nn.Parameter(torch.tensor(POWER_GAIN))
        self.add_uncertainties(scene.dimension)
        self.paths = PathGeometry(scene)
        self.agreement = None
        if is_in_space:
            self.agreement = Agreement(scene, self.paths, coarse * UPSAMPLING, sidelobe_penalty)
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
        biases, choice = self.split_output(self.out.bias[None, :, None, None])
        own_cell = NEIGHBORS // 2  # the middle of the 3 x 3 cells
        choice[:, own_cell::NEIGHBORS] = OWN_CELL_LOGIT
        if self.agreement is None:
            return

        # In space targets are where paths agree: the log-odds depend on votes alone, and all else
        # on the convolutions.
        weights_of_votes = self.out.weight[:, -NUM_VOTE_FEATURES:, 0, 0]
        self.out.weight[0] = 0
        weights_of_votes[0] = torch.tensor([VOTE_WEIGHT, PEAK_WEIGHT])
        weights_of_votes[1:] = 0
        biases.heatmap_logits.sub_(VOTE_WEIGHT * NEUTRAL_VOTES)

        # Lengths are too short by about the way from a body's middle to its hull and back.
        biases.path_changes[:, -self.paths.num_paths :] = BODY_OFFSET_M

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

        # Measurements of all paths around each fine cell, and in space their agreement.
        path_mask = receiver_mask.repeat_interleave(self.layout.num_tx, 1)
        measured = self._absolute(torch.cat(measurements, 2))
        around = self._neighbors(measured)
        features = self.finer(self.body(plane))
        log_fit: Tensor | None = None
        if self.agreement is not None:
            power, doppler, *_ = measured.unbind(1)
            below = decades_below(power, doppler, self.doppler_resolution)
            below_around = self._neighbors(below[:, None])[:, 0]
            power_around, _, length_m, elevation_deg, _ = around.unbind(1)
            fit = self.agreement(power_around, below_around, length_m, elevation_deg, path_mask)
            features = torch.cat([features, _vote_features(fit)], 1)
            log_fit = fit.log_fit

        # Output channels of the fine cells, and the measurements chosen for them.
        channels, choice = self.split_output(self.out(features))
        paths = self._chosen(around, choice, log_fit)
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

    def _absolute(self, measured: Tensor) -> Tensor:
        """Measurements as from _measured with lengths of paths, no longer relative to the cells."""
        power, doppler, relative_m, *others = measured.unbind(1)
        return torch.stack([power, doppler, relative_m + self.lengths_m, *others], 1)

    def _chosen(self, around: Tensor, choice: Tensor, log_fit: Tensor | None) -> CellPaths:
        """Soft choice of each path's measurement at each fine cell.

        around: [batch, fields, num_paths, NEIGHBORS, rows, columns], float32, measurements in the
        coarse cells around a fine one
        choice: [batch, num_paths NEIGHBORS, rows, columns], float32, logits
        log_fit: [batch, num_paths, NEIGHBORS, rows, columns], float32, logs of their fit to a
        target in the cell; None in a plane
        """
        # Softmax of learned logits, of power and of the fit, over the coarse cells around each fine
        # one.
        logits = choice.unflatten(1, (-1, NEIGHBORS)) + self.power_gain * around[:, 0]
        if log_fit is not None:
            logits = logits + log_fit
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


def _vote_features(fit: Fit) -> Tensor:
    """Votes, and their difference to the most votes around, [batch, 2, rows, columns], float32."""
    votes = fit.votes[:, None]
    most_around = nn.functional.max_pool2d(votes, 3, 1, 1)
    return torch.cat([votes, votes - most_around], 1)
