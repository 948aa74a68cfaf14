"""What an access point remembers from one frame to the next: where its paths will be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.path_state import NO_PATHS, PathState

FORGET_S = 1.0  # s, after which a path is no longer expected where it was heard
ROUNDING_S = 1e-6  # s, of differences between the times of frames

# Share of the largest singular value below which a direction of velocity counts as not measured.
LEAST_SINGULAR = 0.1


@dataclass(frozen=True)
class Memory:
    """The paths of an earlier frame: its time and their state."""

    time_s: float
    state: PathState

    def recall(self, scene: Scene, receiver: Site, time_s: float) -> PathState:
        """Where the remembered paths are expected at a time; none after FORGET_S, or before.

        scene: of the band, with the stations where they were
        """
        elapsed_s = time_s - self.time_s
        if not 0 < elapsed_s <= FORGET_S + ROUNDING_S:
            return NO_PATHS
        return replace(
            self.state,
            points_m=self.state.points_m + elapsed_s * drift(scene, receiver, self.state),
        )


def drift(scene: Scene, receiver: Site, state: PathState) -> np.ndarray:
    """The slowest velocity of each target that explains its Doppler shifts (CF eq. 9).

    Returns [num_targets, 3], float64, m/s.
    """
    size = scene.dimension
    wavelength_m = scene.grid.wavelength_m
    sites = [scene.transmitters[index] for index in state.transmitter]

    # Shifts beyond those that moving sites give a target at rest.
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

    # Each target's paths as rows of its own system, the rest of them zero.
    rows = np.zeros((state.num_targets, state.num_paths, size))
    every = np.arange(state.num_paths)
    rows[state.owner, every] = -paths.range_gradient[:, :size] / wavelength_m

    # Least squares of the least norm.
    velocities = np.zeros_like(state.points_m)
    velocities[:, :size] = np.linalg.pinv(rows, rcond=LEAST_SINGULAR) @ shifts_hz
    return velocities
