"""The cells in which an access point looks for targets: along its beams, through the scene's
area.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Box, Scene, Site

RANGE_OVERSAMPLING = 1.25
BEAM_OVERLAP = 0.5
BEAM_OVERSAMPLING = {2: 1.5, 3: 1.25}
# Beams along each axis over the usual number where the scene has fewer links than dimensions: no
# other receiver would contradict a climb that started on a side lobe.
FEW_LINKS_FINENESS = 2.0
NEAREST_M = 1.0
EDGE = 0.999
AREA_MARGIN = 0.05


@dataclass(frozen=True)
class SearchGrid:
    """Cells sorted by beam.

    beams: [num_beams, num_rx_ant], conjugate receive steering; starts: [num_beams + 1], first cell
    of each beam;
    points_m: [num_cells, 3];
    ranges_m: [num_cells], distance from the receiver;
    transmitters, receiver, grid: whose paths over the cells are looked for.
    """

    beams: np.ndarray
    starts: np.ndarray
    points_m: np.ndarray
    ranges_m: np.ndarray
    range_step_m: float
    transmitters: tuple[Site, ...]
    receiver: Site
    grid: OfdmGrid

    @property
    def delay_phases(self) -> tuple[np.ndarray, ...]:
        """Per transmitter [num_cells, num_subcarriers], complex64, exp(+j 2 pi f_i tau)."""
        return self._paths[0]

    @property
    def departures(self) -> tuple[np.ndarray, ...]:
        """Per transmitter [num_cells, num_tx_ant], complex64, transmit steering."""
        return self._paths[1]

    @cached_property
    def _paths(self) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Delay phases and departures: a search needs them, the number of cells does not."""
        delays, departures = zip(
            *(
                _from_transmitter(site, self.receiver, self.points_m, self.grid)
                for site in self.transmitters
            )
        )
        return delays, departures

    @cached_property
    def beam_of_cell(self) -> np.ndarray:
        """Index of each cell's beam, [num_cells]."""
        return np.repeat(np.arange(len(self.beams)), np.diff(self.starts))

    def neighbors(self, cell: int) -> np.ndarray:
        """Cells within the main lobe of one: in overlapping beams at about its range, [num_cells],
        bool.
        """
        beam = self.beam_of_cell[cell]
        overlapping = np.abs(self.beams.conj() @ self.beams[beam]) > BEAM_OVERLAP
        near = (
            np.abs(self.ranges_m - self.ranges_m[cell])
            <= 2 * RANGE_OVERSAMPLING * self.range_step_m
        )
        return overlapping[self.beam_of_cell] & near


def beam_directions(
    site: Site, dimension: int, wavelength_m: float, fineness: float = 1.0
) -> np.ndarray:
    """Unit vectors of beams over the half space that the array faces, [num_beams, 3].

    Uniform in direction cosine; in a plane (dimension 2) along the array's line only. Beams whose
    main lobe reaches over the array's edge are turned onto it.

    fineness: number of beams along each axis over the usual one
    """
    cosines = beam_cosines(site, dimension, wavelength_m, fineness)
    grid = np.stack(np.meshgrid(*cosines, indexing="ij"), axis=-1).reshape(-1, len(cosines))
    length = np.linalg.norm(grid, axis=1)
    reaching = length < 1 + max(1 / len(line) for line in cosines)
    grid = (grid / np.maximum(length / EDGE, 1)[:, None])[reaching]
    forward = np.sqrt(1 - np.sum(grid**2, axis=1))
    directions = np.column_stack([forward, grid, np.zeros((len(grid), 3 - dimension))])
    return directions @ site.rotation.T


def beam_cosines(
    site: Site, dimension: int, wavelength_m: float, fineness: float = 1.0
) -> list[np.ndarray]:
    """Direction cosines of the beams along the array's own y axis and, in three dimensions, its z
    axis.
    """
    local = site.elements_m @ site.rotation
    oversampling = fineness * BEAM_OVERSAMPLING[dimension]
    counts = [
        max(int(np.ceil(2 * _aperture(local[:, axis]) / wavelength_m * oversampling)), 1)
        for axis in (1, 2)[: dimension - 1]
    ]
    return [(np.arange(count) + 0.5) * 2 / count - 1 for count in counts]


def _aperture(coordinates: np.ndarray) -> float:
    """Length of a line of elements, one spacing past the last element counted in."""
    places = np.unique(np.round(coordinates, 9))
    return float(np.ptp(places) * len(places) / max(len(places) - 1, 1))


def ray_ranges(
    origin_m: np.ndarray,
    directions: np.ndarray,
    area: Box,
    dimension: int,
    step_m: float,
    half_width: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances along beams, and where the beams touch the area.

    directions: [num_beams, 3], float64, unit vectors
    half_width: half of a beam's width [rad].
    Returns [num_ranges], float64, m, and [num_beams, num_ranges], bool.
    """
    axes = slice(0, dimension)
    farthest = np.linalg.norm(
        np.maximum(np.abs(area.low_m - origin_m), np.abs(area.high_m - origin_m))
    )
    ranges = np.arange(NEAREST_M, farthest, step_m)
    points = (origin_m + ranges[:, None] * directions[:, None])[..., axes]
    outside = np.maximum(np.maximum(area.low_m[axes] - points, points - area.high_m[axes]), 0)
    return ranges, np.linalg.norm(outside, axis=2) <= half_width * ranges


def search_grid(scene: Scene, receiver: Site, grid: OfdmGrid) -> SearchGrid:
    """Lay the cells of one receiver for a resource grid (the scene's, or a comb of it)."""
    num_links = len(scene.transmitters) * len(scene.receivers)
    fineness = FEW_LINKS_FINENESS if num_links < scene.dimension else 1.0
    directions = beam_directions(receiver, scene.dimension, grid.wavelength_m, fineness)
    return cells_along(scene, receiver, grid, directions)


def cells_along(scene: Scene, receiver: Site, grid: OfdmGrid, directions: np.ndarray) -> SearchGrid:
    """Cells along chosen beams, unit vectors [num_beams, 3]; beams that miss the area have none."""
    step = grid.range_resolution_m / 2 / RANGE_OVERSAMPLING
    half_width = max(
        1 / len(line) for line in beam_cosines(receiver, scene.dimension, grid.wavelength_m)
    )
    ranges, touches = ray_ranges(
        receiver.position_m, directions, scene.box, scene.dimension, step, half_width
    )

    # Beams that touch the area, and their cells.
    used = touches.any(axis=1)
    beam, place = np.nonzero(touches[used])
    cells = receiver.position_m + ranges[place, None] * directions[used][beam]
    beams = steering_vectors(receiver.elements_m, directions[used], grid.wavelength_m).conj()
    return SearchGrid(
        beams=beams.astype(np.complex64),
        starts=np.searchsorted(beam, np.arange(len(beams) + 1)),
        points_m=cells,
        ranges_m=np.linalg.norm(cells - receiver.position_m, axis=1),
        range_step_m=step,
        transmitters=scene.transmitters,
        receiver=receiver,
        grid=grid,
    )


def _from_transmitter(
    site: Site, receiver: Site, cells_m: np.ndarray, grid: OfdmGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Delay phases and departures of SearchGrid for one transmitter.

    cells_m: [num_cells, 3], float64, m, in map
    """
    paths = bistatic_geometry(
        site.position_m, receiver.position_m, cells_m, np.zeros(3), grid.wavelength_m
    )
    phases = np.exp(2j * np.pi * paths.delay_s[:, None] * grid.subcarrier_offsets_hz)
    departures = steering_vectors(site.elements_m, paths.aod, grid.wavelength_m)
    return phases.astype(np.complex64), departures.astype(np.complex64)
