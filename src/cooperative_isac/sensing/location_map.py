"""An echo on a map of locations: all receivers' maps show a target at the same cell, whatever their
delays and angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.signal import Signal

DOPPLER_OVERSAMPLING = 2
SECTORS_PER_BEAM = 16
LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class LocationMap:
    """Matched filters of one receiver in the plane of a scene, num_cells x num_cells over its area.

    ValueError for a scene in space.
    """

    scene: Scene
    receiver: Site
    num_cells: int

    def __post_init__(self) -> None:
        if self.num_cells < 1:
            raise ValueError(
                f"a map of {self.num_cells} cells along an axis shows nothing; it needs 1 or more"
            )
        if self.scene.grid.num_subcarriers < 2:
            raise ValueError(
                f"scene '{self.scene.name}' has {self.scene.grid.num_subcarriers} subcarrier; "
                "maps of locations need 2 or more"
            )
        if self.scene.dimension != 2:
            raise ValueError(
                f"scene '{self.scene.name}' has dimension {self.scene.dimension}; maps of "
                "locations need dimension 2"
            )

    def observe(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The strongest single path from each transmitter over each cell.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W). Returns [num_tx, 3,
        num_cells, num_cells],
        float32, rows along y: log10(1 + |u^H y|^2 / (sigma^2 ||u||^2)), Doppler shift over the
        largest there is, and how much longer the path is than the one over the cell's center, over
        max_excess_m.
        """
        spectra = self.spectra(echo, frame)
        beams = (self._beams @ spectra.reshape(len(spectra), -1)).reshape(-1, *spectra.shape[1:])
        maps = np.empty((len(self.scene.transmitters), 3, self.num_cells**2), np.float32)
        for index, part in enumerate(maps):
            halves, noise = self._filtered(index, beams, frame)
            both = halves.sum(0)
            power, bins = highest((np.square(both.real) + np.square(both.imag)) / noise[:, None])
            low, high = halves[:, np.arange(len(bins)), np.rint(bins).astype(int)]
            part[:, self._order] = (
                np.log10(1 + power),
                (bins - (len(self.shifts_hz) - 1) / 2) * self._step,
                np.angle(low * high.conj()) / np.pi,
            )
        return maps.reshape(*maps.shape[:2], self.num_cells, self.num_cells)

    @cached_property
    def shifts_hz(self) -> np.ndarray:
        """Doppler shifts that are looked at, ascending and symmetric, [num_shifts], Hz."""
        grid = self.scene.grid
        step = 1 / (DOPPLER_OVERSAMPLING * grid.num_symbols * grid.symbol_period_s)
        most = int(np.ceil(2 * self.scene.sensing.max_speed_mps / grid.wavelength_m / step))
        return np.arange(-most, most + 1) * step

    @property
    def max_doppler_hz(self) -> float:
        """The Doppler shift that a map shows as 1."""
        return float(self.shifts_hz[-1])

    def spectra(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The echo freed of the symbols of each stream, at each Doppler shift.

        Returns [num_rx_ant, num_subcarriers * num_streams, num_shifts], complex64.
        """
        streams = echo[:, :, None] * frame.streams.conj()
        turns = np.exp(
            -2j * np.pi * self.scene.grid.symbol_times_s[:, None] * self.shifts_hz
        ).astype(np.complex64)
        return (streams.reshape(-1, len(turns)) @ turns).reshape(len(echo), -1, len(self.shifts_hz))

    def _filtered(
        self, transmitter: int, beams: np.ndarray, frame: Signal
    ) -> tuple[np.ndarray, np.ndarray]:
        """Matched filters of the lower and of the upper half of the band, [2, num_cells^2,
        num_shifts], cells by sector, and the noise power of both together, [num_cells^2].

        beams: [num_sectors, num_subcarriers * num_streams, num_shifts].
        """
        gains = frame.stream_gains(transmitter, self._departures[transmitter]).transpose(1, 0, 2)
        phases = self._delay_phases[transmitter].reshape(*gains.shape[:2], -1, 1)
        replica = (phases * gains.conj()[:, :, None]).reshape(len(gains), -1)
        sent = (
            np.square(np.abs(frame.streams))
            .sum(-1)
            .reshape(gains.shape[1], -1, gains.shape[2])
            .sum(1)
        )
        energy = np.einsum("cgk,gk->c", np.square(np.abs(gains)), sent)
        middle = replica.shape[1] // len(self._delay_phases[transmitter][0]) * self._half_band
        filtered = np.empty((2, len(gains), beams.shape[-1]), np.complex64)
        for sector, (start, stop) in enumerate(zip(self._starts[:-1], self._starts[1:])):
            for half, columns in zip(filtered, (slice(middle), slice(middle, None))):
                np.matmul(
                    replica[start:stop, columns], beams[sector, columns], out=half[start:stop]
                )
        return filtered, np.maximum(
            energy * self.scene.propagation.noise_power_w, np.finfo(np.float32).tiny
        )

    @property
    def _half_band(self) -> int:
        return self.scene.grid.num_subcarriers // 2

    @property
    def max_excess_m(self) -> float:
        """Excess length of a path that a map shows as 1: half a turn between the halves of the
        band.
        """
        return self.scene.grid.range_resolution_m

    @property
    def _step(self) -> float:
        return 2 / (len(self.shifts_hz) - 1)

    @cached_property
    def points_m(self) -> np.ndarray:
        """Centers of the cells, x fastest, [num_cells^2, 3], m."""
        return self.scene.cell_points_m(self.num_cells)

    @cached_property
    def _sectors(self) -> np.ndarray:
        """Sector of direction of each cell: its cells share one beam, far narrower than the
        array's.
        """
        away = self.points_m - self.receiver.position_m
        return np.floor(np.arctan2(away[:, 1], away[:, 0]) / self._sector_width).astype(int)

    @cached_property
    def _sector_width(self) -> float:
        span = np.ptp(self.receiver.elements_m @ self.receiver.rotation, axis=0).max()
        return (
            self.scene.grid.wavelength_m
            / (span + self.scene.grid.wavelength_m / 2)
            / SECTORS_PER_BEAM
        )

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._sectors, kind="stable")

    @cached_property
    def _starts(self) -> np.ndarray:
        sectors = self._sectors[self._order]
        return np.concatenate([[0], np.flatnonzero(np.diff(sectors)) + 1, [len(sectors)]])

    @cached_property
    def _beams(self) -> np.ndarray:
        """Conjugate receive steering to the middle of each sector, [num_sectors, num_rx_ant]."""
        angles = (self._sectors[self._order][self._starts[:-1]] + 0.5) * self._sector_width
        directions = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))])
        steering = steering_vectors(
            self.receiver.elements_m, directions, self.scene.grid.wavelength_m
        )
        return steering.conj().astype(np.complex64)

    @cached_property
    def _geometry(self) -> tuple:
        points = self.points_m[self._order]
        return tuple(
            bistatic_geometry(
                site.position_m,
                self.receiver.position_m,
                points,
                np.zeros(3),
                self.scene.grid.wavelength_m,
            )
            for site in self.scene.transmitters
        )

    @cached_property
    def _delay_phases(self) -> list[np.ndarray]:
        offsets = self.scene.grid.subcarrier_offsets_hz
        return [
            np.exp(2j * np.pi * paths.delay_s[:, None] * offsets).astype(np.complex64)
            for paths in self._geometry
        ]

    @cached_property
    def _departures(self) -> list[np.ndarray]:
        return [
            steering_vectors(site.elements_m, paths.aod, self.scene.grid.wavelength_m)
            for site, paths in zip(self.scene.transmitters, self._geometry)
        ]


def highest(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each row and where it lies, between the columns by a parabola through
    its neighbors.

    power: [num_rows, num_columns >= 3]. Returns [num_rows] each.
    """
    best, rows = power.argmax(axis=1), np.arange(len(power))
    middle = np.clip(best, 1, power.shape[1] - 2)
    before, at, after = (power[rows, middle + step].astype(float) for step in (-1, 0, 1))
    curvature = np.minimum(before - 2 * at + after, -LEAST_CURVATURE)
    offset = np.where(best == middle, np.clip((before - after) / (2 * curvature), -0.5, 0.5), 0.0)
    return power[rows, best], best + offset
