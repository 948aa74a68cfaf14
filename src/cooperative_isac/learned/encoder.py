"""The encoder at an access point (CF section III-A), and layers that it shares with the center."""

from __future__ import annotations

import itertools
from math import prod

import torch
from torch import Tensor, nn

# Smallest share of a new batch in the running statistics of ElementMean: they average over the
# last hundred batches or so.
MIN_BATCH_SHARE = 0.01
# Added to variances of latents before the square root, so that constant latents stay finite.
MIN_VARIANCE = 1e-6
# Layout of tensors in memory with which 3-D convolutions of stride 1 are fast on a processor.
MEMORY_FORMAT = torch.channels_last_3d


def downsampled_shape(shape: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """Shape of a tensor's axes after a number of convolutions of stride 2.

    Raises ValueError where an axis vanishes.
    """
    small = tuple(length >> layers for length in shape)
    if min(small) < 1:
        raise ValueError(
            f"{layers} convolutions of stride 2 leave nothing of {shape}; use fewer layers"
        )
    return small


def channel_widths(hidden: int, layers: int) -> tuple[int, ...]:
    """Channels after each convolution of stride 2: they grow fourfold from layer to layer.

    CF gives the last of them, hidden, alone; these give its 1.2 million parameters.
    """
    layers_after = reversed(range(layers))
    return tuple(max(hidden // 4**count, 1) for count in layers_after)


def downsampling(in_channels: int, channels: tuple[int, ...]) -> nn.Sequential:
    """3-D convolutions of kernel 4, stride 2 and padding 1, each with ReLU.

    channels: output channels of each convolution
    """
    widths = [in_channels, *channels]
    steps = [
        nn.Sequential(nn.Conv3d(before, after, 4, stride=2, padding=1), nn.ReLU())
        for before, after in itertools.pairwise(widths)
    ]
    return nn.Sequential(*steps)


class Residual(nn.Module):
    """Residual block: a 3-D convolution of kernel 3 with ReLU, and a shortcut.

    The shortcut is the identity, or a projection where the number of channels changes.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv3d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, tensor: Tensor) -> Tensor:
        """[batch, in_channels, ...] to [batch, out_channels, ...]; the axes stay as they are."""
        return self.shortcut(tensor) + nn.functional.relu(self.convolution(tensor))


class Encoder(nn.Module):
    """Observations of one receiver to latents: downsampling, residual blocks, projection.

    in_channels: channels of an observation
    channels: output channels of each downsampling convolution
    residuals: number of residual blocks
    latent_dim: length D of a latent; None: no projector, latents are the hidden channels
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], residuals: int, latent_dim: int | None
    ):
        super().__init__()
        hidden = channels[-1]
        # The names of modules are those in files of weights.
        self.halving = downsampling(in_channels, channels)
        self.residuals = nn.Sequential(*(Residual(hidden, hidden) for _ in range(residuals)))
        self.projector = nn.Linear(hidden, latent_dim, bias=False) if latent_dim else nn.Identity()

    def forward(self, observations: Tensor) -> Tensor:
        """Latents of observations.

        observations: [batch, channels, num_rx_ant, num_subcarriers, num_symbols], float32
        Returns [batch, L, D], float32.
        """
        # Features [batch, hidden, space, frequency, time], each axis halved by every layer.
        hidden = self.residuals(self.halving(observations))

        # One latent for each position, [batch, L, hidden], then its projection.
        by_position = hidden.flatten(2).mT
        return self.projector(by_position)


class ElementMean(nn.Module):
    """Mean of latents over resource elements, normalized over samples.

    Mean and variance are running statistics of the training batches, and are used as they are in
    training, too. A receiver without latents stays zero.
    """

    def __init__(self, num_receivers: int, channels: int, space: int):
        super().__init__()
        shape = (num_receivers, channels, space, 1, 1)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, latents: Tensor, receiver_mask: Tensor) -> Tensor:
        """Normalized means.

        latents: [batch, M, channels, space, frequency, time], float32
        receiver_mask: [batch, M], float32, 1 where a receiver sent latents, else 0
        Returns [batch, M, channels, space, 1, 1], float32.
        """
        means = latents.mean((4, 5), keepdim=True)
        mask = receiver_mask[:, :, None, None, None, None]
        if self.training and torch.is_grad_enabled():
            self._update_statistics(means.detach().float(), mask)
        return (means - self.mean) * (self.variance + MIN_VARIANCE).rsqrt() * mask

    def _update_statistics(self, means: Tensor, mask: Tensor) -> None:
        """Average mean and variance over batches, of the samples that each receiver has."""
        # Share of this batch: an equal one for all batches so far, later that of an exponential
        # moving average.
        self.batches += 1
        share = (1 / self.batches).clamp(min=MIN_BATCH_SHARE)

        # Mean, then variance about the new mean, of the samples in which the receiver has latents.
        num_samples = mask.sum(0).clamp(min=1)
        mean_change = (means - self.mean) * mask
        self.mean += share * mean_change.sum(0) / num_samples
        variance_change = ((means - self.mean).square() - self.variance) * mask
        self.variance += share * variance_change.sum(0) / num_samples


def latent_count(shape: tuple[int, ...], layers: int) -> int:
    """Number of latents L of an observation with these axes."""
    return prod(downsampled_shape(shape, layers))
