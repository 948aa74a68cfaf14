"""Predictor and updater: the motion filters of all tracks of a tracker."""

from __future__ import annotations

import math
from copy import copy

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN_FILTERS
from cooperative_isac.tracking import bank
from cooperative_isac.tracking.filter_bank import Filters
from cooperative_isac.tracking.motion_models import (
    NUM_OBSERVED,
    ConstantVelocity,
    MotionModel,
    StraightMode,
    TurnMode,
    with_turn_rate,
)
from cooperative_isac.tracking.own_filters import OwnFilters

# Time for which a target stays in a mode on average, s: about as long as a turn.
MODE_MEMORY_S = 4.0

# Acceleration of the straight mode of the IMM over that of the turn: targets that accelerate more
# are in a turn.
QUIET_SHARE = 0.5


class BankFilters(Filters):
    """Motion filters in arrays: the models `cv` and `imm`.

    An invalid state shows in means and covariances; no failures are returned.

    settings: tracking settings of the scene
    """

    copy_every = 1

    def __init__(self, settings: Tracking):
        self._settings = settings
        self._models = motion_models(settings)
        self._num_states = self._models[0].num_states
        empty = np.empty((0, NUM_OBSERVED))
        self._bank = self._started(empty, np.empty((0, NUM_OBSERVED, NUM_OBSERVED)))
        self._combine()

    @property
    def modes(self) -> bank.Bank:
        """The filters of each mode, in the order of `motion_models`."""
        return self._bank

    def copy(self) -> BankFilters:
        """The filters as they are (see Filters): no array is written to, so both share them."""
        return copy(self)

    def start(self, means: np.ndarray, covariances: np.ndarray) -> dict[int, str]:
        """Append filters (see Filters)."""
        self._bank = bank.concatenate(self._bank, self._started(means, covariances))
        self._combine()
        return {}

    def keep(self, tracks: np.ndarray) -> None:
        """Keep only some tracks (see Filters)."""
        self._bank = self._bank.at(tracks)
        self.means = self.means[tracks]
        self.covariances = self.covariances[tracks]

    def predict(self, dt_s: float) -> dict[int, str]:
        """Predict all tracks (see Filters)."""
        if dt_s == 0 or not len(self.means):
            return {}

        # An invalid state may overflow; the tracker finds it in the means and covariances.
        transition = mode_transition(len(self._models), dt_s)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._bank = bank.predict(self._bank, self._models, transition, dt_s)
            self._combine()
        return {}

    def update(
        self, tracks: np.ndarray, measurements: np.ndarray, noise_covars: np.ndarray
    ) -> dict[int, str]:
        """Update some tracks (see Filters)."""
        # Invalid states as in predict.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            part = bank.update(self._bank.at(tracks), measurements, noise_covars)
            means, covariances = bank.combine(part)
        self._bank = bank.replace_at(self._bank, tracks, part)

        # Copies: snapshots hold the arrays of earlier frames.
        self.means = self.means.copy()
        self.means[tracks] = means[:, :NUM_OBSERVED]
        self.covariances = self.covariances.copy()
        self.covariances[tracks] = covariances[:, :NUM_OBSERVED, :NUM_OBSERVED]
        return {}

    def _started(self, means: np.ndarray, covariances: np.ndarray) -> bank.Bank:
        """New filters, with a turn rate around 0 where the models have one."""
        if self._num_states > NUM_OBSERVED:
            means = np.concatenate([means, np.zeros((len(means), 1))], axis=1)
            covariances = with_turn_rate(covariances, self._settings.turn_rate_std_radps**2)
        return bank.start(means, covariances, len(self._models))

    def _combine(self) -> None:
        """Combine the modes of every track to one position and velocity."""
        means, covariances = bank.combine(self._bank)
        self.means = means[:, :NUM_OBSERVED]
        self.covariances = covariances[:, :NUM_OBSERVED, :NUM_OBSERVED]


def motion_models(settings: Tracking) -> tuple[MotionModel, ...]:
    """Modes of a built-in model: constant velocity, or quiet constant velocity and turn (IMM)."""
    maneuvering = ConstantVelocity(settings.accel_std_mps2, settings.vertical_accel_std_mps2)
    if settings.model == "cv":
        return (maneuvering,)

    quiet = ConstantVelocity(
        QUIET_SHARE * settings.accel_std_mps2, QUIET_SHARE * settings.vertical_accel_std_mps2
    )
    rate_std_radps = settings.turn_rate_std_radps
    return StraightMode(quiet, rate_std_radps), TurnMode(maneuvering, rate_std_radps)


def mode_transition(num_modes: int, dt_s: float) -> np.ndarray:
    """Transition probabilities of a Markov chain of one or two modes.

    It stays MODE_MEMORY_S in a mode on average, for any step.

    num_modes: 1 or 2
    dt_s: step, s
    Returns [num_modes, num_modes], float64, from a mode (row) to another (column).
    """
    if num_modes == 1:
        return np.ones((1, 1))

    # A chain in continuous time that leaves either mode at rate 1 / MODE_MEMORY_S: probability of
    # being in the other mode after dt_s.
    switch = 0.5 * (1 - math.exp(-2 * dt_s / MODE_MEMORY_S))
    return np.array([[1 - switch, switch], [switch, 1 - switch]])


def make_filters(settings: Tracking, dimension: int) -> Filters:
    """Motion filters of the model in the settings, without a track yet.

    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    Raises ValueError where the model is unknown or no motion filter.
    """
    if settings.model in BUILT_IN_FILTERS:
        return BankFilters(settings)
    return OwnFilters(settings, dimension)
