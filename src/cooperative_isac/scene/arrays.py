"""Antenna arrays: element geometry and steering vectors."""

from __future__ import annotations

import numpy as np


def ula(num_elements: int, spacing_m: float) -> np.ndarray:
    """Uniform linear array along its own y axis, first element at the origin.

    Returns element positions [num_elements, 3], float64, m (CF eqs. 1-2).
    """
    positions = np.zeros((num_elements, 3))
    positions[:, 1] = np.arange(num_elements) * spacing_m
    return positions


def planar(num_horizontal: int, num_vertical: int, spacing_m: float) -> np.ndarray:
    """Uniform planar array in its own y-z plane, looking along x, centered on the origin.

    Returns element positions [num_horizontal * num_vertical, 3], float64, m; z runs fastest.
    """
    y = (np.arange(num_horizontal) - (num_horizontal - 1) / 2) * spacing_m
    z = (np.arange(num_vertical) - (num_vertical - 1) / 2) * spacing_m
    grid = np.stack(np.meshgrid(y, z, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.column_stack([np.zeros(len(grid)), grid])


def steering_vectors(
    elements_m: np.ndarray, directions: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Unit-norm steering vectors exp(+j 2 pi p.u / lambda) / sqrt(num_ant).

    Phase falls with delay, so an element nearer to the far point is ahead. The sign is the same on
    both sides of a
    path: a receiver sees a_r s, and the signal of a transmitter towards the point is a_t^T x. CF
    eqs. 1-2 define the complex conjugate and use it as a_r (...) a_t^H x: that is the same on the
    transmit side, and the mirror image on the receive side (docs/real_echoes.md).

    elements_m: [num_ant, 3], float64, m, offsets from the site in map axes
    directions: [..., 3], float64, unit vectors from the site towards the far point
    Returns [..., num_ant], complex128.
    """
    phase = directions @ elements_m.T * (2 * np.pi / wavelength_m)
    return np.exp(1j * phase) / np.sqrt(len(elements_m))


def steering_derivatives(
    elements_m: np.ndarray, directions: np.ndarray, distances_m: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Derivative of each steering vector with the far point's location (CF eqs. 36-37 conjugated,
    any geometry).

    elements_m: [num_ant, 3]; directions: [..., 3]; distances_m: [...], m.
    Returns [..., num_ant, 3], complex128, 1/m.
    """
    steering = steering_vectors(elements_m, directions, wavelength_m)
    across = np.eye(3) - directions[..., :, None] * directions[..., None, :]
    phase_slope = elements_m @ across * (2 * np.pi / wavelength_m) / distances_m[..., None, None]
    return 1j * phase_slope * steering[..., None]


def phasors(cycles: np.ndarray) -> np.ndarray:
    """Unit phasors exp(+j 2 pi cycles) in single precision.

    Whole cycles are removed in double precision, so that the error does not grow with the phase.

    cycles: [...], float64
    Returns [...], complex64, within 3e-7 of the exact value.
    """
    phase = (2 * np.pi * (cycles - np.rint(cycles))).astype(np.float32)
    turned = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=turned.real)
    np.sin(phase, out=turned.imag)
    return turned


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
    Returns [num_points, 1 + num_slopes, num_ant], complex64: what `steering_vectors` gives, and the
    axes of `steering_derivatives`.
    """
    along_m = directions @ elements_m.T
    steering = phasors(along_m / wavelength_m)
    steering /= np.float32(np.sqrt(len(elements_m)))
    together = np.empty((len(directions), 1 + num_slopes, len(elements_m)), np.complex64)
    together[:, 0] = steering

    # Slope of the phase: the element's offset across the direction, over the distance.
    axes = slice(0, num_slopes)
    across_m = elements_m.T[axes] - directions[:, axes, None] * along_m[:, None, :]
    phase_slopes = across_m * (2 * np.pi / wavelength_m / distances_m)[:, None, None]
    np.multiply(phase_slopes.astype(np.float32), 1j * steering[:, None], out=together[:, 1:])
    return together
