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

    points_m: [..., 3], float64, m in map
    velocities_mps: [..., 3], float64, m/s in map, of the points
    wavelength_m: at the carrier, m
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
    """Doppler shift of lines of sight and of paths by way of the static world.

    Each end shortens a path by its movement along its own direction of the path. At a specular
    reflection the length is stationary with the point of reflection (Fermat), so that lines of
    sight, reflections and scattering at fixed points are alike.

    departure: [..., 3], float64, unit vectors from the transmitter along the path
    arrival: [..., 3], float64, unit vectors from the receiver along the path
    wavelength_m: at the carrier, m
    Returns [...], float64, Hz, positive when the path shortens; zeros where both ends rest.
    """
    shortening_mps = departure @ transmitter.velocity_mps + arrival @ receiver.velocity_mps
    return shortening_mps / wavelength_m
