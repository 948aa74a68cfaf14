"""Pairs of detections and tracks: any order of arrival, losses, late results."""

from collections import Counter

import pytest

from cooperative_isac_ros.messages.records import DetectionList, FrameStamp, TrackList
from cooperative_isac_ros.timing.result_pairs import MAX_WAITING_FRAMES, ResultPairs


def detections(number):
    return DetectionList(FrameStamp(1, number, 10 * number), True, ())


def tracks(number):
    return TrackList(FrameStamp(1, number, 10 * number), True, ())


class Rig:
    """Pairs whose truth is known up to a stamp."""

    def __init__(self):
        self.faults = Counter()
        self.pairs = ResultPairs(lambda event, reason: self.faults.update([event]))
        self.known_ns = 10**9

    def numbers(self):
        pairs = self.pairs.complete(lambda stamp_ns: stamp_ns <= self.known_ns)
        assert all(found.frame == tracked.frame for found, tracked in pairs)
        return [found.frame.number for found, _ in pairs]


@pytest.fixture
def rig():
    return Rig()


@pytest.mark.parametrize(("first", "second"), [("detections", "tracks"), ("tracks", "detections")])
def test_a_pair_is_returned_when_both_have_arrived(rig, first, second):
    add = {
        "detections": lambda: rig.pairs.add_detections(detections(3)),
        "tracks": lambda: rig.pairs.add_tracks(tracks(3)),
    }
    add[first]()
    assert rig.numbers() == []
    add[second]()
    assert rig.numbers() == [3] and rig.numbers() == [] and not rig.faults


def test_pairs_wait_for_the_truth_and_come_in_order(rig):
    rig.known_ns = 15
    for number in (1, 2, 3):
        rig.pairs.add_detections(detections(number))
        rig.pairs.add_tracks(tracks(number))
    assert rig.numbers() == [1]
    rig.known_ns = 30
    assert rig.numbers() == [2, 3]


def test_lost_detections_are_reported_when_their_tracks_are_dropped(rig):
    for number in (1, 2):
        rig.pairs.add_tracks(tracks(number))
    rig.pairs.add_detections(detections(2))
    assert rig.numbers() == []
    assert [found.frame.number for found, _ in rig.pairs.rest()] == [2]
    assert rig.faults == {"detections_unheard": 1}


def test_repeated_and_late_results_are_reported(rig):
    for number in (1, 2):
        rig.pairs.add_detections(detections(number))
        rig.pairs.add_tracks(tracks(number))
    rig.pairs.add_tracks(tracks(1))
    assert rig.numbers() == [1, 2]
    rig.pairs.add_tracks(tracks(2))
    rig.pairs.add_detections(detections(1))
    assert rig.numbers() == [] and rig.pairs.rest() == []
    assert rig.faults == {"tracks_stale": 1, "detections_stale": 1}


def test_results_without_the_truth_do_not_pile_up(rig):
    rig.known_ns = -1
    for number in range(3 * MAX_WAITING_FRAMES):
        rig.pairs.add_detections(detections(number))
        rig.pairs.add_tracks(tracks(number))
        assert rig.numbers() == (
            [number - MAX_WAITING_FRAMES] if number >= MAX_WAITING_FRAMES else []
        )
