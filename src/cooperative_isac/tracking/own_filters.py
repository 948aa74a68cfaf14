"""Motion filters of a user: one object a track, such as filterpy's filters."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from typing import Protocol

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.scene.motion_filters import load_factory, register_motion_filter
from cooperative_isac.tracking.filter_bank import Filters
from cooperative_isac.tracking.motion_models import NUM_OBSERVED

__all__ = ["MotionFilter", "OwnFilters", "register_motion_filter"]


class MotionFilter(Protocol):
    """Interface of a user's motion filter, with filterpy's names.

    The first six entries of the state are position (m) and velocity (m/s) along x, y, z of map; the
    others are free. The tracker writes the first six of x and P when a track starts; the others
    keep the values from the factory.

    x: [num_states] or [num_states, 1], float64, mean of the state
    P: [num_states, num_states], float64, its covariance
    """

    x: np.ndarray
    P: np.ndarray

    def predict(self, dt: float) -> None:
        """Predict the state dt seconds later; dt is 0 or more."""

    def update(self, z: np.ndarray, R: np.ndarray) -> None:
        """Update by a measured position and velocity, z [6], with its covariance, R [6, 6]."""


# Lists of detections after which all filters are copied: copies of objects take a quarter of the
# time of their predictions and updates.
COPY_EVERY = 8


class OwnFilters(Filters):
    """Motion filters of a user's class, one for each track; a failing filter ends its track only.

    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    Raises ValueError where the factory is not found, or where it makes no motion filter.
    """

    copy_every = COPY_EVERY

    def __init__(self, settings: Tracking, dimension: int):
        factory = load_factory(settings.model)
        self._make = partial(factory, settings, dimension)
        self._template = _checked(settings.model, self._make)
        self._filters: list[MotionFilter] = []
        self.means = np.empty((0, NUM_OBSERVED))
        self.covariances = np.empty((0, NUM_OBSERVED, NUM_OBSERVED))

    def copy(self) -> OwnFilters | None:
        """The filters as they are (see Filters); None where one of them cannot be copied."""
        copied = copy(self)
        try:
            copied._filters = deepcopy(self._filters)
        except Exception:  # of the user's class
            return None
        return copied

    def start(self, means: np.ndarray, covariances: np.ndarray) -> dict[int, str]:
        """Append filters (see Filters)."""
        problems: dict[int, str] = {}
        for place, (mean, covariance) in enumerate(zip(means, covariances)):
            # The template keeps the place of a filter that fails to start.
            self._filters.append(self._template)
            _attempt(problems, place, self._start_last, mean, covariance)

        self.means = np.concatenate([self.means, means])
        self.covariances = np.concatenate([self.covariances, covariances])
        return problems

    def keep(self, tracks: np.ndarray) -> None:
        """Keep only some tracks (see Filters)."""
        places = np.arange(len(self._filters))[tracks]
        self._filters = [self._filters[place] for place in places]
        self.means = self.means[tracks]
        self.covariances = self.covariances[tracks]

    def predict(self, dt_s: float) -> dict[int, str]:
        """Predict all tracks (see Filters)."""
        problems: dict[int, str] = {}
        self.means = self.means.copy()
        self.covariances = self.covariances.copy()
        for track, filter_ in enumerate(self._filters):
            _attempt(problems, track, filter_.predict, dt=dt_s)
            _attempt(problems, track, self._read, track)
        return problems

    def update(
        self, tracks: np.ndarray, measurements: np.ndarray, noise_covars: np.ndarray
    ) -> dict[int, str]:
        """Update some tracks (see Filters)."""
        problems: dict[int, str] = {}
        self.means = self.means.copy()
        self.covariances = self.covariances.copy()
        for track, measurement, noise_covar in zip(tracks.tolist(), measurements, noise_covars):
            _attempt(problems, track, self._filters[track].update, measurement, R=noise_covar)
            _attempt(problems, track, self._read, track)
        return problems

    def _start_last(self, mean: np.ndarray, covariance: np.ndarray) -> None:
        """Make and start the filter of the last track."""
        filter_ = self._make()
        _set_state(filter_, mean, covariance)
        self._filters[-1] = filter_

    def _read(self, track: int) -> None:
        """Copy position and velocity of a track from its filter."""
        filter_ = self._filters[track]
        covariance = np.asarray(filter_.P, float)[:NUM_OBSERVED, :NUM_OBSERVED]
        self.means[track] = np.asarray(filter_.x, float).reshape(-1)[:NUM_OBSERVED]
        self.covariances[track] = (covariance + covariance.T) / 2


def _checked(model: str, make: Callable[[], MotionFilter]) -> MotionFilter:
    """A filter from a factory; ValueError where it is no motion filter."""
    try:
        made = make()
        num_states = np.size(made.x)
        shape = np.shape(made.P)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"tracking model '{model}' makes no motion filter: {error}") from error

    if num_states < NUM_OBSERVED or shape != (num_states, num_states):
        raise ValueError(
            f"tracking model '{model}': x has {num_states} entries and P the shape {shape}; a "
            f"motion filter has {NUM_OBSERVED} states or more, position and velocity first"
        )
    for method in ("predict", "update"):
        if not callable(getattr(made, method, None)):
            raise ValueError(f"tracking model '{model}': the filter has no method {method}")
    return made


def _set_state(filter_: MotionFilter, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Set position and velocity of a filter, uncorrelated with its other states."""
    # A row or a column, as the filter has it.
    state = np.array(filter_.x, float)
    state.reshape(-1)[:NUM_OBSERVED] = mean
    filter_.x = state

    # No correlation with the other states, whose variances stay.
    state_covar = np.array(filter_.P, float)
    state_covar[:NUM_OBSERVED] = 0.0
    state_covar[:, :NUM_OBSERVED] = 0.0
    state_covar[:NUM_OBSERVED, :NUM_OBSERVED] = covariance
    filter_.P = state_covar


def _attempt(
    problems: dict[int, str], track: int, step: Callable[..., object], *arguments, **named
) -> None:
    """Run one step of a track's filter unless an earlier one failed, and record its failure.

    A user's filter may raise any exception, and one track must not end the others.

    problems: failures in words, by track; a new one is added
    """
    if track in problems:
        return
    try:
        step(*arguments, **named)
    except Exception as error:
        problems[track] = f"{type(error).__name__}: {error}"
