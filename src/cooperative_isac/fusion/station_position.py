"""Uncertain positions of stations in the information of their reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Link

# Least information about a location along an axis, over the largest one: what a report hardly
# measures has no displacement.
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class UncertainStations:
    """Stations whose positions are uncertain, among the ends of links.

    std_m: [num_stations], float64, m, standard deviation along each axis
    transmitter: [num_links], int, which of them transmits on a link; -1: none
    receiver: [num_links], int, which of them receives on a link; -1: none
    """

    std_m: np.ndarray
    transmitter: np.ndarray
    receiver: np.ndarray


def uncertain_stations(scene: Scene, links: Sequence[Link]) -> UncertainStations | None:
    """The stations of links whose positions are uncertain; None where all are exact.

    scene: of one or several bands
    links: [num_links], of the scene
    """
    stds_m = {one.name: one.position_std_m for one in scene.stations if one.position_std_m > 0}
    if not stds_m:
        return None
    index = {name: number for number, name in enumerate(stds_m)}
    return UncertainStations(
        std_m=np.array(list(stds_m.values())),
        transmitter=np.array([index.get(link.tx, -1) for link in links]),
        receiver=np.array([index.get(link.rx, -1) for link in links]),
    )


@dataclass(frozen=True)
class PathInformation:
    """Information of paths about locations, in the parts that move with one end or both.

    range: [n], float64, 1/m^2, of the bistatic range
    aod, aoa: [n, 3], float64, unit vectors from transmitter and receiver to the location
    arrival: [n, 3, 3], float64, 1/m^2, of the direction of arrival
    departure: [n, 3, 3], float64, 1/m^2, of the direction of departure: beams differ in it
    """

    range: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    arrival: np.ndarray
    departure: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """All parts together, [n, 3, 3], float64, 1/m^2."""
        slope = self.aod + self.aoa
        return self._of_range(slope) + self.arrival + self.departure

    @property
    def with_transmitter(self) -> np.ndarray:
        """Change of the weighted location with the transmitter's position, [n, 3, 3], 1/m^2."""
        return self._of_range(self.aod) + self.departure

    @property
    def with_receiver(self) -> np.ndarray:
        """Change of the weighted location with the receiver's position, [n, 3, 3], 1/m^2."""
        return self._of_range(self.aoa) + self.arrival

    def _of_range(self, leg: np.ndarray) -> np.ndarray:
        """Product of a range's slopes with the location and with one or both ends, [n, 3, 3]."""
        slope = self.aod + self.aoa
        return self.range[:, None, None] * slope[:, :, None] * leg[:, None, :]


def element_moments_m2(elements_m: np.ndarray) -> np.ndarray:
    """Second moments of the elements of an array about their middle, [3, 3], float64, m^2.

    elements_m: [num_ant, 3], float64, m
    """
    offsets_m = elements_m - elements_m.mean(axis=0)
    return offsets_m.T @ offsets_m / len(offsets_m)


def direction_information(
    snr: np.ndarray,
    directions: np.ndarray,
    distance_m: np.ndarray,
    wavelength_m: np.ndarray,
    moments_m2: np.ndarray,
) -> np.ndarray:
    """Fisher information about locations of their directions from an array.

    snr: [n], float64, coherent, linear
    directions: [n, 3], float64, unit vectors from the array to the location
    distance_m: [n], float64, m, from the array
    wavelength_m: [n], float64, m
    moments_m2: [n, 3, 3], float64, m^2, of the array's elements (element_moments_m2)
    Returns [n, 3, 3], float64, 1/m^2.
    """
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    scale = 2 * snr * (2 * np.pi / (wavelength_m * distance_m)) ** 2
    return scale[:, None, None] * (across @ moments_m2 @ across)


def displacement_gradient(whole: np.ndarray, with_station: np.ndarray) -> np.ndarray:
    """Derivative of a least-squares location with the position that a station is assumed to have.

    A bistatic range moves with both ends, a direction of arrival with the receiver, a direction of
    departure with the transmitter; the location follows each by its share of the information.
    Where both ends move alike, the location moves along with them.

    whole: [n, D, D], float64, 1/m^2, information of the location
    with_station: [n, D, K], float64, 1/m^2, change of the weighted location with K coordinates of
        positions
    Returns [n, D, K], float64.
    """
    largest = np.trace(whole, axis1=1, axis2=2)
    ridge = LEAST_SHARE * largest[:, None, None] * np.eye(whole.shape[-1])
    return np.linalg.solve(whole + ridge, with_station)


def with_position_error(information: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Information of locations whose stations have uncertain positions.

    The covariance grows by that of the displacement. It is written for the information itself
    (matrix inversion lemma), which may be singular.

    information: [n, D, D], float64, 1/m^2, with the stations where they are assumed
    displacement: [n, D, K], float64, m, of each location by one standard deviation of each of the K
        coordinates of its stations
    Returns [n, D, D], float64, 1/m^2.
    """
    # Information that both have in common, which is lost.
    weighted = information @ displacement
    gram = displacement.transpose(0, 2, 1) @ weighted
    inner = np.eye(displacement.shape[-1]) + gram
    lost = weighted @ np.linalg.solve(inner, weighted.transpose(0, 2, 1))

    # What is left, symmetric beyond rounding.
    left = information - lost
    return (left + left.transpose(0, 2, 1)) / 2
