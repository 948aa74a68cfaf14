"""Frame numbers from stamps, also where the clock is set."""

import pytest

from cooperative_isac_ros.timing.frame_numbers import FrameNumbers

SECOND = 10**9
START_NS = 1_700_000_000 * SECOND


def numbers(times_s, rate_hz=5.0, start_ns=None):
    counted = FrameNumbers(rate_hz, start_ns)
    return [counted.at(START_NS + round(time_s * SECOND)) for time_s in times_s]


def test_a_missing_frame_is_a_missing_number():
    assert numbers([0.0, 0.2, 0.6, 0.8, 3.0]) == [0, 1, 3, 4, 15]
    assert numbers([0, 1 / 3, 2 / 3, 1, 3], rate_hz=3.0) == [0, 1, 2, 3, 9]


@pytest.mark.parametrize("jump_s", [-100.0, -0.2, 1000.0])
def test_a_clock_that_is_set_makes_no_gap(jump_s):
    assert numbers([0.0, 0.2, 0.4 + jump_s, 0.6 + jump_s, 1.0 + jump_s]) == [0, 1, 2, 3, 5]


def test_a_resumed_run_continues_after_any_gap():
    assert numbers([100.0, 100.2], start_ns=START_NS) == [500, 501]


def test_a_clock_that_was_set_back_in_between_begins_at_zero():
    assert numbers([-100.0, -99.8], start_ns=START_NS) == [0, 1]


def test_a_low_rate_is_no_clock_that_is_set():
    assert numbers([0.0, 20.0, 40.0, 80.0], rate_hz=0.05) == [0, 1, 2, 3]
