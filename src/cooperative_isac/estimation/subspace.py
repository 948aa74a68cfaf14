"""Frequencies of superimposed complex exponentials from the subspaces of a covariance.

A frequency is in cycles per unit of position, within [-1/2, 1/2): for an antenna array with
spacing d (wavelengths) and direction cosine u it is d u, for subcarriers -df tau, for symbols T fD.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.estimation.covariance import steering

# Points of the search grid of MUSIC per aperture's resolution 1 / span: 8 keep a grid point within
# 1/16 of a resolution cell of the peak, where Newton's method converges.
MUSIC_OVERSAMPLING = 8

# Newton steps from the grid to the peak; each squares the error.
NEWTON_STEPS = 8


def noise_subspace(covariance: np.ndarray, num_sources: int) -> np.ndarray:
    """Orthonormal basis of the noise subspace.

    covariance: [num_sensors, num_sensors], complex, Hermitian
    num_sources: dimension of the signal subspace
    Returns [num_sensors, num_sensors - num_sources], complex128.
    Raises ValueError if there are not more sensors than sources.
    """
    num_sensors = len(covariance)
    _check_order(num_sources, num_sensors)
    vectors = np.linalg.eigh(covariance).eigenvectors
    return vectors[:, : num_sensors - num_sources]


def signal_subspace(covariance: np.ndarray, num_sources: int) -> np.ndarray:
    """Orthonormal basis of the signal subspace.

    covariance: [num_sensors, num_sensors], complex, Hermitian
    num_sources: dimension of the signal subspace
    Returns [num_sensors, num_sources], complex128.
    Raises ValueError if there are not more sensors than sources.
    """
    num_sensors = len(covariance)
    _check_order(num_sources, num_sensors)
    vectors = np.linalg.eigh(covariance).eigenvectors
    return vectors[:, num_sensors - num_sources :]


def music_spectrum(
    covariance: np.ndarray,
    num_sources: int,
    frequencies: np.ndarray,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """MUSIC pseudospectrum.

    covariance: [num_sensors, num_sensors], complex, Hermitian
    num_sources: dimension of the signal subspace
    frequencies: [num_frequencies], float64, cycles per unit of position
    positions: [num_sensors], float64, positions of the sensors; 0, 1, 2, ... if None
    Returns [num_frequencies], float64: 1 / |projection of the unit steering vector on noise|^2.
    Source: Schmidt, IEEE Trans. AP 34(3), 1986, eq. (6).
    """
    noise = noise_subspace(covariance, num_sources)
    vectors = steering(frequencies, _positions(positions, len(covariance)))
    in_noise = noise.conj().T @ vectors
    leakage = np.linalg.norm(in_noise, axis=0) ** 2 / len(covariance)
    return 1 / np.maximum(leakage, np.finfo(float).tiny)


def music(
    covariance: np.ndarray, num_sources: int, positions: np.ndarray | None = None
) -> np.ndarray:
    """Frequencies of the highest peaks of the MUSIC pseudospectrum, refined by Newton's method.

    covariance: [num_sensors, num_sensors], complex, Hermitian
    num_sources: dimension of the signal subspace
    positions: [num_sensors], float64, positions of the sensors; 0, 1, 2, ... if None
    Returns [<= num_sources], float64, ascending; fewer where peaks have merged.
    Source: Schmidt, IEEE Trans. AP 34(3), 1986.
    """
    places = _positions(positions, len(covariance))
    noise = noise_subspace(covariance, num_sources)

    # Coarse search: all local minima of the projection on the noise subspace over one period.
    num_points = int(np.ceil(MUSIC_OVERSAMPLING * (np.ptp(places) + 1)))
    grid = np.arange(num_points) / num_points - 0.5
    in_noise = noise.conj().T @ steering(grid, places)
    leakage = np.linalg.norm(in_noise, axis=0) ** 2
    falls_before = leakage < np.roll(leakage, 1)
    rises_after = leakage <= np.roll(leakage, -1)
    minima = np.flatnonzero(falls_before & rises_after)

    # The deepest ones.
    by_depth = np.argsort(leakage[minima])
    deepest = minima[by_depth[:num_sources]]

    # Refinement of each, within its grid cell.
    found = [_refine(grid[i], noise, places, 1 / num_points) for i in deepest]
    return np.sort(wrapped(np.array(found)))


def _refine(frequency: float, noise: np.ndarray, places: np.ndarray, cell: float) -> float:
    """Minimum of the projection on the noise subspace near a frequency, by Newton's method."""
    # With the middle of the array as origin, value and slope of a steering vector are orthogonal.
    centered = places - places.mean()
    derivative = 2j * np.pi * centered
    start = frequency
    for _ in range(NEWTON_STEPS):
        vector = np.exp(derivative * frequency)
        value = noise.conj().T @ vector
        slope = noise.conj().T @ (derivative * vector)
        curve = noise.conj().T @ (derivative**2 * vector)

        gradient = 2 * np.real(np.vdot(value, slope))
        curvature = 2 * (np.real(np.vdot(slope, slope)) + np.real(np.vdot(value, curve)))
        if curvature <= 0:
            break
        frequency = float(np.clip(frequency - gradient / curvature, start - cell, start + cell))
    return frequency


def root_music(covariance: np.ndarray, num_sources: int) -> np.ndarray:
    """Frequencies from the roots of the MUSIC polynomial of a uniform array.

    covariance: [num_sensors, num_sensors], complex, Hermitian, of a uniform array
    num_sources: dimension of the signal subspace
    Returns [num_sources], float64, ascending.
    Source: Barabell, Proc. ICASSP, 1983.
    """
    noise = noise_subspace(covariance, num_sources)
    num_sensors = len(covariance)

    # Coefficients of the polynomial: sums along the diagonals of the noise projector.
    projector = noise @ noise.conj().T
    lags = np.arange(num_sensors - 1, -num_sensors, -1)
    coefficients = np.array([np.trace(projector, offset=lag) for lag in lags])

    # Roots come in pairs z, 1 / z*: of each pair the one inside the unit circle; the sources are
    # the nearest to the circle.
    roots = np.roots(coefficients)
    by_radius = np.argsort(np.abs(roots))
    inside = roots[by_radius[: num_sensors - 1]]
    by_radius = np.argsort(np.abs(inside))
    nearest = inside[by_radius[-num_sources:]]
    return np.sort(np.angle(nearest) / (2 * np.pi))


def esprit(covariance: np.ndarray, num_sources: int, displacement: int | None = None) -> np.ndarray:
    """Frequencies by ESPRIT with total least squares on a uniform array.

    Two subarrays that are `displacement` elements apart differ by the phases of the sources over
    that distance. Neighbors (displacement 1) are unambiguous, but waste aperture: a third of the
    array comes within some percent of the Cramer-Rao bound. Neighbors then only resolve the
    ambiguity, with which they share the eigenvectors.

    covariance: [num_sensors, num_sensors], complex, Hermitian, of a uniform array
    num_sources: dimension of the signal subspace
    displacement: elements between both subarrays; a third of the array if None
    Returns [num_sources], float64, ascending.
    Raises ValueError if the subarrays have fewer elements than there are sources.
    Source: Roy, Kailath, IEEE Trans. ASSP 37(7), 1989.
    """
    num_sensors = len(covariance)
    signal = signal_subspace(covariance, num_sources)
    if displacement is None:
        displacement = max(1, min(num_sensors // 3, num_sensors - num_sources))
    if not 1 <= displacement <= num_sensors - num_sources:
        raise ValueError(
            f"subarrays {displacement} elements apart leave {num_sensors - displacement} elements "
            f"for {num_sources} sources: take a displacement from 1 to {num_sensors - num_sources}"
        )

    # Unambiguous frequencies, and the eigenvectors that separate the sources.
    eigenvalues, eigenvectors = np.linalg.eig(_rotation(signal, 1))
    coarse = np.angle(eigenvalues) / (2 * np.pi)
    if displacement == 1:
        return np.sort(coarse)

    # Frequencies over the longer distance, known up to multiples of 1 / displacement.
    separated = np.linalg.solve(eigenvectors, _rotation(signal, displacement) @ eigenvectors)
    ambiguous = np.angle(np.diag(separated)) / (2 * np.pi * displacement)
    turns = np.round((coarse - ambiguous) * displacement)
    return np.sort(wrapped(ambiguous + turns / displacement))


def _rotation(signal: np.ndarray, displacement: int) -> np.ndarray:
    """Total least squares solution of first @ rotation = second, two displaced subarrays."""
    # Bases of the signal subspace on both subarrays.
    num_sources = signal.shape[1]
    first = signal[:-displacement]
    second = signal[displacement:]

    # Singular vectors of the least singular values: [first, second] @ null is as small as can be.
    _, _, right = np.linalg.svd(np.hstack([first, second]), full_matrices=True)
    null = right.conj().T[:, num_sources:]
    of_first = null[:num_sources]
    of_second = null[num_sources:]
    return -of_first @ np.linalg.inv(of_second)


def wrapped(frequencies: np.ndarray) -> np.ndarray:
    """Frequencies wrapped into [-1/2, 1/2).

    frequencies: [...], float64, cycles per unit of position
    Returns [...], float64.
    """
    return (frequencies + 0.5) % 1 - 0.5


def _positions(positions: np.ndarray | None, num_sensors: int) -> np.ndarray:
    """Positions as given, checked, or those of a uniform array."""
    if positions is None:
        return np.arange(num_sensors, dtype=float)
    places = np.asarray(positions, float)
    if places.shape != (num_sensors,):
        raise ValueError(
            f"positions have shape {places.shape}, but the covariance is of {num_sensors} sensors"
        )
    return places


def _check_order(num_sources: int, num_sensors: int) -> None:
    if not 1 <= num_sources < num_sensors:
        raise ValueError(
            f"{num_sources} sources on {num_sensors} sensors: subspace methods need at least one "
            "source and more sensors than sources (a sparse array's virtual array has more: "
            "estimation.coarray)"
        )
