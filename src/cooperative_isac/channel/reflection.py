"""Specular reflection at plane surfaces: images, Fresnel coefficients, polarization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.world import Material, Surface, World

UP = np.array([0.0, 0.0, 1.0])
# Sine of the angle between two directions below which they count as parallel: rounding would choose
# the polarization.
PARALLEL_SINE = 1e-9


@dataclass(frozen=True)
class Legs:
    """Legs of paths from one fixed point to other points, straight or by way of one surface.

    source_m: [3], float64, m, the fixed point, or its image behind the surface, from which the legs
    are straight lines
    distance_m: [...], float64, m, length of each leg
    departure: [..., 3], float64, unit vectors from the fixed point along the leg
    coefficient: [...], complex128, of the reflection; 1 for a straight leg
    exists: [...], bool, not blocked, and reflected within the surface
    """

    source_m: np.ndarray
    distance_m: np.ndarray
    departure: np.ndarray
    coefficient: np.ndarray
    exists: np.ndarray


def straight_legs(world: World | None, fixed_m: np.ndarray, points_m: np.ndarray) -> Legs:
    """Direct legs from a fixed point; without a world nothing blocks them.

    fixed_m: [3], float64, m
    points_m: [..., 3], float64, m
    """
    away_m = points_m - fixed_m
    distance_m = np.linalg.norm(away_m, axis=-1)
    if world is None:
        is_blocked = np.zeros(distance_m.shape, bool)
    else:
        is_blocked = world.blocks(fixed_m, points_m)
    return Legs(
        source_m=fixed_m,
        distance_m=distance_m,
        departure=away_m / distance_m[..., None],
        coefficient=np.ones(distance_m.shape, complex),
        exists=~is_blocked,
    )


def mirrored_legs(
    world: World, surface: Surface, fixed_m: np.ndarray, points_m: np.ndarray
) -> Legs:
    """Legs from a fixed point by way of one specular reflection (image method).

    fixed_m: [3], float64, m
    points_m: [num_points, 3], float64, m
    """
    image_m = surface.mirrored(fixed_m)
    distance_m = np.linalg.norm(points_m - image_m, axis=-1)
    reflection_m, exists = world.reflections(surface, fixed_m, points_m)

    # Directions of travel before and after the surface.
    before = _unit(reflection_m - fixed_m)
    after = _unit(points_m - reflection_m)
    reflected = copolar_coefficient(surface, before, after)
    coefficient = np.where(exists, reflected, 0)
    return Legs(image_m, distance_m, before, coefficient, exists)


def fresnel(material: Material, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fresnel reflection coefficients of a half-space, for TE and TM polarization.

    TE is the electric field perpendicular to the plane of incidence, TM the one within it. At
    normal incidence TM is minus TE, as its reference direction turns with that of propagation. A
    reflection loss of the material replaces both magnitudes, with the signs of a conductor.

    cosine: [...], float64, of the angle of incidence from the normal
    Returns TE and TM, [...] each, complex128.
    """
    if material.reflection_loss_db is not None:
        magnitude = np.full(np.shape(cosine), 10 ** (-material.reflection_loss_db / 20), complex)
        return -magnitude, magnitude

    # Normal component of the refracted wave vector, over the wave number in air.
    refracted = np.sqrt(material.permittivity - 1 + np.square(cosine))
    te = (cosine - refracted) / (cosine + refracted)
    incident = material.permittivity * cosine
    tm = (incident - refracted) / (incident + refracted)
    return te, tm


def copolar_coefficient(surface: Surface, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Reflection coefficient between vertically polarized elements at both ends.

    The specular field is weakened by sqrt(1 - S^2), as the surface scatters the rest.

    before: [..., 3], float64, unit vectors of travel before the surface
    after: [..., 3], float64, unit vectors of travel after the surface
    Returns [...], complex128.
    Source: Degli-Esposti et al., IEEE Trans. Antennas Propag. 55(1), 2007, eq. (6).
    """
    cosine = np.abs(before @ surface.normal)
    te, tm = fresnel(surface.material, cosine)

    # Unit vectors of the TE field, and of the TM field before and after the surface.
    across = np.cross(before, surface.normal)
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    across = np.where(
        sine > PARALLEL_SINE, across / np.maximum(sine, PARALLEL_SINE), _any_across(surface.normal)
    )
    tm_before = np.cross(across, before)
    tm_after = np.cross(across, after)

    # Transmitted vertical field to received vertical field, by both polarizations.
    transmitted = vertical_polarization(before)
    received = vertical_polarization(after)
    coefficient = te * _dot(transmitted, across) * _dot(received, across)
    coefficient = coefficient + tm * _dot(transmitted, tm_before) * _dot(received, tm_after)
    return coefficient * np.sqrt(1 - surface.material.scattering**2)


def mean_reflectivity(material: Material, cosine: np.ndarray) -> np.ndarray:
    """Share of an unpolarized wave's power that a smooth surface reflects.

    cosine: [...], float64, of the angle of incidence from the normal
    Returns [...], float64.
    """
    te, tm = fresnel(material, cosine)
    return (np.abs(te) ** 2 + np.abs(tm) ** 2) / 2


def vertical_polarization(directions: np.ndarray) -> np.ndarray:
    """Transverse unit vectors nearest to the vertical; along x for vertical directions.

    directions: [..., 3], float64, unit vectors of travel
    Returns [..., 3], float64.
    """
    upright = UP - directions[..., 2:] * directions
    length = np.linalg.norm(upright, axis=-1, keepdims=True)
    return np.where(
        length > PARALLEL_SINE,
        upright / np.maximum(length, PARALLEL_SINE),
        np.array([1.0, 0.0, 0.0]),
    )


def _any_across(normal: np.ndarray) -> np.ndarray:
    """A unit vector [3] at right angles to a unit vector [3]."""
    flattest_axis = np.eye(3)[np.argmin(np.abs(normal))]
    return _unit(np.cross(normal, flattest_axis))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] over their lengths; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scalar products along the last axis."""
    return np.sum(one * other, axis=-1)
