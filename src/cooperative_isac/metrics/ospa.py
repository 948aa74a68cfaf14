"""Distances between a set of estimates and the set of true targets: OSPA and GOSPA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cooperative_isac.metrics.assignment import pairwise_distances


@dataclass(frozen=True)
class Gospa:
    """GOSPA with alpha = 2 and its parts in m^p: distance^p = localization + missed + false."""

    distance_m: float
    localization: float
    missed: float
    false: float
    num_missed: int
    num_false: int


def ospa(
    estimates_m: np.ndarray, truths_m: np.ndarray, cutoff_m: float, order: float = 2.0
) -> float:
    """Optimal subpattern assignment distance [m] (Schuhmacher, Vo, Vo 2008); 0 for two empty sets.

    estimates_m: [num_estimates, dim], truths_m: [num_truths, dim], float64, m.
    """
    most, least = max(len(estimates_m), len(truths_m)), min(len(estimates_m), len(truths_m))
    if most == 0:
        return 0.0
    costs = np.minimum(pairwise_distances(estimates_m, truths_m), cutoff_m) ** order
    total = costs[linear_sum_assignment(costs)].sum() + cutoff_m**order * (most - least)
    return float((total / most) ** (1 / order))


def gospa(
    estimates_m: np.ndarray, truths_m: np.ndarray, cutoff_m: float, order: float = 2.0
) -> Gospa:
    """Generalized OSPA, alpha = 2 (Rahmathullah, Garcia-Fernandez, Svensson 2017, prop. 1).

    estimates_m: [num_estimates, dim], truths_m: [num_truths, dim], float64, m. Every missed target
    and every false estimate costs cutoff_m^order / 2.
    """
    costs = np.minimum(pairwise_distances(estimates_m, truths_m), cutoff_m) ** order
    chosen = costs[linear_sum_assignment(costs)]
    near = chosen[chosen < cutoff_m**order]
    num_missed, num_false = len(truths_m) - len(near), len(estimates_m) - len(near)
    localization, each = float(near.sum()), cutoff_m**order / 2
    total = localization + each * (num_missed + num_false)
    return Gospa(
        total ** (1 / order),
        localization,
        each * num_missed,
        each * num_false,
        num_missed,
        num_false,
    )
