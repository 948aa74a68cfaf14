"""Angle, range and velocity by DFTs over antennas, subcarriers and symbols (CF section V-A, its
[13]).
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.sensing.music import strongest_cell
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width

# Cosine of an angle of arrival up to which a beam is shifted: beyond it, there is no angle.
EDGE = 0.9999


class BeamScan(PathSearch):
    """Search in the beams of the area; the angle is interpolated between beams."""

    def strongest(self) -> FoundPath | None:
        """The path of the beam with most power; see PathSearch."""
        path = strongest_cell(self.finder, self.cells)
        return None if path is None else _interpolated(self.finder, path)


def _interpolated(finder: PathFinder, path: FoundPath) -> FoundPath:
    receiver = finder.receiver
    away = path.point_m - receiver.position_m
    distance = np.linalg.norm(away)
    cosine = away @ receiver.axis / distance

    def across(offsets: np.ndarray) -> np.ndarray:
        cosines = np.clip(cosine + offsets, -EDGE, EDGE)
        return receiver.position_m + distance * arrival_direction(receiver, cosines)

    reach = beam_width(receiver, finder.scene.grid.wavelength_m) / 2
    offset = finder.sharpen(path.transmitter, across, reach)
    return finder.path_at(path.transmitter, across(np.array([offset]))[0])
