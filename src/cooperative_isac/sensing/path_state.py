"""State of the paths at one receiver: locations of targets, and each path's Doppler shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PathState:
    """Paths of targets at one receiver; the paths of a target share its location.

    points_m: [num_targets, 3], float64, m, locations in map
    owner: [num_paths], int, target of each path
    transmitter: [num_paths], int, index of the transmitting site of each path
    doppler_hz: [num_paths], float64, Hz
    """

    points_m: np.ndarray
    owner: np.ndarray
    transmitter: np.ndarray
    doppler_hz: np.ndarray

    @property
    def num_targets(self) -> int:
        """Number of targets."""
        return len(self.points_m)

    @property
    def num_paths(self) -> int:
        """Number of paths of all targets."""
        return len(self.owner)

    @property
    def is_finite(self) -> bool:
        """True where all locations and Doppler shifts are finite numbers."""
        return bool(np.isfinite(self.points_m).all() and np.isfinite(self.doppler_hz).all())

    def with_target(self, other: PathState) -> PathState:
        """The targets of this state, then those of another."""
        return PathState(
            np.concatenate([self.points_m, other.points_m]),
            np.concatenate([self.owner, other.owner + self.num_targets]),
            np.concatenate([self.transmitter, other.transmitter]),
            np.concatenate([self.doppler_hz, other.doppler_hz]),
        )

    def with_path(self, target: int, transmitter: int, doppler_hz: float) -> PathState:
        """The state with one more path of a target."""
        return PathState(
            self.points_m,
            np.append(self.owner, target),
            np.append(self.transmitter, transmitter),
            np.append(self.doppler_hz, doppler_hz),
        )

    def merged(self, first: int, second: int, point_m: np.ndarray) -> PathState:
        """The state with the paths of a second target moved to the first, at a new location.

        The second target is left without paths; `keep` drops it.

        first, second: targets
        point_m: [3], float64, m, new location of the first
        """
        points = self.points_m.copy()
        points[first] = point_m
        return PathState(
            points,
            np.where(self.owner == second, first, self.owner),
            self.transmitter,
            self.doppler_hz,
        )

    def keep(self, paths: np.ndarray) -> PathState:
        """The state with chosen paths only, and the targets that still have one.

        paths: [num_paths], bool
        """
        targets, owner = np.unique(self.owner[paths], return_inverse=True)
        return PathState(
            self.points_m[targets], owner, self.transmitter[paths], self.doppler_hz[paths]
        )


NO_PATHS = PathState(np.zeros((0, 3)), np.zeros(0, int), np.zeros(0, int), np.zeros(0))


def single_path(point_m: np.ndarray, transmitter: int, doppler_hz: float) -> PathState:
    """One target with one path.

    point_m: [3], float64, m, map
    transmitter: index of the transmitting site
    doppler_hz: Doppler shift, Hz
    """
    return PathState(
        point_m[None], np.zeros(1, int), np.array([transmitter]), np.array([float(doppler_hz)])
    )
