"""What most of a target's paths agree on: some of them tell of another target, or of a sidelobe,
and lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import log, pi

import torch
from torch import Tensor, nn

MOST_LIARS = 2


@dataclass(frozen=True)
class PathTold:
    """What paths tell of one quantity, all [..., num_paths]: its value, the log of its standard
    deviation where the path tells of this target, and the log-odds that it does not.
    """

    value: Tensor
    log_deviation: Tensor
    doubt: Tensor

    def __getitem__(self, index) -> PathTold:
        return PathTold(self.value[index], self.log_deviation[index], self.doubt[index])

    def to(self, dtype: torch.dtype) -> PathTold:
        """The same in another precision."""
        return PathTold(self.value.to(dtype), self.log_deviation.to(dtype), self.doubt.to(dtype))


def negative_log_likelihood(told: PathTold, truth: Tensor, width: float) -> Tensor:
    """Of a truth [..., num_paths]: normal about what is told, or anywhere within a width."""
    honest, lying = _log_densities((told.value - truth) / told.log_deviation.exp(), told, width)
    return -torch.logaddexp(honest, lying)


def _log_densities(residual: Tensor, told: PathTold, width: float) -> tuple[Tensor, Tensor]:
    normal = -0.5 * residual.square() - told.log_deviation - 0.5 * log(2 * pi)
    return nn.functional.logsigmoid(-told.doubt) + normal, nn.functional.logsigmoid(
        told.doubt
    ) - log(width)


def consensus(
    told: PathTold, slopes: Tensor, heard: Tensor, prior: Tensor, width: float
) -> tuple[Tensor, Tensor]:
    """Posterior mean [..., size] and covariance [..., size, size] of a vector u of which paths tell
    slopes @ u.

    Weighs every choice of at most MOST_LIARS lying paths by its evidence. slopes: [..., num_paths,
    size]; heard: [..., num_paths], 0 or 1; prior: information about u = 0, [..., size, size];
    width: within which liars lie.
    In float64: informations differ by more than float32 has digits.
    """
    mean, covariance = _posterior(
        told.to(torch.float64), slopes.double(), heard.double(), prior.double(), width
    )
    return mean.float(), covariance.float()


def _posterior(
    told: PathTold, slopes: Tensor, heard: Tensor, prior: Tensor, width: float
) -> tuple[Tensor, Tensor]:
    honest = _choices(slopes.shape[-2], slopes)
    told = PathTold(
        told.value[..., None, :], told.log_deviation[..., None, :], told.doubt[..., None, :]
    )
    heard, slopes = heard[..., None, :], slopes[..., None, :, :]
    weighted = slopes * (honest * heard * (-2 * told.log_deviation).exp())[..., None]
    covariance = torch.linalg.inv(weighted.mT @ slopes + prior[..., None, :, :])
    means = (covariance @ (weighted.mT @ told.value[..., None])).squeeze(-1)
    residual = (told.value - (slopes @ means[..., None]).squeeze(-1)) / told.log_deviation.exp()
    fits, lies = _log_densities(residual, told, width)
    evidence = (
        (heard * torch.where(honest > 0, fits, lies)).sum(-1)
        + 0.5 * torch.logdet(covariance)
        - 0.5 * torch.einsum("...i,...ij,...j->...", means, prior[..., None, :, :], means)
    )
    counted_before = ((honest == 0) & (heard == 0)).any(
        -1
    )  # whether a path that is not heard lies is no choice
    weights = evidence.masked_fill(counted_before, -torch.inf).softmax(-1)[..., None]
    mean = (weights * means).sum(-2)
    away = means - mean[..., None, :]
    spread = covariance + away[..., :, None] * away[..., None, :]
    return mean, (weights[..., None] * spread).sum(-3)


def _choices(num_paths: int, like: Tensor) -> Tensor:
    """Who is honest in each choice of liars, [num_choices, num_paths], 0 or 1."""
    liars = [
        choice
        for size in range(min(MOST_LIARS, num_paths) + 1)
        for choice in combinations(range(num_paths), size)
    ]
    honest = like.new_ones(len(liars), num_paths)
    for row, choice in zip(honest, liars):
        row[list(choice)] = 0
    return honest
