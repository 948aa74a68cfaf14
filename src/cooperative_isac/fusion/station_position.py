"""Uncertain positions of receiving stations in the information of their reports."""

from __future__ import annotations

import numpy as np

# Least change of a bistatic range with a location, over that of one leg. Below it a location lies
# between both ends, where the range measures nothing and the displacement would have no bound; the
# cosine of half a degree.
LEAST_RANGE_SLOPE = 1e-2


def displacement_gradient(aod: np.ndarray, aoa: np.ndarray) -> np.ndarray:
    """Derivative of a location with the position that its receiver is assumed to have.

    The location is where the ray of the measured direction meets the ellipsoid of the measured
    bistatic range. Both move with the receiver.

    aod: [..., 3], float64, unit vectors from the transmitter to the location
    aoa: [..., 3], float64, unit vectors from the receiver to the location
    Returns [..., 3, 3], float64.
    """
    # Both legs keep their sum: the distance along the ray makes up for the transmitter's leg.
    slope = np.maximum(1 + np.sum(aod * aoa, axis=-1), LEAST_RANGE_SLOPE)
    return np.eye(3) - aoa[..., :, None] * aod[..., None, :] / slope[..., None, None]


def with_position_error(
    information: np.ndarray, gradient: np.ndarray, position_std_m: np.ndarray
) -> np.ndarray:
    """Information of locations whose receivers have an uncertain position.

    The covariance grows by that of the displacement. It is written for the information itself
    (matrix inversion lemma), which may be singular.

    information: [n, D, D], float64, 1/m^2, with the receivers where they are assumed
    gradient: [n, D, D], float64, of each location with the position of its receiver
    position_std_m: [n], float64, m, of the receivers along each axis
    Returns [n, D, D], float64, 1/m^2.
    """
    scaled = gradient * position_std_m[:, None, None]
    weighted = information @ scaled
    inner = np.eye(information.shape[-1]) + scaled.transpose(0, 2, 1) @ weighted
    left = information - weighted @ np.linalg.solve(inner, weighted.transpose(0, 2, 1))
    return (left + left.transpose(0, 2, 1)) / 2
