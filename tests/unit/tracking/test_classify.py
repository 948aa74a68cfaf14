"""UAV or vehicle, from height, climb and speed."""

import numpy as np
import pytest

from cooperative_isac.scene.model import TargetClass, Tracking
from cooperative_isac.tracking.classify import (
    FRAME_LIMIT,
    TOTAL_LIMIT,
    accumulate,
    decide,
    frame_log_odds,
)

SETTINGS = Tracking(uav_height_m=4.0)


def odds(height=0.0, speed=0.0, climb=0.0, height_std=0.3, dimension=3):
    covariance = np.diag([0.1, 0.1, height_std**2, 0.1, 0.1, 0.1])
    return frame_log_odds(
        np.array([0, 0, height, speed, 0, climb]), covariance, SETTINGS, dimension
    )


def test_height_counts_by_its_accuracy():
    assert odds(height=10) == FRAME_LIMIT and odds(height=1) == -FRAME_LIMIT
    assert odds(height=4) == 0
    # At the limit the log odds grow by 4 / sqrt(2 pi) per standard deviation.
    assert odds(height=4.1, height_std=10) == pytest.approx(2 * 0.01 * np.sqrt(2 / np.pi), rel=1e-3)
    assert odds(height=4.03, height_std=0.3) == pytest.approx(odds(height=5, height_std=10))


def test_climbing_is_evidence_of_a_uav_and_level_motion_is_none():
    assert odds(height=3, climb=3.0) == FRAME_LIMIT and odds(height=3, climb=-3.0) == FRAME_LIMIT
    assert odds(height=10, climb=0.0) == odds(height=10, climb=0.3)


def test_in_a_plane_only_a_speed_of_vehicles_counts():
    assert odds(height=10, climb=5, dimension=2) == 0
    assert odds(speed=15, dimension=2) == 0
    assert odds(speed=35, dimension=2) == -FRAME_LIMIT


@pytest.mark.parametrize(
    ("log_odds", "expected"),
    [
        (0.0, TargetClass.UNKNOWN),
        (0.84, TargetClass.UNKNOWN),
        (-0.84, TargetClass.UNKNOWN),
        (0.86, TargetClass.UAV),
        (8.0, TargetClass.UAV),
        (-0.86, TargetClass.VEHICLE),
    ],
)
def test_a_class_is_decided_from_seventy_percent_on(log_odds, expected):
    # log(0.7 / 0.3) = 0.847
    target_class, probability = decide(log_odds)
    assert target_class is expected
    assert probability == pytest.approx(np.exp(abs(log_odds)) / (1 + np.exp(abs(log_odds))))


def test_old_evidence_is_bounded_so_that_a_landed_uav_is_recognized():
    log_odds = 0.0
    for _ in range(1000):
        log_odds = accumulate(log_odds, odds(height=10))
    assert log_odds == TOTAL_LIMIT
    for _ in range(12):
        log_odds = accumulate(log_odds, odds(height=0))
    assert decide(log_odds)[0] is TargetClass.VEHICLE
