"""Classification of tracks as UAV or vehicle, by log odds accumulated from height and motion."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from cooperative_isac.scene.model import TargetClass, Tracking

# Log odds that one frame adds at most: errors of height repeat from frame to frame, so that frames
# are not independent evidence.
FRAME_LIMIT = 0.5

# Sum of the log odds at most: with ten frames of evidence a landed UAV can become a vehicle again.
TOTAL_LIMIT = 5.0

# Probability from which a class is decided.
DECISION_PROBABILITY = 0.7

# Standard deviations of the vertical speed of both classes, m/s: roads that rise by a few percent,
# and UAVs that climb and descend at several meters per second.
VEHICLE_CLIMB_STD_MPS = 0.5
UAV_CLIMB_STD_MPS = 2.0

# Horizontal speed that only vehicles exceed, m/s.
FAST_MPS = 25.0


def frame_log_odds(
    means: np.ndarray, covariances: np.ndarray, settings: Tracking, dimension: int
) -> np.ndarray:
    """Log odds of UAV against vehicle by the state in one frame.

    In 3-D they rise with the probability of being above uav_height_m, and with a vertical speed
    that vehicles do not have; in any scene they fall with a speed that only vehicles have.

    means: [..., 6], float64, position and velocity, SI, map
    covariances: [..., 6, 6], float64, SI
    settings: of the scene, uav_height_m
    dimension: of the scene, 2 or 3
    Returns [...], float64.
    """
    # Horizontal speed: evidence of a vehicle only.
    speeds_mps = np.hypot(means[..., 3], means[..., 4])
    speed_variances = covariances[..., 3, 3] + covariances[..., 4, 4]
    odds = -np.maximum(0.0, _beyond(speeds_mps - FAST_MPS, speed_variances))

    # Height, and vertical speed as evidence of a UAV only.
    if dimension == 3:
        height = _beyond(means[..., 2] - settings.uav_height_m, covariances[..., 2, 2])
        odds += np.clip(height, -FRAME_LIMIT, FRAME_LIMIT)
        odds += np.maximum(0.0, _climb(means[..., 5], covariances[..., 5, 5]))
    return np.clip(odds, -FRAME_LIMIT, FRAME_LIMIT)


def accumulate(log_odds: np.ndarray | float, added: np.ndarray | float) -> np.ndarray:
    """Log odds after one more frame, bounded so that new evidence can outweigh the old.

    log_odds: [...], float64, before the frame
    added: [...], float64, by the frame
    """
    return np.clip(log_odds + added, -TOTAL_LIMIT, TOTAL_LIMIT)


def decide(log_odds: float) -> tuple[TargetClass, float]:
    """The likelier class and its probability; UNKNOWN below DECISION_PROBABILITY."""
    probability = 1 / (1 + math.exp(-abs(log_odds)))
    if probability < DECISION_PROBABILITY:
        return TargetClass.UNKNOWN, probability
    return (TargetClass.UAV if log_odds > 0 else TargetClass.VEHICLE), probability


def log_odds_of(target_class: TargetClass, probability: float) -> float:
    """Inverse of `decide`: log odds of a class with a probability; 0 for an unknown class."""
    if target_class not in (TargetClass.UAV, TargetClass.VEHICLE):
        return 0.0
    decided = float(np.clip(probability, DECISION_PROBABILITY, 1 - 1e-12))
    odds = min(math.log(decided / (1 - decided)), TOTAL_LIMIT)
    return odds if target_class is TargetClass.UAV else -odds


def _beyond(excesses: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log odds that Gaussian quantities exceed a limit, by their mean excess and variance."""
    scores = excesses / np.sqrt(variances)
    return log_ndtr(scores) - log_ndtr(-scores)


def _climb(speeds_mps: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of vertical speeds, Gaussian for UAVs and for vehicles."""
    uav = UAV_CLIMB_STD_MPS**2 + variances
    vehicle = VEHICLE_CLIMB_STD_MPS**2 + variances
    return 0.5 * (np.log(vehicle / uav) + speeds_mps**2 * (1 / vehicle - 1 / uav))
