"""Grid of the target search: cells along the beams of a receiver, within the scene's area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.images import HiddenRegion
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.whitening import Whitening

# Cells per half of a range cell of the bandwidth, along a beam: a bistatic path changes by up to
# twice the distance.
RANGE_OVERSAMPLING = 1.25

# Product of two beams from which they overlap, so that one target is in the main lobes of both.
BEAM_OVERLAP = 0.5

# Beams per beam width along an axis of the array, by dimension of the scene; fewer in three
# dimensions, where their number grows with the square.
BEAM_OVERSAMPLING = {2: 1.5, 3: 1.25}

# Factor of the number of beams along each axis where the scene has fewer links than dimensions: no
# other receiver would contradict a fit that started on a side lobe.
FEW_LINKS_FINENESS = 2.0

# Factors of the number of beams along each axis for cells near the transmitter of another station.
# A place within the width of a receive beam is seen from there at another angle, and the fit of a
# strong echo that starts several transmit beams off ends on a side lobe.
NEAR_FINENESS = (2.0, 4.0, 8.0)

# Distance of the first cell from the receiver, and least distance of a location from it, m: nearer
# ones come from noise in the range, and their angle means nothing.
NEAREST_M = 1.0

# Sine of the angle from boresight to which beams beyond the edge of an array are turned: its
# elements see nothing at exactly 90 degrees.
EDGE_SINE = 0.999

# Margin around the scene's area within which targets are located, over its size.
AREA_MARGIN = 0.05

# Decimals to which elements of an array are compared, in m: nanometers, far below a wavelength.
ELEMENT_DECIMALS = 9

# Delay phases [num_cells, num_subcarriers] and transmit steering [num_cells, num_tx_ant] of the
# paths of one transmitter over all cells, complex64.
CellPaths = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SearchGrid:
    """Cells of a search, beam by beam.

    beams: [num_beams, num_rx_ant], complex64, conjugate receive steering
    starts: [num_beams + 1], int, first cell of each beam
    points_m: [num_cells, 3], float64, m, map
    ranges_m: [num_cells], float64, m, distance from the receiver
    range_step_m: distance of neighboring cells of a beam, m
    transmitters: stations whose paths over the cells are searched for
    receiver: receiving station
    grid: resource grid of the known symbols
    known_paths: delay phases and departures of the transmitters where they are computed already
    """

    beams: np.ndarray
    starts: np.ndarray
    points_m: np.ndarray
    ranges_m: np.ndarray
    range_step_m: float
    transmitters: tuple[Site, ...]
    receiver: Site
    grid: OfdmGrid
    known_paths: tuple[CellPaths, ...] | None = None

    def of(self, chosen: Sequence[int]) -> SearchGrid:
        """The same cells, for the paths of some of the transmitters, which are computed once.

        chosen: indices of transmitters
        """
        return replace(
            self,
            transmitters=tuple(self.transmitters[index] for index in chosen),
            known_paths=tuple(self._paths[index] for index in chosen),
        )

    def behind(self, whitening: Whitening | None) -> SearchGrid:
        """The same cells, with beams behind a whitening; the grid itself without one."""
        if whitening is None:
            return self
        return replace(self, beams=whitening.of_beams(self.beams), known_paths=self._paths)

    def prepare(self) -> None:
        """Compute delay phases and departures of all cells, as the first search would."""
        _ = self._paths

    @property
    def delay_phases(self) -> tuple[np.ndarray, ...]:
        """Delay phases exp(+j 2 pi f tau), [num_cells, num_subcarriers] for each transmitter."""
        return tuple(phases for phases, _ in self._paths)

    @property
    def departures(self) -> tuple[np.ndarray, ...]:
        """Transmit steering, [num_cells, num_tx_ant], complex64, for each transmitter."""
        return tuple(departures for _, departures in self._paths)

    @cached_property
    def _paths(self) -> tuple[CellPaths, ...]:
        """Delay phases and departures, computed when a search needs them."""
        if self.known_paths is not None:
            return self.known_paths
        return tuple(
            _from_transmitter(site, self.receiver, self.points_m, self.grid)
            for site in self.transmitters
        )

    @cached_property
    def beam_of_cell(self) -> np.ndarray:
        """Index of each cell's beam, [num_cells], int."""
        return np.repeat(np.arange(len(self.beams)), np.diff(self.starts))

    def neighbors(self, cell: int) -> np.ndarray:
        """Mask of the cells within the main lobe of one: overlapping beams at about its range.

        cell: index
        Returns [num_cells], bool.
        """
        # Beams that overlap with its own.
        beam = self.beams[self.beam_of_cell[cell]]
        correlation = np.abs(self.beams.conj() @ beam)
        overlapping = correlation > BEAM_OVERLAP

        # Within one range cell of the bandwidth, which is 2 RANGE_OVERSAMPLING steps.
        differences_m = np.abs(self.ranges_m - self.ranges_m[cell])
        near = differences_m <= 2 * RANGE_OVERSAMPLING * self.range_step_m
        return overlapping[self.beam_of_cell] & near


def beam_directions(
    site: Site, dimension: int, wavelength_m: float, fineness: float = 1.0
) -> np.ndarray:
    """Directions of beams over the half space that the array faces.

    Uniform in direction cosine; in a plane (dimension 2) along the array's line only. Beams whose
    main lobe reaches beyond the half space are turned to its edge.

    site: receiving station
    dimension: of the scene, 2 or 3
    wavelength_m: of the carrier, m
    fineness: factor of the number of beams along each axis
    Returns unit vectors [num_beams, 3], float64, map.
    """
    # All combinations of direction cosines with the axes of the array.
    lines = beam_cosines(site, dimension, wavelength_m, fineness)
    lattice = np.meshgrid(*lines, indexing="ij")
    cosines = np.stack(lattice, axis=-1).reshape(-1, len(lines))

    # Beams within the half space, and those whose main lobe reaches into it; the cosines of
    # neighbors differ by 2 / num_beams.
    sines = np.linalg.norm(cosines, axis=1)
    half_width = max(1 / len(line) for line in lines)
    reaches = sines < 1 + half_width
    cosines = cosines[reaches]
    sines = sines[reaches]

    # Turn the beams beyond the edge to it.
    excess = np.maximum(sines / EDGE_SINE, 1)
    cosines = cosines / excess[:, None]

    # Unit vectors in the axes of the array, whose x axis is the boresight, then in the map.
    along_boresight = np.sqrt(1 - np.sum(cosines**2, axis=1))
    no_height = np.zeros((len(cosines), 3 - dimension))
    directions = np.column_stack([along_boresight, cosines, no_height])
    return directions @ site.rotation.T


def beam_cosines(
    site: Site, dimension: int, wavelength_m: float, fineness: float = 1.0
) -> list[np.ndarray]:
    """Direction cosines of the beams along y of the array and, in three dimensions, along z.

    site: receiving station
    dimension: of the scene, 2 or 3
    wavelength_m: of the carrier, m
    fineness: factor of the number of beams along each axis
    Returns [num_beams], float64, for each axis.
    """
    local_m = site.elements_m @ site.rotation
    oversampling = fineness * BEAM_OVERSAMPLING[dimension]
    cosines = []
    for axis in (1, 2)[: dimension - 1]:
        beams_per_axis = 2 * _aperture_m(local_m[:, axis]) / wavelength_m * oversampling
        num_beams = max(int(np.ceil(beams_per_axis)), 1)
        cosines.append((np.arange(num_beams) + 0.5) * 2 / num_beams - 1)
    return cosines


def _aperture_m(coordinates_m: np.ndarray) -> float:
    """Length of a line of elements with half a spacing beyond each end, m."""
    places_m = np.unique(np.round(coordinates_m, ELEMENT_DECIMALS))
    return float(np.ptp(places_m) * len(places_m) / max(len(places_m) - 1, 1))


def ray_ranges(
    origin_m: np.ndarray,
    directions: np.ndarray,
    area: Box,
    dimension: int,
    step_m: float,
    half_width: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances along beams at which their main lobes touch the area.

    origin_m: [3], float64, m, map, of the receiver
    directions: [num_beams, 3], float64, unit vectors, map
    area: box of the scene
    dimension: of the scene, 2 or 3
    step_m: distance of neighboring cells, m
    half_width: half of a beam's width, rad
    Returns distances [num_ranges], float64, m, and a mask [num_beams, num_ranges], bool.
    """
    # Distances up to the farthest corner.
    farthest_m = np.linalg.norm(
        np.maximum(np.abs(area.low_m - origin_m), np.abs(area.high_m - origin_m))
    )
    ranges_m = np.arange(NEAREST_M, farthest_m, step_m)

    # Those at which the cross section of a beam reaches into the area.
    axes = slice(0, dimension)
    points_m = (origin_m + ranges_m[:, None] * directions[:, None])[..., axes]
    below_m = area.low_m[axes] - points_m
    above_m = points_m - area.high_m[axes]
    outside_m = np.linalg.norm(np.maximum(np.maximum(below_m, above_m), 0), axis=2)
    return ranges_m, outside_m <= half_width * ranges_m


def search_grid(scene: Scene, receiver: Site, grid: OfdmGrid) -> SearchGrid:
    """Cells of one receiver.

    scene: seen on one band
    receiver: receiving station
    grid: resource grid of the known symbols: that of the band, or a comb of it
    """
    num_links = len(scene.transmitters) * len(scene.receivers)
    fineness = FEW_LINKS_FINENESS if num_links < scene.dimension else 1.0
    directions = beam_directions(receiver, scene.dimension, grid.wavelength_m, fineness)
    cells = cells_along(scene, receiver, grid, directions)
    parts = [cells]

    # Images of the regions that the receiver sees by way of surfaces alone.
    parts += [
        cells_along(scene, receiver, grid, directions, region)
        for region in scene.hidden_regions.get(receiver.name, ())
    ]
    if scene.layout is None:
        return _joined(parts)

    # Finer beams among stations that use each other's echoes: they have targets near transmitters.
    for finer in NEAR_FINENESS:
        if not _is_near_transmitter(scene, receiver, cells.points_m, finer).any():
            break
        directions = beam_directions(receiver, scene.dimension, grid.wavelength_m, finer)
        directions = directions[_may_be_near(scene, receiver, directions, finer)]
        fine = cells_along(scene, receiver, grid, directions)
        parts.append(_chosen(fine, _is_near_transmitter(scene, receiver, fine.points_m, finer)))
    return _joined(parts)


def _is_near_transmitter(
    scene: Scene, receiver: Site, points_m: np.ndarray, fineness: float
) -> np.ndarray:
    """Mask of points near another linked transmitter, so that beams of a fineness are needed there.

    Across a receive beam the angle at the transmitter changes by more than `fineness` beams of it.

    points_m: [num_points, 3], float64, m, map
    Returns [num_points], bool.
    """
    ranges_m = np.linalg.norm(points_m - receiver.position_m, axis=1)
    is_near = np.zeros(len(points_m), bool)
    for site, ratio in _near_ratios(scene, receiver, fineness):
        distances_m = np.linalg.norm(points_m - site.position_m, axis=1)
        is_near |= distances_m < ratio * ranges_m
    return is_near


def _may_be_near(
    scene: Scene, receiver: Site, directions: np.ndarray, fineness: float
) -> np.ndarray:
    """Mask of the beams that have points near another linked transmitter.

    At an angle from the direction of the transmitter, the least ratio of the distances of a point
    from transmitter and receiver is the sine of that angle.

    directions: [num_directions, 3], float64, unit vectors, map
    Returns [num_directions], bool.
    """
    may_be = np.zeros(len(directions), bool)
    for site, ratio in _near_ratios(scene, receiver, fineness):
        to_site_m = site.position_m - receiver.position_m
        along_m = directions @ to_site_m
        across_m = np.linalg.norm(to_site_m - along_m[:, None] * directions, axis=1)
        is_ahead = (along_m > 0) & (across_m < ratio * np.linalg.norm(to_site_m))
        may_be |= is_ahead | (ratio >= 1)
    return may_be


def _near_ratios(scene: Scene, receiver: Site, fineness: float) -> Iterator[tuple[Site, float]]:
    """Other linked transmitters, and the ratio of distances below which points are near them.

    A point is near a transmitter where `fineness` beams of it are narrower than a receive beam.
    The ratio is that of the distances of a point from transmitter and receiver.
    """
    wavelength_m = scene.grid.wavelength_m
    half_width = _half_width(receiver, scene.dimension, wavelength_m)
    for index in scene.linked_transmitters(receiver.name):
        site = scene.transmitters[index]
        if site.name != receiver.name:
            own_half_width = _half_width(site, scene.dimension, wavelength_m)
            yield site, half_width / (fineness * own_half_width)


def _half_width(site: Site, dimension: int, wavelength_m: float) -> float:
    """Half of the width of a station's beams along its shorter axis, rad."""
    lines = beam_cosines(site, dimension, wavelength_m)
    return max(1 / len(line) for line in lines)


def _chosen(cells: SearchGrid, mask: np.ndarray) -> SearchGrid:
    """Some cells of a grid.

    mask: [num_cells], bool
    """
    counts = np.bincount(cells.beam_of_cell[mask], minlength=len(cells.beams))
    used = counts > 0
    return replace(
        cells,
        beams=cells.beams[used],
        starts=np.concatenate([[0], np.cumsum(counts[used])]),
        points_m=cells.points_m[mask],
        ranges_m=cells.ranges_m[mask],
    )


def _joined(parts: Sequence[SearchGrid]) -> SearchGrid:
    """Cells of several grids of one receiver."""
    if len(parts) == 1:
        return parts[0]

    # First cell of each part among all of them, then of each beam; the end closes the last beam.
    num_cells = [len(part.points_m) for part in parts]
    first_cells = np.cumsum([0, *num_cells])
    starts = [part.starts[:-1] + first for part, first in zip(parts, first_cells)]
    starts.append(first_cells[-1:])
    return replace(
        parts[0],
        beams=np.concatenate([part.beams for part in parts]),
        starts=np.concatenate(starts),
        points_m=np.concatenate([part.points_m for part in parts]),
        ranges_m=np.concatenate([part.ranges_m for part in parts]),
    )


def cells_along(
    scene: Scene,
    receiver: Site,
    grid: OfdmGrid,
    directions: np.ndarray,
    region: HiddenRegion | None = None,
) -> SearchGrid:
    """Cells along given beams; those that miss the area are left out.

    scene: seen on one band
    receiver: receiving station
    grid: resource grid of the known symbols: that of the band, or a comb of it
    directions: [num_directions, 3], float64, unit vectors, map
    region: whose image is searched, instead of the area; None: the area
    """
    # Beams that a surface reflects are beams of the receiver's image.
    box = scene.box
    origin_m = receiver.position_m
    reflected = directions
    if region is not None:
        assert scene.world is not None  # regions are those of a world
        mirror = scene.world.surfaces[region.surface]
        box = region.box
        origin_m = mirror.mirrored(origin_m)
        reflected = mirror.mirrored_directions(directions)

    # Distances at which each beam touches the area.
    step_m = grid.range_resolution_m / 2 / RANGE_OVERSAMPLING
    half_width = _half_width(receiver, scene.dimension, grid.wavelength_m)
    ranges_m, touches = ray_ranges(origin_m, reflected, box, scene.dimension, step_m, half_width)

    # Beams that touch it anywhere, and their cells.
    used = touches.any(axis=1)
    beam, place = np.nonzero(touches[used])
    cells_m = receiver.position_m + ranges_m[place, None] * directions[used][beam]
    beams = steering_vectors(receiver.elements_m, directions[used], grid.wavelength_m).conj()
    return SearchGrid(
        beams=beams.astype(np.complex64),
        starts=np.searchsorted(beam, np.arange(len(beams) + 1)),
        points_m=cells_m,
        ranges_m=np.linalg.norm(cells_m - receiver.position_m, axis=1),
        range_step_m=step_m,
        transmitters=scene.transmitters,
        receiver=receiver,
        grid=grid,
    )


def _from_transmitter(site: Site, receiver: Site, cells_m: np.ndarray, grid: OfdmGrid) -> CellPaths:
    """Delay phases and departures of a SearchGrid for one transmitter.

    cells_m: [num_cells, 3], float64, m, map
    """
    paths = bistatic_geometry(
        site.position_m, receiver.position_m, cells_m, np.zeros(3), grid.wavelength_m
    )
    phases = np.exp(2j * np.pi * paths.delay_s[:, None] * grid.subcarrier_offsets_hz)
    departures = steering_vectors(site.elements_m, paths.aod, grid.wavelength_m)
    return phases.astype(np.complex64), departures.astype(np.complex64)
