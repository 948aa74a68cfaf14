"""Matched filters over a map of locations, the common ground of all receivers.

The maps of all receivers show a target in the same cell, whatever its delays and angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.sensing.map_filters import MapFilters, group_power, highest
from cooperative_isac.waveform.signal import Signal

# Sectors of direction per beam width of the array: within one the phases of the outermost elements
# differ by less than a tenth of a radian from those of its middle.
SECTORS_PER_BEAM = 16


@dataclass(frozen=True)
class LocationMap(MapFilters):
    """Matched filters of one receiver over the plane of a scene.

    scene: seen on one band, in a plane
    receiver: station whose echo is mapped
    num_cells: cells along each axis of the area
    Raises ValueError for a scene in space, or with a single subcarrier.
    """

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
        # Chosen cells in the order by sector.
        num_transmitters = len(self.scene.transmitters)
        if chosen is None:
            chosen = np.ones((num_transmitters, self.num_cells, self.num_cells), bool)
        cells_of_transmitters = []
        for of_transmitter in chosen:
            by_sector = of_transmitter.ravel()[self._order]
            cells_of_transmitters.append(np.flatnonzero(by_sector))

        # Beams toward the sectors of any of them.
        all_cells = np.concatenate(cells_of_transmitters)
        num_begun = np.searchsorted(self._starts, all_cells, side="right")
        sectors = np.unique(num_begun - 1)
        beams = self._beams[sectors] @ spectra.reshape(len(spectra), -1)
        beams = beams.reshape(-1, *spectra.shape[1:])

        maps = np.zeros((num_transmitters, 3, self.num_cells**2), np.float32)
        for transmitter, (cells, channels) in enumerate(zip(cells_of_transmitters, maps)):
            # Highest Doppler shift of the filters of both halves of the band together.
            halves, noise_w = self._filtered(transmitter, cells, sectors, beams, frame)
            whole = halves.sum(axis=0)
            filtered_power = whole.real**2 + whole.imag**2
            snr_spectra = filtered_power / noise_w[:, None]
            snr, bins = highest(snr_spectra)

            # Phase between both halves there: the excess length of the path, 1 for half a turn.
            nearest = np.rint(bins).astype(int)
            rows = np.arange(len(bins))
            lower, upper = halves[:, rows, nearest]
            phases = np.angle(lower * upper.conj())
            excess = phases / np.pi

            # Cells as they were before sorting.
            places = self._order[cells]
            channels[0, places] = np.log10(1 + snr)
            channels[1, places] = self.shown_shifts(bins)
            channels[2, places] = excess
        return maps.reshape(num_transmitters, 3, self.num_cells, self.num_cells)

    def spectra(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """Correlation of the echo with the symbols of each stream, at each Doppler shift.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        Returns [num_rx_ant, num_subcarriers * num_streams, num_shifts], complex64.
        """
        # Samples without the symbols of each stream.
        by_stream = echo[:, :, None] * frame.streams.conj()

        # Their spectra over the symbols.
        turns = self.scene.grid.symbol_times_s[:, None] * self.shifts_hz
        phases = np.exp(-2j * np.pi * turns).astype(np.complex64)
        spectra = by_stream.reshape(-1, len(phases)) @ phases
        return spectra.reshape(len(echo), -1, len(self.shifts_hz))

    def _filtered(
        self,
        transmitter: int,
        cells: np.ndarray,
        sectors: np.ndarray,
        beams: np.ndarray,
        frame: Signal,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Matched filters of the lower and of the upper half of the band.

        transmitter: index of the transmitting site
        cells: [num_chosen], int, ascending, places of cells in the order by sector
        sectors: [num_beams], int, sectors that have all of these cells
        beams: [num_beams, num_subcarriers * num_streams, num_shifts], complex64, toward the sectors
        frame: signal that was transmitted
        Returns filters [2, num_chosen, num_shifts], complex64, and the noise power of both halves
        together [num_chosen], W.
        """
        # Gains of the streams toward the cells, constant over a group of subcarriers.
        gains = frame.stream_gains(transmitter, self._departures[transmitter][cells])
        gains = gains.transpose(1, 0, 2)
        num_cells, num_groups, num_streams = gains.shape

        # Conjugate replicas, [num_chosen, num_subcarriers * num_streams].
        delay_phases = self.delay_phases[transmitter][cells]
        delay_phases = delay_phases.reshape(num_cells, num_groups, frame.group_size, 1)
        conjugate_gains = gains.conj()[:, :, None]
        replicas = delay_phases * conjugate_gains
        replicas = replicas.reshape(num_cells, num_streams * frame.grid.num_subcarriers)

        # Their energies, with the power of the streams in each group of subcarriers.
        power_gains = np.square(np.abs(gains))
        energy = np.einsum("cgk,gk->c", power_gains, group_power(frame))

        # Correlation of each half of the band, sector by sector.
        middle = self._half_band * num_streams
        filtered = np.empty((2, num_cells, beams.shape[-1]), np.complex64)
        lower, upper = filtered
        starts = np.searchsorted(cells, self._starts)
        for sector, beam in zip(sectors, beams):
            rows = slice(starts[sector], starts[sector + 1])
            np.matmul(replicas[rows, :middle], beam[:middle], out=lower[rows])
            np.matmul(replicas[rows, middle:], beam[middle:], out=upper[rows])
        return filtered, self.noise_behind_w(energy)

    @property
    def _half_band(self) -> int:
        """Subcarriers of the lower half of the band."""
        return self.scene.grid.num_subcarriers // 2

    @cached_property
    def points_m(self) -> np.ndarray:
        """Centers of the cells, x fastest, [num_cells^2, 3], float64, m."""
        return self.scene.cell_points_m(self.num_cells)

    @property
    def filter_points_m(self) -> np.ndarray:
        """Centers of the cells, by sector, [num_cells^2, 3], float64, m."""
        return self.points_m[self._order]

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
        # Middles of the sectors that have cells.
        sectors = self._sectors[self._order][self._starts[:-1]]
        angles = (sectors + 0.5) * self._sector_width

        # Steering vectors there.
        directions = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))])
        steering = steering_vectors(
            self.receiver.elements_m, directions, self.scene.grid.wavelength_m
        )
        return steering.conj().astype(np.complex64)

    @cached_property
    def _departures(self) -> list[np.ndarray]:
        """Steering vectors of departure, [num_cells^2, num_tx_ant] for each transmitter."""
        return [
            steering_vectors(site.elements_m, paths.aod, self.scene.grid.wavelength_m)
            for site, paths in zip(self.scene.transmitters, self.filter_paths)
        ]
