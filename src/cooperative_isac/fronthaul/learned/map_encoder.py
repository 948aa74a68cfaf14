"""The encoder of the maps network: a map of locations becomes a latent for each of fewer, larger cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NOISE_LEVEL, GATE_SLOPE = 1.1, 6.0  # of log10(1 + power): what noise alone seldom exceeds, and how sharply
HEARD_LEVEL = 1.25
PEAK_SHARPNESS = 8.0
DOPPLER_GAIN = 8.0  # of a Doppler shift beside the other numbers of a latent
GROUPS = 8


class PlaneResidual(nn.Module):
    """Two convolutions beside an identity, normalised first."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(*(layer for _ in range(2) for layer in (
            nn.GroupNorm(GROUPS, channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))))

    def forward(self, plane: Tensor) -> Tensor:
        return plane + self.body(plane)


class MapEncoder(nn.Module):
    """Maps [batch, num_tx, 2, cells, cells] to latents [batch, coarse^2, num_parts part_dim].

    The last num_tx parts of a latent tell the Doppler shift of the cell's strongest echo of each transmitter
    unchanged; what the convolutions find comes on top, in all parts.
    """

    def __init__(self, num_tx: int, cells: int, coarse: int, num_parts: int, part_dim: int, channels: int,
                 residuals: int, doppler_weight: float):
        super().__init__()
        self.register_buffer("weights", doppler_weights(num_parts, num_tx, part_dim, doppler_weight), persistent=False)
        self.num_tx, self.coarse, self.stride, self.part_dim = num_tx, coarse, cells // coarse, part_dim
        self.stem = nn.Conv2d(3 * num_tx, channels // 2, 5, padding=2)
        self.down = nn.Conv2d(channels // 2, channels, self.stride + 2, self.stride, padding=1)
        self.beside = nn.Conv2d(4 * num_tx, channels, 1)
        self.place = nn.Parameter(0.02 * torch.randn(channels, coarse, coarse))
        self.body = nn.Sequential(*(PlaneResidual(channels) for _ in range(residuals)))
        self.head = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.ReLU(),
                                  nn.Conv2d(channels, num_parts * part_dim, 1))
        with torch.no_grad():
            self.head[-1].weight[-num_tx * part_dim:].zero_()
            self.head[-1].bias[-num_tx * part_dim:].zero_()

    def forward(self, maps: Tensor) -> Tensor:
        power, doppler = maps[:, :, 0], maps[:, :, 1]
        gate = torch.sigmoid(GATE_SLOPE * (power - NOISE_LEVEL))
        fine = torch.cat([power - 1, doppler * gate, gate], 1)
        best_power, best_doppler = self._strongest(power, doppler)
        heard = torch.sigmoid(GATE_SLOPE * (best_power - NOISE_LEVEL))
        coarse = torch.cat([best_power - 1, best_doppler * heard, heard, best_doppler.abs() * heard], 1)
        plane = self.down(torch.relu(self.stem(fine))) + self.beside(coarse) + self.place
        latents = self.head(self.body(plane))
        latents = torch.cat([latents[:, :-self.num_tx * self.part_dim],
                             latents[:, -self.num_tx * self.part_dim:] + self._told(best_power, best_doppler)], 1)
        return latents.flatten(2).transpose(1, 2) * self.weights

    def _strongest(self, power: Tensor, doppler: Tensor) -> tuple[Tensor, Tensor]:
        """Power and Doppler shift of the strongest echo in each coarse cell, [batch, num_tx, coarse, coarse]."""
        power, doppler = self._gathered(power), self._gathered(doppler)
        weights = torch.softmax(PEAK_SHARPNESS * power, -1)
        return (weights * power).sum(-1), (weights * doppler).sum(-1)

    def _gathered(self, plane: Tensor) -> Tensor:
        shape = self.coarse, self.stride
        return plane.reshape(*plane.shape[:2], *shape, *shape).transpose(3, 4).flatten(4)

    def _told(self, power: Tensor, doppler: Tensor) -> Tensor:
        """Parts that hold a Doppler shift first, then a power; zero where nothing is heard."""
        heard = (power > HEARD_LEVEL).to(power.dtype)
        told = torch.stack([DOPPLER_GAIN * doppler * heard, power * heard], 2)
        rest = told.new_zeros(*told.shape[:2], self.part_dim - 2, *told.shape[3:])
        return torch.cat([told, rest], 2).flatten(1, 2)


def doppler_weights(num_parts: int, num_tx: int, part_dim: int, weight: float) -> Tensor:
    """What a latent is multiplied with for the codebooks, [num_parts part_dim]: Doppler shifts count more."""
    weights = torch.ones(num_parts, part_dim)
    weights[-num_tx:, 0] = weight
    return weights.flatten()
