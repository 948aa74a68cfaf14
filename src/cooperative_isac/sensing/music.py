"""Angles from subspaces, then range and velocity along each by a two-dimensional DFT.

The angles are those of MUSIC in CF section V-A, or of the scene's `sensing.directions`.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.sensing.arrival_angles import arrival_cosines
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch
from cooperative_isac.sensing.path_parameters import arrival_direction
from cooperative_isac.sensing.search_grid import SearchGrid, cells_along
from cooperative_isac.sensing.surface import likelihood_surface


class MusicSearch(PathSearch):
    """Search along the directions of the sources of an echo instead of those of the whole area."""

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        # Every subcarrier, stream and Doppler bin of a target is a snapshot of the array.
        receiver = finder.receiver
        snapshots = finder.in_band().reshape(receiver.num_ant, -1)
        sensing = finder.scene.sensing
        cosines = arrival_cosines(
            snapshots,
            receiver,
            finder.scene.grid.wavelength_m,
            sensing.directions,
            sensing.num_sources,
        )

        # Cells of the area along these directions.
        directions = arrival_direction(receiver, cosines)
        grid = finder.reference.frame.grid
        super().__init__(finder, cells_along(finder.scene, receiver, grid, directions))

    def strongest(self) -> FoundPath | None:
        """The strongest path along these directions, or None (see PathSearch)."""
        return strongest_cell(self.finder, self.cells)


def strongest_cell(finder: PathFinder, cells: SearchGrid) -> FoundPath | None:
    """The strongest path among cells, with interpolated range and Doppler shift.

    finder: residual echo
    cells: places that are compared
    Returns None where no cell exceeds the detection threshold.
    """
    if not len(cells.points_m):
        return None

    # Detection of the strongest cell.
    surface = likelihood_surface(
        cells, finder.reference, finder.residual, finder.noise_power_w, finder.max_doppler_hz
    )
    if surface.power.max() < finder.threshold:
        return None
    transmitter, cell = np.unravel_index(surface.power.argmax(), surface.power.shape)

    # Range between cells, along the ray from the receiver.
    point_m = cells.points_m[cell]
    range_m = cells.ranges_m[cell]
    outward = (point_m - finder.receiver.position_m) / range_m
    reach_m = min(cells.range_step_m, range_m / 2)
    offset_m = finder.sharpen(
        int(transmitter), lambda offsets_m: point_m + offsets_m[:, None] * outward, reach_m
    )
    return finder.path_at(int(transmitter), point_m + offset_m * outward)
