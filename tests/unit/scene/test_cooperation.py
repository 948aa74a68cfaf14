"""Zones of cooperation between a base station and UEs: where links are used, and when."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.cooperation import SEARCH_FRAMES, ZONES, Cooperation

BASE_M = np.array([10.0, 0.0, 25.0])
ZONED = Cooperation("bs", BASE_M, limits_m=(150.0, 400.0), overlap_m=20.0, search_every=10)
EVERYWHERE = replace(ZONED, limits_m=None)
BETWEEN_SEARCHES = SEARCH_FRAMES


def at(*distances_m):
    """Points at distances from the base station, along a slanted line."""
    direction = np.array([0.6, 0.0, 0.8])
    return BASE_M + np.outer(distances_m, direction)


@pytest.mark.parametrize(
    ("distance_m", "zones"),
    [
        (0.0, "A"),
        (129.0, "A"),
        (131.0, "AB"),
        (169.0, "AB"),
        (171.0, "B"),
        (379.0, "B"),
        (381.0, "BC"),
        (419.0, "BC"),
        (421.0, "C"),
        (5000.0, "C"),
    ],
)
def test_zones_follow_each_other_and_overlap(distance_m, zones):
    covered = [zone for zone in ZONES if ZONED.covers(zone, at(distance_m))[0]]
    assert covered == list(zones)


def test_without_limits_every_kind_is_used_everywhere():
    points_m = at(10.0, 1000.0)
    assert all(EVERYWHERE.covers(zone, points_m).all() for zone in ZONES)


@pytest.mark.parametrize("cooperation", [ZONED, EVERYWHERE])
def test_a_kind_that_is_switched_off_is_used_nowhere(cooperation):
    only_b = replace(cooperation, kinds=("B",))
    assert not only_b.covers("A", at(50.0)).any() and not only_b.covers("C", at(900.0)).any()
    assert only_b.covers("B", at(300.0)).all()
    assert only_b.scheduled(ZONES, BETWEEN_SEARCHES, at(300.0)) == [False, True, False]
    assert only_b.scheduled(ZONES, 0, at(50.0)) == [False, True, False]


def test_a_band_without_a_zone_is_always_on_the_air():
    assert ZONED.scheduled(["", "C"], BETWEEN_SEARCHES, at(50.0)) == [True, False]
    assert ZONED.covers("", at(50.0, 900.0)).all()


def test_the_zones_of_all_targets_are_on_the_air():
    assert ZONED.scheduled(ZONES, BETWEEN_SEARCHES, at(300.0)) == [False, True, False]
    assert ZONED.scheduled(ZONES, BETWEEN_SEARCHES, at(50.0, 900.0)) == [True, False, True]


def test_all_zones_search_at_times_and_without_a_target():
    frames = range(20)
    full = [all(ZONED.scheduled(ZONES, number, at(300.0))) for number in frames]
    assert full == [number % 10 < SEARCH_FRAMES for number in frames]
    assert all(ZONED.scheduled(ZONES, BETWEEN_SEARCHES, np.empty((0, 3))))
