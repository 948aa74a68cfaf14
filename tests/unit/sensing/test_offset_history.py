"""Clock offsets over frames: a drift, a wrong estimate, and runs that begin again."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.offset_history import (
    KEPT_ESTIMATES,
    LEAST_DEVIATION,
    LinkHistories,
    OffsetHistory,
    offset_history,
    predicted_links,
    predicted_offsets,
)

COVARIANCE = np.diag([1e-20, 4.0])


def history(num_estimates, wrong=()):
    """Estimates of a clock that drifts by 4 ns and 2 Hz a second, four of them a second."""
    past = OffsetHistory(5e-9, 100.0)
    for number in range(num_estimates):
        time_s = number / 4
        timing_s = 30e-9 + 4e-9 * time_s
        frequency_hz = 200 + 2 * time_s
        if number in wrong:
            timing_s += 200e-9
        past.add(time_s, ClockOffset(timing_s, frequency_hz, COVARIANCE))
    return past


def predicted(past, time_s, least=1):
    """Timing and carrier offset at a time."""
    found = past.predicted(time_s, least)
    return found.delay_s, found.frequency_hz


def test_a_drift_goes_on():
    # Usual drifts are a weak prior, which takes a little off.
    timing_s, frequency_hz = predicted(history(6), 2.0)
    assert timing_s == pytest.approx(38e-9, abs=0.1e-9)
    assert frequency_hz == pytest.approx(204, abs=0.5)


@pytest.mark.parametrize("wrong", [(0,), (3,), (5,), (1, 4)])
def test_estimates_of_other_paths_are_left_out(wrong):
    timing_s, _ = predicted(history(7, wrong), 2.0)
    assert timing_s == pytest.approx(38e-9, abs=0.2e-9)


def test_precise_estimates_count_more_but_not_alone():
    past = OffsetHistory(5e-9, 100.0)
    for number in range(3):
        past.add(number / 4, ClockOffset(0.0, 0.0, COVARIANCE))
    past.add(0.75, ClockOffset(0.0, 10.0, COVARIANCE / 1e6))
    # Of equal deviations, the mean is 2.5 and the end of a line is 7.
    found = predicted(past, 0.75)[1]
    assert 3.0 < found < 10.0


def test_predictions_have_the_variance_that_the_estimates_leave():
    rng = np.random.default_rng(1)
    deviations = np.sqrt(np.diag(COVARIANCE))
    errors = []
    for _ in range(400):
        past = OffsetHistory(5e-9, 100.0)
        drift = np.array([2e-9, 1.0])
        for number in range(KEPT_ESTIMATES):
            value = drift * number / 4 + deviations * rng.standard_normal(2)
            past.add(number / 4, ClockOffset(*value, COVARIANCE))
        found = past.predicted(2.0)
        value = np.array([found.delay_s, found.frequency_hz]) - 2.0 * drift
        errors.append(value / np.sqrt(np.diag(found.covariance)))
    np.testing.assert_allclose(np.std(errors, axis=0), 1.0, atol=0.15)


def test_offsets_by_targets_end_where_nothing_confirms_them():
    past = OffsetHistory(5e-9, 100.0, longest_s=1.5)
    for number in range(4):
        past.add(number / 4, ClockOffset(30e-9, 200.0, COVARIANCE))
    assert past.predicted(2.2) is not None
    assert past.predicted(2.3) is None


def test_as_many_must_agree_as_the_caller_asks_for():
    assert history(0).predicted(1.0) is None
    np.testing.assert_allclose(predicted(history(1), 1.0), [30e-9, 200])
    assert history(2).predicted(1.0, least=3) is None
    assert history(4, wrong=(1, 2)).predicted(1.0, least=3) is None
    assert history(3).predicted(1.0, least=3) is not None


def test_a_run_that_begins_again_has_no_past():
    past = history(6)
    assert past.predicted(0.5) is None
    past.add(0.0, ClockOffset(-1e-9, 5.0, COVARIANCE))
    np.testing.assert_allclose(predicted(past, 3.0), [-1e-9, 5.0])


def test_a_link_begins_anew_after_a_long_gap():
    past = history(KEPT_ESTIMATES)
    for number in range(3):
        past.add(60.0 + number / 4, ClockOffset(270e-9, 320.0, COVARIANCE))
    np.testing.assert_allclose(predicted(past, 60.5), [270e-9, 320.0], rtol=1e-6)


def test_only_the_last_estimates_are_kept():
    past = history(KEPT_ESTIMATES)
    for number in range(KEPT_ESTIMATES):
        past.add(10.0 + number, ClockOffset(0.0, 0.0, COVARIANCE))
    np.testing.assert_allclose(predicted(past, 20.0), [0.0, 0.0], atol=1e-15)


@pytest.mark.parametrize("drift", [13e-9, -19e-9])
def test_offsets_of_a_slow_frame_rate_agree(drift):
    """Two seconds from frame to frame, in which timing drifts by more than a cell of 11 ns."""
    scene = replace(load_scene("multi_bs_clocks"), update_rate_hz=0.5)
    links = LinkHistories(scene, "bs1")
    for number in range(3):
        time_s = 2.0 * number
        links.add(time_s, {1: ClockOffset(50e-9 + drift * time_s, 200.0, COVARIANCE)})
    found = links.predicted(6.0)
    assert found[1].delay_s == pytest.approx(50e-9 + 6.0 * drift, abs=0.3e-9)


def test_offsets_that_no_clock_has_do_not_agree():
    scene = load_scene("multi_bs_clocks")
    jumps = offset_history(scene)
    for number, timing_s in enumerate((0.0, 40e-9, -30e-9, 100e-9)):
        jumps.add(number / 4, ClockOffset(timing_s, 200.0, COVARIANCE))
    assert jumps.predicted(1.0, least=3) is None


def test_estimates_before_a_gap_do_not_outnumber_those_after_it():
    past = OffsetHistory(5e-9, 100.0, longest_s=1.5)
    for number in range(5):
        past.add(number / 4, ClockOffset(200e-9, 200.0, COVARIANCE))
    for number in range(12, 15):
        past.add(number / 4, ClockOffset(30e-9, 200.0, COVARIANCE))
    assert predicted(past, 3.75, least=3)[0] == pytest.approx(30e-9, abs=0.1e-9)


def test_estimates_that_scatter_more_have_larger_variances():
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(300):
        past = OffsetHistory(50e-9, 1000.0)
        for number in range(KEPT_ESTIMATES):
            # Three times their standard deviation.
            value = 3 * np.sqrt(np.diag(COVARIANCE)) * rng.standard_normal(2)
            past.add(number / 4, ClockOffset(*value, COVARIANCE))
        found = past.predicted(2.0)
        value = np.array([found.delay_s, found.frequency_hz])
        errors.append(value / np.sqrt(np.diag(found.covariance)))
    assert np.all(np.std(errors, axis=0) < 1.5)


def line_by_loop(estimates, time_s, axis, floor, drift):
    """Value and variance at a time of a line through estimates, by the normal equations."""
    normal = np.diag([0.0, drift**-2.0])
    right = np.zeros(2)
    for at_s, one in estimates:
        row = np.array([1.0, at_s - time_s])
        value = (one.delay_s, one.frequency_hz)[axis]
        weight = 1 / (one.covariance[axis, axis] + floor)
        normal += weight * np.outer(row, row)
        right += weight * value * row
    inverse = np.linalg.inv(normal)
    value, slope = inverse @ right

    variance = 0.0
    squared = 0.0
    for at_s, one in estimates:
        row = np.array([1.0, at_s - time_s])
        share = inverse[0] @ row / (one.covariance[axis, axis] + floor)
        variance += share**2 * one.covariance[axis, axis]
        left = (one.delay_s, one.frequency_hz)[axis] - value - slope * row[1]
        squared += left**2 / one.covariance[axis, axis]
    scatter = max(squared / (len(estimates) - 2), 1.0) if len(estimates) > 2 else 1.0
    return value, scatter * variance + inverse[0, 1] ** 2 * drift**-2.0


def test_links_together_are_lines_of_each_alone():
    rng = np.random.default_rng(6)
    links = []
    for count in (3, 8, 1, 0, 5):
        link = OffsetHistory(5e-9, 100.0)
        for number in range(count):
            error = rng.standard_normal(2) * [3e-10, 4.0]
            time_s = number / 4
            offset = ClockOffset(4e-9 * time_s + error[0], 200 + error[1], COVARIANCE)
            link.add(time_s, offset)
        links.append(link)
    found = predicted_offsets(links, 2.0, least=2)
    assert [one is None for one in found] == [False, False, True, True, False]
    for link, one in zip(links, found, strict=True):
        if one is None:
            continue
        for axis, (limit, drift) in enumerate(((5e-9, 1e-6), (100.0, 20.0))):
            floor = (LEAST_DEVIATION * limit) ** 2
            wanted = line_by_loop(link.kept, 2.0, axis, floor, drift)
            assert (one.delay_s, one.frequency_hz)[axis] == pytest.approx(wanted[0], rel=1e-6)
            assert one.covariance[axis, axis] == pytest.approx(wanted[1], rel=1e-6)


def test_common_errors_of_a_line_are_those_of_its_estimates_by_their_shares():
    link = OffsetHistory(5e-9, 100.0)
    for number, delay_s in enumerate((1e-11, -1e-11, 2e-11, 400e-9)):
        common = {(7.0,): np.array([[1e-10], [float(number)]])}
        link.add(number / 4, ClockOffset(delay_s, 0.0, COVARIANCE, common))
    found = link.predicted(0.75, least=3)
    # The last is of another path.
    assert sorted(found.common) == [(0.0, 7.0), (0.25, 7.0), (0.5, 7.0)]
    shares = [found.common[number / 4, 7.0][0, 0] / 1e-10 for number in range(3)]
    assert sum(shares) == pytest.approx(1.0, rel=1e-3)
    scaled = [found.common[number / 4, 7.0][1, 0] for number in range(1, 3)]
    assert scaled[1] / scaled[0] > 2.0  # of a later estimate, by its larger share, too


def test_receivers_together_have_the_offsets_of_each_alone():
    scene = load_scene("multi_bs_clocks")
    used = {"bs1": 1, "bs3": 0}
    receivers = [LinkHistories(scene, name) for name in used]
    for place, (links, index) in enumerate(zip(receivers, used.values(), strict=True)):
        for number in range(3):
            time_s = number / 4
            sure = ClockOffset((place + 1) * 1e-8, 100.0, COVARIANCE)
            unsure = ClockOffset(0.0, 0.0, 1e4 * COVARIANCE)
            links.add(time_s, {index: sure, 3: unsure})

    # The other link's deviation is too large.
    found = predicted_links(receivers, 0.75)
    assert [list(one) for one in found] == [[1], [0]]
    for place, (links, one) in enumerate(zip(receivers, found, strict=True)):
        (offset,) = one.values()
        assert offset.delay_s == pytest.approx((place + 1) * 1e-8)
        (alone,) = links.predicted(0.75).values()
        assert alone.delay_s == pytest.approx(offset.delay_s)
