"""Loss of networks on planes: targets are places in a plane, and have no order."""

from __future__ import annotations

import torch
from torch import Tensor

from cooperative_isac.learned.network import Truth
from cooperative_isac.learned.plane.consensus import negative_log_likelihood
from cooperative_isac.learned.plane.output import LAPLACE_STD, PlaneOutput
from cooperative_isac.learned.plane.path_geometry import OUTLIER_DEG, PathGeometry

# Standard deviation of the spot that the heatmap shall show at a target, in cells: a target is a
# peak of one cell.
SPOT_CELLS = 0.6
# Exponents of the focal loss, as in CenterNet: the first weakens cells that are right already, the
# second empty cells beside a target.
FOCUS_EXPONENT = 2
NEAR_TARGET_EXPONENT = 4
# Cells that learn the state of a target: within STATE_CELLS of it, weighed by a bell of
# WEIGHT_CELLS standard deviation. They are the cells that can be a peak, and their neighbors.
STATE_CELLS = 1.6
WEIGHT_CELLS = 0.8
# Weights of the other terms against the focal loss of the heatmap, whose weight is 1: negative
# log-likelihoods of the first estimate of a location and of path measurements, absolute errors of
# locations (1/m) and velocities (s/m).
FIRST_ESTIMATE_WEIGHT = 0.15
PATHS_WEIGHT = 0.1
LOCATION_WEIGHT = 0.3
VELOCITY_WEIGHT = 0.05
# Probabilities are kept this far from 0 and 1, so that their logs are finite.
SMALLEST = 1e-5
# Squared distance, in cells, of targets that are not present.
FAR_AWAY = 1e9


def plane_loss(
    output: PlaneOutput, truth: Truth, paths: PathGeometry, centers_m: Tensor, cell_m: Tensor
) -> Tensor:
    """Loss of a batch, a scalar.

    It is the focal loss of the heatmap and, in the cells around each target, likelihoods of the
    first estimate and of path measurements, and absolute errors of the location and velocity that
    follow from them.

    centers_m: [rows, columns, 2], float32, m, centers of the cells
    cell_m: [2], float32, m, size of a cell
    """
    # Squared distances from cells to targets, [batch, Q, rows, columns].
    offset = (centers_m[None, None] - truth.state[:, :, None, None, :2]) / cell_m
    absent = torch.where(truth.present, 0.0, FAR_AWAY)
    squared = offset.square().sum(-1) + absent[..., None, None]

    # The nearest target of each cell.
    nearest_squared, nearest_target = squared.min(1)
    return heatmap_loss(output.heatmap_logits, squared, truth.present) + _state_loss(
        output, truth, paths, nearest_squared, nearest_target
    )


def heatmap_loss(heatmap_logits: Tensor, squared: Tensor, present: Tensor) -> Tensor:
    """Focal loss of a heatmap that shall have a spot at each target, a scalar.

    The loss of CenterNet (Zhou et al., "Objects as Points", 2019, eq. 1).

    heatmap_logits: [batch, rows, columns], float32, log-odds of a target
    squared: [batch, Q, rows, columns], float32, squared distances to targets in cells
    present: [batch, Q], bool
    """
    # True heatmap: a spot at each target, exactly 1 in its own cell.
    spots = torch.exp(-squared / (2 * SPOT_CELLS**2))
    own_cell = squared.flatten(2).argmin(-1)
    one_hot = torch.zeros_like(spots).flatten(2).scatter_(2, own_cell[..., None], 1.0)
    one_hot = one_hot.view_as(spots)
    own_spots = one_hot * present[..., None, None]
    true_heatmap = torch.maximum(spots, own_spots).amax(1)

    # Focal log-likelihood in cells of targets and in all others.
    probability = heatmap_logits.sigmoid().clamp(SMALLEST, 1 - SMALLEST)
    of_target = (1 - probability) ** FOCUS_EXPONENT * probability.log()
    emptiness = (1 - true_heatmap) ** NEAR_TARGET_EXPONENT
    of_empty_cell = emptiness * probability**FOCUS_EXPONENT * (1 - probability).log()

    # Sum over all cells, for each target.
    is_target = true_heatmap == 1
    log_likelihood = torch.where(is_target, of_target, of_empty_cell)
    return -log_likelihood.sum() / is_target.sum().clamp_min(1)


def _state_loss(
    output: PlaneOutput,
    truth: Truth,
    paths: PathGeometry,
    nearest_squared: Tensor,
    nearest_target: Tensor,
) -> Tensor:
    """Loss of the states in the cells around each target, a scalar.

    nearest_squared: [batch, rows, columns], float32, squared distance to the nearest target, cells
    nearest_target: [batch, rows, columns], int64, index of that target
    """
    # Gather the cells near targets, from here on in one axis.
    bell = torch.exp(-nearest_squared / (2 * WEIGHT_CELLS**2))
    weight = bell * (nearest_squared < STATE_CELLS**2)
    cells = torch.nonzero(weight, as_tuple=True)
    batch = cells[0]
    weight = weight[cells]

    # Gather the true state and the output for each.
    true_state = truth.state[batch, nearest_target[cells]]
    true_point, true_velocity = true_state.split(paths.dimension, 1)
    path_mask = output.path_mask[batch]
    point = output.point_m[cells]
    log_spread = output.log_spread_m[cells]

    # Likelihoods of the first estimate and of the measurements of paths.
    first_estimate = laplace(point - true_point, log_spread).sum(-1)
    doppler_loss = negative_log_likelihood(
        output.doppler[cells], paths.doppler(true_state), paths.outlier_khz
    )
    length_loss = negative_log_likelihood(
        output.length[cells], paths.length(true_point), paths.outlier_m
    )
    measured = doppler_loss + length_loss
    elevation = None
    if output.elevation is not None:
        elevation = output.elevation[cells]
        true_elevation = paths.elevation(true_point)
        measured = measured + negative_log_likelihood(elevation, true_elevation, OUTLIER_DEG)

    # Errors of the state that follows from them; those of the velocity do not move the location.
    std = LAPLACE_STD * log_spread.exp()
    location, _ = paths.location(point, std, output.length[cells], path_mask, elevation)
    velocity, _ = paths.velocity(location.detach(), output.doppler[cells], path_mask)
    location_error = (location - true_point).abs().sum(-1)
    velocity_error = (velocity - true_velocity).abs().sum(-1)

    # Weighted mean over the cells.
    loss = (
        FIRST_ESTIMATE_WEIGHT * first_estimate
        + PATHS_WEIGHT * (measured * path_mask).sum(-1)
        + LOCATION_WEIGHT * location_error
        + VELOCITY_WEIGHT * velocity_error
    )
    return (loss * weight).sum() / weight.sum().clamp_min(SMALLEST)


def laplace(error: Tensor, log_spread: Tensor) -> Tensor:
    """Negative log-likelihood of Laplace-distributed errors, up to a constant.

    error: [...], float32
    log_spread: [...], float32, log of the mean absolute error
    """
    return error.abs() / log_spread.exp() + log_spread
