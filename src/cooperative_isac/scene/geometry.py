"""Bistatic geometry of transmitter, target and receiver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEED_OF_LIGHT_MPS = 299_792_458.0
# Entries of a state (position, velocity) that are estimated, by the dimension of the scene: in a
# plane, not the height.
STATE_AXES = {2: np.array([0, 1, 3, 4]), 3: np.arange(6)}
LEAST_DISTANCE_M = 1e-9  # nearer points are at a site: no scene is as fine


@dataclass(frozen=True)
class BistaticGeometry:
    """Delay, Doppler and directions of the paths transmitter -> point -> receiver; leading axes as
    the points.

    delay_s, doppler_hz: [...]; aod, aoa: [..., 3], unit vectors from transmitter and receiver to
    the point;
    tx_distance_m, rx_distance_m: [...].
    """

    delay_s: np.ndarray
    doppler_hz: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    tx_distance_m: np.ndarray
    rx_distance_m: np.ndarray

    @property
    def range_m(self) -> np.ndarray:
        """Bistatic range d = d_tx + d_rx [m] (CF eq. 7)."""
        return self.tx_distance_m + self.rx_distance_m

    @property
    def range_gradient(self) -> np.ndarray:
        """Derivative of the bistatic range with the point's location, [..., 3] (CF eq. 34)."""
        return self.aod + self.aoa

    def doppler_location_gradient(
        self,
        velocities_mps: np.ndarray,
        wavelength_m: float | np.ndarray,
        transmitter_velocity_mps: np.ndarray | None = None,
        receiver_velocity_mps: np.ndarray | None = None,
    ) -> np.ndarray:
        """Derivative of the Doppler shift with the point's location (CF eq. 35 leaves it out).

        velocities_mps: [..., 3], float64, of the points
        wavelength_m: one, or [...] with one of each path
        transmitter_velocity_mps, receiver_velocity_mps: [3] or [..., 3]; None: at rest
        Returns [..., 3], Hz/m.
        """
        from_tx = _relative(velocities_mps, transmitter_velocity_mps)
        from_rx = _relative(velocities_mps, receiver_velocity_mps)
        turning = _across(from_tx, self.aod) / self.tx_distance_m[..., None]
        turning = turning + _across(from_rx, self.aoa) / self.rx_distance_m[..., None]
        return -turning / np.asarray(wavelength_m)[..., None]


def _relative(velocities_mps: np.ndarray, site_velocity_mps: np.ndarray | None) -> np.ndarray:
    """Velocities as a site sees them, [..., 3], m/s; None: a site at rest."""
    return velocities_mps if site_velocity_mps is None else velocities_mps - site_velocity_mps


def _across(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """What of vectors is perpendicular to unit directions, [..., 3]."""
    return vectors - np.sum(vectors * directions, axis=-1, keepdims=True) * directions


def bistatic_geometry(
    transmitter_m: np.ndarray,
    receiver_m: np.ndarray,
    points_m: np.ndarray,
    velocities_mps: np.ndarray,
    wavelength_m: float | np.ndarray,
    transmitter_velocity_mps: np.ndarray | None = None,
    receiver_velocity_mps: np.ndarray | None = None,
) -> BistaticGeometry:
    """Delay, Doppler and directions of points seen by a transmitter and a receiver (CF eqs. 7-11).

    transmitter_m, receiver_m: [3] or [..., 3]
    points_m, velocities_mps: [..., 3]
    wavelength_m: one, or [...] with one of each path
    transmitter_velocity_mps, receiver_velocity_mps: [3] or [..., 3]; None: at rest
    Doppler is positive when the path shortens. A point at a site has no direction there: zeros.
    """
    # Distances and directions.
    from_tx = points_m - transmitter_m
    from_rx = points_m - receiver_m
    tx_distance = np.linalg.norm(from_tx, axis=-1)
    rx_distance = np.linalg.norm(from_rx, axis=-1)
    aod = from_tx / np.maximum(tx_distance, LEAST_DISTANCE_M)[..., None]
    aoa = from_rx / np.maximum(rx_distance, LEAST_DISTANCE_M)[..., None]

    # Rate at which the path shortens: of both legs together where both sites are at rest.
    if transmitter_velocity_mps is None and receiver_velocity_mps is None:
        lengthening = np.sum((aod + aoa) * velocities_mps, axis=-1)
    else:
        seen_by_tx = _relative(velocities_mps, transmitter_velocity_mps)
        seen_by_rx = _relative(velocities_mps, receiver_velocity_mps)
        lengthening = np.sum(aod * seen_by_tx + aoa * seen_by_rx, axis=-1)
    delay = (tx_distance + rx_distance) / SPEED_OF_LIGHT_MPS
    return BistaticGeometry(delay, -lengthening / wavelength_m, aod, aoa, tx_distance, rx_distance)


def point_on_ray(
    transmitter_m: np.ndarray, receiver_m: np.ndarray, directions: np.ndarray, ranges_m: np.ndarray
) -> np.ndarray:
    """Where rays from the receiver meet ellipses of bistatic ranges, [..., 3], m (CF eq. 7, for the
    point).

    directions: [..., 3], unit vectors; ranges_m: [...]. A range within the direct path gives the
    receiver itself.
    """
    direct = transmitter_m - receiver_m
    longer = ranges_m > np.linalg.norm(direct)
    excess, along = np.square(ranges_m) - direct @ direct, ranges_m - directions @ direct
    away = np.where(longer, excess, 0) / np.where(longer, 2 * along, 1)
    return receiver_m + away[..., None] * directions
