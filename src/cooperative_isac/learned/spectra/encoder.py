"""Encoder of the spectra network: learned channels and the strongest echo by beam and delay."""

from __future__ import annotations

import itertools
from math import log, log10

import torch
from torch import Tensor, nn

from cooperative_isac.learned.encoder import MEMORY_FORMAT, Residual
from cooperative_isac.learned.inputs import CHANNELS
from cooperative_isac.learned.plane.latents import LatentLayout, StrongestEchoes, strongest_echoes

# Probability that noise alone is taken for an echo in a beam and delay.
FALSE_ALARM_PROBABILITY = 0.05


class SpectrumEncoder(nn.Module):
    """Spectra of a demodulated echo to latents [batch, beams delays, layout.size].

    layout: layout of the latents
    resolution_m: path length of a delay bin
    num_departures: beams of departure, of which a spectrum has the strongest
    hidden, kernel, layers: channels, kernel and number of the first convolutions
    residuals: number of residual convolutions behind them
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
        self.layout = layout
        self.resolution_m = resolution_m
        self.num_departures = num_departures
        widths = [CHANNELS * layout.num_tx, *[hidden] * layers]
        convolutions: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            convolutions += [nn.Conv3d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
        convolutions += [Residual(hidden, hidden) for _ in range(residuals)]
        self.layers = nn.Sequential(*convolutions)
        # torch's types lack the overload with a memory format alone.
        self.layers.to(memory_format=MEMORY_FORMAT)  # pyrefly: ignore[no-matching-overload]
        self.projector = nn.Conv2d(hidden, layout.num_learned * layout.part_dim, 1)

    def forward(self, spectra: Tensor) -> Tensor:
        """Latents of spectra.

        spectra: [batch, num_tx CHANNELS, beams, delays, shifts], float32 (demodulated_observation)
        Returns [batch, beams delays, layout.size], float32.
        """
        # Convolutions, and the maximum over Doppler shifts.
        hidden = self.layers(spectra.contiguous(memory_format=MEMORY_FORMAT)).amax(-1)
        return self.layout.join(self.projector(hidden), self._measured(spectra))

    def _measured(self, spectra: Tensor) -> StrongestEchoes:
        """The strongest echo over Doppler shifts in each beam and delay."""
        # Power from log(1 + SNR) - log(2) to log10(1 + SNR).
        power, beam, delay, shift = spectra.unflatten(1, (-1, CHANNELS)).unbind(2)
        power = (power + log(2)) / log(10)

        # Doppler shift of each bin and of the peak within it, over the largest one.
        num_shifts = spectra.shape[-1]
        bins = torch.arange(num_shifts, device=power.device) - num_shifts // 2
        doppler = (bins + _bin_offset(shift)) / (num_shifts / 2)
        return strongest_echoes(
            power,
            self._noise_level(num_shifts),
            doppler=doppler,
            length_m=_bin_offset(delay) * self.resolution_m,
            beam=_bin_offset(beam),
        )

    def _noise_level(self, num_shifts: int) -> float:
        """Detection threshold of the power, log10(1 + SNR), for FALSE_ALARM_PROBABILITY.

        The powers of noise are exponential with mean 1, in num_shifts Doppler bins and
        num_departures beams of departure.
        """
        return log10(1 + log(num_shifts * self.num_departures / FALSE_ALARM_PROBABILITY))


def _bin_offset(sine: Tensor) -> Tensor:
    """Offset of a peak from its bin, from sin(pi offset)."""
    return sine.clamp(-1, 1).asin() / torch.pi
