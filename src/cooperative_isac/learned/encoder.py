"""The encoder at an access point (CF section III-A), and the layers that the center shares with
it.
"""

from __future__ import annotations

import itertools
from math import prod

import torch
from torch import Tensor, nn

NORMALIZER_SHARE, LEAST_VARIANCE = (
    0.01,
    1e-6,
)  # of one batch in the statistics, once there are many; of latents
FAST = torch.channels_last_3d  # for 3-D convolutions of stride 1 on a processor


def downsampled_shape(shape: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """Shape of a tensor's axes after so many halving convolutions. ValueError where an axis
    vanishes.
    """
    small = tuple(length >> layers for length in shape)
    if min(small) < 1:
        raise ValueError(
            f"{layers} convolutions of stride 2 leave nothing of {shape}; use fewer layers"
        )
    return small


def channel_widths(hidden: int, layers: int) -> tuple[int, ...]:
    """Channels after each halving convolution, that grow fourfold up to hidden.

    All but the last are not in CF; these give its 1.2 million parameters.
    """
    return tuple(max(hidden >> 2 * (layers - 1 - layer), 1) for layer in range(layers))


def halving(in_channels: int, channels: tuple[int, ...]) -> nn.Sequential:
    """3-D convolutions of kernel 4, stride 2, padding 1, each with ReLU and its number of
    channels.
    """
    widths = [in_channels, *channels]
    steps = [
        nn.Sequential(nn.Conv3d(before, after, 4, stride=2, padding=1), nn.ReLU())
        for before, after in itertools.pairwise(widths)
    ]
    return nn.Sequential(*steps)


class Residual(nn.Module):
    """A 3-D convolution of kernel 3 with ReLU beside an identity, or a projection if the width
    changes.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = (
            nn.Identity() if same else nn.Conv3d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, tensor: Tensor) -> Tensor:
        """[batch, in_channels, ...] to [batch, out_channels, ...], the axes as they are."""
        return self.shortcut(tensor) + nn.functional.relu(self.convolution(tensor))


class Encoder(nn.Module):
    """Observations [batch, channels, num_rx_ant, num_subcarriers, num_symbols] to latents [batch,
    L, D].

    latent_dim None leaves out the projector: the latents are the hidden channels.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], residuals: int, latent_dim: int | None
    ):
        super().__init__()
        hidden = channels[-1]
        self.halving = halving(in_channels, channels)
        self.residuals = nn.Sequential(*(Residual(hidden, hidden) for _ in range(residuals)))
        self.projector = nn.Linear(hidden, latent_dim, bias=False) if latent_dim else nn.Identity()

    def forward(self, observations: Tensor) -> Tensor:
        """Latents [batch, L, D] of observations, as the class has them."""
        return self.projector(self.residuals(self.halving(observations)).flatten(2).mT)


class ElementMean(nn.Module):
    """Mean of latents over resource elements, normalized over samples; a receiver that is not heard
    stays zero.

    Mean and deviation follow the batches of training, and are used as they are in training, too.
    """

    def __init__(self, num_receivers: int, channels: int, space: int):
        super().__init__()
        shape = num_receivers, channels, space, 1, 1
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, latents: Tensor, heard: Tensor) -> Tensor:
        """latents: [batch, M, channels, space, frequency, time]; heard: [batch, M]. The last two
        axes become 1.
        """
        means, there = latents.mean((4, 5), keepdim=True), heard[:, :, None, None, None, None]
        if self.training and torch.is_grad_enabled():
            self._follow(means.detach().float(), there)
        return (means - self.mean) * (self.variance + LEAST_VARIANCE).rsqrt() * there

    def _follow(self, means: Tensor, there: Tensor) -> None:
        self.batches += 1
        share = (1 / self.batches).clamp(min=NORMALIZER_SHARE)
        count = there.sum(0)
        self.mean += share * ((means - self.mean) * there).sum(0) / count.clamp(min=1)
        squares = ((means - self.mean).square() - self.variance) * there
        self.variance += share * squares.sum(0) / count.clamp(min=1)


def latent_count(shape: tuple[int, ...], layers: int) -> int:
    """Number of latents L of an observation of that shape."""
    return prod(downsampled_shape(shape, layers))
