"""What an access point remembers from one frame to the next: where its paths will be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.path_state import NO_PATHS, PathState

FORGET_S = 1.0

# Share of the largest singular value below which a direction of velocity counts as not measured.
LEAST_SINGULAR = 0.1


@dataclass(frozen=True)
class Memory:
    """The paths of an earlier frame: its number and their state."""

    number: int
    state: PathState

    def recall(self, scene: Scene, receiver: Site, number: int, period_s: float) -> PathState:
        """Where the remembered paths are expected in frame `number`; none after FORGET_S or from a
        later frame.
        """
        elapsed_s = (number - self.number) * period_s
        if not 0 < elapsed_s <= FORGET_S:
            return NO_PATHS
        return replace(
            self.state,
            points_m=self.state.points_m + elapsed_s * drift(scene, receiver, self.state),
        )


def drift(scene: Scene, receiver: Site, state: PathState) -> np.ndarray:
    """The slowest velocity of each target that explains its Doppler shifts, [num_targets, 3], m/s
    (CF eq. 9).
    """
    size = scene.dimension
    wavelength_m = scene.grid.wavelength_m
    transmitters_m = np.array([scene.transmitters[index].position_m for index in state.transmitter])
    paths = bistatic_geometry(
        transmitters_m, receiver.position_m, state.points_m[state.owner], np.zeros(3), wavelength_m
    )

    # Each target's paths as rows of its own system, the rest of them zero.
    rows = np.zeros((state.num_targets, state.num_paths, size))
    every = np.arange(state.num_paths)
    rows[state.owner, every] = -paths.range_gradient[:, :size] / wavelength_m

    # Least squares of the least norm.
    velocities = np.zeros_like(state.points_m)
    velocities[:, :size] = np.linalg.pinv(rows, rcond=LEAST_SINGULAR) @ state.doppler_hz
    return velocities
