"""Velocity resolution against the observation time (DC section III-B)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.stats import multivariate_normal

from cooperative_isac.estimation import (
    ChannelMatrix,
    PathEstimate,
    channel_matrix,
    newtonized_omp,
    path_response,
    second_path_probability,
    two_path_bound,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    mean_over_phases,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity

# Few subcarriers around 24 GHz: the two targets have the same delay.
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
NUM_SUBCARRIERS = 16
# From one sensed symbol to the next, s: every eighth, unambiguous over 88 m/s of velocity.
SYMBOL_S = 8 * symbol_duration_s(SPACING_HZ)

# Symbols of an observation.
NUM_SYMBOLS = (16, 32, 64)
# SNR of each target after the transform of the shortest observation, dB; longer ones have the same
# SNR after theirs, so that time alone makes the difference.
SNR_AFTER_DB = 25.0

DELAY_S = 1e-6
SEARCH_DELAYS_S = (0.0, 2e-6)
MEAN_SPEEDS_MPS = (-20.0, 20.0)
SEARCH_SPEEDS_MPS = (-60.0, 60.0)
# Estimates within this share of the difference from their target have separated it.
NEAR_SHARE = 0.5


def velocity_resolution() -> Experiment:
    """Share of pairs of equal targets that are separated over their difference of velocity."""
    return Experiment(
        name="velocity_resolution",
        title="DC III-B: two targets of equal range and power, 25 dB each after the transform",
        axis="difference of the velocities (m/s)",
        values=(0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
        quantities={"separated": Quantity("share separated", "mean", logarithmic=False)},
        trial=_trial,
        theory=_theory,
    )


def _trial(difference_mps: float, generator: np.random.Generator) -> Errors:
    """Separation in one run by observations of each length."""
    # Path speeds are twice the velocities of the targets.
    middle_mps = generator.uniform(*MEAN_SPEEDS_MPS)
    speeds_mps = (middle_mps - difference_mps, middle_mps + difference_mps)
    phases = [random_phase(generator) for _ in speeds_mps]

    separated = {}
    for num_symbols in NUM_SYMBOLS:
        # Echo of both targets in unit noise.
        empty = _empty(num_symbols)
        amplitude = np.sqrt(_element_snr(num_symbols))
        values = complex_noise(generator, empty.values.shape)
        for phase, speed_mps in zip(phases, speeds_mps, strict=True):
            values += amplitude * phase * path_response(empty, DELAY_S, speed_mps)

        matrix = channel_matrix(values, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
        paths = newtonized_omp([matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
        is_separated = _are_separated(paths, speeds_mps)
        separated[_name(num_symbols)] = {"separated": float(is_separated)}
    return separated


def _theory(difference_mps: float) -> Errors:
    """Share of pairs whose second path is detected, with errors at the bound of both paths."""
    speeds_mps = np.array([-difference_mps, difference_mps])
    return {
        _name(num_symbols): {"separated": _separable_share(_empty(num_symbols), speeds_mps)}
        for num_symbols in NUM_SYMBOLS
    }


def _separable_share(grid: ChannelMatrix, speeds_mps: np.ndarray) -> float:
    """Mean probability over the phases that two paths are detected, each near its own target.

    grid: of the observation
    speeds_mps: [2], float64, m/s, path speeds
    """
    delays_s = np.full(2, DELAY_S)
    largest_error_mps = np.full(2, NEAR_SHARE * (speeds_mps[1] - speeds_mps[0]))

    def probability(amplitudes: np.ndarray) -> float:
        """Probability of a second path, times that of small errors of both speeds."""
        is_detected = second_path_probability(
            grid, amplitudes, delays_s, speeds_mps, SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS
        )
        bound = two_path_bound(grid, amplitudes, delays_s, speeds_mps)
        errors_mps = multivariate_normal(cov=bound[1::2, 1::2])
        is_near = errors_mps.cdf(largest_error_mps, lower_limit=-largest_error_mps)
        return is_detected * float(is_near)

    return mean_over_phases(probability, np.full(2, _element_snr(grid.mask.shape[1])))


def _empty(num_symbols: int) -> ChannelMatrix:
    """Grid of an observation."""
    zeros = np.zeros((NUM_SUBCARRIERS, num_symbols), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)


def _element_snr(num_symbols: int) -> float:
    """SNR of a target on one resource element of an observation."""
    return 10 ** (SNR_AFTER_DB / 10) / (NUM_SUBCARRIERS * num_symbols)


def _are_separated(paths: Sequence[PathEstimate], speeds_mps: tuple[float, float]) -> bool:
    """True where exactly two paths are found, each at its own target.

    paths: the estimates
    speeds_mps: path speeds of both targets, the lower one first
    """
    if len(paths) != 2:
        return False
    found_mps = np.sort([path.path_speed_mps for path in paths])
    errors_mps = np.abs(found_mps - speeds_mps)
    difference_mps = speeds_mps[1] - speeds_mps[0]
    return bool(np.all(errors_mps < NEAR_SHARE * difference_mps))


def _resolution_mps(num_symbols: int) -> float:
    observation_s = num_symbols * SYMBOL_S
    return LIGHT_SPEED_MPS / (2 * CARRIER_HZ * observation_s)


def _name(num_symbols: int) -> str:
    """Name of a curve: observation time and resolution."""
    observation_ms = 1e3 * num_symbols * SYMBOL_S
    return f"{observation_ms:.1f} ms: {_resolution_mps(num_symbols):.1f} m/s"
