"""Matching within a distance."""

import numpy as np
import pytest

from cooperative_isac.metrics.assignment import match_within, pairwise_distances


def test_pairwise_distances_agree_with_a_plain_loop():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((3, 2))
    second = rng.standard_normal((4, 2))
    distances = pairwise_distances(first, second)
    for row in range(3):
        for column in range(4):
            expected = np.hypot(*(first[row] - second[column]))
            assert distances[row, column] == pytest.approx(expected)


def test_as_many_pairs_as_can_be_come_before_a_small_sum():
    distances = np.array([[0.1, 0.9], [0.5, 7.0]])
    assert match_within(distances, 1.0) == [(0, 1), (1, 0)]


def test_nothing_beyond_the_cutoff_is_matched():
    assert match_within(np.array([[0.2, 5.0], [5.0, 1.0]]), 1.0) == [(0, 0)]
    assert match_within(np.zeros((0, 3)), 1.0) == []
    assert match_within(np.full((2, 2), np.inf), 1.0) == []
