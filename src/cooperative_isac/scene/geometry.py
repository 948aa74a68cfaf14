"""Bistatic geometry of transmitter, target and receiver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPEED_OF_LIGHT_MPS = 299_792_458.0
# Entries of a state (position, velocity) that are estimated, by the dimension of the scene: in a
# plane, not the height.
STATE_AXES = {2: np.array([0, 1, 3, 4]), 3: np.arange(6)}
# Distance below which a point counts as at a site, m: no scene is as fine.
LEAST_DISTANCE_M = 1e-9


@dataclass(frozen=True)
class BistaticGeometry:
    """Delay, Doppler and directions of the paths transmitter -> point -> receiver.

    delay_s: [...], float64, s
    doppler_hz: [...], float64, Hz, positive when the path shortens
    aod: [..., 3], float64, unit vectors from the transmitter to the point
    aoa: [..., 3], float64, unit vectors from the receiver to the point
    tx_distance_m: [...], float64, m, from the transmitter to the point
    rx_distance_m: [...], float64, m, from the point to the receiver
    """

    delay_s: np.ndarray
    doppler_hz: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    tx_distance_m: np.ndarray
    rx_distance_m: np.ndarray

    @property
    def range_m(self) -> np.ndarray:
        """Bistatic range d = d_tx + d_rx, [...], float64, m (CF eq. 7)."""
        return self.tx_distance_m + self.rx_distance_m

    @property
    def range_gradient(self) -> np.ndarray:
        """Derivative of the range with the point's location, [..., 3], float64 (CF eq. 34)."""
        return self.aod + self.aoa

    def doppler_location_gradient(
        self,
        velocities_mps: np.ndarray,
        wavelength_m: float | np.ndarray,
        transmitter_velocity_mps: np.ndarray | None = None,
        receiver_velocity_mps: np.ndarray | None = None,
    ) -> np.ndarray:
        """Derivative of the Doppler shift with the point's location, as the directions turn.

        velocities_mps: [..., 3], float64, m/s, of the points
        wavelength_m: one for all, or [...], float64, m
        transmitter_velocity_mps: [3] or [..., 3], float64, m/s; None: at rest
        receiver_velocity_mps: [3] or [..., 3], float64, m/s; None: at rest
        Returns [..., 3], float64, Hz/m.
        Source: left out in CF eq. (35).
        """
        seen_by_tx = _relative(velocities_mps, transmitter_velocity_mps)
        seen_by_rx = _relative(velocities_mps, receiver_velocity_mps)

        # A direction turns with the velocity across it, over the distance.
        tx_slope = _perpendicular(seen_by_tx, self.aod) / self.tx_distance_m[..., None]
        rx_slope = _perpendicular(seen_by_rx, self.aoa) / self.rx_distance_m[..., None]
        return -(tx_slope + rx_slope) / np.asarray(wavelength_m)[..., None]


def _relative(velocities_mps: np.ndarray, site_velocity_mps: np.ndarray | None) -> np.ndarray:
    """Velocities relative to a site, [..., 3], m/s; None: a site at rest."""
    return velocities_mps if site_velocity_mps is None else velocities_mps - site_velocity_mps


def _perpendicular(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Component of vectors perpendicular to unit directions, [..., 3]."""
    along = np.sum(vectors * directions, axis=-1, keepdims=True)
    return vectors - along * directions


def bistatic_geometry(
    transmitter_m: np.ndarray,
    receiver_m: np.ndarray,
    points_m: np.ndarray,
    velocities_mps: np.ndarray,
    wavelength_m: float | np.ndarray,
    transmitter_velocity_mps: np.ndarray | None = None,
    receiver_velocity_mps: np.ndarray | None = None,
) -> BistaticGeometry:
    """Delay, Doppler and directions of paths by way of points.

    A point at a site has no direction there: zeros.

    transmitter_m: [3] or [..., 3], float64, m in map
    receiver_m: [3] or [..., 3], float64, m in map
    points_m: [..., 3], float64, m in map
    velocities_mps: [..., 3], float64, m/s, of the points
    wavelength_m: one for all, or [...], float64, m
    transmitter_velocity_mps: [3] or [..., 3], float64, m/s; None: at rest
    receiver_velocity_mps: [3] or [..., 3], float64, m/s; None: at rest
    Source: CF eqs. (7)-(11).
    """
    # Distances and directions.
    from_tx = points_m - transmitter_m
    from_rx = points_m - receiver_m
    tx_distance = np.linalg.norm(from_tx, axis=-1)
    rx_distance = np.linalg.norm(from_rx, axis=-1)
    aod = from_tx / np.maximum(tx_distance, LEAST_DISTANCE_M)[..., None]
    aoa = from_rx / np.maximum(rx_distance, LEAST_DISTANCE_M)[..., None]

    # Rate at which the path lengthens: of both legs together where both sites are at rest.
    if transmitter_velocity_mps is None and receiver_velocity_mps is None:
        lengthening_mps = np.sum((aod + aoa) * velocities_mps, axis=-1)
    else:
        seen_by_tx = _relative(velocities_mps, transmitter_velocity_mps)
        seen_by_rx = _relative(velocities_mps, receiver_velocity_mps)
        lengthening_mps = np.sum(aod * seen_by_tx + aoa * seen_by_rx, axis=-1)

    return BistaticGeometry(
        delay_s=(tx_distance + rx_distance) / SPEED_OF_LIGHT_MPS,
        doppler_hz=-lengthening_mps / wavelength_m,
        aod=aod,
        aoa=aoa,
        tx_distance_m=tx_distance,
        rx_distance_m=rx_distance,
    )


def point_on_ray(
    transmitter_m: np.ndarray, receiver_m: np.ndarray, directions: np.ndarray, ranges_m: np.ndarray
) -> np.ndarray:
    """Points where rays from the receiver meet ellipsoids of bistatic ranges.

    A range that is not longer than the direct path gives the receiver itself.

    transmitter_m: [3], float64, m
    receiver_m: [3], float64, m
    directions: [..., 3], float64, unit vectors from the receiver
    ranges_m: [...], float64, m
    Returns [..., 3], float64, m.
    Source: CF eq. (7), solved for the point.
    """
    baseline_m = transmitter_m - receiver_m
    is_beyond = ranges_m > np.linalg.norm(baseline_m)

    # Distance r from the receiver: |baseline - r u| + r is the range.
    excess_m2 = np.square(ranges_m) - baseline_m @ baseline_m
    along_m = ranges_m - directions @ baseline_m
    numerator_m2 = np.where(is_beyond, excess_m2, 0)
    denominator_m = np.where(is_beyond, 2 * along_m, 1)
    distance_m = numerator_m2 / denominator_m
    return receiver_m + distance_m[..., None] * directions


def perpendicular_axes(direction: np.ndarray) -> np.ndarray:
    """Two unit vectors at right angles to a direction and to each other.

    direction: [3], float64, unit vector
    Returns [3, 2], float64.
    """
    # The axis along which the direction is the shortest.
    axis = np.eye(3)[np.abs(direction).argmin()]
    first = np.cross(direction, axis)
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(direction, first)])
