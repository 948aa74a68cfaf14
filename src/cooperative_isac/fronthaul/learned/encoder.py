"""The encoder at an access point (CF section III-A), and the layers that the centre shares with it."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

FAST = torch.channels_last_3d  # for 3-D convolutions of stride 1 on a processor


def reduced(shape: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """Shape of a tensor's axes after so many halving convolutions. ValueError where an axis vanishes."""
    small = tuple(length >> layers for length in shape)
    if min(small) < 1:
        raise ValueError(f"{layers} convolutions of stride 2 leave nothing of {shape}; use fewer layers")
    return small


def halving(in_channels: int, hidden: int, layers: int) -> nn.Sequential:
    """3-D convolutions of kernel 4, stride 2, padding 1, each with ReLU; widths grow fourfold up to hidden.

    The first widths are not in CF; these give its 1.2 million parameters.
    """
    widths = [in_channels, *(max(hidden >> 2 * (layers - 1 - layer), 1) for layer in range(layers))]
    steps = [nn.Sequential(nn.Conv3d(before, after, 4, stride=2, padding=1), nn.ReLU())
             for before, after in zip(widths, widths[1:])]
    return nn.Sequential(*steps)


class Residual(nn.Module):
    """A 3-D convolution of kernel 3 with ReLU beside an identity, or a projection if the width changes."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, 1, bias=False)

    def forward(self, tensor: Tensor) -> Tensor:
        return self.shortcut(tensor) + nn.functional.relu(self.convolution(tensor))


class Encoder(nn.Module):
    """Observations [batch, channels, num_rx_ant, num_subcarriers, num_symbols] to latents [batch, L, D].

    latent_dim None leaves out the projector: the latents are the hidden channels.
    """

    def __init__(self, in_channels: int, hidden: int, layers: int, residuals: int, latent_dim: int | None):
        super().__init__()
        self.halving = halving(in_channels, hidden, layers)
        self.residuals = nn.Sequential(*(Residual(hidden, hidden) for _ in range(residuals)))
        self.projector = nn.Linear(hidden, latent_dim, bias=False) if latent_dim else nn.Identity()

    def forward(self, observations: Tensor) -> Tensor:
        return self.projector(self.residuals(self.halving(observations)).flatten(2).mT)


def latent_count(shape: tuple[int, ...], layers: int) -> int:
    """Number of latents L of an observation of that shape."""
    return prod(reduced(shape, layers))
