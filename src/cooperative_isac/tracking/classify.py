"""UAV or vehicle, from height and motion, as accumulated log odds."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from cooperative_isac.scene.model import TargetClass, Tracking

FRAME_LIMIT = 0.5  # one frame says no more than this: errors of height repeat from frame to frame
TOTAL_LIMIT = 5.0  # a UAV that has landed must be able to become something else
DECISION = 0.7
VEHICLE_CLIMB_STD_MPS, UAV_CLIMB_STD_MPS = 0.5, 2.0
FAST_MPS, SPEED_SPREAD_MPS = 25.0, 1.0


def frame_log_odds(
    mean: np.ndarray, covariance: np.ndarray, settings: Tracking, dimension: int
) -> float:
    """Log odds of UAV against vehicle that one frame adds.

    mean: [6], position and velocity; covariance: [6, 6]; float64, SI, map. In 3-D: the probability
    of being above uav_height_m, and a climb faster than vehicles have; in any scene: a speed that
    only vehicles have.
    """
    vehicle = _beyond(np.hypot(mean[3], mean[4]) - FAST_MPS, covariance[3, 3] + covariance[4, 4])
    odds = -max(0.0, vehicle)
    if dimension == 3:
        height = _beyond(mean[2] - settings.uav_height_m, covariance[2, 2])
        odds += float(np.clip(height, -FRAME_LIMIT, FRAME_LIMIT))
        odds += max(0.0, _climb(mean[5], covariance[5, 5]))
    return float(np.clip(odds, -FRAME_LIMIT, FRAME_LIMIT))


def accumulate(log_odds: float, added: float) -> float:
    """Log odds after one more frame, bounded so that old evidence can be outvoted."""
    return float(np.clip(log_odds + added, -TOTAL_LIMIT, TOTAL_LIMIT))


def decide(log_odds: float) -> tuple[TargetClass, float]:
    """The likelier class and its probability; UNKNOWN, with that probability, below DECISION."""
    probability = 1 / (1 + math.exp(-abs(log_odds)))
    if probability < DECISION:
        return TargetClass.UNKNOWN, probability
    return (TargetClass.UAV if log_odds > 0 else TargetClass.VEHICLE), probability


def log_odds_of(target_class: TargetClass, probability: float) -> float:
    """Log odds from which `decide` gives a class and its probability; 0 for an unknown class."""
    if target_class not in (TargetClass.UAV, TargetClass.VEHICLE):
        return 0.0
    sure = float(np.clip(probability, DECISION, 1 - 1e-12))
    odds = min(math.log(sure / (1 - sure)), TOTAL_LIMIT)
    return odds if target_class is TargetClass.UAV else -odds


def _beyond(excess: float, variance: float) -> float:
    """Log odds that a Gaussian quantity with this excess over a limit really is over it."""
    score = excess / math.sqrt(variance)
    return float(log_ndtr(score) - log_ndtr(-score))


def _climb(speed_mps: float, variance: float) -> float:
    """Log likelihood ratio of a vertical speed: Gaussian spreads of UAVs and of vehicles."""
    uav, vehicle = UAV_CLIMB_STD_MPS**2 + variance, VEHICLE_CLIMB_STD_MPS**2 + variance
    return 0.5 * (math.log(vehicle / uav) + speed_mps**2 * (1 / vehicle - 1 / uav))
