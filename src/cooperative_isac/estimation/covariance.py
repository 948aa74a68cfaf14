"""Covariance matrices of sensor snapshots."""

from __future__ import annotations

import numpy as np

import cooperative_isac.estimation.checks as checks


def steering(frequencies: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Steering matrix of sensors along a line.

    The line may be an antenna array, the subcarriers or the symbols of an OFDM grid: a source of
    frequency f has the phase 2 pi f p at position p.

    frequencies: [num_sources], float64, cycles per unit of position
    positions: [num_sensors], float64, positions of the sensors
    Returns [num_sensors, num_sources], complex128, entries of unit modulus.
    """
    frequencies = checks.reals("frequencies", frequencies, "num_sources")
    positions = checks.reals("positions", positions, "num_sensors")
    phases = 2 * np.pi * np.multiply.outer(positions, frequencies)
    return np.exp(1j * phases)


def sample_covariance(snapshots: np.ndarray) -> np.ndarray:
    """Sample covariance of zero-mean snapshots.

    snapshots: [num_sensors, num_snapshots], complex
    Returns [num_sensors, num_sensors], complex128, Hermitian.
    """
    snapshots = checks.array("snapshots", snapshots, "num_sensors, num_snapshots")
    num_snapshots = snapshots.shape[1]
    covariance = snapshots @ snapshots.conj().T / num_snapshots
    return (covariance + covariance.conj().T) / 2


def forward_backward(covariance: np.ndarray) -> np.ndarray:
    """Forward-backward average of the covariance of a uniform array.

    Decorrelates pairs of coherent sources; the array must be symmetric about its middle.

    covariance: [num_sensors, num_sensors], complex
    Returns [num_sensors, num_sensors], complex128, centro-Hermitian.
    """
    covariance = checks.covariance(covariance)
    backward = covariance[::-1, ::-1].conj()
    return (covariance + backward) / 2


def spatially_smoothed(snapshots: np.ndarray, size: int) -> np.ndarray:
    """Covariance of a uniform array averaged over all its subarrays of a size.

    Restores the rank that coherent sources (paths of one signal) lack. The price is aperture.

    snapshots: [num_sensors, num_snapshots], complex
    size: sensors of a subarray; subarrays overlap in all but one sensor
    Returns [size, size], complex128, Hermitian.
    Raises ValueError if a subarray is larger than the array.
    Source: Shan, Wax, Kailath, IEEE Trans. ASSP 33(4), 1985.
    """
    snapshots = checks.array("snapshots", snapshots, "num_sensors, num_snapshots")
    size = checks.whole("size", size)
    num_sensors = snapshots.shape[0]
    if size > num_sensors:
        raise ValueError(
            f"size is {size}, but the array has {num_sensors} sensors: pass at most as many"
        )

    # [size, num_subarrays, num_snapshots]: sensor of the subarray, subarray, snapshot.
    subarrays = np.lib.stride_tricks.sliding_window_view(snapshots, size, axis=0)
    stacked = np.moveaxis(subarrays, -1, 0).reshape(size, -1)
    return sample_covariance(stacked)
