"""The tracker's interacting multiple model filter, made of filterpy's objects.

A motion filter of one's own (docs/tracking.md) with the models and figures of the built-in `imm`.
It gives the same tracks, more slowly: the built-in one keeps the filters of all tracks in arrays.
Where this file can be imported, a scene takes it with

    tracking:
      model: filterpy_imm:make_filter
"""

import numpy as np
from filterpy.kalman import ExtendedKalmanFilter, IMMEstimator, KalmanFilter

from cooperative_isac.tracking.filters import mode_transition, motion_models

OBSERVATION = np.eye(6, 7)  # position and velocity of a state with a turn rate


class LinearMode(KalmanFilter):
    """A mode whose motion is linear: constant velocity."""

    def __init__(self, model):
        super().__init__(dim_x=7, dim_z=6)
        self.model = model
        self.dt = 0.0
        self.x = np.zeros(7)
        self.H = OBSERVATION

    def predict(self, u=None):
        """Go self.dt into the future."""
        self.F = self.model.jacobian(self.x, self.dt)
        self.Q = self.model.noise(self.dt)
        super().predict(u)


class TurnMode(ExtendedKalmanFilter):
    """A mode whose motion is not linear: coordinated turn."""

    def __init__(self, model):
        super().__init__(dim_x=7, dim_z=6)
        self.model = model
        self.dt = 0.0
        self.x = np.zeros(7)

    def predict(self, u=None):
        """Go self.dt into the future."""
        self.F = self.model.jacobian(self.x, self.dt)
        self.Q = self.model.noise(self.dt)
        super().predict(u)

    def predict_x(self, u=None):
        """Move the mean along the turn."""
        self.x = self.model.move(self.x, self.dt)

    def update(self, z):
        """Take in a measurement with the covariance self.R."""
        super().update(z, lambda state: OBSERVATION, lambda state: state[:6])


class FilterpyImm:
    """Two filters of filterpy that interact, as the tracker wants a motion filter."""

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
        """Go dt seconds into the future."""
        # A new estimator with the transition over dt; of the old one only the probabilities last.
        self.imm = IMMEstimator(self.modes, self.imm.mu, mode_transition(2, dt))
        self.imm.mu = self.imm.cbar.copy()
        for mode in self.modes:
            mode.dt = dt
        self.imm.predict()

    def update(self, z, R):
        """Take in a measured position and velocity, z [6], with its covariance, R [6, 6]."""
        for mode in self.modes:
            mode.R = R
        self.imm.update(z)


def make_filter(settings, dimension):
    """A new filter, with the figures of a scene's tracking block."""
    return FilterpyImm(settings)
