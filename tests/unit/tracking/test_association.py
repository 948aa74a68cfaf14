"""Gates and nearest neighbors against plain loops, brute force and the dense assignment."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.tracking import association
from cooperative_isac.tracking.association import Pairs, gate, gated_pairs, nearest_neighbors
from cooperative_isac.tracking.measurement import Measurements


def random_covariances(rng, num):
    factors = rng.standard_normal((num, 6, 8))
    return factors @ np.swapaxes(factors, 1, 2)


def measured(values, covariances):
    """Full measurements, none of them partial or weak."""
    none = np.zeros(len(values), bool)
    return Measurements(values, covariances, none, none, 0.0 * none, 0.0 * none)


def pairs_of(costs, allowed):
    """The allowed pairs of a table of costs [num_tracks, num_detections]."""
    tracks, detections = np.nonzero(allowed)
    return Pairs(tracks, detections, costs[allowed], np.zeros(len(tracks)))


def chosen(costs, allowed):
    """Pairs (track, detection) that `nearest_neighbors` makes."""
    pairs = nearest_neighbors(pairs_of(costs, allowed))
    return list(zip(pairs.tracks.tolist(), pairs.detections.tolist()))


def dense_nearest_neighbors(costs, allowed):
    """The same over the whole table, where a miss costs 1 more than the worst pair."""
    alone = costs[allowed].max() + 1.0
    num_tracks, num_detections = costs.shape
    table = np.full((num_tracks, num_detections + num_tracks), alone)
    for track in range(num_tracks):
        for detection in range(num_detections):
            impossible = 1e6
            is_allowed = allowed[track, detection]
            table[track, detection] = costs[track, detection] if is_allowed else impossible
    rows, columns = linear_sum_assignment(table)
    return [(row, column) for row, column in zip(rows, columns) if column < num_detections]


def test_the_gate_is_the_chi_square_quantile():
    # Abramowitz and Stegun, table 26.8: 99.9 % for 4 and 6 degrees of freedom.
    assert gate(0.999, 2) == pytest.approx(18.467, abs=1e-3)
    assert gate(0.999, 3) == pytest.approx(22.458, abs=1e-3)
    assert gate(0.999, 3) == chi2.ppf(0.999, 6)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("inflation", [1.0, 4.0])
@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_gated_pairs_are_those_of_a_plain_loop(dimension, inflation, spread, monkeypatch):
    # Covariances of detections between centimeters and tens of meters; matrices in several parts.
    monkeypatch.setattr(association, "PAIRS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    means = rng.normal(0, spread, (12, 6))
    covariances = random_covariances(rng, 12)
    sizes = 10 ** rng.uniform(-3, 2, 15)
    measurements = measured(
        rng.normal(0, spread, (15, 6)), sizes[:, None, None] * random_covariances(rng, 15)
    )
    limit = 6.0
    pairs = gated_pairs(means, covariances, measurements, dimension, limit, inflation)
    found = {
        (track, detection): (squared, log_det)
        for track, detection, squared, log_det in zip(
            pairs.tracks.tolist(),
            pairs.detections.tolist(),
            pairs.squared_distances,
            pairs.log_dets,
        )
    }
    axes = STATE_AXES[dimension]
    expected = {}
    for track in range(12):
        for detection in range(15):
            covariance = np.zeros((len(axes), len(axes)))
            for row, first in enumerate(axes):
                for column, second in enumerate(axes):
                    covariance[row, column] = (
                        covariances[track, first, second]
                        + inflation * measurements.covariances[detection, first, second]
                    )
            innovation = (measurements.values[detection] - means[track])[axes]
            squared = innovation @ np.linalg.inv(covariance) @ innovation
            if squared <= limit:
                expected[track, detection] = (squared, np.log(np.linalg.det(covariance)))
    assert list(found) == list(expected) and 0 < len(found) < 12 * 15
    for pair in expected:
        assert found[pair] == pytest.approx(expected[pair])


def test_height_is_not_compared_in_a_plane():
    measurements = measured(np.array([[0, 0, 50.0, 0, 0, 9]]), np.eye(6)[None])
    flat = gated_pairs(np.zeros((1, 6)), np.eye(6)[None], measurements, 2, 1e6)
    high = gated_pairs(np.zeros((1, 6)), np.eye(6)[None], measurements, 3, 1e6)
    assert flat.squared_distances == 0 and high.squared_distances > 1000


def test_a_true_detection_falls_into_the_gate_as_often_as_stated():
    rng = np.random.default_rng(1)
    values = np.sqrt(2) * rng.standard_normal((4000, 6))
    measurements = measured(values, np.tile(np.eye(6), (4000, 1, 1)))
    pairs = gated_pairs(np.zeros((1, 6)), np.eye(6)[None], measurements, 3, gate(0.9, 3))
    assert len(pairs.tracks) / 4000 == pytest.approx(0.9, abs=0.02)


def test_no_tracks_and_no_detections_make_no_pairs():
    some = measured(np.zeros((2, 6)), np.tile(np.eye(6), (2, 1, 1)))
    none = some.at(np.zeros(2, bool))
    for means, measurements in ((np.zeros((0, 6)), some), (np.zeros((3, 6)), none)):
        covariances = np.tile(np.eye(6), (len(means), 1, 1))
        pairs = gated_pairs(means, covariances, measurements, 3, 10.0)
        assert len(nearest_neighbors(pairs).tracks) == 0


def test_nearest_neighbors_is_the_best_of_all_assignments():
    rng = np.random.default_rng(2)
    for _ in range(20):
        costs = rng.uniform(-20, 20, (3, 4))
        pairs = chosen(costs, np.ones((3, 4), bool))
        best = min(costs[range(3), order].sum() for order in permutations(range(4), 3))
        assert sum(costs[pair] for pair in pairs) == pytest.approx(best)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4, 1.0])
def test_sparse_pairs_are_assigned_as_the_dense_table_is(share):
    rng = np.random.default_rng(3)
    for _ in range(10):
        costs = rng.uniform(-30, 25, (40, 35))
        allowed = rng.random(costs.shape) < share
        assert chosen(costs, allowed) == dense_nearest_neighbors(costs, allowed)


def test_a_pair_outside_the_gate_is_never_made():
    costs = np.array([[1.0, -50.0], [2.0, 3.0]])
    assert chosen(costs, np.array([[True, False], [False, False]])) == [(0, 0)]
    assert chosen(costs, np.zeros((2, 2), bool)) == []
    assert chosen(np.zeros((0, 2)), np.zeros((0, 2), bool)) == []


def test_a_single_track_takes_any_detection_in_its_gate():
    assert chosen(np.array([[500.0]]), np.array([[True]])) == [(0, 0)]


def test_the_likelier_of_two_tracks_takes_the_only_detection():
    assert chosen(np.array([[7.0], [3.0]]), np.array([[True], [True]])) == [(1, 0)]


def test_a_track_gets_no_detection_where_two_bad_pairs_would_cost_more():
    # A miss costs 101: 0 + 101 is less than 100 + 100.
    costs = np.array([[0.0, 100.0], [100.0, 0.0]])
    assert chosen(costs, np.array([[True, True], [True, False]])) == [(0, 0)]
