"""Single paths of a frame with their evidence, and sets of them that agree pairwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.path_measurements import PathMeasurements


@dataclass(frozen=True)
class Pool:
    """Single paths of all stations in one frame: candidates, and paths of reports.

    paths: their measurements
    evidence: [n], float64, log-likelihood ratio of each path to a noise peak, where its measurement
    fits the target exactly
    least: [num_receivers], float64, power from which on a station sends candidates, in noise
    variances; infinite where it sent none
    """

    paths: PathMeasurements
    evidence: np.ndarray
    least: np.ndarray


def peak_height(power: np.ndarray, expected_snr: np.ndarray) -> np.ndarray:
    """Height of the log-likelihood of a target's path at its peak, over that elsewhere.

    The amplitude is Gaussian with the variance m. Averaged over it, the likelihood ratio to noise
    is exp(|y|^2 m / (1 + m)) / (1 + m), with the output y of the matched filter. It falls off from
    its peak slower than that of a known amplitude: weak paths are found where noise makes them
    stronger.

    power: [n], float64, z, matched-filter power |y|^2 at the peak in noise variances
    expected_snr: [n], float64, m, mean SNR of the path
    Returns z m / (1 + m), [n], float64.
    """
    return power * expected_snr / (1 + expected_snr)


def path_evidence(power: np.ndarray, expected_snr: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of the power of a path to that of a noise peak at the same place.

    In noise the power is Exp(1), with a target Exp(1 + m), m its mean SNR: z m / (1 + m) -
    ln(1 + m). Peaks of noise have the density sqrt(det(J / (2 pi))) exp(-z) in the measured
    parameters, with the information J about these, and those of a target the same normalization of
    their errors, so that J cancels.

    power: [n], float64, z, matched-filter power in noise variances
    expected_snr: [n], float64, m
    Returns [n], float64.
    """
    return peak_height(power, expected_snr) - np.log1p(expected_snr)


def sum_distribution(probabilities: np.ndarray) -> np.ndarray:
    """Distribution of the number of independent events that occur (Poisson binomial).

    probabilities: [n, num_events], float64
    Returns [n, num_events + 1], float64, probability of 0, 1, ... events.
    """
    count, num_events = probabilities.shape
    distribution = np.zeros((count, num_events + 1))
    distribution[:, 0] = 1.0
    for event in range(num_events):
        probability = probabilities[:, event, None]
        one_more = distribution[:, :-1] * probability
        distribution *= 1 - probability
        distribution[:, 1:] += one_more
    return distribution


def mixture_moments(
    means: np.ndarray, covariances: np.ndarray, log_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a mixture of Gaussians.

    means: [num, n], float64
    covariances: [num, n, n], float64
    log_weights: [num], float64, up to a constant
    Returns mean [n] and covariance [n, n].
    """
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ means

    # Covariances of the parts, and the spread of their means.
    spread = means - mean
    parts = covariances + spread[:, :, None] * spread[:, None, :]
    return mean, np.einsum("n,nij->ij", weights, parts)


def agreeing_sets(agree: np.ndarray, evidence: np.ndarray, most: int) -> list[np.ndarray]:
    """Single paths, and sets of paths that agree pairwise.

    agree: [n, n], bool, True where two paths agree, above the diagonal only
    evidence: [n], float64, of each path
    most: sets of as many paths that are kept, those with the most evidence
    Returns the rows of each set, [num_members], int, ascending; first the single paths.
    """
    # Growth by one path at a time: later rows that agree with all members of a set, [n], bool, of
    # each set. `agree` is True above its diagonal only, so that no set occurs twice.
    sets = [np.array([row]) for row in range(len(agree))]
    common = [agree[row] for row in range(len(agree))]
    complete = list(sets)
    while sets:
        grown = []
        shared = []
        for members, able in zip(sets, common):
            for row in np.flatnonzero(able).tolist():
                grown.append(np.append(members, row))
                shared.append(able & agree[row])
        sets = grown
        common = shared

        # Only the sets with the most evidence grow further.
        if len(sets) > most:
            total = np.array([evidence[members].sum() for members in sets])
            best = np.argsort(-total, kind="stable")[:most]
            sets = [sets[place] for place in best]
            common = [common[place] for place in best]
        complete += sets
    return complete
