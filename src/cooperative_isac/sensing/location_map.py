"""Matched filters over a map of locations, the common ground of all receivers.

The maps of all receivers show a target in the same cell, whatever its delays and angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.signal import Signal

# Doppler shifts of the filters per resolution cell: the highest is interpolated between them.
DOPPLER_OVERSAMPLING = 2

# Sectors of direction per beam width of the array: within one the phases of the outermost elements
# differ by less than a tenth of a radian from those of its middle.
SECTORS_PER_BEAM = 16

# Curvature of a parabola below which three samples count as on a line.
LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class LocationMap:
    """Matched filters of one receiver over the plane of a scene.

    scene: seen on one band, in a plane
    receiver: station whose echo is mapped
    num_cells: cells along each axis of the area
    Raises ValueError for a scene in space, or with a single subcarrier.
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
        """The strongest path from each transmitter over each cell.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        Returns [num_tx, 3, num_cells, num_cells], float32, rows along y: the matched filter's
        log10(1 + |u^H y|^2 / (sigma^2 ||u||^2)), its Doppler shift over max_doppler_hz, and the
        excess of the path's length over that of the cell's center, over max_excess_m.
        """
        return self.project(self.spectra(echo, frame), frame)

    def project(
        self, spectra: np.ndarray, frame: Signal, chosen: np.ndarray | None = None
    ) -> np.ndarray:
        """Map of spectra; see observe.

        spectra: [num_rx_ant, num_subcarriers * num_streams, num_shifts], complex64
        frame: signal that was transmitted
        chosen: [num_tx, num_cells, num_cells], bool, cells that are computed, the others are zero;
        None: all
        """
        # Beams toward all sectors.
        beams = self._beams @ spectra.reshape(len(spectra), -1)
        beams = beams.reshape(-1, *spectra.shape[1:])

        num_transmitters = len(self.scene.transmitters)
        if chosen is None:
            chosen = np.ones((num_transmitters, self.num_cells, self.num_cells), bool)
        maps = np.zeros((num_transmitters, 3, self.num_cells**2), np.float32)
        for transmitter, channels in enumerate(maps):
            cells = np.flatnonzero(chosen[transmitter].ravel()[self._order])

            # Highest Doppler shift of the filters of both halves of the band together.
            halves, noise = self._filtered(transmitter, cells, beams, frame)
            whole = halves.sum(axis=0)
            power, bins = highest((whole.real**2 + whole.imag**2) / noise[:, None])

            # Phase between both halves there: the excess length of the path, 1 for half a turn.
            nearest = np.rint(bins).astype(int)
            lower, upper = halves[:, np.arange(len(bins)), nearest]
            excess = np.angle(lower * upper.conj()) / np.pi

            # Doppler shift from the middle bin, which is zero; cells as they were before sorting.
            middle = (len(self.shifts_hz) - 1) / 2
            places = self._order[cells]
            channels[0, places] = np.log10(1 + power)
            channels[1, places] = (bins - middle) * self._bin_share
            channels[2, places] = excess
        return maps.reshape(num_transmitters, 3, self.num_cells, self.num_cells)

    @cached_property
    def shifts_hz(self) -> np.ndarray:
        """Doppler shifts of the filters, ascending and symmetric, [num_shifts], float64, Hz."""
        return filter_shifts_hz(self.scene)

    @property
    def max_doppler_hz(self) -> float:
        """The Doppler shift that a map shows as 1."""
        return float(self.shifts_hz[-1])

    def spectra(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """Correlation of the echo with the symbols of each stream, at each Doppler shift.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        Returns [num_rx_ant, num_subcarriers * num_streams, num_shifts], complex64.
        """
        by_stream = echo[:, :, None] * frame.streams.conj()
        turns = self.scene.grid.symbol_times_s[:, None] * self.shifts_hz
        phases = np.exp(-2j * np.pi * turns).astype(np.complex64)
        spectra = by_stream.reshape(-1, len(phases)) @ phases
        return spectra.reshape(len(echo), -1, len(self.shifts_hz))

    def _filtered(
        self, transmitter: int, cells: np.ndarray, beams: np.ndarray, frame: Signal
    ) -> tuple[np.ndarray, np.ndarray]:
        """Matched filters of the lower and of the upper half of the band.

        transmitter: index of the transmitting site
        cells: [num_chosen], int, ascending, places of cells in the order by sector
        beams: [num_sectors, num_subcarriers * num_streams, num_shifts], complex64
        frame: signal that was transmitted
        Returns filters [2, num_chosen, num_shifts], complex64, and the noise power of both halves
        together [num_chosen], W.
        """
        # Gains of the streams toward the cells, constant over a group of subcarriers.
        gains = frame.stream_gains(transmitter, self._departures[transmitter][cells])
        gains = gains.transpose(1, 0, 2)
        num_cells, num_groups, num_streams = gains.shape

        # Conjugate replicas, [num_chosen, num_subcarriers * num_streams].
        delay_phases = self._delay_phases[transmitter][cells]
        delay_phases = delay_phases.reshape(num_cells, num_groups, frame.group_size, 1)
        replicas = delay_phases * gains.conj()[:, :, None]
        replicas = replicas.reshape(num_cells, num_streams * frame.grid.num_subcarriers)

        # Their energies, with the power of the streams in each group of subcarriers.
        stream_power = np.square(np.abs(frame.streams)).sum(axis=-1)
        group_power = stream_power.reshape(num_groups, -1, num_streams).sum(axis=1)
        energy = np.einsum("cgk,gk->c", np.square(np.abs(gains)), group_power)

        # Noise behind the filters; tiny where nothing was transmitted toward a cell.
        noise_power_w = energy * self.scene.propagation.noise_power_w
        noise_power_w = np.maximum(noise_power_w, np.finfo(np.float32).tiny)

        # Correlation of each half of the band, sector by sector.
        middle = self._half_band * num_streams
        filtered = np.empty((2, num_cells, beams.shape[-1]), np.complex64)
        lower, upper = filtered
        starts = np.searchsorted(cells, self._starts)
        for beam, (start, stop) in zip(beams, pairwise(starts)):
            rows = slice(start, stop)
            np.matmul(replicas[rows, :middle], beam[:middle], out=lower[rows])
            np.matmul(replicas[rows, middle:], beam[middle:], out=upper[rows])
        return filtered, noise_power_w

    @property
    def _half_band(self) -> int:
        """Subcarriers of the lower half of the band."""
        return self.scene.grid.num_subcarriers // 2

    @property
    def max_excess_m(self) -> float:
        """Excess length that a map shows as 1, m: half a turn between the halves of the band."""
        return self.scene.grid.range_resolution_m

    @property
    def _bin_share(self) -> float:
        """Distance of two Doppler shifts over max_doppler_hz."""
        return 2 / (len(self.shifts_hz) - 1)

    @cached_property
    def points_m(self) -> np.ndarray:
        """Centers of the cells, x fastest, [num_cells^2, 3], float64, m."""
        return self.scene.cell_points_m(self.num_cells)

    @cached_property
    def _sectors(self) -> np.ndarray:
        """Sector of direction of each cell, [num_cells^2], int; its cells share one beam."""
        away_m = self.points_m - self.receiver.position_m
        azimuths = np.arctan2(away_m[:, 1], away_m[:, 0])
        return np.floor(azimuths / self._sector_width).astype(int)

    @cached_property
    def _sector_width(self) -> float:
        """Width of a sector, rad: a share of the array's beam."""
        wavelength_m = self.scene.grid.wavelength_m
        span_m = np.ptp(self.receiver.elements_m @ self.receiver.rotation, axis=0).max()
        beam_rad = wavelength_m / (span_m + wavelength_m / 2)
        return beam_rad / SECTORS_PER_BEAM

    @cached_property
    def _order(self) -> np.ndarray:
        """Cells by sector, [num_cells^2], int."""
        return np.argsort(self._sectors, kind="stable")

    @cached_property
    def _starts(self) -> np.ndarray:
        """First cell of each sector in that order, and their number at the end."""
        sectors = self._sectors[self._order]
        return np.concatenate([[0], np.flatnonzero(np.diff(sectors)) + 1, [len(sectors)]])

    @cached_property
    def _beams(self) -> np.ndarray:
        """Conjugate steering vectors to the middle of each sector, [num_sectors, num_rx_ant]."""
        angles = (self._sectors[self._order][self._starts[:-1]] + 0.5) * self._sector_width
        directions = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))])
        steering = steering_vectors(
            self.receiver.elements_m, directions, self.scene.grid.wavelength_m
        )
        return steering.conj().astype(np.complex64)

    @cached_property
    def _geometry(self) -> tuple:
        """Geometry of the paths of each transmitter over all cells, by sector."""
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
        """Phases that undo the delays, [num_cells^2, num_subcarriers] for each transmitter."""
        offsets = self.scene.grid.subcarrier_offsets_hz
        return [
            np.exp(2j * np.pi * paths.delay_s[:, None] * offsets).astype(np.complex64)
            for paths in self._geometry
        ]

    @cached_property
    def _departures(self) -> list[np.ndarray]:
        """Steering vectors of departure, [num_cells^2, num_tx_ant] for each transmitter."""
        return [
            steering_vectors(site.elements_m, paths.aod, self.scene.grid.wavelength_m)
            for site, paths in zip(self.scene.transmitters, self._geometry)
        ]


def filter_shifts_hz(scene: Scene) -> np.ndarray:
    """Doppler shifts of the filters of a map, up to the largest one of a target.

    scene: seen on one band
    Returns [num_shifts], float64, Hz, ascending and symmetric.
    """
    grid = scene.grid
    step_hz = 1 / (DOPPLER_OVERSAMPLING * grid.num_symbols * grid.symbol_period_s)
    largest_hz = 2 * scene.sensing.max_speed_mps / grid.wavelength_m
    num_positive = int(np.ceil(largest_hz / step_hz))
    return np.arange(-num_positive, num_positive + 1) * step_hz


def highest(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each row, and its place by a parabola through the neighbors.

    power: [num_rows, num_columns], float32, at least three columns
    Returns values [num_rows] and places in columns [num_rows], float64.
    """
    rows = np.arange(len(power))
    best = power.argmax(axis=1)
    middle = np.clip(best, 1, power.shape[1] - 2)
    before = power[rows, middle - 1].astype(float)
    at = power[rows, middle].astype(float)
    after = power[rows, middle + 1].astype(float)

    # A value at the edge stays where it is.
    curvature = np.minimum(before - 2 * at + after, -LEAST_CURVATURE)
    offset = np.clip((before - after) / (2 * curvature), -0.5, 0.5)
    offset = np.where(best == middle, offset, 0.0)
    return power[rows, best], best + offset
