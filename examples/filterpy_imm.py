"""The interacting multiple model (IMM) filter of the tracker, built from filterpy objects.

This is an example of a custom motion filter (docs/tracking.md), with the models and parameters of
the built-in filter `imm`. It gives the same tracks, but more slowly: the built-in one keeps the
filters of all tracks in arrays. If this file can be imported, a scene selects it with

    tracking:
      model: filterpy_imm:make_filter
"""

import numpy as np
from filterpy.kalman import ExtendedKalmanFilter, IMMEstimator, KalmanFilter

from cooperative_isac.tracking.filters import mode_transition, motion_models

# Measurement matrix: position and velocity, out of a state with a turn rate.
OBSERVATION = np.eye(6, 7)


class LinearMode(KalmanFilter):
    """Kalman filter of the linear mode: constant velocity."""

    def __init__(self, model):
        super().__init__(dim_x=7, dim_z=6)
        self.model = model
        self.dt = 0.0
        self.x = np.zeros(7)
        self.H = OBSERVATION

    def predict(self, u=None):
        """Predict self.dt seconds ahead."""
        self.F = self.model.jacobian(self.x, self.dt)
        self.Q = self.model.noise(self.dt)
        super().predict(u)


class TurnMode(ExtendedKalmanFilter):
    """Extended Kalman filter of the nonlinear mode: coordinated turn."""

    def __init__(self, model):
        super().__init__(dim_x=7, dim_z=6)
        self.model = model
        self.dt = 0.0
        self.x = np.zeros(7)

    def predict(self, u=None):
        """Predict self.dt seconds ahead."""
        self.F = self.model.jacobian(self.x, self.dt)
        self.Q = self.model.noise(self.dt)
        super().predict(u)

    def predict_x(self, u=None):
        """Predict the mean along the turn."""
        self.x = self.model.move(self.x, self.dt)

    def update(self, z):
        """Update with a measurement z [6], whose covariance is self.R."""
        super().update(z, lambda state: OBSERVATION, lambda state: state[:6])


class FilterpyImm:
    """IMM of two filterpy filters, with the interface of the tracker's motion filters."""

    def __init__(self, settings):
        straight, turn = motion_models(settings)
        self.modes = [LinearMode(straight), TurnMode(turn)]
        self.P = np.diag([1.0] * 6 + [settings.turn_rate_std_radps**2])

    @property
    def x(self):
        """Mean [7] over the modes."""
        return self.imm.x

    @x.setter
    def x(self, mean):
        for mode in self.modes:
            mode.x = mean.copy()
        self.imm = IMMEstimator(self.modes, [0.5, 0.5], mode_transition(2, 0.0))

    @property
    def P(self):
        """Covariance [7, 7] over the modes."""
        return self.imm.P

    @P.setter
    def P(self, covariance):
        for mode in self.modes:
            mode.P = covariance.copy()
        self.imm = IMMEstimator(self.modes, [0.5, 0.5], mode_transition(2, 0.0))

    def predict(self, dt):
        """Predict dt seconds ahead."""
        # A new estimator for the transition over dt, which takes over the mode probabilities.
        self.imm = IMMEstimator(self.modes, self.imm.mu, mode_transition(2, dt))
        self.imm.mu = self.imm.cbar.copy()
        for mode in self.modes:
            mode.dt = dt
        self.imm.predict()

    def update(self, z, R):
        """Update with a measured position and velocity z [6], and its covariance R [6, 6]."""
        for mode in self.modes:
            mode.R = R
        self.imm.update(z)


def make_filter(settings, dimension):
    """Make a filter with the parameters of a scene's tracking block."""
    return FilterpyImm(settings)
