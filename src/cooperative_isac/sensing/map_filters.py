"""What maps in a plane and in space have in common: shifts, delays and noise of filters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.geometry import BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Signal

# Doppler shifts of the filters per resolution cell: the highest is interpolated between them.
DOPPLER_OVERSAMPLING = 2

# Curvature of a parabola below which three samples count as on a line.
LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class MapFilters(ABC):
    """Matched filters of one receiver over the cells of a scene's area.

    scene: seen on one band
    receiver: station whose echo is mapped
    num_cells: cells along each horizontal axis of the area
    """

    scene: Scene
    receiver: Site
    num_cells: int

    @abstractmethod
    def observe(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The strongest path from each transmitter over each cell.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        Returns [num_tx, num_fields, num_cells, num_cells], float32, rows along y.
        """

    @property
    @abstractmethod
    def filter_points_m(self) -> np.ndarray:
        """Points of the filters, by sector, [num_points, 3], float64, m."""

    @cached_property
    def shifts_hz(self) -> np.ndarray:
        """Doppler shifts of the filters, up to the largest one of a target.

        Returns [num_shifts], float64, Hz, ascending and symmetric.
        """
        grid = self.scene.grid
        step_hz = 1 / (DOPPLER_OVERSAMPLING * grid.num_symbols * grid.symbol_period_s)
        largest_hz = 2 * self.scene.sensing.max_speed_mps / grid.wavelength_m
        num_positive = int(np.ceil(largest_hz / step_hz))
        return np.arange(-num_positive, num_positive + 1) * step_hz

    @property
    def max_doppler_hz(self) -> float:
        """The Doppler shift that a map shows as 1."""
        return float(self.shifts_hz[-1])

    @property
    def max_excess_m(self) -> float:
        """Excess length that a map shows as 1, m: half a turn between the halves of the band."""
        return self.scene.grid.range_resolution_m

    def shown_shifts(self, bins: np.ndarray) -> np.ndarray:
        """Doppler shifts as a map shows them: from -1 to 1, and 0 in the middle.

        bins: [num], float64, places among the filters
        Returns [num], float64.
        """
        last = len(self.shifts_hz) - 1
        return (bins - last / 2) * (2 / last)

    def paths_over(self, points_m: np.ndarray) -> tuple[BistaticGeometry, ...]:
        """Geometry of the path of each transmitter over points at rest.

        points_m: [num_points, 3], float64, m, map
        """
        return tuple(
            bistatic_geometry(
                site.position_m,
                self.receiver.position_m,
                points_m,
                np.zeros(3),
                self.scene.grid.wavelength_m,
            )
            for site in self.scene.transmitters
        )

    @cached_property
    def filter_paths(self) -> tuple[BistaticGeometry, ...]:
        """Geometry of the path of each transmitter over the points of the filters, by sector."""
        return self.paths_over(self.filter_points_m)

    @cached_property
    def delay_phases(self) -> list[np.ndarray]:
        """Phases that undo the delays, [num_points, num_subcarriers] for each transmitter."""
        offsets_hz = self.scene.grid.subcarrier_offsets_hz
        return [
            np.exp(2j * np.pi * paths.delay_s[:, None] * offsets_hz).astype(np.complex64)
            for paths in self.filter_paths
        ]

    def noise_behind_w(self, energy: np.ndarray) -> np.ndarray:
        """Noise power behind filters; tiny where nothing was transmitted toward a point.

        energy: [num_points], float32, of the replicas
        Returns [num_points], W.
        """
        noise_power_w = energy * self.scene.propagation.noise_power_w
        return np.maximum(noise_power_w, np.finfo(np.float32).tiny)


def group_power(frame: Signal) -> np.ndarray:
    """Power of the streams of a signal in each group of subcarriers with the same precoder.

    frame: signal that was transmitted
    Returns [num_groups, num_streams], float32, summed over subcarriers and symbols.
    """
    num_groups = len(frame.precoders)
    by_subcarrier = np.square(np.abs(frame.streams)).sum(axis=-1)
    num_streams = by_subcarrier.shape[-1]
    return by_subcarrier.reshape(num_groups, -1, num_streams).sum(axis=1)


def highest(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each row, and its place by a parabola through the neighbors.

    power: [num_rows, num_columns], float32, at least three columns
    Returns values [num_rows] and places in columns [num_rows], float64.
    """
    # The largest sample and its neighbors.
    rows = np.arange(len(power))
    best = power.argmax(axis=1)
    middle = np.clip(best, 1, power.shape[1] - 2)
    before = power[rows, middle - 1].astype(float)
    at = power[rows, middle].astype(float)
    after = power[rows, middle + 1].astype(float)

    # Vertex of the parabola through them.
    slope = before - after
    curvature = np.minimum(before - 2 * at + after, -LEAST_CURVATURE)
    offset = np.clip(slope / (2 * curvature), -0.5, 0.5)

    # A value at the edge stays where it is.
    offset = np.where(best == middle, offset, 0.0)
    return power[rows, best], best + offset
