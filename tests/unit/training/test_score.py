"""Errors of predictions."""

import numpy as np
import pytest
import torch

from cooperative_isac.learned.network import Predictions, Truth
from cooperative_isac.training.score import ErrorLog


def batch(presence, state, present, label):
    state = torch.tensor([state], dtype=torch.float32)
    found = Predictions(torch.tensor([presence]), state, torch.ones_like(state))
    return found, Truth(torch.tensor([present]), torch.tensor([label], dtype=torch.float32))


def test_errors_are_those_of_the_best_pairing():
    log = ErrorLog(2)
    log.add(
        *batch(
            [0.9, 0.9, 0.1],
            [[50, 50, 0, 0], [10, 11, 3, 4], [0, 0, 0, 0]],
            [True, True, False],
            [[10, 10, 3, 1], [50, 48, 0, 0], [0, 0, 0, 0]],
        )
    )
    score = log.score()
    assert (score.median_location_m, score.median_velocity_mps) == (1.5, 1.5)
    assert (
        score.rmse_location_m == pytest.approx(np.sqrt(2.5))
        and score.detection_rate == 1
        and score.false_alarms == 0
    )


def test_a_distant_detection_is_a_miss_and_a_false_alarm():
    log = ErrorLog(2)
    log.add(
        *batch(
            [0.9, 0.8],
            [[10, 10, 0, 0], [90, 10, 0, 0]],
            [True, False],
            [[10, 14, 0, 0], [0, 0, 0, 0]],
        )
    )
    score = log.score()
    assert (
        score.detection_rate == 0 and score.false_alarms == 2 and score.median_location_m == np.inf
    )
    assert score.rmse_location_m == 4  # over all targets, as CF counts


def test_absent_outputs_count_for_the_rmse_alone():
    log = ErrorLog(2)
    log.add(*batch([0.2], [[10, 10, 0, 0]], [True], [[10, 12, 3, 4]]))
    assert log.score().detection_rate == 0 and log.score().rmse_velocity_mps == 5


def test_the_std_is_robust():
    log, generator = ErrorLog(2), np.random.default_rng(0)
    errors = generator.standard_normal((2000, 4)) * [0.1, 0.2, 0.3, 0.4]
    errors[::50, 2:] += 100
    for error in errors:
        log.add(*batch([0.9], [list(np.array([5, 5, 1, 1]) + error)], [True], [[5, 5, 1, 1]]))
    assert np.allclose(log.std(), [0.1, 0.2, 0.3, 0.4], rtol=0.1)


def test_distant_outputs_count_for_the_std():
    log = ErrorLog(2)
    for miss in (0.1, 0.2, 8.0, 9.0, 10.0):
        log.add(*batch([0.9], [[5 + miss, 5, 0, 0]], [True], [[5, 5, 0, 0]]))
    assert log.std()[0] == pytest.approx(1.4826 * 8.0)


def test_samples_without_targets_are_scored():
    log = ErrorLog(2)
    log.add(*batch([0.9], [[5, 5, 0, 0]], [False], [[0, 0, 0, 0]]))
    assert log.score().false_alarms == 1 and log.score().detection_rate == 0
