"""Predictor and updater: the motion filters of all tracks of a tracker."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import BUILT_IN
from cooperative_isac.tracking import bank
from cooperative_isac.tracking.motion_models import (
    NUM_OBSERVED,
    ConstantVelocity,
    MotionModel,
    StraightMode,
    TurnMode,
    with_turn_rate,
)
from cooperative_isac.tracking.own_filters import OwnFilters

MODE_MEMORY_S = 4.0  # time that a target stays in a mode on average: about as long as a turn
# Share of the acceleration in the straight mode of the IMM: what accelerates more, turns.
QUIET_SHARE = 0.5


class Filters(Protocol):
    """The motion filters of all tracks, in the order of the tracks.

    means: [num_tracks, 6], float64, position and velocity, SI, map
    covariances: [num_tracks, 6, 6], float64, SI
    """

    means: np.ndarray
    covariances: np.ndarray

    def start(self, means: np.ndarray, covariances: np.ndarray) -> dict[int, str]:
        """Append filters with these states; what went wrong, in words, by place among these."""

    def keep(self, tracks: np.ndarray) -> None:
        """Keep these tracks alone; indices [num], int, or a mask [num_tracks], bool."""

    def predict(self, dt_s: float) -> dict[int, str]:
        """Take all tracks dt_s into the future; what went wrong, in words, by track."""

    def update(
        self, tracks: np.ndarray, measurements: np.ndarray, noise_covars: np.ndarray
    ) -> dict[int, str]:
        """Take in a measurement of each of some tracks; what went wrong, in words, by track.

        Args:
            tracks: [num], int
            measurements: [num, 6], float64, SI, map
            noise_covars: [num, 6, 6], float64, SI
        """


class BankFilters:
    """Motion filters in arrays: the models `cv` and `imm`.

    A state that becomes invalid shows as such in means and covariances; nothing is raised.

    means: [num_tracks, 6], float64, position and velocity, SI, map
    covariances: [num_tracks, 6, 6], float64, SI
    """

    def __init__(self, settings: Tracking):
        self._settings = settings
        self._models = motion_models(settings)
        self._num_states = self._models[0].num_states
        empty = np.empty((0, NUM_OBSERVED))
        self._bank = self._started(empty, np.empty((0, NUM_OBSERVED, NUM_OBSERVED)))
        self._combine()

    @property
    def modes(self) -> bank.Bank:
        """The filters of each mode, in the order of `motion_models`; means and covariances combine
        them.
        """
        return self._bank

    def start(self, means: np.ndarray, covariances: np.ndarray) -> dict[int, str]:
        """Append filters with these states, [num, 6] and [num, 6, 6]."""
        self._bank = bank.concatenate(self._bank, self._started(means, covariances))
        self._combine()
        return {}

    def keep(self, tracks: np.ndarray) -> None:
        """Keep these tracks alone; indices [num], int, or a mask [num_tracks], bool."""
        self._bank = self._bank.at(tracks)
        self.means = self.means[tracks]
        self.covariances = self.covariances[tracks]

    def predict(self, dt_s: float) -> dict[int, str]:
        """Take all tracks dt_s into the future."""
        if dt_s == 0 or not len(self.means):
            return {}
        transition = mode_transition(len(self._models), dt_s)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._bank = bank.predict(self._bank, self._models, transition, dt_s)
            self._combine()
        return {}

    def update(
        self, tracks: np.ndarray, measurements: np.ndarray, noise_covars: np.ndarray
    ) -> dict[int, str]:
        """Take in a measurement of each of some tracks.

        Args:
            tracks: [num], int
            measurements: [num, 6], float64, SI, map
            noise_covars: [num, 6, 6], float64, SI
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            part = bank.update(self._bank.at(tracks), measurements, noise_covars)
            means, covariances = bank.combine(part)
        self._bank = bank.replace_at(self._bank, tracks, part)

        # Those who hold the arrays of before keep them as they were.
        self.means = self.means.copy()
        self.means[tracks] = means[:, :NUM_OBSERVED]
        self.covariances = self.covariances.copy()
        self.covariances[tracks] = covariances[:, :NUM_OBSERVED, :NUM_OBSERVED]
        return {}

    def _started(self, means: np.ndarray, covariances: np.ndarray) -> bank.Bank:
        """Filters of a position and velocity, with a turn rate around 0 where models have one."""
        if self._num_states > NUM_OBSERVED:
            means = np.concatenate([means, np.zeros((len(means), 1))], axis=1)
            covariances = with_turn_rate(covariances, self._settings.turn_rate_std_radps**2)
        return bank.start(means, covariances, len(self._models))

    def _combine(self) -> None:
        """Position and velocity of every track from those of its modes."""
        means, covariances = bank.combine(self._bank)
        self.means = means[:, :NUM_OBSERVED]
        self.covariances = covariances[:, :NUM_OBSERVED, :NUM_OBSERVED]


def motion_models(settings: Tracking) -> tuple[MotionModel, ...]:
    """Modes of a built-in model: constant velocity, or quiet constant velocity and turn (IMM)."""
    loud = ConstantVelocity(settings.accel_std_mps2, settings.vertical_accel_std_mps2)
    if settings.model == "cv":
        return (loud,)
    quiet = ConstantVelocity(
        QUIET_SHARE * settings.accel_std_mps2, QUIET_SHARE * settings.vertical_accel_std_mps2
    )
    rate_std = settings.turn_rate_std_radps
    return StraightMode(quiet, rate_std), TurnMode(loud, rate_std)


def mode_transition(num_modes: int, dt_s: float) -> np.ndarray:
    """Transition probabilities [num_modes, num_modes] of a chain of one or two modes.

    It stays MODE_MEMORY_S in a mode on average, whatever the steps dt_s.
    """
    if num_modes == 1:
        return np.ones((1, 1))
    switch = 0.5 * (1 - math.exp(-2 * dt_s / MODE_MEMORY_S))
    return np.array([[1 - switch, switch], [switch, 1 - switch]])


def make_filters(settings: Tracking, dimension: int) -> Filters:
    """Motion filters of the model that the settings name, for no track yet.

    Args:
        settings: tracking settings of the scene
        dimension: of the scene, 2 or 3

    Raises:
        ValueError: the model is unknown, or it is no motion filter
    """
    if settings.model in BUILT_IN:
        return BankFilters(settings)
    return OwnFilters(settings, dimension)
