"""Matching of tracks from frame to frame, and false tracks."""

import numpy as np

from cooperative_isac.metrics import continuity
from cooperative_isac.metrics.continuity import TrackTally, match_tracks


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


def tally_of(lives):
    tally = TrackTally()
    for track_id, life in lives.items():
        for is_matched in life:
            tally.add(track_id, is_matched)
    return tally


def test_a_false_track_is_unmatched_most_of_its_life():
    tally = tally_of(
        {1: [True, True, False], 2: [False], 3: [True, False], 4: [True, False, False]}
    )
    assert (tally.num_tracks, tally.num_false) == (4, 2)


def test_tracks_of_long_ago_are_only_counted(monkeypatch):
    monkeypatch.setattr(continuity, "MAX_OPEN_TRACKS", 2)
    tally = TrackTally()
    for number in range(100):
        tally.add(7, True)
        tally.add(number + 8, number % 2 == 0)
    assert (tally.num_tracks, tally.num_false) == (101, 50) and len(tally._open) == 2


def test_each_target_may_have_a_threshold_of_its_own():
    distances = np.array([[1.5, 9.0], [9.0, 1.5]])
    thresholds = np.array([1.0, 2.0])
    assert match_tracks(distances, ["a", "b"], [7, 8], {}, thresholds) == {"b": 8}
    assert match_tracks(distances, ["a", "b"], [7, 8], {"a": 7, "b": 8}, thresholds) == {"b": 8}
