"""Clock offsets over frames: a drift, a wrong estimate, and runs that begin again."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.offset_history import (
    KEPT_ESTIMATES,
    LinkHistories,
    OffsetHistory,
    offset_history,
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
