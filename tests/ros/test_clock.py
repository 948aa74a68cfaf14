"""Aligned timers: phase, rates that do not divide a second, slow callbacks."""

import time
from fractions import Fraction

import pytest

from cooperative_isac_ros.timing.clock import AlignedTimer


@pytest.mark.parametrize("rate_hz", [20.0, 30.0])
def test_stamps_are_multiples_of_the_period(bench, rate_hz):
    stamps, ages = [], []

    def tick(stamp_ns):
        stamps.append(stamp_ns)
        ages.append(bench.helper.get_clock().now().nanoseconds - stamp_ns)

    AlignedTimer(bench.helper, rate_hz, tick)
    bench.until(lambda: len(stamps) >= 10)
    rate = Fraction(rate_hz)
    indices = [round(stamp * rate / 10**9) for stamp in stamps]
    assert stamps == [round(index * 10**9 / rate) for index in indices]
    assert indices == sorted(set(indices))
    assert min(ages) >= -1e9 / rate_hz * 1e-3


def test_what_was_missed_is_skipped_and_the_phase_is_kept(bench):
    stamps = []

    def tick(stamp_ns):
        stamps.append(stamp_ns)
        if len(stamps) == 2:
            time.sleep(0.33)

    AlignedTimer(bench.helper, 10.0, tick)
    bench.until(lambda: len(stamps) >= 4)
    assert stamps[2] - stamps[1] >= 300_000_000
    assert all(stamp % 100_000_000 == 0 for stamp in stamps)
