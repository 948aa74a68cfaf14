"""Matched filters over the ground of a scene in space, each cell at its strongest height.

The counterpart of location_map for scenes of dimension 3. A cell is a column over the ground: at
several heights in it the echo is filtered, and the strongest height is kept. The maps of all
receivers show a target in the same cell, whatever its height, delays and angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.map_filters import MapFilters, group_power, highest
from cooperative_isac.waveform.signal import Signal

# Sectors of direction per beam width of the array, along each of its axes: within one the phases of
# the outermost elements differ by less than a fifth of a radian from those of its middle.
SECTORS_PER_BEAM = 8

# Parts of the band whose phases decide between lengths that look the same to its halves.
NUM_QUARTERS = 4

# Extent of an array along an axis that counts as none, m: rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class SpaceMap(MapFilters):
    """Matched filters of one receiver over the ground of a scene in space.

    scene: seen on one band, in space
    receiver: station whose echo is mapped; its array has two or more rows
    num_cells: cells along each horizontal axis of the area
    num_heights: heights of the filters in each cell
    Raises ValueError for a scene in a plane, with few subcarriers, or for an array of one row.
    """

    num_heights: int

    def __post_init__(self) -> None:
        if self.num_cells < 1 or self.num_heights < 1:
            raise ValueError(
                f"a map of {self.num_cells} cells along an axis and {self.num_heights} heights "
                "shows nothing; it needs 1 or more of both"
            )
        if self.scene.grid.num_subcarriers < NUM_QUARTERS:
            raise ValueError(
                f"scene '{self.scene.name}' has {self.scene.grid.num_subcarriers} subcarriers; "
                f"maps of locations in space need {NUM_QUARTERS} or more"
            )
        if self.scene.dimension != 3:
            raise ValueError(
                f"scene '{self.scene.name}' has dimension {self.scene.dimension}; maps with "
                "heights need dimension 3"
            )
        if np.ptp(self._local_elements_m[:, 2]) < ROUNDING:
            raise ValueError(
                f"the array of '{self.receiver.name}' has one row; maps with heights need arrays "
                "of 2 rows or more, which measure the elevation of an echo"
            )

    def observe(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """The strongest path from each transmitter over each cell.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), without its static
        paths where the scene suppresses them
        frame: signal that was transmitted
        Returns [num_tx, 4, num_cells, num_cells], float32, rows along y: the matched filter's
        log10(1 + |u^H y|^2 / (sigma^2 ||u||^2)), its Doppler shift over max_doppler_hz, the length
        of the path less that over the cell's center at the middle height, over max_excess_m, and
        the direction cosine of its arrival along the columns of the array.
        """
        # Beams toward all sectors.
        spectra = self.spectra(echo, frame)
        beams = self._beams @ spectra.reshape(len(spectra), -1)
        beams = beams.reshape(-1, *spectra.shape[1:])

        num_transmitters = len(self.scene.transmitters)
        maps = np.empty((num_transmitters, 4, self.num_cells**2), np.float32)
        for transmitter, channels in enumerate(maps):
            # The strongest height and Doppler shift of each cell.
            replicas, noise_w = self._replicas(transmitter, frame)
            snr_of_points = self._filtered(replicas, beams) / noise_w[:, None]
            point, snr, bins = self._strongest(snr_of_points)

            # Filters of the parts of band and array there.
            nearest_bins = np.rint(bins).astype(int)
            parts = self._parts(replicas[point], spectra, point, nearest_bins)

            # Excess length from the phases over the band, and that of the cell's middle height.
            excess = _excess(parts.sum(axis=0))
            beyond_m = self._lengths_beyond_m[transmitter][point]

            # Elevation from the phase between the halves of the array, 1 for half a turn.
            lower_rows, upper_rows = parts.sum(axis=1)
            rise = np.angle(upper_rows * lower_rows.conj()) / np.pi

            channels[0] = np.log10(1 + snr)
            channels[1] = self.shown_shifts(bins)
            channels[2] = excess + beyond_m / self.max_excess_m
            channels[3] = self._cosines[point] + rise * self._max_rise
        return maps.reshape(num_transmitters, 4, self.num_cells, self.num_cells)

    @cached_property
    def heights_m(self) -> np.ndarray:
        """Heights of the filters in each cell, ascending, [num_heights], float64, m."""
        low_m = self.scene.box.low_m[2]
        high_m = self.scene.box.high_m[2]
        return low_m + (np.arange(self.num_heights) + 0.5) / self.num_heights * (high_m - low_m)

    def spectra(self, echo: np.ndarray, frame: Signal) -> np.ndarray:
        """Correlation of the echo with the symbols of each stream, at each Doppler shift.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        Returns [num_rx_ant, num_streams * num_subcarriers, num_shifts], complex64.
        """
        # Without the symbols: [num_rx_ant, num_streams, num_subcarriers, num_symbols].
        conjugate_streams = frame.streams.conj().swapaxes(0, 1)
        by_stream = echo[:, None] * conjugate_streams

        # Doppler filters over the symbols.
        num_symbols = len(self._doppler_filters)
        spectra = by_stream.reshape(-1, num_symbols) @ self._doppler_filters
        return spectra.reshape(len(echo), -1, len(self.shifts_hz))

    @cached_property
    def _doppler_filters(self) -> np.ndarray:
        """Conjugate Doppler phases of the filters, [num_symbols, num_shifts], complex64.

        Where static paths are suppressed, these are the parts that the suppression leaves, at the
        norm of the whole: the filters of slow paths are then not smaller than the others, and that
        without a shift is the limit of small shifts.
        """
        times_s = self.scene.grid.symbol_times_s
        centered_s = times_s - times_s.mean()
        phases = np.exp(2j * np.pi * centered_s[:, None] * self.shifts_hz)
        if link_suppression(self.scene, self.receiver) != "keep":
            # Parts that the suppression leaves; the middle shift is zero, and leaves a slope.
            middle = len(self.shifts_hz) // 2
            phases -= phases.mean(axis=0)
            phases[:, middle] = 1j * centered_s

            # At the norm of the whole.
            whole_norm = np.sqrt(len(times_s))
            phases *= whole_norm / np.linalg.norm(phases, axis=0)
        return phases.conj().astype(np.complex64)

    def _replicas(self, transmitter: int, frame: Signal) -> tuple[np.ndarray, np.ndarray]:
        """Conjugate replicas of all points, and the noise power behind their filters.

        Returns [num_points, num_streams * num_subcarriers], complex64, points by sector, and
        [num_points], float32, W.
        """
        # Conjugate gains of the streams toward all points, constant over a group of subcarriers:
        # [num_points, num_streams * num_groups].
        antennas = frame.antennas[transmitter]
        precoders = frame.precoders[:, antennas].conj()
        num_groups, num_ant, num_streams = precoders.shape
        columns = precoders.transpose(1, 2, 0).reshape(num_ant, -1)
        gains = self._departures[transmitter] @ columns

        # With the phases of the delays, in one array: these arrays are large.
        by_stream = gains.reshape(-1, num_streams, num_groups)
        replicas = np.repeat(by_stream, frame.group_size, axis=2)
        phases = self.delay_phases[transmitter][:, None]
        np.multiply(phases, replicas, out=replicas)
        replicas = replicas.reshape(len(gains), -1)

        # Their energies, with the power of the streams in each group of subcarriers.
        gain_power = np.square(gains.real) + np.square(gains.imag)
        stream_power = group_power(frame).T.reshape(-1)
        energy = gain_power @ stream_power
        return replicas, self.noise_behind_w(energy)

    def _filtered(self, replicas: np.ndarray, beams: np.ndarray) -> np.ndarray:
        """Power behind the matched filters, [num_points, num_shifts], float32, sector by sector."""
        filtered = np.empty((len(replicas), beams.shape[-1]), np.complex64)
        for beam, (start, stop) in zip(beams, pairwise(self._starts)):
            np.matmul(replicas[start:stop], beam, out=filtered[start:stop])
        return np.square(filtered.real) + np.square(filtered.imag)

    def _strongest(self, power: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The strongest height and Doppler shift of each cell.

        power: [num_points, num_shifts], float32, points by sector
        Returns the point of each cell [num_cells^2], int, the power there, and the place of its
        shift among the filters, [num_cells^2], float64.
        """
        # Height with the highest shift; cells as they were before sorting, heights last.
        columns = power.max(axis=1)[self._points_of_cells]
        cells = np.arange(len(columns))
        point = self._points_of_cells[cells, columns.argmax(axis=1)]

        # Shift at that height.
        value, bins = highest(power[point])
        return point, value, bins

    def _parts(
        self, replicas: np.ndarray, spectra: np.ndarray, point: np.ndarray, bins: np.ndarray
    ) -> np.ndarray:
        """Filters of halves of the array and quarters of the band, one of each cell.

        replicas: [num_cells^2, num_streams * num_subcarriers], complex64, conjugate, of the points
        spectra: [num_rx_ant, num_streams * num_subcarriers, num_shifts], complex64
        point: [num_cells^2], int
        bins: [num_cells^2], int, Doppler shift of each cell
        Returns [2, 4, num_cells^2], complex64: lower and upper rows of the array, then quarters of
        the band, ascending.
        """
        steering = self._arrivals[point]
        num_subcarriers = self.scene.grid.num_subcarriers
        starts = np.arange(NUM_QUARTERS) * num_subcarriers // NUM_QUARTERS
        parts = np.empty((2, NUM_QUARTERS, len(point)), np.complex64)
        for bin_ in np.unique(bins):
            of_bin = np.flatnonzero(bins == bin_)
            for side, rows in enumerate((~self._is_upper, self._is_upper)):
                # Beam of this half of the rows, then the sum over each quarter of the band.
                beam = steering[np.ix_(of_bin, rows)] @ spectra[rows, :, bin_]
                product = (replicas[of_bin] * beam).reshape(len(of_bin), -1, num_subcarriers)
                by_subcarrier = product.sum(axis=1)
                parts[side, :, of_bin] = np.add.reduceat(by_subcarrier, starts, axis=1)
        return parts

    @cached_property
    def _local_elements_m(self) -> np.ndarray:
        """Elements along the axes of the array, centered, [num_rx_ant, 3], float64, m."""
        local_m = self.receiver.elements_m @ self.receiver.rotation
        return local_m - local_m.mean(axis=0)

    @cached_property
    def _is_upper(self) -> np.ndarray:
        """Mask of the elements above the middle of the array, [num_rx_ant], bool."""
        return self._local_elements_m[:, 2] > ROUNDING

    @cached_property
    def _max_rise(self) -> float:
        """Direction cosine along the columns for half a turn between the halves of the array."""
        column_m = self._local_elements_m[:, 2]
        distance_m = column_m[self._is_upper].mean() - column_m[~self._is_upper].mean()
        return self.scene.grid.wavelength_m / (2 * distance_m)

    @cached_property
    def _all_points_m(self) -> np.ndarray:
        """Points of the filters, heights fastest, then x, [num_cells^2 * num_heights, 3], m."""
        plane_m = self.scene.box.cell_centers_m(self.num_cells).reshape(-1, 2)
        ground_m = np.repeat(plane_m, self.num_heights, axis=0)
        return np.column_stack([ground_m, np.tile(self.heights_m, len(plane_m))])

    @cached_property
    def _sectors(self) -> np.ndarray:
        """Sector of direction of each point along the axes of the array, [num_points, 3], int."""
        away_m = self._all_points_m - self.receiver.position_m
        directions = away_m / np.linalg.norm(away_m, axis=1, keepdims=True)
        return np.floor(directions @ self.receiver.rotation / self._sector_widths).astype(int)

    @cached_property
    def _sector_widths(self) -> np.ndarray:
        """Widths of a sector along the axes of the array, [3], direction cosines.

        An axis without extent has one sector on each side.
        """
        wavelength_m = self.scene.grid.wavelength_m
        span_m = np.ptp(self._local_elements_m, axis=0)
        width = wavelength_m / (span_m + wavelength_m / 2) / SECTORS_PER_BEAM
        return np.where(span_m > ROUNDING, width, 2.0)

    @cached_property
    def _order(self) -> np.ndarray:
        """Points by sector, [num_points], int."""
        return np.lexsort(self._sectors.T)

    @cached_property
    def _points_of_cells(self) -> np.ndarray:
        """Place of each cell's points in the order by sector, [num_cells^2, num_heights], int."""
        places = np.empty(len(self._order), int)
        places[self._order] = np.arange(len(self._order))
        return places.reshape(-1, self.num_heights)

    @cached_property
    def _starts(self) -> np.ndarray:
        """First point of each sector in that order, and their number at the end."""
        sectors = self._sectors[self._order]
        is_new = np.any(np.diff(sectors, axis=0), axis=1)
        return np.concatenate([[0], np.flatnonzero(is_new) + 1, [len(sectors)]])

    @cached_property
    def _beams(self) -> np.ndarray:
        """Conjugate steering vectors of each sector, to the mean of its directions.

        Returns [num_sectors, num_rx_ant], complex64.
        """
        directions = self.filter_paths[0].aoa
        counts = np.diff(self._starts)[:, None]
        middle = np.add.reduceat(directions, self._starts[:-1]) / counts
        lengths = np.linalg.norm(middle, axis=1, keepdims=True)
        return self._conjugate_arrivals(middle / lengths)

    @cached_property
    def _arrivals(self) -> np.ndarray:
        """Conjugate steering vectors of all points, by sector, [num_points, num_rx_ant]."""
        return self._conjugate_arrivals(self.filter_paths[0].aoa)

    def _conjugate_arrivals(self, directions: np.ndarray) -> np.ndarray:
        """Conjugate steering vectors of arrival, [num_directions, num_rx_ant], complex64."""
        wavelength_m = self.scene.grid.wavelength_m
        steering = steering_vectors(self.receiver.elements_m, directions, wavelength_m)
        return steering.conj().astype(np.complex64)

    @cached_property
    def _cosines(self) -> np.ndarray:
        """Direction cosines of all points along the columns of the array, by sector."""
        return self.filter_paths[0].aoa @ self.receiver.rotation[:, 2]

    @property
    def filter_points_m(self) -> np.ndarray:
        """Points of the filters, by sector, [num_points, 3], float64, m."""
        return self._all_points_m[self._order]

    @cached_property
    def _lengths_beyond_m(self) -> list[np.ndarray]:
        """Lengths of paths over all points, by sector, less those at the middle height.

        Returns [num_points], float64, m for each transmitter.
        """
        # The points at the middle height.
        low_m = self.scene.box.low_m[2]
        high_m = self.scene.box.high_m[2]
        at_middle_m = self.filter_points_m.copy()
        at_middle_m[:, 2] = (low_m + high_m) / 2

        pairs = zip(self.filter_paths, self.paths_over(at_middle_m))
        return [paths.range_m - middle.range_m for paths, middle in pairs]

    @cached_property
    def _departures(self) -> list[np.ndarray]:
        """Conjugate steering vectors of departure, [num_points, num_tx_ant] of each site."""
        wavelength_m = self.scene.grid.wavelength_m
        return [
            steering_vectors(site.elements_m, paths.aod, wavelength_m).conj().astype(np.complex64)
            for site, paths in zip(self.scene.transmitters, self.filter_paths)
        ]


def _excess(quarters: np.ndarray) -> np.ndarray:
    """Excess length of a path over that of its filter, 1 for half a turn between half bands.

    The phase between halves of the band is accurate, but the same for lengths that differ by two;
    that from quarter to quarter decides between them.

    quarters: [4, num_cells], complex64, filters of the quarters of the band, ascending
    Returns [num_cells], float64, between -2 and 2.
    """
    # Between both halves.
    lower = quarters[:2].sum(axis=0)
    upper = quarters[2:].sum(axis=0)
    fine = np.angle(lower * upper.conj()) / np.pi

    # From quarter to quarter.
    steps = (quarters[:-1] * quarters[1:].conj()).sum(axis=0)
    coarse = 2 * np.angle(steps) / np.pi

    # The fine phase, by the number of whole turns that is nearest to the coarse one.
    turns = np.rint((coarse - fine) / 2)
    return fine + 2 * turns
