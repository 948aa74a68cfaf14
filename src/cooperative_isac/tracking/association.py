"""Which detection belongs to which track: chi-square gates and global nearest neighbor."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2

from cooperative_isac.tracking.measurement import Measurements

OBSERVED = {2: np.array([0, 1, 3, 4]), 3: np.arange(6)}


def gate(gate_probability: float, dimension: int) -> float:
    """Squared distance within which a true detection falls with gate_probability; 4 (2-D) or 6
    (3-D) dof.
    """
    return float(chi2.ppf(gate_probability, len(OBSERVED[dimension])))


def squared_distances(
    means: np.ndarray,
    covariances: np.ndarray,
    measurements: Measurements,
    dimension: int,
    inflation: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mahalanobis distance squared and log det S, each [num_tracks, num_detections], of every pair.

    means: [num_tracks, 6], covariances: [num_tracks, 6, 6], float64, SI: predicted states.
    inflation multiplies the detections' covariances. In a 2-D scene the vertical axis says nothing
    and is left out.
    """
    axes = OBSERVED[dimension]
    block = np.ix_(axes, axes)
    innovations = (measurements.values[None] - means[:, None])[..., axes]
    noise = inflation * measurements.covariances[:, *block]
    spread = covariances[:, *block][:, None] + noise[None]
    whitened = np.linalg.solve(spread, innovations[..., None])[..., 0]
    return np.sum(innovations * whitened, axis=-1), np.linalg.slogdet(spread)[1]


def nearest_neighbors(costs: np.ndarray, allowed: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (track, detection) of the least total cost (global nearest neighbor, Blackman and
    Popoli 1999, ch. 6).

    costs: [num_tracks, num_detections], float64, -2 log likelihood up to a constant (d^2 + log det
    S);
    allowed: the same shape, bool, the gate. To leave a track alone costs a little more than the
    worst allowed pair, for every track alike, so that only a better pair can keep it from a
    detection in its gate.
    """
    if not allowed.any():
        return []
    alone = costs[allowed].max() + 1.0
    num_tracks, num_detections = costs.shape
    forbidden = alone + num_tracks * (alone - costs[allowed].min() + 1.0)
    table = np.full((num_tracks, num_detections + num_tracks), alone)
    table[:, :num_detections] = np.where(allowed, costs, forbidden)
    rows, columns = linear_sum_assignment(table)
    return [(int(r), int(c)) for r, c in zip(rows, columns) if c < num_detections]
