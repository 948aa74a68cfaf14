"""Outlier-robust fusion of per-path measurements: some are of another target, or of a sidelobe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import log, pi

import torch
from torch import Tensor, nn

# Largest number of outliers among the paths of a target. Every subset of paths up to this size is
# weighed, and there are many subsets of more.
MAX_OUTLIERS = 2


@dataclass(frozen=True)
class PathMeasurements:
    """Measurements of one quantity by the paths of a target.

    value: [..., num_paths], float32
    log_std: [..., num_paths], float32, log of the standard deviation of an inlier
    outlier_log_odds: [..., num_paths], float32, log-odds that the measurement is an outlier
    """

    value: Tensor
    log_std: Tensor
    outlier_log_odds: Tensor

    def __getitem__(self, index) -> PathMeasurements:
        return PathMeasurements(
            self.value[index], self.log_std[index], self.outlier_log_odds[index]
        )

    def to(self, dtype: torch.dtype) -> PathMeasurements:
        """The same measurements in another precision."""
        return PathMeasurements(
            self.value.to(dtype), self.log_std.to(dtype), self.outlier_log_odds.to(dtype)
        )


def negative_log_likelihood(measured: PathMeasurements, truth: Tensor, width: float) -> Tensor:
    """Negative log-likelihood of true values under a mixture of inliers and outliers.

    An inlier is normal about the truth, an outlier uniform within a width.

    truth: [..., num_paths], float32, true values of the measured quantity
    width: support of the uniform density of outliers, in the quantity's unit
    Returns [..., num_paths], float32.
    """
    residual = (measured.value - truth) / measured.log_std.exp()
    inlier, outlier = _log_densities(residual, measured, torch.as_tensor(width).log())
    return -torch.logaddexp(inlier, outlier)


def _log_densities(
    residual: Tensor, measured: PathMeasurements, log_width: Tensor
) -> tuple[Tensor, Tensor]:
    """Log densities as an inlier and as an outlier, each with its probability, [..., num_paths].

    residual: [..., num_paths], in standard deviations
    log_width: [] or [num_paths], log of the support of the uniform density
    """
    normal = -0.5 * residual.square() - measured.log_std - 0.5 * log(2 * pi)
    inlier = nn.functional.logsigmoid(-measured.outlier_log_odds) + normal
    outlier = nn.functional.logsigmoid(measured.outlier_log_odds) - log_width
    return inlier, outlier


def consensus(
    measured: PathMeasurements,
    slopes: Tensor,
    mask: Tensor,
    prior: Tensor,
    width: float | Tensor,
    max_outliers: int = MAX_OUTLIERS,
    quantities: int = 1,
) -> tuple[Tensor, Tensor]:
    """Posterior mean and covariance of a vector u of which paths measure slopes @ u.

    Every subset of at most max_outliers outliers is weighed by its evidence. Computed in float64:
    the information of different paths differs by more than float32 has digits.

    Paths may measure several quantities, one after the other in the axis of paths; the measurements
    of a path are outliers together.

    measured: values [..., num_paths]
    slopes: [..., num_paths, size], float32
    mask: [..., num_paths], float32, 1 where a path has a measurement, else 0
    prior: [..., size, size], float32, information about u = 0
    width: support of the uniform density of outliers, in the unit of the measurements; one for all,
    or [num_paths], float32
    max_outliers: largest number of paths that are outliers; 0: least squares over all paths
    quantities: number of quantities that each path measures
    Returns mean [..., size] and covariance [..., size, size], float32.
    """
    mean, covariance = _posterior(
        measured.to(torch.float64),
        slopes.double(),
        mask.double(),
        prior.double(),
        torch.as_tensor(width, dtype=torch.float64, device=slopes.device),
        max_outliers,
        quantities,
    )
    return mean.float(), covariance.float()


def _posterior(
    measured: PathMeasurements,
    slopes: Tensor,
    mask: Tensor,
    prior: Tensor,
    width: Tensor,
    max_outliers: int,
    quantities: int,
) -> tuple[Tensor, Tensor]:
    """Mean and covariance as in consensus, in the precision of its arguments."""
    # Hypotheses, each a subset of outliers, along an axis before the paths: inliers is
    # [num_hypotheses, num_paths], 1 for an inlier and 0 for an outlier.
    num_paths = slopes.shape[-2] // quantities
    inliers = _inlier_hypotheses(num_paths, max_outliers, slopes).repeat(1, quantities)
    measured = measured[..., None, :]
    mask = mask[..., None, :]
    slopes = slopes[..., None, :, :]
    prior = prior[..., None, :, :]

    # Weighted least squares over the inliers of each hypothesis: means
    # [..., num_hypotheses, size], covariances [..., num_hypotheses, size, size].
    inverse_variance = (-2 * measured.log_std).exp()
    weighted = slopes * (inliers * mask * inverse_variance)[..., None]
    information = weighted.mT @ slopes + prior
    information_mean = weighted.mT @ measured.value[..., None]
    covariances = torch.linalg.inv(information)
    means = (covariances @ information_mean).squeeze(-1)

    # Log evidence of each hypothesis by Laplace's method: likelihood at its mean, volume of its
    # covariance, and prior, up to a constant.
    predicted = (slopes @ means[..., None]).squeeze(-1)
    residual = (measured.value - predicted) / measured.log_std.exp()
    inlier, outlier = _log_densities(residual, measured, width.log())
    log_likelihood = (mask * torch.where(inliers > 0, inlier, outlier)).sum(-1)
    log_volume = 0.5 * torch.logdet(covariances)
    log_prior = -0.5 * torch.einsum("...i,...ij,...j->...", means, prior, means)
    log_evidence = log_likelihood + log_volume + log_prior

    # Drop hypotheses in which a path without a measurement is an outlier: each repeats the one in
    # which that path is an inlier.
    is_missing_outlier = (inliers == 0) & (mask == 0)
    log_evidence = log_evidence.masked_fill(is_missing_outlier.any(-1), -torch.inf)
    weights = log_evidence.softmax(-1)[..., None]

    # Mean and covariance of the mixture of hypotheses.
    mean = (weights * means).sum(-2)
    offset = means - mean[..., None, :]
    offset_products = offset[..., :, None] * offset[..., None, :]
    covariance = (weights[..., None] * (covariances + offset_products)).sum(-3)
    return mean, covariance


def _inlier_hypotheses(num_paths: int, max_outliers: int, like: Tensor) -> Tensor:
    """Inlier masks of all subsets of outliers, [num_hypotheses, num_paths], 0 or 1.

    like: a tensor of the dtype and device of the masks
    """
    subsets = [
        subset
        for size in range(min(max_outliers, num_paths) + 1)
        for subset in combinations(range(num_paths), size)
    ]
    inliers = like.new_ones(len(subsets), num_paths)
    for row, subset in zip(inliers, subsets):
        row[list(subset)] = 0
    return inliers
