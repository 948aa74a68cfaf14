"""Interface of the motion filters of all tracks, built-in or a user's."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Filters(Protocol):
    """Motion filters of all tracks, in the order of the tracks.

    Methods return the failures of filters as text, by index of the track; most filters have none.

    means: [num_tracks, 6], float64, position and velocity, SI, map
    covariances: [num_tracks, 6, 6], float64, SI
    copy_every: lists of detections after which the tracker keeps a copy: one where it costs nothing
    """

    means: np.ndarray
    covariances: np.ndarray
    copy_every: int

    def copy(self) -> Filters | None:
        """The filters as they are, whatever becomes of these; None where it is impossible."""
        ...

    def start(self, means: np.ndarray, covariances: np.ndarray) -> dict[int, str]:
        """Append filters.

        means: [num, 6], float64, SI, map, their states
        covariances: [num, 6, 6], float64, SI
        Returns failures by index among the new filters.
        """
        ...

    def keep(self, tracks: np.ndarray) -> None:
        """Keep only some tracks.

        tracks: indices [num], int, or a mask [num_tracks], bool
        """

    def predict(self, dt_s: float) -> dict[int, str]:
        """Predict all tracks.

        dt_s: duration, s
        Returns failures by track.
        """
        ...

    def update(
        self, tracks: np.ndarray, measurements: np.ndarray, noise_covars: np.ndarray
    ) -> dict[int, str]:
        """Update some tracks by a measured position and velocity each.

        tracks: [num], int, indices
        measurements: [num, 6], float64, SI, map
        noise_covars: [num, 6, 6], float64, SI
        Returns failures by track.
        """
        ...
