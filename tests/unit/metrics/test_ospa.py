"""OSPA and GOSPA against Stone Soup's, against brute force, and in cases known by hand."""

from datetime import datetime
from itertools import permutations

import numpy as np
import pytest
from stonesoup.metricgenerator.ospametric import GOSPAMetric, OSPAMetric
from stonesoup.types.state import State

from cooperative_isac.metrics.ospa import gospa, ospa

NOW = datetime(2024, 1, 1)
SIZES = [(0, 0), (1, 0), (0, 3), (1, 1), (2, 4), (4, 2), (5, 5)]


def random_sets(sizes, seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 8, (size, 3)) for size in sizes]


def as_states(positions):
    return [State(position[:, None], NOW) for position in positions]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("cutoff", "order"), [(5.0, 2.0), (3.0, 1.0)])
def test_ospa_is_stone_soups(sizes, cutoff, order):
    estimates, truths = random_sets(sizes, 1)
    if sizes == (0, 0):  # Stone Soup has no instant to name
        assert ospa(estimates, truths, cutoff, order) == 0
        return
    theirs = OSPAMetric(c=cutoff, p=order).compute_OSPA_distance(
        as_states(estimates), as_states(truths)
    )
    assert ospa(estimates, truths, cutoff, order) == pytest.approx(float(theirs.value))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("cutoff", "order"), [(5.0, 2.0), (3.0, 1.0)])
def test_gospa_and_its_parts_are_stone_soups(sizes, cutoff, order):
    estimates, truths = random_sets(sizes, 2)
    ours = gospa(estimates, truths, cutoff, order)
    if sizes == (0, 0):
        assert ours.distance_m == 0
        return
    metric, _ = GOSPAMetric(c=cutoff, p=order).compute_gospa_metric(
        as_states(estimates), as_states(truths)
    )
    theirs = metric.value
    assert ours.distance_m == pytest.approx(float(theirs["distance"]))
    assert ours.localization == pytest.approx(float(theirs["localisation"]))
    assert (ours.missed, ours.false) == pytest.approx(
        (float(theirs["missed"]), float(theirs["false"]))
    )


@pytest.mark.parametrize("seed", range(5))
def test_ospa_is_the_least_over_all_pairings(seed):
    estimates, truths = random_sets((3, 4), seed)
    distances = np.minimum(np.linalg.norm(estimates[:, None] - truths[None], axis=-1), 5)
    least = min(
        sum(distances[row, column] ** 2 for row, column in enumerate(chosen))
        for chosen in permutations(range(4), 3)
    )
    assert ospa(estimates, truths, 5.0) == pytest.approx(np.sqrt((least + 25) / 4))


def test_gospa_counts_what_is_missed_and_what_is_false():
    estimates = np.array([[0.0, 1, 0], [50, 0, 0]])
    truths = np.array([[0.0, 0, 0], [100, 0, 0], [200, 0, 0]])
    result = gospa(estimates, truths, 5.0)
    assert (result.localization, result.num_missed, result.num_false) == (1, 2, 1)
    assert result.distance_m == pytest.approx(np.sqrt(1 + 3 * 12.5))
