"""UAV or vehicle, from height and motion, as accumulated log odds."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from cooperative_isac.scene.model import TargetClass, Tracking

FRAME_LIMIT = 0.5  # one frame says no more than this: errors of height repeat from frame to frame
TOTAL_LIMIT = 5.0  # a UAV that has landed must be able to become something else
DECISION = 0.7
VEHICLE_CLIMB_STD_MPS = 0.5
UAV_CLIMB_STD_MPS = 2.0
FAST_MPS = 25.0  # vehicles go faster, UAVs do not


def frame_log_odds(
    means: np.ndarray, covariances: np.ndarray, settings: Tracking, dimension: int
) -> np.ndarray:
    """Log odds of UAV against vehicle that one frame adds.

    In 3-D: the probability of being above uav_height_m, and a climb faster than vehicles have; in
    any scene: a speed that only vehicles have.

    Args:
        means: [..., 6], float64, position and velocity, SI, map
        covariances: [..., 6, 6], float64, SI
        settings: of the scene, uav_height_m
        dimension: of the scene, 2 or 3

    Returns:
        [...], float64
    """
    speeds_mps = np.hypot(means[..., 3], means[..., 4])
    speed_variances = covariances[..., 3, 3] + covariances[..., 4, 4]
    odds = -np.maximum(0.0, _beyond(speeds_mps - FAST_MPS, speed_variances))
    if dimension == 3:
        height = _beyond(means[..., 2] - settings.uav_height_m, covariances[..., 2, 2])
        odds += np.clip(height, -FRAME_LIMIT, FRAME_LIMIT)
        odds += np.maximum(0.0, _climb(means[..., 5], covariances[..., 5, 5]))
    return np.clip(odds, -FRAME_LIMIT, FRAME_LIMIT)


def accumulate(log_odds: np.ndarray | float, added: np.ndarray | float) -> np.ndarray:
    """Log odds after one more frame, bounded so that old evidence can be outvoted."""
    return np.clip(log_odds + added, -TOTAL_LIMIT, TOTAL_LIMIT)


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


def _beyond(excesses: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log odds that Gaussian quantities with this excess over a limit really are over it."""
    scores = excesses / np.sqrt(variances)
    return log_ndtr(scores) - log_ndtr(-scores)


def _climb(speeds_mps: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of vertical speeds: Gaussian spreads of UAVs and of vehicles."""
    uav = UAV_CLIMB_STD_MPS**2 + variances
    vehicle = VEHICLE_CLIMB_STD_MPS**2 + variances
    return 0.5 * (np.log(vehicle / uav) + speeds_mps**2 * (1 / vehicle - 1 / uav))
