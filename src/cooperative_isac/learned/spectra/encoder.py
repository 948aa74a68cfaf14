"""The encoder of the spectra network: of each beam and delay what convolutions learned, and the
strongest echo.
"""

from __future__ import annotations

import itertools
from math import log, log10

import torch
from torch import Tensor, nn

from cooperative_isac.learned.encoder import FAST, Residual
from cooperative_isac.learned.inputs import CHANNELS
from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes, strongest

FALSE_ALARM_PROBABILITY = 0.05  # how often noise alone is taken for an echo, in a beam and delay


class SpectrumEncoder(nn.Module):
    """Spectra [batch, num_tx CHANNELS, beams, delays, shifts] to latents [batch, beams delays,
    layout.size].

    resolution_m: path length of a delay bin; num_departures: beams of departure of which a spectrum
    shows the strongest; kernel: of the first convolutions.
    """

    def __init__(
        self,
        layout: LatentLayout,
        resolution_m: float,
        num_departures: int,
        hidden: int,
        kernel: int,
        layers: int,
        residuals: int,
    ):
        super().__init__()
        self.layout, self.resolution_m, self.num_departures = layout, resolution_m, num_departures
        widths = [CHANNELS * layout.num_tx, *[hidden] * layers]
        self.layers = nn.Sequential(
            *(
                layer
                for pair in itertools.pairwise(widths)
                for layer in (nn.Conv3d(*pair, kernel, padding=kernel // 2), nn.ReLU())
            ),
            *(Residual(hidden, hidden) for _ in range(residuals)),
        )
        # torch's own types leave out a layout without a type of numbers.
        self.layers.to(memory_format=FAST)  # pyrefly: ignore[no-matching-overload]
        self.projector = nn.Conv2d(hidden, layout.num_learned * layout.part_dim, 1)

    def forward(self, spectra: Tensor) -> Tensor:
        """Latents [batch, beams delays, layout.size] of spectra, as the class has them."""
        strongest = self.layers(spectra.contiguous(memory_format=FAST)).amax(
            -1
        )  # over Doppler shifts
        return self.layout.join(self.projector(strongest), self._measured(spectra))

    def _measured(self, spectra: Tensor) -> StrongestEchoes:
        power, beam, delay, shift = spectra.unflatten(1, (-1, CHANNELS)).unbind(2)
        power = (power + log(2)) / log(10)
        count = spectra.shape[-1]
        bins = torch.arange(count, device=power.device) - count // 2 + _between(shift)
        return strongest(
            power,
            bins / (count / 2),
            _between(delay) * self.resolution_m,
            _between(beam),
            noise_level=self._noise_level(count),
        )

    def _noise_level(self, num_shifts: int) -> float:
        """Of log10(1 + power): what noise alone seldom exceeds in any Doppler shift and beam of
        departure.
        """
        return log10(1 + log(num_shifts * self.num_departures / FALSE_ALARM_PROBABILITY))


def _between(offset: Tensor) -> Tensor:
    """Bins from the sine that a spectrum shows."""
    return offset.clamp(-1, 1).asin() / torch.pi
