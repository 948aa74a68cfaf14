"""Prediction of the paths of an earlier frame, from which the next one starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.path_state import NO_PATHS, PathState

# Time over which paths are predicted at most, s: later a target has left the main lobe of its
# prediction.
LONGEST_PREDICTION_S = 1.0

# Rounding of differences between the times of frames, s.
ROUNDING_S = 1e-6

# Singular value, over the largest one, below which a direction of velocity counts as not measured.
LEAST_SINGULAR = 0.1


@dataclass(frozen=True)
class Memory:
    """Paths of an earlier frame.

    time_s: time of the frame, s
    state: the paths
    """

    time_s: float
    state: PathState

    def predict(self, scene: Scene, receiver: Site, time_s: float) -> PathState:
        """The paths at a later time; none earlier, or after LONGEST_PREDICTION_S.

        scene: of the band, with the stations at their poses of the earlier frame
        receiver: receiving station
        time_s: time of the prediction, s
        """
        elapsed_s = time_s - self.time_s
        if not 0 < elapsed_s <= LONGEST_PREDICTION_S + ROUNDING_S:
            return NO_PATHS
        velocities_mps = least_squares_velocity(scene, receiver, self.state)
        return replace(self.state, points_m=self.state.points_m + elapsed_s * velocities_mps)


def least_squares_velocity(scene: Scene, receiver: Site, state: PathState) -> np.ndarray:
    """Velocity of least norm of each target, from the Doppler shifts of its paths (CF eq. 9).

    scene: of the band
    receiver: receiving station
    state: the paths
    Returns [num_targets, 3], float64, m/s.
    """
    size = scene.dimension
    wavelength_m = scene.grid.wavelength_m
    sites = [scene.transmitters[index] for index in state.transmitter]

    # Shifts beyond those of a target at rest, which moving sites cause.
    paths = bistatic_geometry(
        np.array([site.position_m for site in sites]),
        receiver.position_m,
        state.points_m[state.owner],
        np.zeros(3),
        wavelength_m,
        np.array([site.velocity_mps for site in sites]),
        receiver.velocity_mps,
    )
    shifts_hz = state.doppler_hz - paths.doppler_hz

    # Each target's paths are rows of its own system, all other rows are zero.
    rows = np.zeros((state.num_targets, state.num_paths, size))
    all_paths = np.arange(state.num_paths)
    rows[state.owner, all_paths] = -paths.range_gradient[:, :size] / wavelength_m

    # Least squares of the least norm.
    velocities_mps = np.zeros_like(state.points_m)
    velocities_mps[:, :size] = np.linalg.pinv(rows, rcond=LEAST_SINGULAR) @ shifts_hz
    return velocities_mps
