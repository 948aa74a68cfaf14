"""Channel of a link to a target, and the response that a target's state implies on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation.channel_matrix import ChannelMatrix, offset_correction


@dataclass(frozen=True)
class LinkChannel:
    """Channel of one link: echoes at the antennas of one station from the signal of another.

    The amplitude and phase of the target's path are unknown and differ from link to link.

    values: [num_antennas, num_subcarriers, num_symbols], complex, zero where the mask is False
    frequency_hz: [num_subcarriers], float64, Hz, relative to the carrier
    time_s: [num_symbols], float64, s
    carrier_hz: carrier frequency, Hz
    noise_power: variance of the circular noise on each element of `values`
    mask: [num_subcarriers, num_symbols], bool, resource elements in use
    transmitter_m: [D], float64, m, position of the transmitting station
    receiver_m: [D], float64, m, position of the receiving station, the same if monostatic
    elements_m: [num_antennas, D], float64, m, receive elements relative to the station
    """

    values: np.ndarray
    frequency_hz: np.ndarray
    time_s: np.ndarray
    carrier_hz: float
    noise_power: float
    mask: np.ndarray
    transmitter_m: np.ndarray
    receiver_m: np.ndarray
    elements_m: np.ndarray

    @property
    def wavelength_m(self) -> float:
        """Wavelength of the carrier, m."""
        return LIGHT_SPEED_MPS / self.carrier_hz

    @property
    def num_elements(self) -> int:
        """Antennas times resource elements in use."""
        return len(self.elements_m) * int(np.count_nonzero(self.mask))

    @cached_property
    def values_in_use(self) -> np.ndarray:
        """Values of the resource elements in use, [num_antennas, num_elements_in_use], complex."""
        return self.values[:, self.mask]

    @cached_property
    def path_slopes(self) -> np.ndarray:
        """Derivatives of a path's phase by its delay and speed, about their mean.

        Returns [num_elements_in_use, 2], float64, rad/s and rad/(m/s).
        """
        rows, columns = np.nonzero(self.mask)
        frequency_hz = self.frequency_hz[rows]
        time_s = self.time_s[columns]
        by_delay = -2 * np.pi * frequency_hz
        by_speed = 2 * np.pi * (self.carrier_hz + frequency_hz) * time_s / LIGHT_SPEED_MPS
        slopes = np.stack([by_delay, by_speed], axis=-1)
        return slopes - slopes.mean(axis=0)

    @cached_property
    def path_moments(self) -> np.ndarray:
        """Sums of products of `path_slopes` over the elements in use, [2, 2], float64."""
        return self.path_slopes.T @ self.path_slopes

    def toward(self, position_m: np.ndarray) -> ChannelMatrix:
        """Channel after phase compensation and accumulation of the antennas toward a point.

        position_m: [D], float64, m
        """
        steering = steering_vectors(self, position_m[None])[0]
        accumulated = np.tensordot(steering.conj(), self.values, axes=1) / len(steering)
        return ChannelMatrix(
            accumulated,
            self.frequency_hz,
            self.time_s,
            self.carrier_hz,
            self.noise_power / len(steering),
            self.mask,
        )


def path_of(
    link: LinkChannel, position_m: np.ndarray, velocity_mps: np.ndarray
) -> tuple[float, float]:
    """Delay, s, and speed at which the path shortens, m/s, of a target's path on a link.

    link: link between stations at rest
    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    """
    # Delay by way of the target.
    to_target_m = np.linalg.norm(position_m - link.transmitter_m)
    from_target_m = np.linalg.norm(position_m - link.receiver_m)
    delay_s = (to_target_m + from_target_m) / LIGHT_SPEED_MPS

    # Speed against the gradient of the path's length.
    path_speed_mps = -length_gradient(link, position_m) @ velocity_mps
    return float(delay_s), float(path_speed_mps)


def unit_toward(position_m: np.ndarray, station_m: np.ndarray) -> np.ndarray:
    """Unit vector from a station to a location.

    position_m, station_m: [D], float64, m
    Returns [D], float64.
    """
    offset_m = position_m - station_m
    return offset_m / np.linalg.norm(offset_m)


def length_gradient(link: LinkChannel, position_m: np.ndarray) -> np.ndarray:
    """Gradient of a path's length: the sum of the unit vectors from both stations to the target.

    link: whose stations are taken
    position_m: [D], float64, m, of the target
    Returns [D], float64.
    """
    from_transmitter = unit_toward(position_m, link.transmitter_m)
    from_receiver = unit_toward(position_m, link.receiver_m)
    return from_transmitter + from_receiver


def link_response(
    link: LinkChannel, position_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Response of a target's path of unit amplitude on a link.

    link: its values are not used
    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    Returns [num_antennas, num_subcarriers, num_symbols], complex128.
    """
    steering = steering_vectors(link, position_m[None])[0]
    return steering[:, None, None] * grid_response(link, position_m, velocity_mps)


def steering_vectors(link: LinkChannel, points_m: np.ndarray) -> np.ndarray:
    """Steering vectors of the receive array toward points.

    link: whose array receives
    points_m: [num_points, D], float64, m
    Returns [num_points, num_antennas], complex128, entries of unit modulus.
    """
    away_m = points_m - link.receiver_m
    directions = away_m / np.linalg.norm(away_m, axis=1, keepdims=True)
    return np.exp(2j * np.pi / link.wavelength_m * directions @ link.elements_m.T)


def without_offset(link: LinkChannel, delay_s: float, frequency_hz: float) -> LinkChannel:
    """Channel of a link with the clock offset between its stations taken off.

    link: channel with the offset
    delay_s: time by which the receiver's clock makes paths look longer, s
    frequency_hz: carrier frequency offset by which Doppler shifts look greater, Hz
    """
    correction = offset_correction(link.frequency_hz, link.time_s, delay_s, frequency_hz)
    return replace(link, values=link.values * correction)


def grid_response(
    link: LinkChannel, position_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Response of a target's path of unit amplitude over subcarriers and symbols.

    link: its values are not used
    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    Returns [num_subcarriers, num_symbols], complex128, zero off the mask.
    """
    # Phases in cycles: those of each subcarrier's Doppler shift grow, those of the delay fall.
    delay_s, path_speed_mps = path_of(link, position_m, velocity_mps)
    frequencies_hz = link.carrier_hz + link.frequency_hz
    cycles_of_light = np.multiply.outer(frequencies_hz, link.time_s)
    by_doppler = cycles_of_light * path_speed_mps / LIGHT_SPEED_MPS
    by_delay = link.frequency_hz[:, None] * delay_s
    phasors = np.exp(2j * np.pi * (by_doppler - by_delay))
    return np.where(link.mask, phasors, 0)


def direction_slopes(position_m: np.ndarray, station_m: np.ndarray) -> np.ndarray:
    """Derivative of the unit vector from a station to a target by the target's location.

    position_m, station_m: [D], float64, m
    Returns [D, D], float64, 1/m.
    """
    range_m = np.linalg.norm(position_m - station_m)
    unit = unit_toward(position_m, station_m)
    across = np.eye(len(unit)) - np.multiply.outer(unit, unit)
    return across / range_m


def path_lengths_m(link: LinkChannel, points_m: np.ndarray) -> np.ndarray:
    """Lengths of the paths from the transmitter over points to the receiver.

    link: whose stations are taken
    points_m: [num_points, D], float64, m
    Returns [num_points], float64, m.
    """
    to_points_m = np.linalg.norm(points_m - link.transmitter_m, axis=1)
    from_points_m = np.linalg.norm(points_m - link.receiver_m, axis=1)
    return to_points_m + from_points_m
