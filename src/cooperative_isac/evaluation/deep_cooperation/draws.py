"""Draws that the experiments share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cooperative_isac.estimation import ChannelMatrix, path_response

# Normal cyclic prefix of TS 38.211 over the rest of a symbol: 144 of 2048 samples.
CYCLIC_PREFIX_SHARE = 144 / 2048

# Relative phases of two paths over which theory is averaged: what they have in common changes with
# the phase and, where they are close, with few multiples of it.
NUM_PHASES = 8


def symbol_duration_s(spacing_hz: float) -> float:
    """Duration of an OFDM symbol with its normal cyclic prefix, s.

    spacing_hz: subcarrier spacing, Hz
    """
    return (1 + CYCLIC_PREFIX_SHARE) / spacing_hz


def complex_noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Circular Gaussian noise of unit variance.

    shape: of the result, complex128
    """
    parts = generator.normal(scale=np.sqrt(0.5), size=(2, *shape))
    return parts[0] + 1j * parts[1]


def random_phase(generator: np.random.Generator) -> complex:
    """Complex number of unit modulus and uniform phase."""
    return complex(np.exp(2j * np.pi * generator.random()))


def random_velocity(generator: np.random.Generator, max_speed_mps: float) -> np.ndarray:
    """Velocity of uniform speed and direction, [2], float64, m/s.

    max_speed_mps: largest speed, m/s
    """
    speed_mps = generator.uniform(0, max_speed_mps)
    heading = generator.uniform(0, 2 * np.pi)
    return speed_mps * np.array([np.cos(heading), np.sin(heading)])


def echo_of_path(
    grid: ChannelMatrix,
    amplitude: complex,
    delay_s: float,
    path_speed_mps: float,
    generator: np.random.Generator,
) -> ChannelMatrix:
    """Channel matrix of one path with the grid's noise on the elements in use.

    grid: its values are added to
    amplitude: of the path
    delay_s: delay of the path, s
    path_speed_mps: speed at which the path shortens, m/s
    generator: of the noise
    """
    echo = grid.values + amplitude * path_response(grid, delay_s, path_speed_mps)
    noise = np.sqrt(grid.noise_power) * complex_noise(generator, echo.shape)
    return replace(grid, values=np.where(grid.mask, echo + noise, 0))


def mean_over_phases(share: Callable[[np.ndarray], float], snrs: np.ndarray) -> float:
    """Mean of what depends on the relative phase of two paths.

    share: function of their amplitudes [2], complex128
    snrs: [2], float64, squared amplitudes
    """
    turns = np.arange(NUM_PHASES) / NUM_PHASES
    phasors = np.stack([np.ones(NUM_PHASES), np.exp(2j * np.pi * turns)], axis=1)
    return float(np.mean([share(amplitudes) for amplitudes in np.sqrt(snrs) * phasors]))
