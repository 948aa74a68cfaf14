"""Spatial whitening of interference by unknown symbols on the elements that are sensed with.

Where data and code words share the resource elements, a receiver that knows one of both gets the
other as interference: noise-like over the elements, but from the directions of strong paths.
"""

from __future__ import annotations

import numpy as np


def whitening_filter(samples: np.ndarray, noise_power_w: float) -> np.ndarray | None:
    """Filter over the antennas after which noise and interference are white, at the noise power.

    The covariance is that of all samples: the known symbols of the paths that are looked for are
    in it as well, and count as interference. An eigenvalue counts as one of noise alone where noise
    reaches it, and is corrected for the finite number of samples where it is above.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    noise_power_w: of thermal noise per antenna and resource element, W
    Returns [num_rx_ant, num_rx_ant], complex64, Hermitian; None where there is noise alone.
    Source: eigenvalues of a sample covariance of noise and few sources, D. Paul, Statistica Sinica
    17(4), 2007.
    """
    # Eigenvalues of the sample covariance, in thermal noise powers.
    flat = samples.reshape(len(samples), -1).astype(complex)
    num_ant, num_samples = flat.shape
    covariance = flat @ flat.conj().T / (num_samples * noise_power_w)
    if not np.isfinite(covariance).all():
        return None
    eigenvalues, vectors = np.linalg.eigh(covariance)

    # The largest that noise alone has: edge of the Marchenko-Pastur distribution.
    ratio = num_ant / num_samples
    is_source = eigenvalues > (1 + np.sqrt(ratio)) ** 2
    if not is_source.any():
        return None

    # Powers of noise and interference that have these eigenvalues.
    found = eigenvalues[is_source]
    shifted = found + 1 - ratio
    powers = np.ones(num_ant)
    powers[is_source] = (shifted + np.sqrt(shifted**2 - 4 * found)) / 2

    # Inverse square root of the covariance.
    whitening = (vectors / np.sqrt(powers)) @ vectors.conj().T
    return whitening.astype(np.complex64)


def whitened(samples: np.ndarray, whitening: np.ndarray | None) -> np.ndarray:
    """The samples of an echo behind a spatial filter; the same array without one.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    whitening: [num_rx_ant, num_rx_ant], complex64; None: none
    """
    if whitening is None:
        return samples
    return (whitening @ samples.reshape(len(samples), -1)).reshape(samples.shape)


def whitened_steering(steering: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """Steering vectors and their slopes after the filter, at unit norm of the vectors.

    A path's unknown amplitude takes the gain of the filter in its direction.

    steering: [num_points, 1 + num_slopes, num_rx_ant], complex64, unit vector and its slopes
    whitening: [num_rx_ant, num_rx_ant], complex64
    Returns the same shape, complex64.
    """
    filtered = steering @ whitening.T
    gain = np.linalg.norm(filtered[:, :1], axis=2, keepdims=True)
    return filtered / gain
