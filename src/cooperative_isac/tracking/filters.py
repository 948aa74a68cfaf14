"""Filters of one track: constant velocity, or CV and coordinated turn that interact (IMM)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from filterpy.kalman import ExtendedKalmanFilter, IMMEstimator, KalmanFilter

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.motion_models import (
    acceleration_noise,
    constant_velocity_transition,
    coordinated_turn,
    coordinated_turn_jacobian,
    turn_noise,
)

MODE_MEMORY_S = 4.0
QUIET_SHARE = 0.5


class MotionFilter(Protocol):
    """A filter knows position and velocity of its target: mean [6] and covariance [6, 6], SI,
    map.
    """

    @property
    def mean(self) -> np.ndarray:
        """Position and velocity, [6], float64, SI."""

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of position and velocity, [6, 6], float64, SI, symmetric."""

    def predict(self, dt_s: float) -> None:
        """Go dt_s into the future."""

    def update(self, measurement: np.ndarray, noise_covar: np.ndarray) -> None:
        """Take in a measured position and velocity [6] with its covariance [6, 6]."""


class ConstantVelocityFilter:
    """Kalman filter of a target whose velocity is disturbed by white acceleration."""

    def __init__(self, settings: Tracking, mean: np.ndarray, covariance: np.ndarray):
        self._settings = settings
        self._filter = KalmanFilter(dim_x=6, dim_z=6)
        self._filter.x, self._filter.P, self._filter.H = mean.copy(), covariance.copy(), np.eye(6)

    @property
    def mean(self) -> np.ndarray:
        """Position and velocity, [6], float64, SI."""
        return self._filter.x.copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of position and velocity, [6, 6], float64, SI, symmetric."""
        return _symmetric(self._filter.P)

    def predict(self, dt_s: float) -> None:
        """Go dt_s into the future."""
        settings = self._settings
        noise = acceleration_noise(dt_s, settings.accel_std_mps2, settings.vertical_accel_std_mps2)
        self._filter.predict(F=constant_velocity_transition(dt_s), Q=noise)

    def update(self, measurement: np.ndarray, noise_covar: np.ndarray) -> None:
        """Take in a measured position and velocity [6] with its covariance [6, 6]."""
        self._filter.update(measurement, R=noise_covar)


class _QuickLikelihood:
    """filterpy's log likelihood of the last innovation without the eigenvalues that take most of
    its time.
    """

    # What the filter that it is mixed into has of its last update.
    y: np.ndarray
    S: np.ndarray
    SI: np.ndarray
    dim_z: int

    @property
    def log_likelihood(self) -> float:
        squared = self.y @ self.SI @ self.y
        return -0.5 * (squared + np.linalg.slogdet(self.S)[1] + self.dim_z * math.log(2 * math.pi))


class _StraightMode(_QuickLikelihood, KalmanFilter):
    """Constant velocity, in the state of the turn."""


class _TurnMode(_QuickLikelihood, ExtendedKalmanFilter):
    """Coordinated turn as an EKF that IMMEstimator can drive; dt_s is set before each
    prediction.
    """

    dt_s = 0.0

    def predict(self, u=None):
        self.F = coordinated_turn_jacobian(self.x, self.dt_s)
        super().predict(u)

    def predict_x(self, u=None):
        self.x = coordinated_turn(self.x, self.dt_s)

    def update(
        self, z, HJacobian=lambda state: _OBSERVATION, Hx=lambda state: state[:6], *more, **named
    ):
        super().update(z, HJacobian, Hx, *more, **named)


_OBSERVATION = np.eye(6, 7)


class ImmFilter:
    """Interacting multiple model (Bar-Shalom 2001, 11.6.6): quiet constant velocity and coordinated
    turn.

    Both modes carry the turn rate. In the CV mode it has no effect and is drawn anew from its
    prior, so that mixing hands the turn mode the rate that a turn beginning now would have.
    """

    def __init__(self, settings: Tracking, mean: np.ndarray, covariance: np.ndarray):
        self._settings = settings
        self._straight, self._turn = _StraightMode(dim_x=7, dim_z=6), _TurnMode(dim_x=7, dim_z=6)
        self._straight.H = _OBSERVATION
        for mode in (self._straight, self._turn):
            mode.x = np.append(mean, 0.0)
            mode.P = _with_rate(covariance, settings.turn_rate_std_radps**2)
        self._imm = IMMEstimator(
            [self._straight, self._turn], np.array([0.5, 0.5]), _mode_transition(0.0)
        )

    @property
    def mean(self) -> np.ndarray:
        """Position and velocity, [6], float64, SI."""
        return self._imm.x[:6].copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of position and velocity, [6, 6], float64, SI, symmetric."""
        return _symmetric(self._imm.P[:6, :6])

    @property
    def mode_probabilities(self) -> np.ndarray:
        """Probabilities [2] of straight motion and turn."""
        return self._imm.mu.copy()

    def predict(self, dt_s: float) -> None:
        """Go dt_s into the future."""
        rate_std = self._settings.turn_rate_std_radps
        self._straight.F = _with_rate(constant_velocity_transition(dt_s), 0.0)
        self._straight.Q = _with_rate(self._noise(dt_s, QUIET_SHARE), rate_std**2)
        self._turn.dt_s = dt_s
        self._turn.Q = _with_rate(self._noise(dt_s, 1.0), turn_noise(dt_s, rate_std))
        self._imm.M = _mode_transition(dt_s)
        self._imm._compute_mixing_probabilities()
        self._imm.mu = self._imm.cbar.copy()  # filterpy forgets this where no measurement follows
        self._imm.predict()

    def update(self, measurement: np.ndarray, noise_covar: np.ndarray) -> None:
        """Take in a measured position and velocity [6] with its covariance [6, 6]."""
        self._straight.R = self._turn.R = noise_covar
        self._imm.update(measurement)

    def _noise(self, dt_s: float, share: float) -> np.ndarray:
        return acceleration_noise(
            dt_s,
            share * self._settings.accel_std_mps2,
            share * self._settings.vertical_accel_std_mps2,
        )


FILTERS: dict[str, Callable[[Tracking, np.ndarray, np.ndarray], MotionFilter]] = {
    "cv": ConstantVelocityFilter,
    "imm": ImmFilter,
}


def check_model(settings: Tracking) -> None:
    """ValueError unless settings.model names a filter."""
    if settings.model not in FILTERS:
        raise ValueError(
            f"tracking model '{settings.model}' is unknown; allowed: {sorted(FILTERS)}"
        )


def make_filter(settings: Tracking, mean: np.ndarray, covariance: np.ndarray) -> MotionFilter:
    """The filter that settings.model names, started at mean [6] with covariance [6, 6] (SI,
    map).
    """
    check_model(settings)
    return FILTERS[settings.model](settings, mean, covariance)


def _mode_transition(dt_s: float) -> np.ndarray:
    """Mode transition probabilities [2, 2] of a chain that stays MODE_MEMORY_S in a mode on
    average.
    """
    switch = 0.5 * (1 - np.exp(-2 * dt_s / MODE_MEMORY_S))
    return np.array([[1 - switch, switch], [switch, 1 - switch]])


def _with_rate(matrix: np.ndarray, rate_entry: float) -> np.ndarray:
    """The [6, 6] matrix with one more diagonal entry, that of the turn rate."""
    extended = np.zeros((7, 7))
    extended[:6, :6], extended[6, 6] = matrix, rate_entry
    return extended


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2
