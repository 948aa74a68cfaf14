"""Localization by way of known reflectors: paths over a wall, separated and fused.

A path that a plane wall reflects has the geometry of a straight path to the image of the station
behind the wall. So a station that a building hides from a target locates it by the paths of known
walls, and each further path counts as that of one more station.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.link_channel import LinkChannel, link_response
from cooperative_isac.fusion.symbol_level import (
    StateEstimate,
    location_statistic,
    refine_state,
    velocity_statistic,
)

# Rounds of separation and refinement: each reduces what paths leave in each other by about the
# level of their side lobes, 13 dB, and that of the first round is already below the main lobe.
ROUNDS = 3

# Starts that are compared, of the highest points of the lattice. Where the path of one wall fits
# the geometry of another wall its energy counts twice, and a point far from the target can be the
# highest; over 600 draws the target was among the highest six.
NUM_STARTS = 6
# Distance between starts, m: some range cells, so that each is another maximum.
START_SPACING_M = 8.0


@dataclass(frozen=True)
class Reflector:
    """A known plane wall.

    point_m: [D], float64, m, a point of the wall
    normal: [D], float64, unit vector at right angles to the wall
    """

    point_m: np.ndarray
    normal: np.ndarray

    def image_of(self, position_m: np.ndarray) -> np.ndarray:
        """Image of a point behind the wall.

        position_m: [..., D], float64, m
        Returns [..., D], float64, m.
        """
        height_m = (position_m - self.point_m) @ self.normal
        return position_m - 2 * np.multiply.outer(height_m, self.normal)

    def image_of_directions(self, vectors: np.ndarray) -> np.ndarray:
        """Image of free vectors, such as the offsets of antenna elements.

        vectors: [..., D], float64
        Returns [..., D], float64.
        """
        return vectors - 2 * np.multiply.outer(vectors @ self.normal, self.normal)


def image_link(
    link: LinkChannel, outward: Reflector | None = None, inward: Reflector | None = None
) -> LinkChannel:
    """Link whose straight paths are those of another link by way of reflectors.

    link: between the real stations
    outward: wall between the transmitter and the target, or None for a direct leg
    inward: wall between the target and the receiver, or None for a direct leg
    Returns the link between images of the stations, with the same channel.
    Source: image method; DC section III-E, use of multi-path in localization.
    """
    if outward is not None:
        link = replace(link, transmitter_m=outward.image_of(link.transmitter_m))
    if inward is not None:
        link = replace(
            link,
            receiver_m=inward.image_of(link.receiver_m),
            elements_m=inward.image_of_directions(link.elements_m),
        )
    return link


def separate_paths(
    links: Sequence[LinkChannel], position_m: np.ndarray, velocity_mps: np.ndarray
) -> list[LinkChannel]:
    """Channels of single paths from the one channel that all of them share.

    The amplitudes of all paths are fitted together; each path then keeps its own echo and what no
    path explains. Paths that differ in delay, Doppler shift or angle can be separated.

    links: image links of one real link, with its channel in each
    position_m: [D], float64, m, of the target
    velocity_mps: [D], float64, m/s, of the target
    """
    echoes = _fitted_echoes(links, position_m, velocity_mps)
    residual = np.where(links[0].mask, links[0].values - echoes.sum(axis=0), 0)
    return [replace(link, values=echo + residual) for link, echo in zip(links, echoes, strict=True)]


def locate_by_reflections(
    links: Sequence[LinkChannel], points_m: np.ndarray, velocities_mps: np.ndarray
) -> StateEstimate:
    """Maximum likelihood location and velocity of one target from several paths of one link.

    links: image links of one real link, with its channel in each
    points_m: [num_points, D], float64, m, lattice of locations, finer than a resolution cell
    velocities_mps: [num_velocities, D], float64, m/s, lattice of velocities
    Source: DC section III-E, separation and fusion of multi-path.
    """
    # Start: the point, with its best velocity, whose paths explain most of the channel together.
    max_speed_mps = float(np.linalg.norm(velocities_mps, axis=1).max())
    statistic = location_statistic(links, points_m, max_speed_mps)
    starts = []
    for position_m in _highest_points(points_m, statistic):
        evidence = velocity_statistic(links, position_m, velocities_mps)
        velocity_mps = velocities_mps[np.argmax(evidence)]
        echoes = _fitted_echoes(links, position_m, velocity_mps)
        explained = np.linalg.norm(echoes.sum(axis=0))
        starts.append((explained, position_m, velocity_mps))
    _, position_m, velocity_mps = max(starts, key=lambda start: start[0])
    state = refine_state(links, position_m, velocity_mps)

    # Separation at the estimate, estimate from the separated paths.
    for _ in range(ROUNDS):
        separated = separate_paths(links, state.position_m, state.velocity_mps)
        state = refine_state(separated, state.position_m, state.velocity_mps)
    return state


def _fitted_echoes(
    links: Sequence[LinkChannel], position_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Echoes of all paths with amplitudes by least squares, zero off the mask.

    Returns [num_links, num_antennas, num_subcarriers, num_symbols], complex128.
    """
    # Responses of the paths on the elements in use.
    measured = links[0].values
    in_use = np.broadcast_to(links[0].mask, measured.shape)
    responses = np.stack([link_response(link, position_m, velocity_mps) for link in links])
    columns = responses[:, in_use].T

    # Their amplitudes by least squares.
    gram = columns.conj().T @ columns
    correlations = columns.conj().T @ measured[in_use]
    amplitudes = np.linalg.lstsq(gram, correlations, rcond=None)[0]
    return amplitudes[:, None, None, None] * responses


def _highest_points(points_m: np.ndarray, statistic: np.ndarray) -> list[np.ndarray]:
    """The NUM_STARTS highest points of a lattice, at least START_SPACING_M apart."""
    highest: list[np.ndarray] = []
    remaining = statistic.copy()
    for _ in range(NUM_STARTS):
        position_m = points_m[np.argmax(remaining)]
        highest.append(position_m)
        remaining[np.linalg.norm(points_m - position_m, axis=1) < START_SPACING_M] = -np.inf
    return highest
