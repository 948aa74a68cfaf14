"""Initial weights of convolutions on raw echoes: receive beams, averaged over the frame.

Symbols are independent from one resource element to the next, so that targets show in the
amplitudes of beams alone. Random kernels mix resource elements, which hides directions in noise;
these begin with one element for each channel. Not in CF. Weights are [out_channels, in_channels,
antennas, subcarriers, symbols], for a line of antennas, half a wavelength apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import pi, sqrt

import torch
from torch import Tensor, nn

# Mean of the positive part of a beam of noise of unit power: its real part is normal with standard
# deviation s = 1 / sqrt(2), and the positive part of that has mean s / sqrt(2 pi).
NOISE_AMPLITUDE = 1 / (2 * sqrt(pi))
# Brings what echoes add to the amplitude of noise to order one.
GAIN = 4.0
# Share of the mean noise amplitude that is left by default: for its fluctuation, and for beams at
# the edge of the array that lack antennas.
NOISE_MARGIN = 0.3


@torch.no_grad()
def set_beams(
    convolution: nn.Conv3d,
    num_beams: int,
    elements: Sequence[tuple[int, int]],
    signs: Sequence[int],
) -> None:
    """Set the weights of a first convolution to receive beams.

    Its channels are num_beams x elements x signs, in this order.

    num_beams: beams of the kernel's antennas, evenly over the sine of direction; they keep the
    power of noise
    elements: resource elements of the kernel that channels use, (subcarrier, symbol)
    signs: of the real part of the beam
    """
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(_bias(convolution))

    # An output channel has one beam on one resource element; its other weights stay zero.
    kernels = _beams(num_beams, convolution.kernel_size[0])
    channels = product(kernels, elements, signs)
    for weight, (beam, (subcarrier, symbol), sign) in zip(
        convolution.weight, channels, strict=True
    ):
        weight[:, :, subcarrier, symbol] = sign * beam


@torch.no_grad()
def set_average(convolution: nn.Conv3d, taps: Sequence[int], elements: slice, group: int) -> None:
    """Set the weights of a later convolution to means over resource elements and channel groups.

    Its channels are input groups x taps, in this order.

    taps: antenna taps of the kernel, each of which has a channel of its own
    elements: subcarriers and symbols of the kernel that are averaged
    group: number of input channels that are averaged
    """
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(_bias(convolution))

    # An output channel averages one group of input channels at one antenna tap.
    num_groups = convolution.in_channels // group
    outputs = product(range(num_groups), taps)
    for weight, (number, tap) in zip(convolution.weight, outputs, strict=True):
        first = number * group
        inputs = slice(first, first + group)
        averaged = weight[inputs, tap, elements, elements]
        averaged.fill_(1 / averaged.numel())


@torch.no_grad()
def subtract_noise_floor(convolution: nn.Conv3d, margin: float = NOISE_MARGIN) -> None:
    """Make means of amplitudes relative to noise: GAIN times their excess over the noise floor.

    margin: share of the mean noise amplitude that is left
    """
    convolution.weight.mul_(GAIN / NOISE_AMPLITUDE)
    _bias(convolution).fill_(-GAIN * (1 - margin))


def _bias(convolution: nn.Conv3d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _beams(count: int, num_ant: int) -> Tensor:
    """Real and imaginary weights of beams: their sum over both parts of y is Re(w^H y).

    Returns [count, 2, num_ant], float32.
    """
    # Middles of equal intervals of the sine of direction, from -1 to 1.
    sines = -1 + (2 * torch.arange(count) + 1) / count

    # Phases of steering vectors w for elements half a wavelength apart, about the array's middle.
    elements = torch.arange(num_ant) - (num_ant - 1) / 2
    phase = -pi * sines[:, None] * elements
    return torch.stack([phase.cos(), phase.sin()], dim=1) / sqrt(num_ant)
