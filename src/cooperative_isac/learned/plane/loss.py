"""The loss of networks on planes: targets are places in a plane, so they have no order by
themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.plane.consensus import negative_log_likelihood
from cooperative_isac.learned.plane.output import PlaneOutput
from cooperative_isac.learned.plane.path_geometry import PathGeometry

SPOT_CELLS, NEAR_CELLS, WEIGHT_CELLS = 0.6, 1.6, 0.8
GUESS, PATHS, LOCATION, VELOCITY = 0.15, 0.1, 0.3, 0.05
SMALLEST = 1e-5


def plane_loss(
    output: PlaneOutput, truth: Truth, paths: PathGeometry, centers_m: Tensor, cell_m: Tensor
) -> Tensor:
    """Loss of a batch, a scalar: focal loss of the heat; around each target, likelihoods of the
    guess and of what paths tell, and absolute errors of the location and velocity that follow.

    centers_m: [rows, columns, 2]; cell_m: [2].
    """
    away = (centers_m[None, None] - truth.state[:, :, None, None, :2]) / cell_m
    squared = away.square().sum(-1) + torch.where(truth.present, 0.0, 1e9)[..., None, None]
    nearest, which = squared.min(1)
    return heatmap_loss(output.heatmap_logits, squared, truth.present) + _around_targets(
        output, truth, paths, nearest, which
    )


def heatmap_loss(heatmap_logits: Tensor, squared: Tensor, present: Tensor) -> Tensor:
    """Focal loss with a spot at each target (CenterNet); squared: distances to targets in cells."""
    wanted = torch.exp(-squared / (2 * SPOT_CELLS**2))
    own = squared.flatten(2).argmin(-1)
    one_hot = torch.zeros_like(wanted).flatten(2).scatter_(2, own[..., None], 1.0).view_as(wanted)
    wanted = torch.maximum(wanted, one_hot * present[..., None, None]).amax(1)
    chance = heatmap_logits.sigmoid().clamp(SMALLEST, 1 - SMALLEST)
    hits = (1 - chance) ** 2 * chance.log()
    misses = (1 - wanted) ** 4 * chance**2 * (1 - chance).log()
    is_target = wanted == 1
    return -torch.where(is_target, hits, misses).sum() / is_target.sum().clamp_min(1)


def _around_targets(
    output: PlaneOutput, truth: Truth, paths: PathGeometry, nearest: Tensor, which: Tensor
) -> Tensor:
    weight = torch.exp(-nearest / (2 * WEIGHT_CELLS**2)) * (nearest < NEAR_CELLS**2)
    batch, row, column = torch.nonzero(weight, as_tuple=True)
    weight = weight[batch, row, column]
    wanted = truth.state[batch, which[batch, row, column]]
    at, heard = (batch, row, column), output.heard[batch]
    point, spread = output.point_m[at], output.log_spread_m[at]
    guess = laplace(point - wanted[:, :2], spread).sum(-1)
    measured = negative_log_likelihood(
        output.doppler[at], paths.doppler(wanted), paths.outlier_khz
    ) + negative_log_likelihood(output.length[at], paths.length(wanted[:, :2]), paths.outlier_m)
    place, _ = paths.location(point, 2**0.5 * spread.exp(), output.length[at], heard)
    velocity, _ = paths.velocity(place.detach(), output.doppler[at], heard)
    location, speed = (
        (found - true).abs().sum(-1)
        for found, true in ((place, wanted[:, :2]), (velocity, wanted[:, 2:]))
    )
    loss = (
        GUESS * guess + PATHS * (measured * heard).sum(-1) + LOCATION * location + VELOCITY * speed
    )
    return (loss * weight).sum() / weight.sum().clamp_min(SMALLEST)


def laplace(error: Tensor, log_spread: Tensor) -> Tensor:
    """Negative log-likelihood of errors with a mean absolute value of exp(log_spread), up to a
    constant.
    """
    return error.abs() / log_spread.exp() + log_spread
