"""Receive beamforming: weights that pass an echo and null interference."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

import cooperative_isac.estimation.checks as checks

# Share of the echo's steering vector that must be outside the span of the interferers: below it
# the rest is rounding in double precision.
LEAST_OUTSIDE_SHARE = 1e-9


def mvdr_weights(covariance: np.ndarray, steering: np.ndarray) -> np.ndarray:
    """Minimum variance distortionless response: least output power at unit gain for the echo.

    covariance: [num_antennas, num_antennas], complex, of interference and noise (with the echo in
        it, errors of the assumed direction suppress the echo)
    steering: [num_antennas], complex, steering vector of the echo
    Returns [num_antennas], complex128, weights w of the output w^H x.
    Raises ValueError if the covariance has no inverse.
    Source: Capon, Proc. IEEE 57(8), 1969.
    """
    steering = _steering(steering)
    covariance = checks.covariance(covariance)
    checks.shape("covariance", covariance, (len(steering), len(steering)), "steering")
    eigenvalues = np.linalg.eigvalsh(covariance)
    if eigenvalues[0] <= len(eigenvalues) * np.finfo(float).eps * eigenvalues[-1]:
        raise ValueError(
            "covariance has no inverse: take at least as many snapshots as antennas, or add a "
            "small multiple of the identity (diagonal loading)"
        )
    whitened = solve(covariance, steering, assume_a="her")
    return whitened / np.vdot(steering, whitened)


def null_steering_weights(steering: np.ndarray, interference: np.ndarray) -> np.ndarray:
    """Weights of unit gain for the echo and zero gain for known interferers.

    These weights have the least noise power of all that fulfill both.

    steering: [num_antennas], complex, steering vector of the echo
    interference: [num_antennas, num_interferers], complex, steering vectors of the interferers
    Returns [num_antennas], complex128, weights w of the output w^H x.
    Raises ValueError if there are not more antennas than interferers, or an interferer has the
    echo's direction.
    """
    steering = _steering(steering)
    remedy = "one column a direction: interference[:, None] if there is one"
    interference = checks.array(
        "interference", interference, "num_antennas, num_interferers", remedy
    )
    num_antennas, num_interferers = interference.shape
    checks.shape("steering", steering, (num_antennas,), "interference")
    if num_interferers >= num_antennas:
        raise ValueError(
            f"{num_interferers} interferers on {num_antennas} antennas: nulling needs more "
            "antennas than interferers"
        )
    if np.linalg.matrix_rank(interference) < num_interferers:
        raise ValueError(
            "interference has columns that are combinations of others: pass each direction once"
        )

    # The echo's part outside the span of the interference.
    basis, _ = np.linalg.qr(interference)
    outside = steering - basis @ (basis.conj().T @ steering)
    gain = np.real(np.vdot(steering, outside))
    if gain < LEAST_OUTSIDE_SHARE * np.real(np.vdot(steering, steering)):
        raise ValueError("an interferer has the direction of the echo: no weights separate them")
    return outside / gain


def output_sinr(
    weights: np.ndarray, steering: np.ndarray, echo_power: float, covariance: np.ndarray
) -> float:
    """Ratio of the echo's to the interference and noise power after beamforming.

    weights: [num_antennas], complex
    steering: [num_antennas], complex, steering vector of the echo
    echo_power: power of the echo at one antenna
    covariance: [num_antennas, num_antennas], complex, of interference and noise
    """
    weights = checks.array("weights", weights, "num_antennas")
    steering = _steering(steering)
    echo_power = checks.not_negative("echo_power", echo_power)
    covariance = checks.covariance(covariance)
    checks.shape("weights", weights, steering.shape, "steering")
    checks.shape("covariance", covariance, (len(steering), len(steering)), "steering")
    echo = echo_power * abs(np.vdot(weights, steering)) ** 2
    disturbance = np.real(np.vdot(weights, covariance @ weights))
    if disturbance <= 0:
        raise ValueError(
            "weights leave no interference and noise: pass weights that are not zero, and a "
            "covariance that contains the noise"
        )
    return float(echo / disturbance)


def _steering(steering: np.ndarray) -> np.ndarray:
    """Steering vector of an echo, checked."""
    found = checks.array("steering", steering, "num_antennas", "such as steering(...)[:, 0]")
    if not found.any():
        raise ValueError("steering is zero: pass entries of unit modulus")
    return found
