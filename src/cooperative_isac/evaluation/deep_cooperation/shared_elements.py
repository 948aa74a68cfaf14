"""Signals that share resource elements: interference of stations, and code division of antennas.

Mutual interference is avoided (orthogonal subcarriers), turned into noise (each station has symbols
of its own) or suffered (the same reference signal, whose other source is a ghost target). Antennas
are separated by code words or by a comb (DC sections III-D, III-E, IV-A).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.estimation import (
    ChannelMatrix,
    channel_matrix,
    estimate_path,
    path_response,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    echo_of_path,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.monostatic import target_bounds, target_errors
from cooperative_isac.waveform.codes import despread, walsh_codes
from cooperative_isac.waveform.sequences import gold_qpsk

# Frame that the signals share: 15.4 MHz around 24 GHz, with the normal cyclic prefix of
# TS 38.211 (144 of 2048 samples).
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 32
# SNR of one resource element, linear: the path shows only after integration over the frame.
SNR = 0.1

# Delays and path speeds of a run, and the windows of the search, which leave room for errors on
# both sides.
DELAYS_S = (0.4e-6, 1.6e-6)
SPEEDS_MPS = (-40.0, 40.0)
SEARCH_DELAYS_S = (0.0, 2e-6)
SEARCH_SPEEDS_MPS = (-100.0, 100.0)

ORTHOGONAL = "orthogonal: every second subcarrier"
CODED = "coded: symbols of their own"
SUFFERED = "suffered: the same reference signal"


def interference() -> Experiment:
    """Range of a station's target beside the signal of a second station."""
    return Experiment(
        name="interference",
        title="DC IV-A: mutual interference of two stations",
        axis="interference above the noise of a resource element (dB)",
        values=(-20.0, -15.0, -10.0, -5.0, 0.0, 5.0, 10.0),
        quantities={"range_m": Quantity("RMSE of range (m)")},
        trial=_interference_trial,
        bounds=_interference_bounds,
    )


def _interference_trial(level_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all curves have the same echo and the same interfering path."""
    # The echo and the other station's path, each as it changes known symbols.
    delay_s = generator.uniform(*DELAYS_S)
    speed_mps = generator.uniform(*SPEEDS_MPS)
    amplitude = np.sqrt(SNR) * random_phase(generator)
    echo = echo_of_path(_grid(), amplitude, delay_s, speed_mps, generator)
    other_amplitude = 10 ** (level_db / 20) * random_phase(generator)
    other = other_amplitude * path_response(_grid(), generator.uniform(*DELAYS_S), 0.0)

    # Symbols of both stations are pseudo-random; the receiver divides by its own.
    size = NUM_SUBCARRIERS * NUM_SYMBOLS
    seeds = generator.integers(2**31, size=2)
    symbols = [gold_qpsk(int(seed), size).reshape(echo.values.shape) for seed in seeds]
    scrambled = other * symbols[1] / symbols[0]

    # Ranges from what each way leaves of the interference.
    received = {
        ORTHOGONAL: _every_second(echo),
        CODED: replace(echo, values=echo.values + scrambled),
        SUFFERED: replace(echo, values=echo.values + other),
    }
    errors = {}
    for curve, matrix in received.items():
        path = estimate_path([matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
        errors[curve] = {"range_m": target_errors(path, delay_s, speed_mps)["range_m"]}
    return errors


def _interference_bounds(level_db: float) -> Errors:
    """Root bounds: half of the elements, or interference as noise; a ghost target has none."""
    noise = 1 + 10 ** (level_db / 10)
    bounds = {}
    for curve, matrix, snr in (
        (ORTHOGONAL, _every_second(_grid()), SNR),
        (CODED, _grid(), SNR / noise),
    ):
        bounds[curve] = {"range_m": target_bounds([matrix], [snr])["range_m"]}
    return bounds


def _every_second(matrix: ChannelMatrix) -> ChannelMatrix:
    """Channel on every second subcarrier."""
    mask = matrix.mask.copy()
    mask[1::2] = False
    return replace(matrix, values=np.where(mask, matrix.values, 0), mask=mask)


# Transmit antennas that share the resource elements.
NUM_ANTENNAS = 4
WORDS = "code words over 4 symbols"
COMB = "comb of 4 subcarriers"
COMB_NEAR = "the comb, targets within its span"

# Delays up to most of 1 / SPACING_HZ, beyond the quarter of it that a comb of four leaves
# unambiguous.
FAR_DELAYS_S = (0.4e-6, 5e-6)
SEARCH_FAR_S = (0.0, 6e-6)
# Error of the range below which the path is found, m: half a range cell of the bandwidth.
FOUND_WITHIN_M = 5.0


def code_division() -> Experiment:
    """Range from four transmit antennas that code words or a comb separate."""
    return Experiment(
        name="code_division",
        title="DC III-D, III-E: four antennas separated by code words or by a comb, then fused",
        axis="path speed (m/s)",
        values=(0.0, 10.0, 30.0, 60.0, 90.0),
        quantities={
            "range_m": Quantity("RMSE of range (m)"),
            "found": Quantity(f"share within {FOUND_WITHIN_M:g} m", "mean", logarithmic=False),
        },
        trial=_code_trial,
        bounds=_code_bounds,
    )


def _code_trial(path_speed_mps: float, generator: np.random.Generator) -> Errors:
    """One run of both separations, with the same path and noise.

    path_speed_mps: speed at which the path shortens, m/s
    """
    # The path from each antenna: the same delay and Doppler shift, a phase of its own.
    delay_s = generator.uniform(*FAR_DELAYS_S)
    response = path_response(_grid(), delay_s, path_speed_mps)
    amplitudes = [np.sqrt(SNR) * random_phase(generator) for _ in range(NUM_ANTENNAS)]
    channels = [amplitude * response for amplitude in amplitudes]
    noise = complex_noise(generator, response.shape)

    # The same antennas with a target within the unambiguous span of the comb.
    near_s = generator.uniform(*DELAYS_S)
    near_response = path_response(_grid(), near_s, path_speed_mps)
    near_channels = [amplitude * near_response for amplitude in amplitudes]

    # Range of the target: half the length of the path.
    errors = {}
    for curve, matrices, true_s, window_s in (
        (WORDS, _despread_words(channels, noise), delay_s, SEARCH_FAR_S),
        (COMB, _combs(channels, noise), delay_s, SEARCH_FAR_S),
        (COMB_NEAR, _combs(near_channels, noise), near_s, SEARCH_DELAYS_S),
    ):
        path = estimate_path(matrices, window_s, SEARCH_SPEEDS_MPS)
        error_m = target_errors(path, true_s, path_speed_mps)["range_m"]
        errors[curve] = {"range_m": error_m, "found": float(abs(error_m) < FOUND_WITHIN_M)}
    return errors


def _despread_words(channels: list[np.ndarray], noise: np.ndarray) -> list[ChannelMatrix]:
    """Channel of each antenna from code words: all at a quarter of the power on all elements."""
    words = walsh_codes(NUM_ANTENNAS)
    chips = np.tile(words, NUM_SYMBOLS // NUM_ANTENNAS)
    received = noise.copy()
    for chip, channel in zip(chips, channels, strict=True):
        received += chip * channel / np.sqrt(NUM_ANTENNAS)
    periods = received.reshape(NUM_SUBCARRIERS, -1, NUM_ANTENNAS)
    by_word = despread(periods, words)
    return [replace(_periods(), values=values) for values in by_word]


def _combs(channels: list[np.ndarray], noise: np.ndarray) -> list[ChannelMatrix]:
    """Channel of each antenna at full power on every fourth subcarrier."""
    combs = []
    for mask, channel in zip(_comb_masks(), channels, strict=True):
        combs.append(replace(_grid(), values=np.where(mask, channel + noise, 0), mask=mask))
    return combs


def _comb_masks() -> list[np.ndarray]:
    """Resource elements of each antenna's comb, [num_subcarriers, num_symbols], bool."""
    masks = []
    for antenna in range(NUM_ANTENNAS):
        mask = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
        mask[antenna::NUM_ANTENNAS] = True
        masks.append(mask)
    return masks


def _code_bounds(path_speed_mps: float) -> Errors:
    # After despreading the noise is a quarter, as is the power.
    periods = [_periods()] * NUM_ANTENNAS
    combs = [replace(_grid(), mask=mask) for mask in _comb_masks()]
    snrs = [SNR] * NUM_ANTENNAS
    return {
        WORDS: {"range_m": target_bounds(periods, snrs)["range_m"]},
        COMB_NEAR: {"range_m": target_bounds(combs, snrs)["range_m"]},
    }


def _periods() -> ChannelMatrix:
    """Resource elements after despreading: one symbol a code period, at its middle."""
    grid = _grid()
    middles_s = grid.time_s.reshape(-1, NUM_ANTENNAS).mean(axis=1)
    shape = (NUM_SUBCARRIERS, len(middles_s))
    return ChannelMatrix(
        np.zeros(shape, complex),
        grid.frequency_hz,
        middles_s,
        CARRIER_HZ,
        1 / NUM_ANTENNAS,
        np.ones(shape, bool),
    )


def _grid() -> ChannelMatrix:
    zeros = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
