"""Gates and nearest neighbors against plain loops and brute force."""

from itertools import permutations

import numpy as np
import pytest

from cooperative_isac.tracking.association import (
    OBSERVED,
    gate,
    nearest_neighbors,
    squared_distances,
)
from cooperative_isac.tracking.measurement import Measurements


def random_covariances(rng, num):
    factors = rng.standard_normal((num, 6, 8))
    return factors @ np.swapaxes(factors, 1, 2)


def test_the_gate_is_the_chi_square_quantile():
    # Abramowitz and Stegun, table 26.8: 99.9 % for 4 and 6 degrees of freedom.
    assert gate(0.999, 2) == pytest.approx(18.467, abs=1e-3)
    assert gate(0.999, 3) == pytest.approx(22.458, abs=1e-3)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("inflation", [1.0, 4.0])
def test_distances_agree_with_a_plain_loop(dimension, inflation):
    rng = np.random.default_rng(0)
    means, covariances = rng.standard_normal((3, 6)), random_covariances(rng, 3)
    measurements = Measurements(
        rng.standard_normal((4, 6)), random_covariances(rng, 4), np.zeros(4, bool), np.arange(4)
    )
    squared, log_det = squared_distances(means, covariances, measurements, dimension, inflation)
    axes = OBSERVED[dimension]
    for track in range(3):
        for detection in range(4):
            spread = np.zeros((len(axes), len(axes)))
            for row, first in enumerate(axes):
                for column, second in enumerate(axes):
                    spread[row, column] = (
                        covariances[track, first, second]
                        + inflation * measurements.covariances[detection, first, second]
                    )
            innovation = (measurements.values[detection] - means[track])[axes]
            assert squared[track, detection] == pytest.approx(
                innovation @ np.linalg.inv(spread) @ innovation
            )
            assert log_det[track, detection] == pytest.approx(np.log(np.linalg.det(spread)))


def test_height_says_nothing_in_a_plane():
    measurements = Measurements(
        np.array([[0, 0, 50.0, 0, 0, 9]]), np.eye(6)[None], np.zeros(1, bool), np.arange(1)
    )
    assert squared_distances(np.zeros((1, 6)), np.eye(6)[None], measurements, 2)[0] == 0
    assert squared_distances(np.zeros((1, 6)), np.eye(6)[None], measurements, 3)[0] > 1000


def test_a_true_detection_falls_into_the_gate_as_often_as_stated():
    rng = np.random.default_rng(1)
    values = np.sqrt(2) * rng.standard_normal((4000, 6))
    measurements = Measurements(
        values, np.tile(np.eye(6), (4000, 1, 1)), np.zeros(4000, bool), np.arange(4000)
    )
    squared, _ = squared_distances(np.zeros((1, 6)), np.eye(6)[None], measurements, 3)
    assert np.mean(squared <= gate(0.9, 3)) == pytest.approx(0.9, abs=0.02)


def test_nearest_neighbors_is_the_best_of_all_assignments():
    rng = np.random.default_rng(2)
    for _ in range(20):
        costs = rng.uniform(-20, 20, (3, 4))
        pairs = nearest_neighbors(costs, np.ones((3, 4), bool))
        best = min(costs[range(3), chosen].sum() for chosen in permutations(range(4), 3))
        assert sum(costs[pair] for pair in pairs) == pytest.approx(best)


def test_a_pair_outside_the_gate_is_never_made():
    costs = np.array([[1.0, -50.0], [2.0, 3.0]])
    assert nearest_neighbors(costs, np.array([[True, False], [False, False]])) == [(0, 0)]
    assert nearest_neighbors(costs, np.zeros((2, 2), bool)) == []
    assert nearest_neighbors(np.zeros((0, 2)), np.zeros((0, 2), bool)) == []


def test_a_lonely_track_takes_whatever_its_gate_allows():
    assert nearest_neighbors(np.array([[500.0]]), np.array([[True]])) == [(0, 0)]


def test_the_likelier_of_two_tracks_takes_the_only_detection():
    assert nearest_neighbors(np.array([[7.0], [3.0]]), np.array([[True], [True]])) == [(1, 0)]
