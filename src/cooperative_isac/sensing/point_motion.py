"""Velocities of located points, from one frame to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Scene

# Time over which a displacement gives a velocity at most, s: later, targets have turned.
LONGEST_INTERVAL_S = 1.0

# Distance beyond the largest displacement within which a point is that of the last frame, m: errors
# of both locations.
LOCATION_MARGIN_M = 1.0


@dataclass(frozen=True)
class _Points:
    """Points of a frame: time in s, locations [n, 3] in m, covariances [n, D, D] in m^2."""

    time_s: float
    points_m: np.ndarray
    covariances_m2: np.ndarray


class PointMotion:
    """Velocities of points by their displacement since the last frame.

    Doppler shifts are not used: those of links with unknown clocks are biased, and one of its own
    gives a station one component of the velocity alone.

    scene: of one or several bands
    """

    def __init__(self, scene: Scene):
        self._max_speed_mps = scene.sensing.max_speed_mps
        self._prior = np.diag(scene.velocity_stds_mps**2)
        self._last: _Points | None = None

    def velocities(
        self, time_s: float | None, points_m: np.ndarray, covariances_m2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Velocities of the points of a frame; zero within the largest speed for new points.

        time_s: of the frame, s; None where frames are independent draws
        points_m: [n, 3], float64, m, map
        covariances_m2: [n, D, D], float64, m^2
        Returns velocities [n, 3], m/s, and their covariances [n, D, D], (m/s)^2.
        """
        velocities_mps = np.zeros_like(points_m)
        covariances = np.tile(self._prior, (len(points_m), 1, 1))

        # Displacements of the points that were there in the last frame.
        last = self._last
        self._last = None if time_s is None else _Points(time_s, points_m, covariances_m2)
        if last is None or time_s is None:
            return velocities_mps, covariances
        elapsed_s = time_s - last.time_s
        if not 0 < elapsed_s <= LONGEST_INTERVAL_S:
            return velocities_mps, covariances
        reach_m = self._max_speed_mps * elapsed_s + LOCATION_MARGIN_M
        for now, before in _nearest_pairs(points_m, last.points_m, reach_m):
            velocities_mps[now] = (points_m[now] - last.points_m[before]) / elapsed_s
            noise = covariances_m2[now] + last.covariances_m2[before]
            covariances[now] = noise / elapsed_s**2
        return velocities_mps, covariances


def _nearest_pairs(
    points_m: np.ndarray, others_m: np.ndarray, reach_m: float
) -> list[tuple[int, int]]:
    """Pairs of points that are each other's nearest, within a reach.

    points_m: [n, 3], float64, m
    others_m: [m, 3], float64, m
    """
    if not len(points_m) or not len(others_m):
        return []
    distances_m = np.linalg.norm(points_m[:, None] - others_m, axis=-1)
    nearest = distances_m.argmin(axis=1)
    back = distances_m.argmin(axis=0)
    return [
        (now, int(before))
        for now, before in enumerate(nearest)
        if back[before] == now and distances_m[now, before] <= reach_m
    ]
