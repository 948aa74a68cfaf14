"""Angle, range and velocity by DFTs over antennas, subcarriers and symbols (CF section V-A, its
[13]).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cooperative_isac.sensing.music import strongest_cell
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width
from cooperative_isac.sensing.search_grid import SearchGrid

EDGE = 0.9999


def strongest_by_scan(
    finder: PathFinder, search: SearchGrid
) -> Callable[[PathFinder], FoundPath | None]:
    """The proposer of paths in the beam that hears most; the angle is interpolated between
    beams.
    """

    def strongest(current: PathFinder) -> FoundPath | None:
        path = strongest_cell(current, search)
        return path and _interpolated(current, path)

    return strongest


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
