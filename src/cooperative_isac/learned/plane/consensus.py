"""Outlier-robust fusion of per-path measurements: some are of another target, or of a sidelobe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import log, pi

import torch
from torch import Tensor, nn

# Outliers among the paths of a target at most: every choice of them is weighed, and there are many
# choices of more.
MAX_OUTLIERS = 2


@dataclass(frozen=True)
class PathMeasurements:
    """Measurements of one quantity by the paths of a target.

    value: [..., num_paths], float32
    log_deviation: [..., num_paths], log of the standard deviation where the path is of this target
    doubt: [..., num_paths], log-odds that it is an outlier
    """

    value: Tensor
    log_std: Tensor
    doubt: Tensor

    def __getitem__(self, index) -> PathMeasurements:
        return PathMeasurements(self.value[index], self.log_std[index], self.doubt[index])

    def to(self, dtype: torch.dtype) -> PathMeasurements:
        """The same in another precision."""
        return PathMeasurements(self.value.to(dtype), self.log_std.to(dtype), self.doubt.to(dtype))


def negative_log_likelihood(measured: PathMeasurements, truth: Tensor, width: float) -> Tensor:
    """Of a truth, [..., num_paths]: normal about the measurement, or uniform within a width."""
    residual = (measured.value - truth) / measured.log_std.exp()
    inlying, outlying = _log_densities(residual, measured, width)
    return -torch.logaddexp(inlying, outlying)


def _log_densities(
    residual: Tensor, measured: PathMeasurements, width: float
) -> tuple[Tensor, Tensor]:
    """Log densities as an inlier and as an outlier, each with its probability, [..., num_paths]."""
    normal = -0.5 * residual.square() - measured.log_std - 0.5 * log(2 * pi)
    inlying = nn.functional.logsigmoid(-measured.doubt) + normal
    outlying = nn.functional.logsigmoid(measured.doubt) - log(width)
    return inlying, outlying


def consensus(
    measured: PathMeasurements, slopes: Tensor, heard: Tensor, prior: Tensor, width: float
) -> tuple[Tensor, Tensor]:
    """Posterior mean and covariance of a vector u of which paths measure slopes @ u.

    Every choice of at most MAX_OUTLIERS outliers is weighed by its evidence. Computed in float64:
    informations differ by more than float32 has digits.

    slopes: [..., num_paths, size], float32
    heard: [..., num_paths], 0 or 1, whether there is a measurement
    prior: [..., size, size], float32, information about u = 0
    width: support of the uniform density of outliers
    Returns mean [..., size] and covariance [..., size, size], float32.
    """
    mean, covariance = _posterior(
        measured.to(torch.float64), slopes.double(), heard.double(), prior.double(), width
    )
    return mean.float(), covariance.float()


def _posterior(
    measured: PathMeasurements, slopes: Tensor, heard: Tensor, prior: Tensor, width: float
) -> tuple[Tensor, Tensor]:
    # All choices of outliers, in a dimension of their own.
    inliers = _choices(slopes.shape[-2], slopes)
    measured = PathMeasurements(
        measured.value[..., None, :],
        measured.log_std[..., None, :],
        measured.doubt[..., None, :],
    )
    heard = heard[..., None, :]
    slopes = slopes[..., None, :, :]
    prior = prior[..., None, :, :]

    # Least squares over the inliers of each choice.
    weighted = slopes * (inliers * heard * (-2 * measured.log_std).exp())[..., None]
    covariance = torch.linalg.inv(weighted.mT @ slopes + prior)
    means = (covariance @ (weighted.mT @ measured.value[..., None])).squeeze(-1)

    # Evidence of each choice.
    predicted = (slopes @ means[..., None]).squeeze(-1)
    residual = (measured.value - predicted) / measured.log_std.exp()
    inlying, outlying = _log_densities(residual, measured, width)
    evidence = (
        (heard * torch.where(inliers > 0, inlying, outlying)).sum(-1)
        + 0.5 * torch.logdet(covariance)
        - 0.5 * torch.einsum("...i,...ij,...j->...", means, prior, means)
    )

    # A path without a measurement is no outlier.
    counted_before = ((inliers == 0) & (heard == 0)).any(-1)
    weights = evidence.masked_fill(counted_before, -torch.inf).softmax(-1)[..., None]

    # Moments of the mixture.
    mean = (weights * means).sum(-2)
    away = means - mean[..., None, :]
    spread = covariance + away[..., :, None] * away[..., None, :]
    return mean, (weights[..., None] * spread).sum(-3)


def _choices(num_paths: int, like: Tensor) -> Tensor:
    """Inlier masks of all choices of outliers, [num_choices, num_paths], 0 or 1."""
    outliers = [
        choice
        for size in range(min(MAX_OUTLIERS, num_paths) + 1)
        for choice in combinations(range(num_paths), size)
    ]
    inliers = like.new_ones(len(outliers), num_paths)
    for row, choice in zip(inliers, outliers):
        row[list(choice)] = 0
    return inliers
