"""Receive beamforming: weights that pass an echo and null interference."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

# Share of the echo's steering vector that must be outside the span of the interferers: below it
# the rest is rounding in double precision.
LEAST_OUTSIDE_SHARE = 1e-9


def mvdr_weights(covariance: np.ndarray, steering: np.ndarray) -> np.ndarray:
    """Minimum variance distortionless response: least output power at unit gain for the echo.

    covariance: [num_antennas, num_antennas], complex, of interference and noise (with the echo in
        it, errors of the assumed direction suppress the echo)
    steering: [num_antennas], complex, steering vector of the echo
    Returns [num_antennas], complex128, weights w of the output w^H x.
    Source: Capon, Proc. IEEE 57(8), 1969.
    """
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
    num_antennas, num_interferers = interference.shape
    if num_interferers >= num_antennas:
        raise ValueError(
            f"{num_interferers} interferers on {num_antennas} antennas: nulling needs more "
            "antennas than interferers"
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
    echo = echo_power * abs(np.vdot(weights, steering)) ** 2
    disturbance = np.real(np.vdot(weights, covariance @ weights))
    return float(echo / disturbance)
