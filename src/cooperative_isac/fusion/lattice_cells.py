"""Points of a lattice in front of a receiver, beam by beam, as its search takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.echo_links import EchoLinks
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.sensing.local_ml import LocalMl
from cooperative_isac.sensing.search_grid import SearchGrid, beam_directions


@dataclass(frozen=True)
class LatticeCells:
    """Points of a lattice in front of one receiver, beam by beam.

    sensor: search of the receiver
    order: [num_cells], int, indices of the points
    grid: search grid of the points
    is_expected: [num_cells, num_linked], bool, paths that count (fusion.echo_links)
    """

    sensor: LocalMl
    order: np.ndarray
    grid: SearchGrid
    is_expected: np.ndarray


def cells_in_front(
    sensor: LocalMl, links: EchoLinks, points_m: np.ndarray, chosen: np.ndarray, spacing_m: float
) -> LatticeCells:
    """Points of a lattice in front of a receiver, each in the beam that is nearest to it.

    sensor: search of the receiver
    links: to the receiver
    points_m: [num_points, 3], float64, m, map, of the whole lattice
    chosen: [num_chosen], int, indices of the points that are searched
    spacing_m: distance of neighboring points, m
    Returns the chosen points that are in front of the receiver.
    """
    # Points in front of the receiver.
    receiver = sensor.receiver
    wavelength_m = sensor.grid.wavelength_m
    away_m = points_m[chosen] - receiver.position_m
    ranges_m = np.linalg.norm(away_m, axis=1)
    is_ahead = (away_m @ receiver.boresight >= 0) & (ranges_m > 0)
    ahead = chosen[is_ahead]
    ranges_m = ranges_m[is_ahead]

    # Nearest beam of each point.
    directions = beam_directions(receiver, sensor.scene.dimension, wavelength_m)
    beams = steering_vectors(receiver.elements_m, directions, wavelength_m)
    arrivals = steering_vectors(
        receiver.elements_m, away_m[is_ahead] / ranges_m[:, None], wavelength_m
    )
    nearest = np.abs(arrivals.conj() @ beams.T).argmax(axis=1)
    used, number = np.unique(nearest, return_inverse=True)

    # Sort points by beam; those of beam k are cells starts[k] to starts[k + 1].
    by_beam = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[by_beam], np.arange(len(used) + 1))
    order = ahead[by_beam]
    grid = SearchGrid(
        beams=beams[used].conj().astype(np.complex64),
        starts=starts,
        points_m=points_m[order],
        ranges_m=ranges_m[by_beam],
        range_step_m=spacing_m,
        transmitters=sensor.scene.transmitters,
        receiver=receiver,
        grid=sensor.grid,
    )
    return LatticeCells(sensor, order, grid, links.expected(grid.points_m))
