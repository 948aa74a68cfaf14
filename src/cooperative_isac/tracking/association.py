"""Which detection belongs to which track: gating by position, then global nearest neighbor.

Tracks and detections that are far apart are never compared: a k-d tree over the positions gives the
pairs that can be in a chi-square gate, and all that follows works on these pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree
from scipy.special import gammaincinv

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.tracking.measurement import Measurements

# Detections whose standard deviations differ by less than this factor are searched together.
SPREAD_CLASS = 4.0
# Pairs whose matrices are in memory together, 0.3 kB each: vague detections pair with every track.
PAIRS_AT_ONCE = 2**16
ROUNDING = 1e-9  # share by which the search reaches further than the gate


@dataclass(frozen=True)
class Pairs:
    """Pairs of a track and a detection, in the order of tracks, then of detections.

    tracks: [num_pairs], int, index of each pair's track
    detections: [num_pairs], int, index of each pair's detection
    squared_distances: [num_pairs], float64, Mahalanobis distance d^2 of the innovation
    log_dets: [num_pairs], float64, log det S of the covariance of the innovation
    """

    tracks: np.ndarray
    detections: np.ndarray
    squared_distances: np.ndarray
    log_dets: np.ndarray

    @property
    def costs(self) -> np.ndarray:
        """-2 log likelihood of each pair up to a constant, d^2 + log det S, [num_pairs]."""
        return self.squared_distances + self.log_dets

    def where(self, chosen: np.ndarray) -> Pairs:
        """Some of the pairs.

        chosen: mask [num_pairs], bool
        """
        return Pairs(
            self.tracks[chosen],
            self.detections[chosen],
            self.squared_distances[chosen],
            self.log_dets[chosen],
        )


def gate(gate_probability: float, dimension: int) -> float:
    """Squared distance within which a true detection falls with gate_probability; 4 (2-D) or 6
    (3-D) dof.
    """
    # The quantile of chi-square as scipy.stats has it, which takes half a second to load.
    return float(2 * gammaincinv(len(STATE_AXES[dimension]) / 2, gate_probability))


def gated_pairs(
    means: np.ndarray,
    covariances: np.ndarray,
    measurements: Measurements,
    dimension: int,
    largest_squared: float,
    inflation: float = 1.0,
) -> Pairs:
    """All pairs of a track and a detection within a gate.

    Args:
        means: [num_tracks, 6], float64, SI, map: predicted states
        covariances: [num_tracks, 6, 6], float64, SI
        measurements: detections of the frame
        dimension: of the scene, 2 or 3; in a plane the vertical axis is not measured and left out
        largest_squared: Mahalanobis distance squared up to which a pair is in the gate
        inflation: factor of the detections' covariances
    """
    # The pairs that are near enough
    tracks, detections = _near_pairs(
        means, covariances, measurements, dimension, largest_squared, inflation
    )

    # Positions and velocities along the measured axes
    axes = STATE_AXES[dimension]
    block = (slice(None), axes[:, None], axes)
    states = means[:, axes]
    spreads = covariances[block]
    values = measurements.values[:, axes]
    noise = inflation * measurements.covariances[block]

    # Mahalanobis distance of each innovation, and the volume of its covariance
    squared_distances = np.empty(len(tracks))
    log_dets = np.empty(len(tracks))
    for begin in range(0, len(tracks), PAIRS_AT_ONCE):
        part = slice(begin, begin + PAIRS_AT_ONCE)
        innovations = values[detections[part]] - states[tracks[part]]
        innovation_covars = spreads[tracks[part]] + noise[detections[part]]
        whitened = np.linalg.solve(innovation_covars, innovations[..., None])[..., 0]
        squared_distances[part] = np.sum(innovations * whitened, axis=-1)
        log_dets[part] = np.linalg.slogdet(innovation_covars)[1]

    pairs = Pairs(tracks, detections, squared_distances, log_dets)
    return pairs.where(squared_distances <= largest_squared)


def nearest_neighbors(pairs: Pairs) -> Pairs:
    """Pairs of the least total cost, each track and detection in one of them at most.

    Global nearest neighbor (Blackman and Popoli, Design and Analysis of Modern Tracking Systems,
    1999, ch. 6). To leave a track alone costs a little more than the worst of the pairs, for every
    track alike, so that only a better pair can keep it from a detection in its gate.

    Args:
        pairs: those in the gate
    """
    if not len(pairs.tracks):
        return pairs
    tracks, rows = np.unique(pairs.tracks, return_inverse=True)
    detections, columns = np.unique(pairs.detections, return_inverse=True)
    num_tracks = len(tracks)
    num_detections = len(detections)

    # Every track has a column of its own beside the detections: to stay alone.
    alone = pairs.costs.max() + 1.0
    own_rows = np.arange(num_tracks)
    own_columns = num_detections + own_rows
    weights = np.concatenate([pairs.costs, np.full(num_tracks, alone)])
    places = (np.concatenate([rows, own_rows]), np.concatenate([columns, own_columns]))

    # The matching takes no edge of weight 0; a constant in each row does not change the best one.
    positive = weights - weights.min() + 1.0
    graph = csr_array((positive, places), shape=(num_tracks, num_detections + num_tracks))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)

    partners = np.empty(num_tracks, int)
    partners[matched_rows] = matched_columns
    return pairs.where(partners[rows] == columns)


def _near_pairs(
    means: np.ndarray,
    covariances: np.ndarray,
    measurements: Measurements,
    dimension: int,
    largest_squared: float,
    inflation: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of tracks and detections, each [num_pairs], among which all pairs of the gate are.

    d^2 is at least the squared distance of the positions over the largest variance that their
    difference has in any direction, which is at most the sum of both largest variances.
    """
    positions_m = means[:, :dimension]
    measured_m = measurements.values[:, :dimension]
    variances = _largest_variances(covariances[:, :dimension, :dimension])
    noise = inflation * _largest_variances(measurements.covariances[:, :dimension, :dimension])

    # A vague detection must not widen the search of all others: one tree for each class of spread.
    classes = np.floor(np.log(noise) / np.log(SPREAD_CLASS**2))
    found_tracks = [np.empty(0, int)]
    found_detections = [np.empty(0, int)]
    for spread_class in np.unique(classes):
        members = np.flatnonzero(classes == spread_class)
        reach_m = np.sqrt(largest_squared * (variances + noise[members].max()))
        tree = KDTree(measured_m[members])
        found = tree.query_ball_point(positions_m, (1 + ROUNDING) * reach_m)
        counts = np.array([len(one) for one in found], int)
        found_tracks.append(np.repeat(np.arange(len(means)), counts))
        flat = np.fromiter(chain.from_iterable(found), int, counts.sum())
        found_detections.append(members[flat])

    tracks = np.concatenate(found_tracks)
    detections = np.concatenate(found_detections)
    order = np.lexsort((detections, tracks))
    return tracks[order], detections[order]


def _largest_variances(covariances: np.ndarray) -> np.ndarray:
    """Bound of the variance in any direction, [num], of covariances [num, n, n]: their trace."""
    return np.trace(covariances, axis1=1, axis2=2)
