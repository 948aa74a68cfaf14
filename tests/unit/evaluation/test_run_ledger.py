"""Late and lost frames, bit rates and percentiles of a run."""

import pytest

from cooperative_isac.evaluation.run_ledger import FRAMES_OPEN, TIMES_KEPT, RunLedger, lateness

SECOND = 1_000_000_000


def ledger_of(numbers, latencies_ms, period_s=0.2):
    ledger = RunLedger(period_s)
    for number in numbers:
        ledger.announce(
            number, 100 * SECOND + round(number * period_s * SECOND), downlink_bits=1000
        )
    for number, latency_ms in latencies_ms.items():
        ledger.time_stage(number, "decode", 5.0, latency_ms)
    return ledger


def test_a_frame_is_late_after_one_period():
    ledger = ledger_of(range(3), {0: 199.0, 1: 201.0, 2: 50.0})
    summary = ledger.summary(200 * SECOND)
    assert (summary["frames"], summary["frames_late"], summary["frames_lost"]) == (3, 1, 0)


def test_a_frame_without_detections_is_lost_and_late():
    summary = ledger_of(range(4), {0: 50.0, 3: 50.0}).summary(200 * SECOND)
    assert (summary["frames"], summary["frames_late"], summary["frames_lost"]) == (4, 2, 2)


def test_a_lost_announcement_counts_as_a_frame():
    summary = ledger_of([0, 1, 3], {0: 50.0, 1: 50.0, 3: 50.0}).summary(200 * SECOND)
    assert (summary["frames"], summary["frames_lost"]) == (4, 1)


def test_frames_count_after_their_period():
    ledger = ledger_of(range(3), {0: 50.0})
    summary = ledger.summary(100 * SECOND + round(0.39 * SECOND))
    assert (summary["frames"], summary["frames_late"]) == (1, 0)


def test_bits_are_per_second_of_the_run():
    ledger = ledger_of(range(10), {})
    for _ in range(10):
        ledger.add_packet("rx2", 100)
        ledger.add_packet("rx1", 50)
    summary = ledger.summary(200 * SECOND)
    assert summary["duration_s"] == pytest.approx(2.0)
    assert summary["fronthaul_bits_per_s"] == {"rx1": 2000.0, "rx2": 4000.0}
    assert summary["fronthaul_downlink_bits_per_s"] == 5000.0


def test_results_are_refreshed_more_rarely_where_frames_are_lost():
    assert ledger_of(range(4), {0: 50.0, 3: 50.0}).summary(200 * SECOND)["refresh_s"] == 0.4
    every = dict.fromkeys(range(7), 50.0)
    assert ledger_of(every, every).summary(200 * SECOND)["refresh_s"] == pytest.approx(0.2)


def test_percentiles_of_every_stage():
    ledger = ledger_of([0], {})
    for value in range(101):
        ledger.time_stage(value, "track", value, 2.0 * value)
    latency = ledger.summary(200 * SECOND)["latency_ms"]
    assert latency["track"] == {"p50": 50.0, "p99": 99.0}
    assert latency["end_to_end"] == {"p50": 100.0, "p99": 198.0}
    assert latency["encode"] == {"p50": None, "p99": None}


def test_an_empty_run_has_no_rates():
    summary = RunLedger(0.2).summary(SECOND)
    assert summary["frames"] == 0 and summary["fronthaul_downlink_bits_per_s"] is None
    assert summary["refresh_s"] is None


def held(thing):
    """Number of values that an object keeps in its containers."""
    return sum(len(value) for value in vars(thing).values() if hasattr(value, "__len__"))


def test_a_long_run_counts_frames_that_are_not_kept():
    """One frame in four is slow and one is lost, in a run longer than any frame is kept."""
    num_frames = 4 * (FRAMES_OPEN + 5)
    ledger = ledger_of(
        range(num_frames),
        {number: 250.0 if number % 4 == 1 else 20.0 for number in range(num_frames) if number % 4},
    )
    summary = ledger.summary(10**6 * SECOND)
    assert (summary["frames"], summary["frames_lost"]) == (num_frames, num_frames // 4)
    assert summary["frames_late"] == num_frames // 2 and summary["duration_s"] == pytest.approx(
        0.2 * num_frames
    )
    assert held(ledger) <= 2 * FRAMES_OPEN + 10


def test_percentiles_are_of_the_latest_times():
    ledger = ledger_of([0], {})
    for value in (*[9.0] * 10, *[1.0] * TIMES_KEPT):
        ledger.time_stage(0, "encode", value, 0.0)
    assert ledger.summary(200 * SECOND)["latency_ms"]["encode"] == {"p50": 1.0, "p99": 1.0}


@pytest.mark.parametrize("stray", [10**18, 3])
def test_a_stray_frame_number_is_harmless(stray):
    ledger = ledger_of([5, 6], {5: 20.0, 6: 20.0, stray: 20.0})
    ledger.announce(max(stray, 7), 102 * SECOND, 0)
    assert ledger.summary(200 * SECOND)["frames_lost"] >= 0 and held(ledger) < 20


def test_a_late_clock_counts_frames_that_are_not_open():
    ledger = ledger_of(range(FRAMES_OPEN + 10), dict.fromkeys(range(FRAMES_OPEN + 10), 20.0))
    summary = ledger.summary(0)
    assert (summary["frames"], summary["frames_lost"], summary["frames_late"]) == (10, 0, 0)


def test_a_run_that_is_not_real_time_names_its_slow_stages():
    late = ledger_of(range(4), dict.fromkeys(range(4), 900.0), period_s=0.25)
    late.time_stage(0, "encode", 120.0, 130.0)
    text = lateness(late.summary(200 * SECOND))
    assert "4 of 4 frames are late or skipped" in text
    assert "encode takes 120 ms, decode takes 5 ms" in text
    assert "the period is 250 ms" in text
    assert (
        lateness(ledger_of(range(4), dict.fromkeys(range(4), 50.0)).summary(200 * SECOND)) is None
    )
    assert lateness(RunLedger(0.25).summary(SECOND)) is None
