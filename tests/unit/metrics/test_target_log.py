"""The running figures of one target against the same figures of its whole history."""

import numpy as np
import pytest

from cooperative_isac.metrics.target_log import TargetLog
from cooperative_isac.scene.model import Tracking

SETTINGS = Tracking(confirm_window=2, max_coast_s=1.0)


def score_of(track_ids, errors_m, settings=SETTINGS):
    log = TargetLog(1.0, settings)
    for number, (track_id, error_m) in enumerate(zip(track_ids, errors_m)):
        log.mark_present(0.2 * number)
        log.add(track_id, error_m)
    return log.score()


@pytest.mark.parametrize(
    ("track_ids", "expected"),
    [([], 0), ([1, 1, 1], 0), ([None, 1, None, 1], 0), ([1, None, 2], 1), ([1, 2, 1, 1], 2)],
)
def test_identity_switches_are_changes_of_track(track_ids, expected):
    assert score_of(track_ids, [0.0] * len(track_ids)).identity_switches == expected


def test_continuity_is_the_fraction_of_accurate_instants():
    score = score_of([1] * 6, [9.0, 9.0, 0.2, 0.9, 1.1, np.inf])
    assert (score.continuity, score.frames) == (0.5, 4)
    assert score.rmse_m == pytest.approx(np.sqrt((0.2**2 + 0.9**2 + 1.1**2) / 3))


def test_figures_are_those_of_the_whole_history():
    rng = np.random.default_rng(4)
    errors = np.where(rng.random(500) < 0.1, np.inf, rng.exponential(0.5, 500))
    ids = [None if np.isinf(error) else int(number) // 50 for number, error in enumerate(errors)]
    score = score_of(ids, errors)
    counted = errors[SETTINGS.confirm_window :]
    near = counted[np.isfinite(counted)]
    assert score.continuity == pytest.approx(np.mean(counted < 1.0))
    assert score.rmse_m == pytest.approx(np.sqrt(np.mean(near**2))) and score.identity_switches == 9


def test_nothing_counted_is_no_figure():
    score = score_of([1, 1], [0.1, 0.1])
    assert (score.continuity, score.rmse_m, score.frames) == (None, None, 0)


@pytest.mark.parametrize(
    ("absence_s", "is_new"), [(0.2, False), (1.0, False), (1.0 + 2e-6, True), (-0.2, True)]
)
def test_absence_beyond_coasting_begins_a_new_appearance(absence_s, is_new):
    log = TargetLog(1.0, SETTINGS)
    for number in range(4):
        log.mark_present(0.2 * number)
        log.add(1, 0.1)
    log.mark_present(0.6 + absence_s)
    log.add(2, 0.1)
    # A new appearance is confirming, and its track switches from none.
    assert log.score().frames == (2 if is_new else 3)
    assert log.score().identity_switches == (0 if is_new else 1)
