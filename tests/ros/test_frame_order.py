"""Sequences of frames in and out of order.

A frame is (run, number); its stamp is its number unless it is given.
"""

from collections import Counter

import pytest

from cooperative_isac_ros.messages.records import FrameStamp
from cooperative_isac_ros.timing.frame_order import FrameOrder

PASS = [(1, number) for number in range(4)]


def play(frames):
    """Accepted frames as (run, number), with a star where a pass begins, and the faults."""
    faults, given = Counter(), []
    order = FrameOrder("frames", lambda event, reason: faults.update([event]))
    for run, number, *stamp in frames:
        frame = FrameStamp(run, number, stamp[0] if stamp else 100 + number)
        given += [(turn.item, "*" * turn.begins) for turn in order.take(frame, (run, number))]
    return given, dict(faults)


def passes(*runs):
    """Passes of frames in order, each of which begins anew."""
    return [(frame, "*" * (index == 0)) for frames in runs for index, frame in enumerate(frames)]


def test_growing_numbers_are_accepted_at_once():
    frames = [(1, 0), (1, 1), (1, 4), (1, 9)]
    assert play(frames) == (passes(frames), {})


@pytest.mark.parametrize("stale", [(1, 0), (1, 2), (1, 2, 50)])
def test_one_lower_number_is_dropped(stale):
    frames = [*PASS, stale, (1, 4), (1, 5)]
    assert play(frames) == (passes([*PASS, (1, 4), (1, 5)]), {"frames_stale": 1})


def test_two_stale_frames_that_do_not_go_on_are_dropped():
    frames = [*PASS, (1, 2), (1, 1), (1, 4)]
    assert play(frames) == (passes([*PASS, (1, 4)]), {"frames_stale": 2})


def test_a_repeated_number_is_repeated():
    assert play([*PASS, (1, 3), (1, 4)]) == (passes([*PASS, (1, 4)]), {"frames_repeated": 1})


@pytest.mark.parametrize("again", [PASS, PASS[:2], [(1, 1), (1, 3)]])
def test_a_recording_that_plays_again_is_whole_from_its_second_frame_on(again):
    assert play([*PASS, *again]) == (passes(PASS, again), {"frames_stale": 1})


def test_a_recording_that_plays_again_and_again():
    assert play(3 * PASS) == (passes(PASS, PASS, PASS), {"frames_stale": 2})


def test_a_new_run_begins_at_once():
    other = [(2, 5), (2, 6)]
    assert play([*PASS, *other]) == (passes(PASS, other), {})


def test_one_frame_of_a_run_that_ended_is_dropped():
    assert play([*PASS, (2, 0), (1, 4), (2, 1)]) == (
        passes(PASS, [(2, 0), (2, 1)]),
        {"frames_stale": 1},
    )


def test_a_recording_of_two_runs_plays_again():
    other = [(2, 0), (2, 1)]
    assert play(2 * [*PASS, *other]) == (passes(PASS, other, PASS, other), {"frames_stale": 2})


def test_runs_side_by_side_settle_on_one():
    frames = [(run, number) for number in range(5) for run in (1, 2)]
    assert play(frames) == (
        passes([(1, 0)], [(2, number) for number in range(5)]),
        {"frames_stale": 4},
    )


def test_a_clock_that_goes_back_while_numbers_go_on_begins_at_once():
    assert play([*PASS, (1, 4, 50), (1, 5, 51)]) == (passes(PASS, [(1, 4), (1, 5)]), {})


def test_a_stale_frame_does_not_help_a_later_one():
    frames = [*PASS, (1, 1), (1, 4), (1, 2), (1, 5)]
    assert play(frames) == (passes([*PASS, (1, 4), (1, 5)]), {"frames_stale": 2})


def test_its_state_is_readable():
    order = FrameOrder("frames", lambda event, reason: None)
    assert order.last is None and order.set_aside is None and not order.has_ended(1)
    for run in (1, 2):
        order.take(FrameStamp(run, 7, 7), None)
    order.take(FrameStamp(2, 3, 3), None)
    assert (order.last, order.set_aside) == (FrameStamp(2, 7, 7), FrameStamp(2, 3, 3))
    assert order.has_ended(1) and not order.has_ended(2)
