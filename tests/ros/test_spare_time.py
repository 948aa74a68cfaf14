"""Work between two frames: when it is done, and that a frame that comes earlier calls it off."""

import time

import pytest

from cooperative_isac_ros.messages.records import FrameStamp
from cooperative_isac_ros.timing.spare_time import SpareTime

MILLISECOND = 10**6


class Worker:
    """Spare time of a bench's node, and when it was used."""

    def __init__(self, bench, **expected):
        self.clock = bench.helper.get_clock()
        self.used_ns = []
        self.duration_s = 0.0
        self.spare_time = SpareTime(bench.helper, self.work, **expected)

    def work(self):
        self.used_ns.append(self.now_ns)
        time.sleep(self.duration_s)

    @property
    def now_ns(self):
        return self.clock.now().nanoseconds

    def frame(self, number, age_ms, run=1):
        """A frame whose stamp was so long ago, done with at once; its stamp."""
        frame = FrameStamp(run, number, self.now_ns - age_ms * MILLISECOND)
        self.spare_time.announce(frame)
        self.spare_time.begin(frame)
        return frame.stamp_ns


@pytest.fixture
def worker(bench):
    return Worker(bench)


def test_work_comes_half_a_period_after_the_stamp(bench, worker):
    worker.frame(0, age_ms=400)
    assert len(worker.used_ns) == 1  # the period is not known yet
    stamp_ns = worker.frame(1, age_ms=0)
    assert len(worker.used_ns) == 1
    bench.until(lambda: len(worker.used_ns) == 2)
    assert 195 * MILLISECOND < worker.used_ns[1] - stamp_ns < 400 * MILLISECOND
    bench.spin(0.3)
    assert len(worker.used_ns) == 2


def test_the_first_frame_has_the_expected_period(bench):
    worker = Worker(bench, period_s=0.4)
    stamp_ns = worker.frame(0, age_ms=0)
    assert not worker.used_ns
    bench.until(lambda: worker.used_ns)
    assert worker.used_ns[0] - stamp_ns > 195 * MILLISECOND


def test_expected_long_work_of_the_first_frame_begins_earlier(bench):
    # 1.2 s in a period of 2 s.
    worker = Worker(bench, period_s=2.0, duration_s=1.2)
    stamp_ns = worker.frame(0, age_ms=0)
    bench.until(lambda: worker.used_ns)
    assert 490 * MILLISECOND < worker.used_ns[0] - stamp_ns < 990 * MILLISECOND


def test_the_second_frame_has_the_measured_duration(bench):
    # 0.39 s expected in a period of 0.4 s, of work that takes no time.
    worker = Worker(bench, period_s=0.4, duration_s=0.39)
    worker.frame(0, age_ms=400)
    assert len(worker.used_ns) == 1
    stamp_ns = worker.frame(1, age_ms=0)
    assert len(worker.used_ns) == 1
    bench.until(lambda: len(worker.used_ns) == 2)
    assert worker.used_ns[1] - stamp_ns > 195 * MILLISECOND


def test_expected_work_of_a_whole_period_begins_at_once(bench):
    worker = Worker(bench, period_s=0.4, duration_s=0.4)
    worker.frame(0, age_ms=10)
    assert len(worker.used_ns) == 1


def test_the_next_frame_calls_it_off(bench, worker):
    worker.frame(0, age_ms=400)
    worker.frame(1, age_ms=0)
    worker.spare_time.announce(FrameStamp(1, 2, worker.now_ns))
    bench.spin(0.3)
    assert len(worker.used_ns) == 1


def test_late_and_future_stamps_are_not_waited_for(worker):
    worker.frame(0, age_ms=1000)
    worker.frame(2, age_ms=600)
    assert len(worker.used_ns) == 2
    worker.frame(3, age_ms=-5000)
    assert len(worker.used_ns) == 3


def test_another_run_keeps_the_pace(bench, worker):
    worker.frame(0, age_ms=400)
    worker.frame(1, age_ms=200)
    used = len(worker.used_ns)
    worker.frame(0, age_ms=0, run=2)
    assert len(worker.used_ns) == used
    bench.until(lambda: len(worker.used_ns) == used + 1)


def test_long_work_begins_early_enough_for_the_next_frame(bench, worker):
    # Work of 500 ms in a period of 800 ms.
    worker.duration_s = 0.5
    worker.frame(0, age_ms=300)
    stamp_ns = worker.frame(1, age_ms=0)
    worker.duration_s = 0.0
    bench.until(lambda: len(worker.used_ns) == 2)
    assert 170 * MILLISECOND < worker.used_ns[1] - stamp_ns < 390 * MILLISECOND


def test_work_that_fails_is_done_again_after_the_next_frame(bench):
    calls = []

    def fail():
        calls.append(1)
        raise ValueError("of a scheme")

    spare_time = SpareTime(bench.helper, fail)
    for number in range(3):
        frame = FrameStamp(1, number, 0)
        spare_time.announce(frame)
        with pytest.raises(ValueError, match="of a scheme"):
            spare_time.begin(frame)
    assert len(calls) == 3
