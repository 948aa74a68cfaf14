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
    """Optimal subpattern assignment distance, m; 0 for two empty sets.

    estimates_m: [num_estimates, dim], float64, m
    truths_m: [num_truths, dim], float64, m
    cutoff_m: cost of a missed target or a false estimate, m
    Source: Schuhmacher, Vo, Vo 2008.
    """
    larger = max(len(estimates_m), len(truths_m))
    smaller = min(len(estimates_m), len(truths_m))
    if larger == 0:
        return 0.0

    # Best assignment of the smaller set; the others cost the cutoff each.
    costs = np.minimum(pairwise_distances(estimates_m, truths_m), cutoff_m) ** order
    localization = costs[linear_sum_assignment(costs)].sum()
    cardinality = cutoff_m**order * (larger - smaller)
    return float(((localization + cardinality) / larger) ** (1 / order))


def gospa(
    estimates_m: np.ndarray, truths_m: np.ndarray, cutoff_m: float, order: float = 2.0
) -> Gospa:
    """Generalized OSPA with alpha = 2.

    Every missed target and every false estimate costs cutoff_m^order / 2.

    estimates_m: [num_estimates, dim], float64, m
    truths_m: [num_truths, dim], float64, m
    cutoff_m: distance from which a pair counts as one missed target and one false estimate, m
    Source: Rahmathullah, Garcia-Fernandez, Svensson 2017, proposition 1.
    """
    # Pairs of the best assignment that are within the cutoff.
    costs = np.minimum(pairwise_distances(estimates_m, truths_m), cutoff_m) ** order
    assigned = costs[linear_sum_assignment(costs)]
    near = assigned[assigned < cutoff_m**order]

    # All others are missed or false.
    num_missed = len(truths_m) - len(near)
    num_false = len(estimates_m) - len(near)
    penalty = cutoff_m**order / 2
    localization = float(near.sum())
    total = localization + penalty * (num_missed + num_false)
    return Gospa(
        distance_m=total ** (1 / order),
        localization=localization,
        missed=penalty * num_missed,
        false=penalty * num_false,
        num_missed=num_missed,
        num_false=num_false,
    )
