"""Transformation of a receive array by which noise and interference of its antennas become white.

Noise and interference with the covariance R over the antennas are white after L = sigma R^(-1/2),
of power sigma^2, and a path with the steering vector a has L a. Matched to it, a receive beam is
the one of minimum variance (MVDR).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.sensing.canceled_paths import CanceledPaths


@dataclass(frozen=True)
class Whitening:
    """Transformation of an array by which interference and noise of its antennas become white.

    matrix: [num_rx_ant, num_rx_ant], complex64
    """

    matrix: np.ndarray

    def of_echo(self, samples: np.ndarray) -> np.ndarray:
        """The transformed echo.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        Returns the same shape, complex64.
        """
        flat = samples.reshape(len(samples), -1)
        return (self.matrix @ flat).reshape(samples.shape)

    def of_beams(self, beams: np.ndarray) -> np.ndarray:
        """Receive beams matched to the transformed array, of unit norm.

        beams: [num_beams, num_rx_ant], complex64, conjugate steering vectors
        Returns the same shape, complex64.
        """
        transformed = beams @ self.matrix.conj().T
        return transformed / np.linalg.norm(transformed, axis=1, keepdims=True)

    def of_steering(self, receive: np.ndarray) -> np.ndarray:
        """Steering vectors of the transformed array, of unit norm, and their location slopes.

        What the array loses in a direction is a part of the unknown amplitude of the path.

        receive: [num_points, 1 + num_slopes, num_rx_ant], complex64, of the array itself
        Returns the same shape, complex64.
        """
        transformed = receive @ self.matrix.T
        norms = np.linalg.norm(transformed[:, 0], axis=1)
        transformed /= norms[:, None, None]

        # The slope of a unit vector has no component along it but a turn of its phase.
        steering = transformed[:, :1]
        along = np.sum(steering.conj() * transformed[:, 1:], axis=2, keepdims=True).real
        transformed[:, 1:] -= along * steering
        return transformed

    def of_canceled(self, canceled: CanceledPaths) -> CanceledPaths:
        """Canceled paths as they arrive at the transformed array."""
        return replace(canceled, arrivals=canceled.arrivals @ self.matrix.T)

    def after(self, first: Whitening | None) -> Whitening:
        """This transformation of an array that another one has passed; None: none has."""
        return self if first is None else Whitening(self.matrix @ first.matrix)


def whitening_of_samples(samples: np.ndarray, noise_power_w: float) -> Whitening | None:
    """Whitening by the covariance of all samples; None where there is noise alone.

    For unknown symbols on the elements that are sensed with: where data and code words share them,
    a receiver that knows one of both gets the other as interference, noise-like over the elements,
    but from the directions of strong paths.

    The known symbols of the paths that are looked for are in the covariance as well, and count as
    interference. An eigenvalue counts as one of noise alone where noise reaches it, and is
    corrected for the finite number of samples where it is above.

    samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    noise_power_w: of thermal noise per antenna and resource element, W
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
    matrix = (vectors / np.sqrt(powers)) @ vectors.conj().T
    return Whitening(matrix.astype(np.complex64))
