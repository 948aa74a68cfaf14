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

# Largest probability whose log odds are computed, so that they are finite; TOTAL_LIMIT is below.
MAX_PROBABILITY = 1 - 1e-12

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

    In 3-D the log odds rise with the probability of being above uav_height_m, and with a vertical
    speed that is untypical of vehicles; in any scene they fall with a speed that only vehicles
    reach.

    means: [..., 6], float64, position (x, y, z) in m and velocity in m/s, map
    covariances: [..., 6, 6], float64, of the states in the same order, SI
    settings: tracking parameters of the scene, of which uav_height_m is used
    dimension: of the scene, 2 or 3
    Returns [...], float64, natural logarithm, positive for a UAV.
    """
    # Horizontal speed is evidence of a vehicle only. The variance of the speed is at most the sum
    # of those of both components.
    speeds_mps = np.hypot(means[..., 3], means[..., 4])
    speed_variances = covariances[..., 3, 3] + covariances[..., 4, 4]
    fast_log_odds = _exceedance_log_odds(speeds_mps - FAST_MPS, speed_variances)
    log_odds = -np.maximum(0.0, fast_log_odds)

    # Height is evidence of both classes, vertical speed of a UAV only.
    if dimension == 3:
        heights_m = means[..., 2] - settings.uav_height_m
        height_log_odds = _exceedance_log_odds(heights_m, covariances[..., 2, 2])
        log_odds += np.clip(height_log_odds, -FRAME_LIMIT, FRAME_LIMIT)
        climb_log_ratio = _climb_log_ratio(means[..., 5], covariances[..., 5, 5])
        log_odds += np.maximum(0.0, climb_log_ratio)
    return np.clip(log_odds, -FRAME_LIMIT, FRAME_LIMIT)


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
    decided = float(np.clip(probability, DECISION_PROBABILITY, MAX_PROBABILITY))
    odds = min(math.log(decided / (1 - decided)), TOTAL_LIMIT)
    return odds if target_class is TargetClass.UAV else -odds


def _exceedance_log_odds(excesses: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log odds that Gaussian quantities exceed a limit.

    excesses: [...], float64, means minus the limit
    variances: [...], float64, in the squared unit of excesses
    """
    scores = excesses / np.sqrt(variances)
    return log_ndtr(scores) - log_ndtr(-scores)


def _climb_log_ratio(speeds_mps: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Log likelihood ratio, UAV against vehicle, of vertical speeds that are Gaussian for both.

    speeds_mps: [...], float64, m/s, estimates
    variances: [...], float64, m^2/s^2, of the estimates
    """
    # Variance of an estimate by class: that of the true speed and that of the estimate.
    uav_variances = UAV_CLIMB_STD_MPS**2 + variances
    vehicle_variances = VEHICLE_CLIMB_STD_MPS**2 + variances

    # Log ratio of two normal densities of mean zero.
    information_difference = 1 / vehicle_variances - 1 / uav_variances
    log_variance_ratio = np.log(vehicle_variances / uav_variances)
    return 0.5 * (log_variance_ratio + speeds_mps**2 * information_difference)
