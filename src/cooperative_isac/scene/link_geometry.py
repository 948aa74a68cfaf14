"""Bistatic geometry between two sites, at rest or moving."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.geometry import BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.station import Site


def site_velocity(site: Site) -> np.ndarray | None:
    """Velocity of a site, [3], float64, m/s in map; None: at rest."""
    return site.velocity_mps if site.is_moving else None


def link_geometry(
    transmitter: Site,
    receiver: Site,
    points_m: np.ndarray,
    velocities_mps: np.ndarray,
    wavelength_m: float,
) -> BistaticGeometry:
    """Delay, Doppler and directions of the paths of one link by way of points.

    points_m, velocities_mps: [..., 3], float64, m and m/s in map
    wavelength_m: at the carrier, m
    Returns arrays [...] and [..., 3], as scene.geometry.bistatic_geometry.
    """
    return bistatic_geometry(
        transmitter.position_m,
        receiver.position_m,
        points_m,
        velocities_mps,
        wavelength_m,
        transmitter_velocity_mps=site_velocity(transmitter),
        receiver_velocity_mps=site_velocity(receiver),
    )


def end_doppler_hz(
    transmitter: Site,
    receiver: Site,
    departure: np.ndarray,
    arrival: np.ndarray,
    wavelength_m: float,
) -> np.ndarray:
    """Doppler shift of paths between two moving ends by way of what stands still, or nothing.

    Each end shortens a path by as much as it moves along its own direction of the path; at a
    specular reflection the path is stationary with the place of the reflection (Fermat), so that
    lines of sight, reflections and scattering at fixed points are alike.

    departure, arrival: [..., 3], float64, unit vectors from the transmitter and from the receiver
    along the path
    wavelength_m: at the carrier, m
    Returns [...], float64, Hz, positive when the path shortens; zeros where both ends rest.
    """
    shortening = departure @ transmitter.velocity_mps + arrival @ receiver.velocity_mps
    return shortening / wavelength_m
