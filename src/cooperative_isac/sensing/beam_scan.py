"""Angle, range and velocity by DFTs over antennas, subcarriers and symbols (CF [13])."""

from __future__ import annotations

import numpy as np

from cooperative_isac.sensing.music import strongest_cell
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width

# Largest cosine of an angle of arrival to which a beam is shifted: beyond one there is no angle,
# and at one the direction has no derivative.
LARGEST_COSINE = 0.9999


class BeamScan(PathSearch):
    """Search in the beams of the area; the angle is interpolated between beams."""

    def strongest(self) -> FoundPath | None:
        """The path of the beam of the highest power, or None (see PathSearch)."""
        path = strongest_cell(self.finder, self.cells)
        return None if path is None else _interpolated(self.finder, path)


def _interpolated(finder: PathFinder, path: FoundPath) -> FoundPath:
    """The path with its angle interpolated between beams, at the same distance."""
    receiver = finder.receiver
    away_m = path.point_m - receiver.position_m
    distance_m = np.linalg.norm(away_m)
    cosine = away_m @ receiver.axis / distance_m

    def across(offsets: np.ndarray) -> np.ndarray:
        """Points beside the path, by offsets of the cosine."""
        cosines = np.clip(cosine + offsets, -LARGEST_COSINE, LARGEST_COSINE)
        return receiver.position_m + distance_m * arrival_direction(receiver, cosines)

    reach = beam_width(receiver, finder.scene.grid.wavelength_m) / 2
    offset = finder.sharpen(path.transmitter, across, reach)
    return finder.path_at(path.transmitter, across(np.array([offset]))[0])
