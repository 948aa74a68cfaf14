"""Likelihood of several paths in the channel matrices of one or several bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation.channel_matrix import ChannelMatrix


@dataclass(frozen=True)
class UsedElements:
    """Resource elements of a band that are in use.

    measured: [num_elements], complex128, channel
    slopes: [2, num_elements], float64, derivatives of a path's phase by delay and speed, about
        their means; the phase is their product with both
    mean_slopes: [2], float64, rad/s and rad/(m/s)
    noise_power: variance of the circular noise
    """

    measured: np.ndarray
    slopes: np.ndarray
    mean_slopes: np.ndarray
    noise_power: float


def phase_slopes(matrix: ChannelMatrix) -> np.ndarray:
    """Derivatives of a path's phase by delay and speed, [2, num_elements], rad/s and rad/(m/s)."""
    rows, columns = np.nonzero(matrix.mask)
    frequency_hz = matrix.frequency_hz[rows]
    time_s = matrix.time_s[columns]
    by_delay = -2 * np.pi * frequency_hz
    by_speed = 2 * np.pi * (matrix.carrier_hz + frequency_hz) * time_s / LIGHT_SPEED_MPS
    return np.stack([by_delay, by_speed])


def used_elements(matrix: ChannelMatrix) -> UsedElements:
    """Resource elements of a channel matrix that are in use."""
    slopes = phase_slopes(matrix)
    mean_slopes = slopes.mean(axis=1)
    return UsedElements(
        measured=matrix.values[matrix.mask],
        slopes=slopes - mean_slopes[:, None],
        mean_slopes=mean_slopes,
        noise_power=matrix.noise_power,
    )


def fit_amplitudes(band: UsedElements, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of paths by joint least squares, and what they leave of the channel.

    parameters: [2 num_paths], float64, delay in s and speed in m/s of each path
    Returns the amplitudes [num_paths] and the residual [num_elements], complex128.
    """
    responses = _responses(band, parameters)
    conjugate = responses.conj()
    amplitudes = np.linalg.solve(conjugate @ responses.T, conjugate @ band.measured)
    residual = band.measured - amplitudes @ responses

    # Amplitudes of responses with their phases at the carrier and at time zero.
    phases = parameters.reshape(-1, 2) @ band.mean_slopes
    return amplitudes * np.exp(-1j * phases), residual


def path_likelihood(
    bands: Sequence[UsedElements], parameters: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood concentrated over all amplitudes, its gradient and Fisher information.

    bands: elements in use, one a band
    parameters: [2 num_paths], float64, delay in s and speed in m/s of each path
    Returns the likelihood over that of noise alone, its gradient [2 num_paths] and the information
    [2 num_paths, 2 num_paths], float64.
    """
    likelihood, gradient, information = _band_likelihood(bands[0], parameters)
    for band in bands[1:]:
        of_band = _band_likelihood(band, parameters)
        likelihood += of_band[0]
        gradient += of_band[1]
        information += of_band[2]
    return likelihood, gradient, information


def _band_likelihood(
    band: UsedElements, parameters: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Likelihood of one band with least squares amplitudes, its gradient and information."""
    # Responses of the paths, these times the slopes of their phases, and the measurement.
    responses = _responses(band, parameters)
    num_paths, num_elements = responses.shape
    vectors = np.empty((3 * num_paths + 1, num_elements), complex)
    vectors[:num_paths] = responses
    sloped = vectors[num_paths:-1].reshape(num_paths, 2, num_elements)
    np.multiply(responses[:, None], band.slopes, out=sloped)
    vectors[-1] = band.measured

    # All inner products among them.
    products = vectors.conj() @ vectors.T
    gram = products[:num_paths, :num_paths]
    cross = products[:num_paths, num_paths:]
    sloped_products = products[num_paths:-1, num_paths:]

    # Least squares on the responses: amplitudes, and what is left of slopes and measurement.
    solved = np.linalg.solve(gram, cross)
    amplitudes = solved[:, -1]
    orthogonal = sloped_products - cross[:, :-1].conj().T @ solved
    likelihood = np.vdot(cross[:, -1], amplitudes).real / band.noise_power

    # The derivative of a path is its sloped response times its amplitude and j.
    weights = np.repeat(amplitudes, 2)
    scale = 2 / band.noise_power
    gradient = scale * np.imag(weights.conj() * orthogonal[:, -1])
    weighted = np.multiply.outer(weights.conj(), weights) * orthogonal[:, :-1]
    return float(likelihood), gradient, scale * np.real(weighted)


def _responses(band: UsedElements, parameters: np.ndarray) -> np.ndarray:
    """Paths of unit modulus, but for a common phase, [num_paths, num_elements], complex128."""
    return np.exp(1j * (parameters.reshape(-1, 2) @ band.slopes))
