"""The encoder of the spectra network: of each beam and delay what convolutions learned, and the strongest echo."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.encoder import Residual
from cooperative_isac.fronthaul.learned.inputs import CHANNELS
from cooperative_isac.fronthaul.learned.plane.latents import LatentLayout, Measured, strongest

NOISE_LEVEL = 0.95  # of log10(1 + power): what noise alone seldom exceeds at any Doppler shift


class SpectrumEncoder(nn.Module):
    """Spectra [batch, num_tx CHANNELS, beams, delays, shifts] to latents [batch, beams delays, layout.size].

    resolution_m: path length of a delay bin; kernel: of the first convolutions.
    """

    def __init__(self, layout: LatentLayout, resolution_m: float, hidden: int, kernel: int, layers: int,
                 residuals: int):
        super().__init__()
        self.layout, self.resolution_m = layout, resolution_m
        widths = [CHANNELS * layout.num_tx, *[hidden] * layers]
        self.layers = nn.Sequential(*(layer for pair in zip(widths, widths[1:])
                                      for layer in (nn.Conv3d(*pair, kernel, padding=kernel // 2), nn.ReLU())),
                                    *(Residual(hidden, hidden) for _ in range(residuals)))
        self.projector = nn.Conv2d(hidden, layout.num_learned * layout.part_dim, 1)

    def forward(self, spectra: Tensor) -> Tensor:
        strongest = self.layers(spectra).amax(-1)  # over Doppler shifts
        return self.layout.join(self.projector(strongest), self._measured(spectra))

    def _measured(self, spectra: Tensor) -> Measured:
        power, _, delay, shift = spectra.unflatten(1, (-1, CHANNELS)).unbind(2)
        power = (power + log(2)) / log(10)
        count = spectra.shape[-1]
        bins = torch.arange(count, device=power.device) - count // 2 + _between(shift)
        return strongest(power, bins / (count / 2), _between(delay) * self.resolution_m, NOISE_LEVEL)


def _between(offset: Tensor) -> Tensor:
    """Bins from the sine that a spectrum shows."""
    return offset.clamp(-1, 1).asin() / torch.pi
