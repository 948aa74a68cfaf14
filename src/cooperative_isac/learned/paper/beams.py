"""Where convolutions on raw echoes may begin: as receive beams whose amplitudes are averaged over
the frame.

Symbols are independent from one resource element to the next, so only amplitudes of beams tell of
targets. Random kernels mix elements, which hides directions in noise; these begin with one element
a channel. Not in CF. Weights are [out_channels, in_channels, antennas, subcarriers, symbols], for
an array along a line, half a wavelength apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import pi, sqrt

import torch
from torch import Tensor, nn

NOISE_AMPLITUDE = 1 / (2 * sqrt(pi))  # mean of the positive part of a beam of noise of unit power
GAIN = 4.0  # brings what echoes add to the noise to order one
MARGIN = (
    0.3  # of the noise that stays, for its fluctuation and for beams at the edge that lack antennas
)


@torch.no_grad()
def set_beams(
    convolution: nn.Conv3d,
    num_beams: int,
    elements: Sequence[tuple[int, int]],
    signs: Sequence[int],
) -> None:
    """Make the channels of a first convolution beams: num_beams x elements x signs, in this order.

    num_beams: beams of the kernel's antennas that leave noise as strong as it is, evenly over the
    sine of direction;
    elements: resource element of the kernel that a channel looks at, (subcarrier, symbol); signs:
    of its real part.
    """
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(_bias(convolution))
    kernels = _beams(num_beams, convolution.kernel_size[0])
    channels = product(kernels, elements, signs)
    for weight, (beam, (subcarrier, symbol), sign) in zip(
        convolution.weight, channels, strict=True
    ):
        weight[:, :, subcarrier, symbol] = sign * beam


@torch.no_grad()
def average(convolution: nn.Conv3d, taps: Sequence[int], elements: slice, group: int) -> None:
    """Make a later convolution a mean over resource elements and over groups of channels.

    taps: antenna taps of the kernel that channels keep apart; channels: input groups x taps, in
    this order; elements: subcarriers of the kernel that are averaged, and symbols.
    """
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(_bias(convolution))
    groups = range(convolution.in_channels // group)
    for weight, (first, tap) in zip(convolution.weight, product(groups, taps), strict=True):
        averaged = weight[first * group : (first + 1) * group, tap, elements, elements]
        averaged.fill_(1 / averaged.numel())


@torch.no_grad()
def subtract_noise_floor(convolution: nn.Conv3d, margin: float = MARGIN) -> None:
    """Let a mean of amplitudes tell how much more there is than noise alone gives, relative to it,
    times `GAIN`.

    margin: part of the noise that is left.
    """
    convolution.weight.mul_(GAIN / NOISE_AMPLITUDE)
    _bias(convolution).fill_(-GAIN * (1 - margin))


def _bias(convolution: nn.Conv3d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _beams(count: int, num_ant: int) -> Tensor:
    """Real and imaginary weights of each beam, [count, 2, num_ant]: their sum over both is Re(w^H
    y).
    """
    sines = -1 + (2 * torch.arange(count) + 1) / count
    phase = -pi * sines[:, None] * (torch.arange(num_ant) - (num_ant - 1) / 2)
    return torch.stack([phase.cos(), phase.sin()], dim=1) / sqrt(num_ant)
