"""Data association: gating by position, then global nearest neighbor.

Tracks and detections that are far apart are never compared: a k-d tree over the positions gives the
pairs that can be in a chi-square gate, and the following steps work on these pairs.
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

# Ratio of standard deviations up to which detections share a search radius: a larger one searches
# too far for accurate detections, a smaller one needs more trees.
SPREAD_CLASS = 4.0

# Pairs whose matrices are in memory at a time, 0.3 kB each: detections with large covariances pair
# with every track.
PAIRS_AT_ONCE = 2**16

# Share by which the search radius exceeds the gate, so that rounding loses no pair at its edge.
RADIUS_MARGIN = 1e-9


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

    def log_likelihoods(self, num_axes: int) -> np.ndarray:
        """Log likelihood of each pair's innovation, [num_pairs], float64.

        num_axes: measured axes of position and velocity
        """
        return -0.5 * (self.costs + num_axes * np.log(2 * np.pi))

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
    """Squared Mahalanobis distance of a chi-square gate of 4 (2-D) or 6 (3-D) degrees of freedom.

    gate_probability: with which a true detection falls into the gate
    dimension: of the scene, 2 or 3
    """
    # The quantile as in scipy.stats, which takes half a second to load.
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

    means: [num_tracks, 6], float64, SI, map: predicted states
    covariances: [num_tracks, 6, 6], float64, SI
    measurements: detections of the frame
    dimension: of the scene, 2 or 3; in a plane the vertical axis is not measured and left out
    largest_squared: Mahalanobis distance squared up to which a pair is in the gate
    inflation: factor of the detections' covariances
    Returns the pairs with their Mahalanobis distances, sorted by track.
    """
    # Pairs that are near enough.
    tracks, detections = _near_pairs(
        means, covariances, measurements, dimension, largest_squared, inflation
    )

    # Positions and velocities along the measured axes: rows and columns of each covariance.
    axes = STATE_AXES[dimension]
    block = (slice(None), axes[:, None], axes)
    states = means[:, axes]
    state_covariances = covariances[block]
    values = measurements.values[:, axes]
    noise_covariances = inflation * measurements.covariances[block]

    # Mahalanobis distance v^T S^-1 v of each innovation v, and log det S of its covariance.
    squared_distances = np.empty(len(tracks))
    log_dets = np.empty(len(tracks))
    for begin in range(0, len(tracks), PAIRS_AT_ONCE):
        part = slice(begin, begin + PAIRS_AT_ONCE)
        innovations = values[detections[part]] - states[tracks[part]]
        innovation_covariances = (
            state_covariances[tracks[part]] + noise_covariances[detections[part]]
        )
        weighted = np.linalg.solve(innovation_covariances, innovations[..., None])[..., 0]
        squared_distances[part] = np.sum(innovations * weighted, axis=-1)
        log_dets[part] = np.linalg.slogdet(innovation_covariances)[1]

    pairs = Pairs(tracks, detections, squared_distances, log_dets)
    return pairs.where(squared_distances <= largest_squared)


def nearest_neighbors(pairs: Pairs) -> Pairs:
    """Pairs of least total cost, each track and detection in one of them at most.

    Global nearest neighbor (Blackman and Popoli, Design and Analysis of Modern Tracking Systems,
    1999, ch. 6). A track without a detection costs a little more than the worst of the pairs, the
    same for every track, so that only a better pair can keep it from a detection in its gate.

    pairs: in the gate
    """
    if not len(pairs.tracks):
        return pairs

    # Rows and columns of the cost matrix.
    tracks, rows = np.unique(pairs.tracks, return_inverse=True)
    detections, columns = np.unique(pairs.detections, return_inverse=True)
    num_tracks = len(tracks)
    num_detections = len(detections)

    # Beside the detections, every track has a column for none.
    miss_cost = pairs.costs.max() + 1.0
    miss_rows = np.arange(num_tracks)
    miss_columns = num_detections + miss_rows
    weights = np.concatenate([pairs.costs, np.full(num_tracks, miss_cost)])
    entry_rows = np.concatenate([rows, miss_rows])
    entry_columns = np.concatenate([columns, miss_columns])

    # A sparse matrix has no entries of 0; a constant in each row does not change the assignment.
    positive = weights - weights.min() + 1.0
    shape = (num_tracks, num_detections + num_tracks)
    graph = csr_array((positive, (entry_rows, entry_columns)), shape=shape)
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)

    # Pairs that are in the assignment.
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
    """Pairs of a track and a detection that are near enough to be in the gate.

    All pairs in the gate are among them: the squared Mahalanobis distance is at least the squared
    distance of the positions over the largest variance of their difference in any direction, which
    is at most the sum of both largest variances. Arguments are those of gated_pairs.

    Returns indices of tracks and of detections, each [num_pairs], int, sorted by track.
    """
    # Positions, and upper bounds of their variances in any direction, m^2.
    positions_m = means[:, :dimension]
    measured_m = measurements.values[:, :dimension]
    track_variances = _largest_variances(covariances[:, :dimension, :dimension])
    measured_covariances = measurements.covariances[:, :dimension, :dimension]
    measured_variances = inflation * _largest_variances(measured_covariances)

    # One tree for each class of spread: an uncertain detection must not widen the search of others.
    # Class k has standard deviations from SPREAD_CLASS^k to SPREAD_CLASS^(k + 1) m.
    spread_classes = np.floor(np.log(measured_variances) / np.log(SPREAD_CLASS**2))
    found_tracks = [np.empty(0, int)]
    found_detections = [np.empty(0, int)]
    for spread_class in np.unique(spread_classes):
        members = np.flatnonzero(spread_classes == spread_class)

        # Detections of the class within the search radius of each track.
        largest_variance = measured_variances[members].max()
        radii_m = np.sqrt(largest_squared * (track_variances + largest_variance))
        tree = KDTree(measured_m[members])
        neighbors = tree.query_ball_point(positions_m, (1 + RADIUS_MARGIN) * radii_m)

        # One row for each pair.
        counts = np.array([len(indices) for indices in neighbors], int)
        found_tracks.append(np.repeat(np.arange(len(means)), counts))
        flat_neighbors = np.fromiter(chain.from_iterable(neighbors), int, counts.sum())
        found_detections.append(members[flat_neighbors])

    # Sort by track, then by detection.
    tracks = np.concatenate(found_tracks)
    detections = np.concatenate(found_detections)
    order = np.lexsort((detections, tracks))
    return tracks[order], detections[order]


def _largest_variances(covariances: np.ndarray) -> np.ndarray:
    """Upper bounds [num] of the variance in any direction of covariances [num, n, n]: traces."""
    return np.trace(covariances, axis1=1, axis2=2)
