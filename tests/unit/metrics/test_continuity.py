"""Continuity, matching that remembers, identity switches and false tracks."""

import numpy as np
import pytest

from cooperative_isac.metrics.continuity import (count_false_tracks, identity_switches, match_tracks,
                                                 sensing_continuity)


def test_continuity_is_the_fraction_of_accurate_instants():
    assert sensing_continuity(np.array([0.2, 0.9, 1.1, np.inf]), 1.0) == 0.5
    assert np.isnan(sensing_continuity(np.zeros(0), 1.0))


def test_a_target_keeps_its_track_while_it_is_near_enough():
    distances = np.array([[0.6, 0.1], [0.2, 0.7]])
    assert match_tracks(distances, ["a", "b"], [7, 8], {}, 1.0) == {"a": 8, "b": 7}
    assert match_tracks(distances, ["a", "b"], [7, 8], {"a": 7, "b": 8}, 1.0) == {"a": 7, "b": 8}


def test_a_target_leaves_a_track_that_is_gone_or_far():
    distances = np.array([[1.5, 0.1]])
    assert match_tracks(distances, ["a"], [7, 8], {"a": 7}, 1.0) == {"a": 8}
    assert match_tracks(distances, ["a"], [7, 8], {"a": 3}, 1.0) == {"a": 8}


def test_one_track_holds_one_target_only():
    assert match_tracks(np.array([[0.3], [0.2]]), ["a", "b"], [7], {}, 1.0) == {"b": 7}
    assert match_tracks(np.array([[0.3], [0.2]]), ["a", "b"], [7], {"a": 7}, 1.0) == {"a": 7}
    assert match_tracks(np.zeros((2, 0)), ["a", "b"], [], {"a": 7}, 1.0) == {}


@pytest.mark.parametrize("track_ids, expected", [
    ([], 0), ([1, 1, 1], 0), ([None, 1, None, 1], 0), ([1, None, 2], 1), ([1, 2, 1, 1], 2)])
def test_identity_switches_are_changes_of_track(track_ids, expected):
    assert identity_switches(track_ids) == expected


def test_a_false_track_is_unmatched_most_of_its_life():
    matched = {1: [True, True, False], 2: [False], 3: [True, False], 4: [True, False, False]}
    assert count_false_tracks(matched) == 2
