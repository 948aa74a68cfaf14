"""Back pressure: frames are skipped while a node cannot keep up, and only then."""

import itertools

import pytest

from cooperative_isac_ros.timing.back_pressure import CONGESTION_S, MAX_WORKERS, BackPressure

PERIOD_S = 0.2


def play(pressure, latency_s, seconds, workers=("/fusion_center",), start_s=0.0):
    """Numbers that are announced when every frame takes latency_s, one after the other."""
    announced, busy_until_s, ends = [], 0.0, []
    for step in range(round(seconds / PERIOD_S)):
        now_s = start_s + step * PERIOD_S
        for number, end_s in [item for item in ends if item[1] <= now_s]:
            for worker in workers:
                pressure.finish(worker, number, end_s)
            ends.remove((number, end_s))
        if not pressure.behind(now_s):
            number = round(now_s / PERIOD_S)
            pressure.announce(number, now_s)
            announced.append(number)
            busy_until_s = max(busy_until_s, now_s) + latency_s
            ends.append((number, busy_until_s))
    return announced


@pytest.mark.parametrize("latency_s", [0.05, 0.19])
def test_a_network_that_follows_loses_no_frame(latency_s):
    assert play(BackPressure(2, 1.0), latency_s, 20) == list(range(100))


def test_a_slow_network_works_on_one_frame_at_a_time():
    pressure = BackPressure(2, 1.0)
    announced = play(pressure, 0.5, CONGESTION_S)
    gaps = [after - before for before, after in itertools.pairwise(announced)]
    assert set(gaps[3:-2]) == {3}  # 0.5 s are three periods


def test_attempts_to_end_a_congestion_become_rare_while_they_fail():
    pressure = BackPressure(2, 1.0)
    announced = play(pressure, 0.5, 100)
    in_a_row = [before for before, after in itertools.pairwise(announced) if after == before + 1]
    attempts_s = [number * PERIOD_S for number in in_a_row if number * PERIOD_S > 1.0]
    assert attempts_s == pytest.approx([6, 16, 36, 76], abs=2)


def test_a_node_that_becomes_slower_and_slower_is_waited_for():
    pressure, now_s = BackPressure(2, 1.0), 0.0
    pressure.finish("/fusion_center", -1, 0.0)
    for number, latency_s in enumerate((0.3, 0.8, 1.4, 2.5, 2.5)):
        pressure.announce(number, now_s)
        worker = pressure._workers["/fusion_center"]
        assert pressure._is_behind("/fusion_center", worker, 1, now_s + 0.99 * latency_s)
        now_s += latency_s
        pressure.finish("/fusion_center", number, now_s)


def test_timings_of_anyone_cost_no_frame_and_little_memory():
    pressure = BackPressure(2, 1.0)
    pressure.announce(0, 0.0)
    for number in range(2 * MAX_WORKERS):
        pressure.finish(f"/stranger{number}", 0, 0.1)
    pressure.finish("/stranger0", 10**9, 0.1)
    assert len(pressure._workers) == MAX_WORKERS and pressure._workers["/stranger0"].last == 0


def test_no_limit_skips_nothing():
    assert play(BackPressure(0, 1.0), 0.9, 4) == list(range(20))


def test_a_node_that_stopped_is_not_waited_for_until_it_reports_again():
    pressure = BackPressure(2, 1.0)
    assert play(pressure, 0.05, 2, ("/rx1", "/rx2")) == list(range(10))
    numbers = play(pressure, 0.05, 4, ("/rx1",), start_s=2.0)
    assert numbers[0] == 10 and numbers[1] <= 17
    assert numbers[1:] == list(range(numbers[1], 30))
    pressure.finish("/rx2", 29, 6.0)
    pressure.announce(30, 6.0)
    pressure.announce(31, 6.2)
    pressure.finish("/rx1", 31, 6.3)
    assert pressure.behind(6.4) == ("/rx2",)


def test_a_node_that_never_reported_is_not_waited_for():
    pressure = BackPressure(2, 1.0)
    for number in range(9):
        assert not pressure.behind(number * PERIOD_S)
        pressure.announce(number, number * PERIOD_S)


def test_a_node_is_not_behind_for_frames_in_which_it_has_nothing_to_do():
    pressure = BackPressure(2, 1.0)
    slow_band = frozenset({"/east/access_point"})
    pressure.announce(0, 0.0)
    pressure.finish("/east/access_point", 0, 0.05)
    for number in range(1, 5):
        pressure.announce(number, number * PERIOD_S, slow_band)
    assert not pressure.behind(5 * PERIOD_S)
    pressure.announce(5, 5 * PERIOD_S)
    pressure.announce(6, 6 * PERIOD_S)
    assert pressure.behind(7 * PERIOD_S) == ("/east/access_point",)
