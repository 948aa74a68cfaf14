"""Bank of interacting multiple model filters in arrays, one row a target.

Every target has a filter for each of several modes of motion, and a probability of each mode
(Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
section 11.6.6). A bank of one mode is a bank of plain (extended) Kalman filters. All functions are
pure: they return another bank. The first six entries of every state are position and velocity, and
these are measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.tracking.motion_models import NUM_OBSERVED, MotionModel

# Likelihood of a measurement that no mode explains: the smallest normal number, as in filterpy, so
# that such a measurement leaves the mode probabilities as they were.
LEAST_LIKELIHOOD = np.finfo(float).tiny


@dataclass(frozen=True)
class Bank:
    """Filters of several targets.

    means: [num_targets, num_modes, num_states], float64, SI, map
    covariances: [num_targets, num_modes, num_states, num_states], float64, SI
    mode_probabilities: [num_targets, num_modes], float64
    """

    means: np.ndarray
    covariances: np.ndarray
    mode_probabilities: np.ndarray

    def at(self, targets: np.ndarray) -> Bank:
        """The filters of some targets.

        targets: indices [num], int, or a mask [num_targets], bool
        """
        return Bank(
            self.means[targets], self.covariances[targets], self.mode_probabilities[targets]
        )


def start(means: np.ndarray, covariances: np.ndarray, num_modes: int) -> Bank:
    """New filters, whose modes have the same state and are equally likely.

    means: [num_targets, num_states], float64, SI, map
    covariances: [num_targets, num_states, num_states], float64, SI
    num_modes: modes of each filter
    """
    return Bank(
        np.repeat(means[:, None], num_modes, axis=1),
        np.repeat(covariances[:, None], num_modes, axis=1),
        np.full((len(means), num_modes), 1 / num_modes),
    )


def concatenate(first: Bank, second: Bank) -> Bank:
    """The filters of both banks, which have the same modes."""
    return Bank(
        np.concatenate([first.means, second.means]),
        np.concatenate([first.covariances, second.covariances]),
        np.concatenate([first.mode_probabilities, second.mode_probabilities]),
    )


def replace_at(bank: Bank, targets: np.ndarray, part: Bank) -> Bank:
    """The bank with other filters for some targets.

    bank: filters of all targets
    targets: [num], int, indices of those to replace
    part: their new filters, in this order
    """
    means = bank.means.copy()
    means[targets] = part.means
    covariances = bank.covariances.copy()
    covariances[targets] = part.covariances
    mode_probabilities = bank.mode_probabilities.copy()
    mode_probabilities[targets] = part.mode_probabilities
    return Bank(means, covariances, mode_probabilities)


def mix(bank: Bank, transition: np.ndarray) -> Bank:
    """Interaction: the initial state of each mode's next step (Bar-Shalom 2001, eq. 11.6.6-6 to 9).

    bank: filters after an update
    transition: [num_modes, num_modes], float64, probability of going from a mode (row) to
        another (column)
    Returns mixed filters with the mode probabilities after the transition.
    """
    # Mode probabilities after the transition.
    predicted = bank.mode_probabilities @ transition

    # Mixing probabilities, share of the old mode i in the new mode j, [num_targets, j, i].
    joint = bank.mode_probabilities[:, :, None] * transition
    shares = np.swapaxes(joint / predicted[:, None, :], 1, 2)

    # Mean of the mixture of Gaussians.
    means = shares @ bank.means

    # Its covariance: the scatter of the means, and the mean of the covariances, whose entries are
    # in one axis here. Deviations are [num_targets, j, i, num_states].
    deviations = bank.means[:, None] - means[:, :, None]
    weighted = shares[..., None] * deviations
    scatter = np.swapaxes(weighted, -1, -2) @ deviations
    flat = bank.covariances.reshape(*bank.mode_probabilities.shape, -1)
    within = (shares @ flat).reshape(bank.covariances.shape)
    return Bank(means, within + scatter, predicted)


def predict(bank: Bank, models: Sequence[MotionModel], transition: np.ndarray, dt_s: float) -> Bank:
    """Filters dt_s later: interaction, then prediction of each mode by its own model.

    bank: filters now
    models: motion of each mode
    transition: [num_modes, num_modes], float64, mode transition probabilities over dt_s
    dt_s: duration, s
    """
    mixed = mix(bank, transition)

    # Each mode by its model, linearized about its means.
    means = np.empty_like(mixed.means)
    covariances = np.empty_like(mixed.covariances)
    for mode, model in enumerate(models):
        states = mixed.means[:, mode]
        jacobian = model.jacobian(states, dt_s)
        means[:, mode] = model.move(states, dt_s)
        covariances[:, mode] = _congruence(jacobian, mixed.covariances[:, mode])
        covariances[:, mode] += model.noise(dt_s)
    return Bank(means, covariances, mixed.mode_probabilities)


def update(bank: Bank, measurements: np.ndarray, noise_covars: np.ndarray) -> Bank:
    """Filters after one measured position and velocity of each target.

    bank: predicted filters
    measurements: [num_targets, 6], float64, SI, map
    noise_covars: [num_targets, 6, 6], float64, their covariances
    Returns updated filters; NaN where the covariance of an innovation is singular.
    """
    # Innovation of every mode and its covariance S = H P H^T + R; H takes the first six states.
    innovations = measurements[:, None] - bank.means[..., :NUM_OBSERVED]
    cross_covars = bank.covariances[..., :NUM_OBSERVED]  # P H^T
    noise = noise_covars[:, None]
    innovation_covars = cross_covars[..., :NUM_OBSERVED, :] + noise

    # Transposed Kalman gain S^-1 H P and S^-1 times the innovation, with one factorization of S.
    right_sides = np.concatenate(
        [np.swapaxes(cross_covars, -1, -2), innovations[..., None]], axis=-1
    )
    solved = _solve(innovation_covars, right_sides)
    gains = np.swapaxes(solved[..., :-1], -1, -2)
    weighted_innovations = solved[..., -1]
    means = bank.means + (gains @ innovations[..., None])[..., 0]

    # Joseph form (I - K H) P (I - K H)^T + K R K^T: symmetric and positive definite in spite of the
    # rounding of the gain.
    residual = np.zeros_like(bank.covariances)
    residual[...] = np.eye(bank.means.shape[-1])
    residual[..., :NUM_OBSERVED] -= gains
    covariances = _congruence(residual, bank.covariances) + _congruence(gains, noise)

    # Mode probabilities: prior times the likelihood of the innovation.
    squared_distances = np.sum(innovations * weighted_innovations, axis=-1)
    log_dets = np.linalg.slogdet(innovation_covars)[1]
    log_likelihoods = -0.5 * (squared_distances + log_dets + NUM_OBSERVED * math.log(2 * math.pi))
    likelihoods = np.exp(log_likelihoods)
    likelihoods[likelihoods == 0] = LEAST_LIKELIHOOD
    weights = bank.mode_probabilities * likelihoods
    return Bank(means, covariances, weights / weights.sum(axis=-1, keepdims=True))


def combine(bank: Bank) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of each target over its modes (Bar-Shalom 2001, eq. 11.6.6-15, 16).

    Returns means [num_targets, num_states], float64, SI, map, and covariances [num_targets,
    num_states, num_states], float64, symmetric.
    """
    probabilities = bank.mode_probabilities
    means = np.sum(probabilities[..., None] * bank.means, axis=1)

    # Scatter of the means of the modes.
    deviations = bank.means - means[:, None]
    weighted = probabilities[..., None] * deviations
    scatter = np.swapaxes(weighted, -1, -2) @ deviations

    # Mean of their covariances, and the sum of both.
    weighted_covariances = probabilities[..., None, None] * bank.covariances
    within = np.sum(weighted_covariances, axis=1)
    covariances = within + scatter

    # Symmetric in spite of rounding.
    transposed = np.swapaxes(covariances, -1, -2)
    return means, (covariances + transposed) / 2


def _congruence(factors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Products F P F^T [..., n, n] of factors [..., n, m] and covariances [..., m, m]."""
    return factors @ covariances @ np.swapaxes(factors, -1, -2)


def _solve(matrices: np.ndarray, right_sides: np.ndarray) -> np.ndarray:
    """Solutions [..., n, k] of linear equations; NaN where a matrix [..., n, n] is singular."""
    try:
        return np.linalg.solve(matrices, right_sides)
    except np.linalg.LinAlgError:
        pass  # one matrix is singular, and numpy does not report which

    solutions = np.full_like(right_sides, np.nan)
    for place in np.ndindex(*matrices.shape[:-2]):
        try:
            solutions[place] = np.linalg.solve(matrices[place], right_sides[place])
        except np.linalg.LinAlgError:
            continue
    return solutions
