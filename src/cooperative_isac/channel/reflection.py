"""Specular reflection at plane surfaces: images, Fresnel coefficients, polarization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.world import Material, Surface, World

UP = np.array([0.0, 0.0, 1.0])
# Below this sine two directions count as parallel, so that a polarization is chosen instead of
# divided by rounding.
PARALLEL = 1e-9


@dataclass(frozen=True)
class Legs:
    """Ways from one fixed point to other points, straight or by way of one surface.

    source_m: [3], the fixed point, or its image behind the surface: the ways are straight lines
    from there
    distance_m: [...], whole length
    departure: [..., 3], unit vectors from the fixed point along its end of the way
    coefficient: [...], complex, of the reflection; 1 for a straight way
    open: [...], bool, whether the way exists: not blocked, and the reflection within its surface
    """

    source_m: np.ndarray
    distance_m: np.ndarray
    departure: np.ndarray
    coefficient: np.ndarray
    open: np.ndarray


def straight_legs(world: World | None, fixed_m: np.ndarray, points_m: np.ndarray) -> Legs:
    """Direct ways from fixed_m [3] to points_m [..., 3]; without a world nothing blocks them."""
    away = points_m - fixed_m
    distance = np.linalg.norm(away, axis=-1)
    blocked = np.zeros(distance.shape, bool) if world is None else world.blocks(fixed_m, points_m)
    return Legs(
        fixed_m, distance, away / distance[..., None], np.ones(distance.shape, complex), ~blocked
    )


def mirrored_legs(
    world: World, surface: Surface, fixed_m: np.ndarray, points_m: np.ndarray
) -> Legs:
    """Ways from fixed_m [3] to points_m [..., 3] by way of one specular reflection (image
    method).
    """
    image = surface.mirrored(fixed_m)
    distance = np.linalg.norm(points_m - image, axis=-1)
    incoming, share = surface.crossing(np.broadcast_to(image, points_m.shape), points_m)

    # both ends on one side of the plane, the reflection within the rectangle
    exists = (share > 0) & (share < 1) & surface.contains(incoming)
    safe = np.where(exists[..., None], incoming, surface.corner_m)
    exists &= ~world.blocks(fixed_m, safe) & ~world.blocks(safe, points_m)

    # directions before and after the surface
    before = _unit(safe - fixed_m)
    after = _unit(points_m - safe)
    coefficient = np.where(exists, copolar_coefficient(surface, before, after), 0)
    return Legs(image, distance, before, coefficient, exists)


def fresnel(material: Material, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reflection coefficients of fields across (TE) and in (TM) the plane of incidence.

    cosine: [...], of the angle of incidence from the normal
    Returns two arrays [...], complex. At normal incidence TM is minus TE (its field turns with the
    direction). A stated reflection loss stands for both, with the signs of a conductor.
    """
    if material.reflection_loss_db is not None:
        magnitude = np.full(np.shape(cosine), 10 ** (-material.reflection_loss_db / 20), complex)
        return -magnitude, magnitude
    inner = np.sqrt(material.permittivity - 1 + np.square(cosine))
    perpendicular = (cosine - inner) / (cosine + inner)
    dense = material.permittivity * cosine
    return perpendicular, (dense - inner) / (dense + inner)


def copolar_coefficient(surface: Surface, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Reflection coefficient between vertically polarized elements at both ends, [...], complex.

    The specular field is weakened by sqrt(1 - S^2) for what the surface scatters (Degli-Esposti et
    al., IEEE Trans. Antennas Propag. 55(1), 2007, eq. 6). before, after: [..., 3], unit vectors
    along the way
    """
    cosine = np.abs(before @ surface.normal)
    perpendicular, parallel = fresnel(surface.material, cosine)

    # unit vectors of the two polarizations before and after the surface
    across = np.cross(before, surface.normal)
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    across = np.where(
        sine > PARALLEL, across / np.maximum(sine, PARALLEL), _any_across(surface.normal)
    )
    lies_before = np.cross(across, before)
    lies_after = np.cross(across, after)

    # from the sent vertical field to the received vertical field
    sent, received = vertical_polarization(before), vertical_polarization(after)
    co = perpendicular * _dot(sent, across) * _dot(received, across)
    co = co + parallel * _dot(sent, lies_before) * _dot(received, lies_after)
    return co * np.sqrt(1 - surface.material.scattering**2)


def mean_reflectivity(material: Material, cosine: np.ndarray) -> np.ndarray:
    """Share of an unpolarized wave's power that a smooth surface reflects, [...]."""
    perpendicular, parallel = fresnel(material, cosine)
    return (np.abs(perpendicular) ** 2 + np.abs(parallel) ** 2) / 2


def vertical_polarization(directions: np.ndarray) -> np.ndarray:
    """Transverse unit vectors nearest to the vertical, for directions of travel [..., 3]."""
    upright = UP - directions[..., 2:] * directions
    length = np.linalg.norm(upright, axis=-1, keepdims=True)
    return np.where(
        length > PARALLEL, upright / np.maximum(length, PARALLEL), np.array([1.0, 0.0, 0.0])
    )


def _any_across(normal: np.ndarray) -> np.ndarray:
    """A unit vector [3] at right angles to a unit vector [3]."""
    return _unit(np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))]))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sum(one * other, axis=-1)
