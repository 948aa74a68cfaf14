"""Encoder of the maps network: a map of locations to one latent for each of fewer, larger cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes, strongest_echoes
from cooperative_isac.learned.plane.layers import CELL_BIAS_STD, NORM_GROUPS, PlaneResidual

# Inputs of the convolutions for each transmitter. Fine cells: power, Doppler shift, excess length
# and the gate of these; coarse cells: power, Doppler shift, its absolute value and length. In space
# both have the rise of the arrival, too.
NUM_INPUTS = 4
# Share of lengths in the inputs in space, where they also differ by the height of a target: then
# the inputs are of order one.
SPACE_LENGTH_SHARE = 0.25
# Power [log10(1 + SNR)] that noise alone seldom exceeds in a cell.
NOISE_LEVEL = 1.1
# Power that is subtracted from the inputs of the convolutions: about that of the highest of many
# filters in noise, so that most inputs are near zero.
MIDDLE_POWER = 1.0
# Slope of the sigmoid that fades Doppler shifts and lengths in where the power is above the noise.
GATE_SLOPE = 6.0


class MapEncoder(nn.Module):
    """Maps [batch, num_tx, fields, cells, cells] to latents [batch, coarse^2, layout.size].

    Fields of a map: power, Doppler shift and excess length (LocationMap); in space, where the
    layout has rises, also the rise of the arrival (SpaceMap).

    layout: layout of the latents
    coarse: cells of the latents along an axis
    excess_m: [num_tx, cells, cells], float32, m, lengths of the paths over the fine cells less
    those over the coarse cells that contain them; in space at the middle height
    max_excess_m: excess length that a map has as 1
    channels, residuals: channels and number of residual blocks on coarse cells
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
        self.layout = layout
        self.coarse = coarse
        self.stride = cells // coarse
        self.max_excess_m = max_excess_m
        self.length_share = SPACE_LENGTH_SHARE if layout.has_rises else 1.0
        num_inputs = (NUM_INPUTS + layout.has_rises) * num_tx
        self.register_buffer("excess_m", excess_m, persistent=False)

        # Fine cells, brought to the coarse grid by a kernel one fine cell wider on each side than
        # the coarse cell.
        self.stem = nn.Conv2d(num_inputs, channels // 2, 5, padding=2)
        self.down = nn.Conv2d(channels // 2, channels, self.stride + 2, self.stride, padding=1)

        # Coarse cells.
        self.beside = nn.Conv2d(num_inputs, channels, 1)
        self.place = nn.Parameter(CELL_BIAS_STD * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))
        self.head = nn.Sequential(
            nn.GroupNorm(NORM_GROUPS, channels),
            nn.ReLU(),
            nn.Conv2d(channels, layout.num_learned * layout.part_dim, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Latents of maps.

        maps: [batch, num_tx, fields, cells, cells], float32
        Returns [batch, coarse^2, layout.size], float32.
        """
        power, doppler, excess, *rises = maps.unbind(2)

        # Inputs of the fine cells: all but the power fade out where there is noise alone.
        gate = torch.sigmoid(GATE_SLOPE * (power - NOISE_LEVEL))
        fading = [doppler, self.length_share * excess, *rises]
        faded = [field * gate for field in fading]
        fine = torch.cat([power - MIDDLE_POWER, *faded, gate], 1)

        # The strongest echo in each coarse cell, with its length beyond that of the coarse cell.
        length_m = excess * self.max_excess_m + self.excess_m
        best = self._strongest(power, doppler, length_m, *rises)

        # Inputs of the coarse cells.
        length = self.length_share * best.length_m / self.max_excess_m
        inputs = [best.power - MIDDLE_POWER, best.doppler, best.doppler.abs(), length]
        if best.rise is not None:
            inputs.append(best.rise)
        coarse = torch.cat(inputs, 1)

        # Features of both, and of the place, on the coarse grid.
        from_fine = self.down(torch.relu(self.stem(fine)))
        from_coarse = self.beside(coarse)
        features = from_fine + from_coarse + self.place

        # Residual blocks, and the learned part of the latents.
        learned = self.head(self.body(features))
        return self.layout.join(learned, best)

    def _strongest(self, power: Tensor, *others: Tensor) -> StrongestEchoes:
        """The strongest echo of each coarse cell, from planes [batch, num_tx, cells, cells].

        others: Doppler shifts, lengths [m] and, in space, rises
        """
        # By names of StrongestEchoes; a plane has no rises.
        fields = zip(("doppler", "length_m", "rise"), others)
        by_cell = {name: self._by_coarse_cell(plane) for name, plane in fields}
        return strongest_echoes(self._by_coarse_cell(power), NOISE_LEVEL, **by_cell)

    def _by_coarse_cell(self, plane: Tensor) -> Tensor:
        """Gather the fine cells of each coarse cell.

        plane: [batch, num_tx, cells, cells], float32
        Returns [batch, num_tx, coarse, coarse, stride^2], float32.
        """
        # Each axis as coarse cell and fine cell within it, last axis first: then the axes are
        # [batch, num_tx, coarse, stride, coarse, stride].
        blocks = plane.unflatten(3, (self.coarse, self.stride))
        blocks = blocks.unflatten(2, (self.coarse, self.stride))
        return blocks.transpose(3, 4).flatten(4)
