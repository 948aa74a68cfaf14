"""Closed-form bounds and analytic errors of frequency estimators."""

from __future__ import annotations

import numpy as np
from scipy.linalg import khatri_rao

from cooperative_isac.estimation.coarray import lag_selection
from cooperative_isac.estimation.covariance import steering


def deterministic_crlb(
    frequencies: np.ndarray, positions: np.ndarray, amplitudes: np.ndarray, noise_power: float
) -> np.ndarray:
    """Cramer-Rao bound of frequencies with unknown deterministic amplitudes.

    frequencies: [num_sources], float64, cycles per unit of position
    positions: [num_sensors], float64
    amplitudes: [num_sources, num_snapshots], complex
    noise_power: variance of the circular noise per sensor and snapshot
    Returns [num_sources, num_sources], float64, covariance in squared cycles per unit.
    Source: Stoica, Nehorai, IEEE Trans. ASSP 37(5), 1989, eq. (4.1).
    """
    projected, slopes = _projected_slopes(frequencies, positions)
    geometry = slopes.conj().T @ projected
    correlation = amplitudes @ amplitudes.conj().T
    information = 2 / noise_power * np.real(geometry * correlation.T)
    return np.linalg.inv(information)


def stochastic_crlb(
    frequencies: np.ndarray,
    positions: np.ndarray,
    powers: np.ndarray,
    noise_power: float,
    num_snapshots: int,
) -> np.ndarray:
    """Cramer-Rao bound of frequencies of uncorrelated Gaussian sources.

    Sources are known to be uncorrelated; powers and noise power are unknown. Holds for sparse
    arrays with more sources than sensors too.

    frequencies: [num_sources], float64, cycles per unit of position
    positions: [num_sensors], float64
    powers: [num_sources], float64
    noise_power: variance of the circular noise per sensor and snapshot
    num_snapshots: independent snapshots
    Returns [num_sources, num_sources], float64, covariance in squared cycles per unit.
    Source: Wang, Nehorai, IEEE Trans. SP 65(4), 2017, theorem 2.
    """
    # Model: R = A diag(p) A^H + s I, so that vec(R) = (A* kr A) p + s vec(I), with the Khatri-Rao
    # product kr, powers p and noise power s.
    array = steering(frequencies, positions)
    signal = (array * powers) @ array.conj().T
    covariance = signal + noise_power * np.eye(len(positions))

    # Derivatives of vec(R) with respect to frequencies (product rule), powers and noise power.
    slopes = 2j * np.pi * positions[:, None] * array
    conjugate_term = np.asarray(khatri_rao(slopes.conj(), array))
    array_term = np.asarray(khatri_rao(array.conj(), slopes))
    by_frequency = (conjugate_term + array_term) * powers
    by_power = khatri_rao(array.conj(), array)
    by_noise = np.eye(len(positions)).reshape(-1, 1)

    # Whitened by the covariance: the information is J^H (R^-T kron R^-1) J per snapshot, for the
    # matrix J of all derivatives.
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    whiten = np.kron(whitener.conj(), whitener)
    jacobian = whiten @ by_frequency
    nuisance = whiten @ np.hstack([by_power, by_noise])

    # Nuisance parameters are projected out.
    basis, _ = np.linalg.qr(nuisance)
    explained = basis @ (basis.conj().T @ jacobian)
    residual = jacobian - explained
    information = num_snapshots * np.real(residual.conj().T @ residual)
    return np.linalg.inv(information)


def music_mse(
    frequencies: np.ndarray,
    positions: np.ndarray,
    powers: np.ndarray,
    noise_power: float,
    num_snapshots: int,
) -> np.ndarray:
    """Analytic mean squared error of MUSIC on the sensors themselves, uncorrelated sources.

    frequencies: [num_sources], float64, cycles per unit of position
    positions: [num_sensors], float64
    powers: [num_sources], float64
    noise_power: variance of the circular noise per sensor and snapshot
    num_snapshots: independent snapshots
    Returns [num_sources], float64, squared cycles per unit.
    Source: Stoica, Nehorai, IEEE Trans. ASSP 37(5), 1989, eq. (3.12).
    """
    # Curvature of the MUSIC function at each source.
    projected, slopes = _projected_slopes(frequencies, positions)
    curvature = np.real(np.einsum("sk,sk->k", slopes.conj(), projected))

    # P^-1 + s P^-1 (A^H A)^-1 P^-1, with the diagonal matrix P of powers and the noise power s.
    array = steering(frequencies, positions)
    gram_inverse = np.linalg.inv(array.conj().T @ array)
    inverse_power = np.diag(1 / powers)
    by_overlap = noise_power * inverse_power @ gram_inverse @ inverse_power
    spread = np.real(np.diag(inverse_power + by_overlap))
    return noise_power / (2 * num_snapshots) * spread / curvature


def coarray_music_mse(
    frequencies: np.ndarray,
    positions: np.ndarray,
    powers: np.ndarray,
    noise_power: float,
    num_snapshots: int,
) -> np.ndarray:
    """Analytic mean squared error of MUSIC on the virtual array of a sparse array.

    The same for direct augmentation and for spatial smoothing. It does not vanish as the SNR grows
    where sources are as many as sensors or more.

    frequencies: [num_sources], float64, cycles per unit of position
    positions: [num_sensors], int, multiples of the unit
    powers: [num_sources], float64
    noise_power: variance of the circular noise per sensor and snapshot
    num_snapshots: independent snapshots
    Returns [num_sources], float64, squared cycles per unit.
    Source: Wang, Nehorai, IEEE Trans. SP 65(4), 2017, theorem 1.
    """
    selection = lag_selection(positions)
    size = (len(selection) + 1) // 2
    virtual = np.arange(size, dtype=float)

    # Steering vectors of the virtual array, their slopes, and the projection on its noise subspace.
    array = steering(frequencies, virtual)
    projected, slopes = _projected_slopes(frequencies, virtual)
    curvature = np.real(np.einsum("sk,sk->k", slopes.conj(), projected))
    pseudo_inverse = np.linalg.pinv(array)

    # Covariance of the error of the sample covariance, vec(R_hat - R): R^T kron R / snapshots.
    physical = steering(frequencies, positions)
    covariance = (physical * powers) @ physical.conj().T + noise_power * np.eye(len(positions))
    error_covariance = np.kron(covariance.T, covariance) / num_snapshots

    mse = np.empty(len(frequencies))
    for k in range(len(frequencies)):
        # First-order error of a frequency: Re(weights . error of the virtual covariance).
        left = projected[:, k].conj()
        right = pseudo_inverse[k].conj()
        weights = _along_lags(left, right, size) @ selection

        # vec(R_hat) is real in pairs: a Hermitian error gives E[Re^2] = w S w^H / 2 + Re(...) / 2.
        circular = np.real(weights @ error_covariance @ weights.conj())
        mirrored = _transposed(weights, len(positions))
        reflected = np.real(weights @ error_covariance @ mirrored)
        mse[k] = (circular + reflected) / 2 / (curvature[k] * powers[k]) ** 2
    return mse


def _along_lags(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """Coefficients by lag of the bilinear form left^T T right of a Toeplitz matrix T."""
    outer = np.multiply.outer(left, right)
    return np.array([np.trace(outer, offset=-lag) for lag in range(-(size - 1), size)])


def _transposed(weights: np.ndarray, num_sensors: int) -> np.ndarray:
    """Coefficients of the transposed matrix: w . vec(X) = w' . vec(X^T)."""
    return weights.reshape(num_sensors, num_sensors).T.reshape(-1)


def _projected_slopes(
    frequencies: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of steering vectors, and their parts orthogonal to all steering vectors."""
    array = steering(frequencies, positions)
    slopes = 2j * np.pi * positions[:, None] * array
    basis, _ = np.linalg.qr(array)
    projected = slopes - basis @ (basis.conj().T @ slopes)
    return projected, slopes
