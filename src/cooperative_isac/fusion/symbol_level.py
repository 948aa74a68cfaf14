"""Symbol-level fusion: location and velocity from the channel matrices of several links.

Instead of estimates, stations hand on their channel matrices. The fusion center registers them in
space: at a candidate location each link's matrix is compared with the response that its own
stations' positions imply. No link has to exceed a threshold alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation.scoring import fisher_scoring
from cooperative_isac.fusion.link_channel import (
    LinkChannel,
    direction_slopes,
    grid_response,
    length_gradient,
    path_lengths_m,
    steering_vectors,
)

# Lattice points that are compared at once, which bounds the memory.
CHUNK = 256

# Doppler cells per resolution cell in the search of the location: the loss between cells is at most
# 0.9 dB.
DOPPLER_OVERSAMPLING = 2

# Delays of that search per resolution cell: the loss at the nearest of them is at most 0.2 dB.
DELAY_OVERSAMPLING = 4

# Component of a parameter in a direction without information, from which it counts as unmeasured:
# above the rounding of eigenvectors.
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class StateEstimate:
    """Location and velocity of a target.

    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    covariance: [2 D, 2 D], float64, SI, of both, by the Fisher information at the estimate
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray


def location_statistic(
    links: Sequence[LinkChannel], points_m: np.ndarray, max_speed_mps: float
) -> np.ndarray:
    """Evidence of a target at each point of a lattice, summed over the links.

    Each link contributes the power of its channel matrix matched to the point's delay and angle, at
    the Doppler shift where it is greatest.

    links: channel matrices with the positions of their stations
    points_m: [num_points, D], float64, m
    max_speed_mps: greatest speed of a target, m/s, which bounds the Doppler shifts
    Returns [num_points], float64, in units of the noise.
    Source: DC reference [9].
    """
    total = np.zeros(len(points_m))
    for link in links:
        # Correlations of each antenna over a table of delays and Doppler shifts,
        # [num_antennas, num_delays, num_dopplers].
        delays_s = path_lengths_m(link, points_m) / LIGHT_SPEED_MPS
        table_s = _delay_table(link, delays_s)
        over_frequency = np.exp(2j * np.pi * np.multiply.outer(table_s, link.frequency_hz))
        over_time = _doppler_phases(link, max_speed_mps)
        correlations = over_frequency @ (link.values @ over_time)

        # At each point the nearest delay, and the antennas in phase.
        nearest = _nearest(delays_s, table_s)
        scale = 1 / (link.num_elements * link.noise_power)
        for start in range(0, len(points_m), CHUNK):
            chunk = slice(start, start + CHUNK)
            steering = steering_vectors(link, points_m[chunk])
            at_delay = correlations[:, nearest[chunk]]
            matched = np.einsum("pa,apd->pd", steering.conj(), at_delay)
            total[chunk] += scale * (np.abs(matched) ** 2).max(axis=1)
    return total


def velocity_statistic(
    links: Sequence[LinkChannel], position_m: np.ndarray, velocities_mps: np.ndarray
) -> np.ndarray:
    """Evidence of each velocity for a target at a location, summed over the links.

    links: channel matrices with the positions of their stations
    position_m: [D], float64, m
    velocities_mps: [num_velocities, D], float64, m/s
    Returns [num_velocities], float64, in units of the noise.
    Source: DC reference [9].
    """
    total = np.zeros(len(velocities_mps))
    for link in links:
        # Channel toward the location, at the delay of its path: samples over symbols.
        beam = link.toward(position_m)
        delay_s = path_lengths_m(link, position_m[None])[0] / LIGHT_SPEED_MPS
        over_frequency = np.exp(2j * np.pi * delay_s * link.frequency_hz)
        over_time = over_frequency @ beam.values

        # Matched power at the speed with which each velocity shortens the path.
        speeds_mps = -velocities_mps @ length_gradient(link, position_m)
        turns = np.multiply.outer(speeds_mps, link.time_s) / link.wavelength_m
        matched = np.abs(np.exp(-2j * np.pi * turns) @ over_time) ** 2
        total += matched / (np.count_nonzero(link.mask) * beam.noise_power)
    return total


def locate_by_symbols(
    links: Sequence[LinkChannel],
    points_m: np.ndarray,
    velocities_mps: np.ndarray,
) -> StateEstimate:
    """Maximum likelihood location and velocity of one target from all links together.

    links: channel matrices with the positions of their stations
    points_m: [num_points, D], float64, m, lattice of locations, finer than a resolution cell
    velocities_mps: [num_velocities, D], float64, m/s, lattice of velocities
    Source: DC sections IV-A and VI-B, reference [9], with refinement off the lattice.
    """
    # Location from the lattice.
    max_speed_mps = float(np.linalg.norm(velocities_mps, axis=1).max())
    location_evidence = location_statistic(links, points_m, max_speed_mps)
    position_m = points_m[np.argmax(location_evidence)]

    # Velocity there.
    velocity_evidence = velocity_statistic(links, position_m, velocities_mps)
    velocity_mps = velocities_mps[np.argmax(velocity_evidence)]

    # Refinement off the lattice.
    return refine_state(links, position_m, velocity_mps)


def refine_state(
    links: Sequence[LinkChannel], position_m: np.ndarray, velocity_mps: np.ndarray
) -> StateEstimate:
    """Maximum likelihood state near a start, by Fisher scoring with step control.

    Directions that no link measures (such as the velocity across a single monostatic link) stay at
    the start and have infinite variance.

    links: channel matrices with the positions of their stations
    position_m: [D], float64, m, within the main lobe
    velocity_mps: [D], float64, m/s, within the main lobe
    """
    size = len(position_m)
    state, information = fisher_scoring(
        lambda trial: _likelihood(links, trial), np.concatenate([position_m, velocity_mps])
    )
    return StateEstimate(state[:size], state[size:], covariance_of(information))


def state_information(
    links: Sequence[LinkChannel],
    snrs: Sequence[float] | np.ndarray,
    position_m: np.ndarray,
    velocity_mps: np.ndarray,
) -> np.ndarray:
    """Fisher information about location and velocity, with an unknown amplitude on each link.

    links: their values are not used
    snrs: [num_links], float64, power ratio of the path to the noise on one antenna and element
    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    Returns [2 D, 2 D], float64.
    """
    size = 2 * len(position_m)
    total = np.zeros((size, size))
    for link, snr in zip(links, snrs, strict=True):
        slopes = _slopes(link, position_m, velocity_mps)
        total += snr * slopes.information
    return total


def covariance_of(information: np.ndarray) -> np.ndarray:
    """Inverse of an information matrix; infinite variance along directions without information.

    information: [size, size], float64, positive semidefinite
    Returns [size, size], float64.
    """
    # A parameter without any information is apart from all others.
    scales = np.sqrt(np.diag(information))
    covariance = np.diag(np.where(scales == 0, np.inf, 0.0))
    observed = np.flatnonzero(scales)
    if len(observed) < len(scales):
        block = np.ix_(observed, observed)
        if len(observed):
            covariance[block] = covariance_of(information[block])
        return covariance

    # Each parameter in units of its own accuracy, so that m and m/s can be compared.
    units = np.multiply.outer(scales, scales)
    correlation = information / units

    # Directions without information: eigenvalues that are zero to rounding.
    eigenvalues, eigenvectors = np.linalg.eigh(correlation)
    is_unmeasured = eigenvalues <= len(eigenvalues) * np.finfo(float).eps
    if not is_unmeasured.any():
        return np.linalg.inv(correlation) / units

    # Parameters with a share in one of them have infinite variance; the others are measured as
    # well as without it.
    shares = np.abs(eigenvectors[:, is_unmeasured]).max(axis=1)
    is_open = shares > LEAST_SHARE
    axes = eigenvectors[:, ~is_unmeasured]
    covariance = (axes / eigenvalues[~is_unmeasured]) @ axes.T / units
    covariance[is_open] = 0
    covariance[:, is_open] = 0
    covariance[is_open, is_open] = np.inf
    return covariance


@dataclass(frozen=True)
class _Slopes:
    """Derivatives of a path's phase by the state, about their mean over all elements.

    by_antenna: [num_antennas, 2 D], rad per unit of the state
    of_path: [2, 2 D], of the path's delay and speed by the state
    information: [2 D, 2 D], twice the sum of squares over antennas and resource elements
    """

    by_antenna: np.ndarray
    of_path: np.ndarray
    information: np.ndarray


def _slopes(link: LinkChannel, position_m: np.ndarray, velocity_mps: np.ndarray) -> _Slopes:
    """Derivatives of the phase of a target's path by location and velocity."""
    # Angle of arrival: phases 2 pi e . u / lambda of antennas at e, u toward the target.
    size = len(position_m)
    arrival_turning = direction_slopes(position_m, link.receiver_m)
    by_antenna = np.zeros((len(link.elements_m), 2 * size))
    by_antenna[:, :size] = 2 * np.pi / link.wavelength_m * link.elements_m @ arrival_turning
    by_antenna -= by_antenna.mean(axis=0)

    # Delay and Doppler shift: how both change with the state.
    unit_sum = length_gradient(link, position_m)
    delay_slope = np.concatenate([unit_sum / LIGHT_SPEED_MPS, np.zeros(size)])
    turning = direction_slopes(position_m, link.transmitter_m) + arrival_turning
    speed_slope = np.concatenate([-turning @ velocity_mps, -unit_sum])
    of_path = np.stack([delay_slope, speed_slope])

    # Information of both. Slopes are about their means, so that they share no information with each
    # other or with the phase of the amplitude, which is unknown.
    num_antennas = len(link.elements_m)
    information = 2 * len(link.path_slopes) * by_antenna.T @ by_antenna
    information += 2 * num_antennas * of_path.T @ link.path_moments @ of_path
    return _Slopes(by_antenna, of_path, information)


def _likelihood(
    links: Sequence[LinkChannel], state: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood concentrated over the amplitudes, its gradient and Fisher information."""
    size = len(state) // 2
    position_m = state[:size]
    velocity_mps = state[size:]
    likelihood = 0.0
    gradient = np.zeros(len(state))
    information = np.zeros((len(state), len(state)))
    for link in links:
        # Channel with the phases of the path taken off: summed over antennas,
        # [num_elements_in_use], and summed over resource elements, [num_antennas].
        steering = steering_vectors(link, position_m[None])[0].conj()
        grid = grid_response(link, position_m, velocity_mps)[link.mask].conj()
        values = link.values_in_use
        over_antennas = (steering @ values) * grid
        per_antenna = steering * (values @ grid)

        # Its sum over both, and the derivative of the sum with the state.
        slopes = _slopes(link, position_m, velocity_mps)
        correlation = per_antenna.sum()
        per_path = over_antennas @ link.path_slopes @ slopes.of_path
        slope = -1j * (per_antenna @ slopes.by_antenna + per_path)

        # Likelihood, gradient, and the information at the fitted amplitude.
        scale = 1 / (link.num_elements * link.noise_power)
        likelihood += scale * abs(correlation) ** 2
        gradient += scale * 2 * np.real(correlation.conj() * slope)
        snr = abs(correlation / link.num_elements) ** 2 / link.noise_power
        information += snr * slopes.information
    return likelihood, gradient, information


def _delay_table(link: LinkChannel, delays_s: np.ndarray) -> np.ndarray:
    """Delays from the least to the greatest, DELAY_OVERSAMPLING a resolution cell, [num], s."""
    cell_s = 1 / max(np.ptp(link.frequency_hz), np.finfo(float).tiny)
    span_s = np.ptp(delays_s)
    num_delays = int(np.ceil(span_s / cell_s * DELAY_OVERSAMPLING)) + 1
    return np.linspace(delays_s.min(), delays_s.max(), num_delays)


def _nearest(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Index of the nearest entry of an evenly spaced table, [num_values], int."""
    if len(table) == 1:
        return np.zeros(len(values), int)
    step = (table[-1] - table[0]) / (len(table) - 1)
    return np.rint((values - table[0]) / step).astype(int)


def _doppler_phases(link: LinkChannel, max_speed_mps: float) -> np.ndarray:
    """Phases that undo the Doppler shifts of a search, [num_symbols, num_dopplers]."""
    greatest_hz = 2 * max_speed_mps / link.wavelength_m
    duration_s = np.ptp(link.time_s)
    num_positive = int(np.ceil(greatest_hz * duration_s * DOPPLER_OVERSAMPLING))
    dopplers_hz = np.linspace(-greatest_hz, greatest_hz, 2 * num_positive + 1)
    turns = np.multiply.outer(link.time_s, dopplers_hz)
    return np.exp(-2j * np.pi * turns)
