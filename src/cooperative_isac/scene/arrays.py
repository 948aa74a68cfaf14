"""Antenna arrays: element geometry and steering vectors."""

from __future__ import annotations

import numpy as np


def ula(num_elements: int, spacing_m: float) -> np.ndarray:
    """Elements of a uniform linear array along its own y axis, the first one at the origin.

    Returns [num_elements, 3], float64, m.
    Source: CF eqs. (1)-(2).
    """
    return line(np.arange(num_elements) * spacing_m)


def line(places_m: np.ndarray) -> np.ndarray:
    """Elements of a linear array along its own y axis.

    places_m: [num_elements], float64, m
    Returns [num_elements, 3], float64, m.
    """
    positions = np.zeros((len(places_m), 3))
    positions[:, 1] = places_m
    return positions


def planar(num_horizontal: int, num_vertical: int, spacing_m: float) -> np.ndarray:
    """Elements of a uniform planar array in its own y-z plane, centered, with boresight x.

    Returns [num_horizontal * num_vertical, 3], float64, m; z runs fastest.
    """
    # Places along both axes about the middle.
    columns = np.arange(num_horizontal) - (num_horizontal - 1) / 2
    rows = np.arange(num_vertical) - (num_vertical - 1) / 2
    y_m, z_m = np.meshgrid(columns * spacing_m, rows * spacing_m, indexing="ij")

    # Pairs of both, in the plane x = 0.
    elements_m = np.zeros((num_horizontal * num_vertical, 3))
    elements_m[:, 1] = y_m.ravel()
    elements_m[:, 2] = z_m.ravel()
    return elements_m


def steering_vectors(
    elements_m: np.ndarray, directions: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Unit-norm steering vectors exp(+j 2 pi p.u / lambda) / sqrt(num_ant).

    Phase falls with delay, so that an element nearer to the far point is ahead. The sign is the
    same on both sides of a path: a receiver receives a_r s, and the signal of a transmitter towards
    the point is a_t^T x.

    elements_m: [num_ant, 3], float64, m, offsets from the site in map axes
    directions: [..., 3], float64, unit vectors from the site towards the far point
    Returns [..., num_ant], complex128.
    Source: CF eqs. (1)-(2) define the complex conjugate and use it as a_r (...) a_t^H x. That is
    the same on the transmit side, and the mirror image on the receive side (docs/real_echoes.md).
    """
    phase_rad = directions @ elements_m.T * (2 * np.pi / wavelength_m)
    return np.exp(1j * phase_rad) / np.sqrt(len(elements_m))


def steering_derivatives(
    elements_m: np.ndarray, directions: np.ndarray, distances_m: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Derivative of each steering vector with the far point's location.

    elements_m: [num_ant, 3], float64, m, offsets from the site in map axes
    directions: [..., 3], float64, unit vectors from the site towards the far point
    distances_m: [...], float64, m, from the site to the far point
    Returns [..., num_ant, 3], complex128, 1/m.
    Source: CF eqs. (36)-(37), conjugated, for any geometry.
    """
    steering = steering_vectors(elements_m, directions, wavelength_m)

    # The direction turns with the location's component perpendicular to it.
    perpendicular = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    offsets_m = elements_m @ perpendicular
    wavenumber = 2 * np.pi / wavelength_m
    phase_slope = offsets_m * wavenumber / distances_m[..., None, None]
    return 1j * phase_slope * steering[..., None]


def phasors(cycles: np.ndarray) -> np.ndarray:
    """Unit phasors exp(+j 2 pi cycles) in single precision.

    Whole cycles are removed in double precision, so that the error does not grow with the phase.

    cycles: [...], float64
    Returns [...], complex64, within 3e-7 of the exact value.
    """
    phase_rad = (2 * np.pi * (cycles - np.rint(cycles))).astype(np.float32)
    unit = np.empty(phase_rad.shape, np.complex64)
    np.cos(phase_rad, out=unit.real)
    np.sin(phase_rad, out=unit.imag)
    return unit


def steering_with_slopes(
    elements_m: np.ndarray,
    directions: np.ndarray,
    distances_m: np.ndarray,
    wavelength_m: float,
    num_slopes: int,
) -> np.ndarray:
    """Steering vectors and their location derivatives together, in single precision.

    elements_m: [num_ant, 3], float64, m, offsets from the site in map axes
    directions: [num_points, 3], float64, unit vectors from the site towards the points
    distances_m: [num_points], float64, m
    num_slopes: axes of the location to derive with, the first of x, y, z
    Returns [num_points, 1 + num_slopes, num_ant], complex64: `steering_vectors`, and the first axes
    of `steering_derivatives`.
    """
    # Steering vectors.
    along_m = directions @ elements_m.T
    steering = phasors(along_m / wavelength_m)
    steering /= np.float32(np.sqrt(len(elements_m)))
    together = np.empty((len(directions), 1 + num_slopes, len(elements_m)), np.complex64)
    together[:, 0] = steering

    # Slope of the phase: the element's offset perpendicular to the direction, over the distance.
    axes = slice(0, num_slopes)
    offsets_m = elements_m.T[axes] - directions[:, axes, None] * along_m[:, None, :]
    per_meter = 2 * np.pi / wavelength_m / distances_m
    phase_slopes = offsets_m * per_meter[:, None, None]

    # Slope of the vector: its own quarter turn ahead, times that of the phase.
    turned = 1j * steering[:, None]
    np.multiply(phase_slopes.astype(np.float32), turned, out=together[:, 1:])
    return together
