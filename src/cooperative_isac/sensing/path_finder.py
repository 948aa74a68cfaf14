"""Successive cancellation of the paths of one echo, strongest first: the greedy loop of the
classical schemes (CLEAN).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.joint_fit import JointFit, without
from cooperative_isac.sensing.path_state import NO_PATHS, single_path
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.search_grid import SearchGrid
from cooperative_isac.sensing.surface import static_weights

DOPPLER_OVERSAMPLING = 8
DYNAMIC_RANGE = 300.0
LINE_SAMPLES = 9


@dataclass(frozen=True)
class FoundPath:
    """A path as an access point found it: point_m [3] in map; power: coherent SNR (linear)."""

    transmitter: int
    point_m: np.ndarray
    doppler_hz: float
    power: float


class PathFinder:
    """The periodogram of one echo, the paths that were found in it removed.

    residual: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64, of
    StreamReference.correlate: the symbols are removed stream by stream, the precoders and
    directions when a point is tried; threshold: power that noise alone exceeds anywhere with the
    scene's false-alarm probability.
    """

    def __init__(
        self,
        scene: Scene,
        receiver: Site,
        reference: StreamReference,
        correlation: np.ndarray,
        max_doppler_hz: float,
        threshold: float,
    ):
        self.scene, self.receiver, self.reference = scene, receiver, reference
        self.residual, self.max_doppler_hz, self.threshold = correlation, max_doppler_hz, threshold
        self.noise_power_w = scene.propagation.noise_power_w
        self._maker = ReplicaMaker(scene, receiver, reference)
        self._joint = JointFit(self._maker, correlation, self.noise_power_w)
        self._state = NO_PATHS

    def in_band(self) -> np.ndarray:
        """The residual's orthonormal Doppler bins that targets can have.

        Returns [num_rx_ant, num_subcarriers, num_streams, num_bins], complex64.
        """
        shifts = self._shifts_hz(self.reference.num_blocks)
        return fft.fft(self.residual, axis=3, norm="ortho")[
            ..., np.abs(shifts) <= self.max_doppler_hz
        ]

    @property
    def band_hz(self) -> np.ndarray:
        """Doppler shifts of these bins, [num_bins], Hz."""
        shifts = self._shifts_hz(self.reference.num_blocks)
        return shifts[np.abs(shifts) <= self.max_doppler_hz]

    def powers(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest matched-filter power of paths over points [num_points, 3], m, and its Doppler
        shift.

        Both [num_points], interpolated between Doppler bins; in noise alone a bin's power is
        Exp(1).
        """
        blocks, energy = self._filtered(transmitter, points_m)
        near, shifts, weights = self._near
        spectrum = self.reference.spectrum(
            blocks, self.reference.num_blocks * DOPPLER_OVERSAMPLING
        )[:, near]
        power = (
            weights * (spectrum.real**2 + spectrum.imag**2) / (energy[:, None] * self.noise_power_w)
        )
        best = np.clip(power.argmax(axis=1), 1, len(near) - 2)
        around = np.take_along_axis(power, best[:, None] + [-1, 0, 1], axis=1)
        offset, peak = vertex(*around.T)
        return peak, shifts[best] + offset * (shifts[1] - shifts[0])

    def sharpen(
        self, transmitter: int, line: Callable[[np.ndarray], np.ndarray], reach: float
    ) -> float:
        """Where power peaks on a line, between -reach and reach; line: offsets [n] to points [n,
        3], m.
        """
        offsets = np.linspace(-reach, reach, LINE_SAMPLES)
        power, _ = self.powers(transmitter, line(offsets))
        best = int(np.clip(power.argmax(), 1, LINE_SAMPLES - 2))
        offset, _ = vertex(*power[best - 1 : best + 2])
        return float(offsets[best] + offset * (offsets[1] - offsets[0]))

    def path_at(self, transmitter: int, point_m: np.ndarray) -> FoundPath:
        """The path over a point [3], at its strongest Doppler shift."""
        power, doppler_hz = self.powers(transmitter, point_m[None])
        return FoundPath(transmitter, point_m, float(doppler_hz[0]), float(power[0]))

    def is_residue(self, path: FoundPath) -> bool:
        """Whether a path is what a learned background left (sensing.replica)."""
        return self._maker.is_residue(path.transmitter, path.point_m, path.doppler_hz, path.power)

    def remove(self, path: FoundPath) -> None:
        """Take a path off the residual, with the amplitudes of all removed paths fitted together
        anew.
        """
        self._state = self._state.with_target(
            single_path(path.point_m, path.transmitter, path.doppler_hz)
        )
        self.residual = without(self._joint.correlation, self._joint.match(self._state))

    def _shifts_hz(self, num_bins: int) -> np.ndarray:
        return fft.fftfreq(
            num_bins, self.reference.block * self.reference.frame.grid.symbol_period_s
        )

    @cached_property
    def _near(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bins of the oversampled spectrum that targets can have, ascending: indices, Doppler
        shifts in Hz, and what power is multiplied by because static paths were suppressed
        (sensing.surface).
        """
        shifts = self._shifts_hz(self.reference.num_blocks * DOPPLER_OVERSAMPLING)
        near = np.flatnonzero(np.abs(shifts) <= self.max_doppler_hz + shifts[1])
        near = near[np.argsort(shifts[near])]
        return near, shifts[near], static_weights(self.reference, shifts[near])

    def _filtered(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matched-filter output of each block, [num_points, num_blocks], and the filters'
        energies.
        """
        away = points_m - self.receiver.position_m
        directions = away / np.linalg.norm(away, axis=1)[:, None]
        beams = steering_vectors(
            self.receiver.elements_m, directions, self.scene.grid.wavelength_m
        ).conj()
        behind = beams.astype(np.complex64) @ self.residual.reshape(len(self.residual), -1)
        filters, energy = self._maker.filters_at(transmitter, points_m)
        filters = filters.conj().reshape(len(points_m), 1, -1)
        return (filters @ behind.reshape(len(points_m), -1, self.reference.num_blocks))[
            :, 0
        ], energy


def vertex(
    left: np.ndarray, middle: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex of the parabola through three neighbors: offset from the middle one in steps, and
    height.
    """
    curvature = left - 2 * middle + right
    peaked = curvature < 0
    offset = np.where(peaked, (left - right) / np.where(peaked, 2 * curvature, -1), 0)
    offset = np.clip(offset, -1, 1)
    return offset, middle - (left - right) * offset / 4


class PathSearch(ABC):
    """Search of one echo for the strongest path that is left in it; made anew for each echo.

    finder: the echo, from which found paths are removed
    cells: places and directions of the scene's area
    """

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        self.finder = finder
        self.cells = cells

    @abstractmethod
    def strongest(self) -> FoundPath | None:
        """The strongest path of the residual; None where none stands out."""


def cancel_paths(search: PathSearch, most: int) -> list[FoundPath]:
    """Paths in the order found, until what is left is below the threshold or far below the first.

    Each is removed from the echo before the next one is searched for.

    most: number of paths at most
    """
    finder = search.finder
    found: list[FoundPath] = []
    for _ in range(2 * most):
        if len(found) == most:
            break
        path = search.strongest()
        if path is None or path.power < finder.threshold:
            break
        if found and path.power * DYNAMIC_RANGE < found[0].power:
            break
        if not finder.is_residue(path):
            found.append(path)
        finder.remove(path)
    return found
