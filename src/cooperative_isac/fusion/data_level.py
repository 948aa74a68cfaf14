"""Data-level fusion: location and velocity from the estimates of single links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.optimize import least_squares

from cooperative_isac.estimation.range_doppler import PathEstimate
from cooperative_isac.fusion.link_channel import LinkChannel, path_of
from cooperative_isac.fusion.symbol_level import StateEstimate, covariance_of

# Bits of a number on the fronthaul when estimates or channel matrices are compared: single
# precision, without entropy coding.
BITS_PER_NUMBER = 32


@dataclass(frozen=True)
class LinkEstimate:
    """Estimate of one link.

    link: the link, for the positions of its stations
    path: delay and speed, with their covariance
    direction: [D], float64, unit vector of the angle of arrival, or None if it is not estimated
    direction_std: standard deviation of the direction across it, rad
    """

    link: LinkChannel
    path: PathEstimate
    direction: np.ndarray | None = None
    direction_std: float = np.inf


def locate_by_estimates(
    estimates: Sequence[LinkEstimate], start_m: np.ndarray, start_mps: np.ndarray
) -> StateEstimate:
    """Location and velocity by weighted least squares over delays, speeds and directions.

    estimates: estimates of the same target, one per link
    start_m: [D], float64, m, location at which the iteration starts
    start_mps: [D], float64, m/s, velocity at which the iteration starts
    Returns the estimate at the minimum, with the covariance of the linearized problem.
    Source: DC section IV-A, fusion of data.
    """
    size = len(start_m)
    solution = least_squares(
        lambda state: _whitened(estimates, state[:size], state[size:]),
        np.concatenate([start_m, start_mps]),
        x_scale="jac",
    )
    covariance = covariance_of(solution.jac.T @ solution.jac)
    return StateEstimate(solution.x[:size], solution.x[size:], covariance)


def symbol_bits(link: LinkChannel) -> int:
    """Bits of a link's channel matrix on the fronthaul."""
    return 2 * BITS_PER_NUMBER * link.num_elements


def estimate_bits(size: int) -> int:
    """Bits of a link's estimate on the fronthaul: delay, speed, direction and their covariance.

    size: dimensions of the scene, 2 or 3
    """
    num_parameters = 2 + size - 1
    num_covariances = num_parameters * (num_parameters + 1) // 2
    return BITS_PER_NUMBER * (num_parameters + num_covariances)


def _whitened(
    estimates: Sequence[LinkEstimate], position_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Errors of all measurements in standard deviations, [num_measurements]."""
    errors = []
    for estimate in estimates:
        # Delay and speed, whitened by their joint covariance; lengths in m keep it well scaled.
        delay_s, path_speed_mps = path_of(estimate.link, position_m, velocity_mps)
        measured = estimate.path
        residual = np.array(
            [
                LIGHT_SPEED_MPS * (measured.delay_s - delay_s),
                measured.path_speed_mps - path_speed_mps,
            ]
        )
        to_length = np.diag([LIGHT_SPEED_MPS, 1.0])
        covariance = to_length @ measured.covariance @ to_length
        errors.append(np.linalg.solve(np.linalg.cholesky(covariance), residual))

        # Direction of arrival, across itself.
        if estimate.direction is not None:
            offset = position_m - estimate.link.receiver_m
            unit = offset / np.linalg.norm(offset)
            errors.append((unit - estimate.direction) / estimate.direction_std)
    return np.concatenate(errors)
