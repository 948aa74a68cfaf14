"""Receive beamforming that nulls the interference of communication (DC section III-A)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.estimation import (
    ChannelMatrix,
    channel_matrix,
    estimate_path,
    mvdr_weights,
    null_steering_weights,
    output_sinr,
    path_response,
    sample_covariance,
    steering,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.monostatic import target_bounds, target_errors

# Frame of 7.7 MHz around 24 GHz.
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)
NUM_SUBCARRIERS = 64
NUM_SYMBOLS = 16
# SNR of the echo on one resource element of one antenna, linear: one antenna alone is just above
# its threshold without interference.
SNR = 0.05

# Uniform array at half a wavelength. The interferer is on the crest of the matched beam's highest
# side lobe, 1.43 cells away: the worst direction outside of the main lobe.
NUM_ANTENNAS = 8
ANTENNAS = np.arange(NUM_ANTENNAS)
ECHO_DIRECTION = 0.0
INTERFERER_DIRECTION = ECHO_DIRECTION + 1.43 / NUM_ANTENNAS
# Error of the interferer's direction where it is from a map, cycles per half wavelength: one
# degree at broadside.
DIRECTION_ERROR = np.radians(1.0) / 2

# Delays and path speeds of a run, and the windows of the search, which leave room for errors on
# both sides.
DELAYS_S = (0.4e-6, 1.6e-6)
SPEEDS_MPS = (-40.0, 40.0)
SEARCH_DELAYS_S = (0.0, 2e-6)
SEARCH_SPEEDS_MPS = (-100.0, 100.0)
# Error of the range below which the target is found, m: half a range cell of the bandwidth.
FOUND_WITHIN_M = 10.0

ONE = "one antenna"
MATCHED = "beam at the echo"
NULL = "null at the interferer"
NULL_OFF = "null one degree off"
MVDR = "MVDR, covariance of the frame"
CLEAN = "beam at the echo, no interference"


def beamforming() -> Experiment:
    """Range of a target beside a communication signal from another direction."""
    return Experiment(
        name="beamforming",
        title="DC III-A: receive beams of eight antennas against a communication signal",
        axis="interference above the noise of an antenna (dB)",
        values=(-10.0, 0.0, 10.0, 20.0, 30.0, 40.0),
        quantities={
            "range_m": Quantity("RMSE of range (m)"),
            "found": Quantity(f"share within {FOUND_WITHIN_M:g} m", "mean", logarithmic=False),
        },
        trial=_trial,
        bounds=_bounds,
    )


def _trial(level_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all beams receive the same echo, interference and noise."""
    # Echo of the target, and noise, at each antenna.
    delay_s = generator.uniform(*DELAYS_S)
    path_speed_mps = generator.uniform(*SPEEDS_MPS)
    path = path_response(_grid(), delay_s, path_speed_mps)
    echo = np.sqrt(SNR) * random_phase(generator) * path
    noise = complex_noise(generator, (NUM_ANTENNAS, *echo.shape))
    clean = np.multiply.outer(_steering(ECHO_DIRECTION), echo) + noise

    # Unknown symbols of the communication signal.
    symbols = 10 ** (level_db / 20) * complex_noise(generator, echo.shape)
    received = clean + np.multiply.outer(_steering(INTERFERER_DIRECTION), symbols)

    # Weights of all beams; that of least variance from the same frame.
    snapshots = received.reshape(NUM_ANTENNAS, -1)
    covariance = sample_covariance(snapshots)
    weights = _fixed_weights()
    weights[MVDR] = mvdr_weights(covariance, _steering(ECHO_DIRECTION))

    # Range of the target by each beam.
    errors = {}
    for curve, of_beam in weights.items():
        output = np.tensordot(of_beam.conj(), received, axes=1)
        errors[curve] = _score(output, delay_s, path_speed_mps)

    # And by the matched beam without the interference.
    output = np.tensordot(weights[MATCHED].conj(), clean, axes=1)
    errors[CLEAN] = _score(output, delay_s, path_speed_mps)
    return errors


def _score(values: np.ndarray, delay_s: float, path_speed_mps: float) -> dict[str, float]:
    """Error of the range, and whether the target is found, from the output of a beam."""
    # The noise scales the statistic of all paths alike: its level does not matter.
    matrix = replace(_grid(), values=values)
    path = estimate_path([matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
    error_m = target_errors(path, delay_s, path_speed_mps)["range_m"]
    return {"range_m": error_m, "found": float(abs(error_m) < FOUND_WITHIN_M)}


def _bounds(level_db: float) -> Errors:
    """Root bounds by the ratio of the echo to interference and noise after each beam."""
    echo = _steering(ECHO_DIRECTION)
    interferer = _steering(INTERFERER_DIRECTION)
    noise = np.eye(NUM_ANTENNAS)
    outer = np.multiply.outer(interferer, interferer.conj())
    covariance = noise + 10 ** (level_db / 10) * outer

    # MVDR with the true covariance; the covariance of a frame is not far from it.
    weights = _fixed_weights()
    weights[MVDR] = mvdr_weights(covariance, echo)
    ratios = {}
    for curve, of_beam in weights.items():
        ratios[curve] = output_sinr(of_beam, echo, SNR, covariance)
    ratios[CLEAN] = output_sinr(weights[MATCHED], echo, SNR, noise)

    bounds = {}
    for curve, ratio in ratios.items():
        bound = target_bounds([_grid()], [ratio])
        bounds[curve] = {"range_m": bound["range_m"]}
    return bounds


def _fixed_weights() -> dict[str, np.ndarray]:
    """Weights that do not depend on what is received, unit gain for the echo."""
    echo = _steering(ECHO_DIRECTION)
    first = np.zeros(NUM_ANTENNAS)
    first[0] = 1.0
    interferer = _steering(INTERFERER_DIRECTION)
    beside = _steering(INTERFERER_DIRECTION + DIRECTION_ERROR)
    return {
        ONE: first,
        MATCHED: echo / NUM_ANTENNAS,
        NULL: null_steering_weights(echo, interferer[:, None]),
        NULL_OFF: null_steering_weights(echo, beside[:, None]),
    }


def _steering(direction: float) -> np.ndarray:
    return steering(np.array([direction]), ANTENNAS)[:, 0]


def _grid() -> ChannelMatrix:
    zeros = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
