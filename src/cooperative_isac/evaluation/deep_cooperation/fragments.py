"""Fragmented spectrum: the same number of subcarriers in one, two and four pieces (DC III-C)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import (
    ChannelMatrix,
    DelayDopplerGrid,
    channel_matrix,
    estimate_path,
    newtonized_omp,
    path_response,
    peak_threshold,
    second_path_probability,
    sidelobes,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    mean_over_phases,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.holes import map_peaks
from cooperative_isac.evaluation.deep_cooperation.monostatic import target_bounds, target_errors

# Frame of 30.7 MHz around 24 GHz, of which a quarter is free for sensing.
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)
NUM_SUBCARRIERS = 256
NUM_SYMBOLS = 16

# First subcarriers of the pieces. Equal steps between four of them would repeat the main lobe.
FIRST_SUBCARRIERS: Mapping[str, tuple[int, ...]] = {
    "one piece": (96,),
    "two pieces": (0, 224),
    "four pieces": (0, 40, 136, 240),
}
NUM_USED = 64

# Delays and path speeds of a run, and the windows of the search, which leave room for errors on
# both sides.
DELAYS_S = (0.4e-6, 1.6e-6)
SPEEDS_MPS = (-40.0, 40.0)
SEARCH_DELAYS_S = (0.0, 2e-6)
SEARCH_SPEEDS_MPS = (-100.0, 100.0)

# The second target is weaker, dB, but above the side lobes of one piece, three cells of which it is
# behind the first. Second estimates within half of that cell, and of the Doppler cell, have found
# it; the strongest peak of noise is above the threshold in one of 100 frames.
WEAKER_DB = -10.0
PIECE_CELL_S = 1 / (NUM_USED * SPACING_HZ)
BEHIND_S = 3 * PIECE_CELL_S
FIRST_DELAYS_S = (0.4e-6, 1.2e-6)
DOPPLER_CELL_MPS = LIGHT_SPEED_MPS / (CARRIER_HZ * NUM_SYMBOLS * SYMBOL_S)
FALSE_ALARM_RATE = 1e-2
# Name of gridless matching pursuit in the curves.
PURSUIT = "Newtonized OMP"
# Cells of the zero-filled map per resolution cell in both dimensions.
MAP_OVERSAMPLING = 2


def fragments() -> Experiment:
    """Range of a target from subcarriers in one piece and in several."""
    return Experiment(
        name="fragments",
        title="DC III-C: 64 of 256 subcarriers in one, two and four pieces",
        axis="SNR of a resource element (dB)",
        values=(-22.0, -20.0, -18.0, -16.0, -14.0, -12.0, -10.0, -5.0),
        quantities={"range_m": Quantity("RMSE of range (m)")},
        trial=_trial,
        bounds=_bounds,
    )


def fragments_weak() -> Experiment:
    """Share of weak second targets that are found, by zero filling and by sparse recovery."""
    return Experiment(
        name="fragments_weak",
        title="DC III-C: a second target, 10 dB weaker, on the same pieces",
        axis="SNR of the strong target's resource element (dB)",
        values=(-15.0, -10.0, -5.0, 0.0, 5.0, 10.0),
        quantities={
            "weak_found": Quantity("share of weak targets found", "mean", logarithmic=False)
        },
        trial=_weak_trial,
        theory=_weak_theory,
    )


def highest_sidelobes_db() -> dict[str, float]:
    """Highest side lobe over the main lobe of each way, dB."""
    return {name: float(sidelobes(_mask(name)).peak_db) for name in FIRST_SUBCARRIERS}


def _trial(snr_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all ways have the same path and noise."""
    delay_s = generator.uniform(*DELAYS_S)
    path_speed_mps = generator.uniform(*SPEEDS_MPS)
    amplitude = 10 ** (snr_db / 20) * random_phase(generator)
    whole = np.ones((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
    echo = amplitude * path_response(_matrix(whole), delay_s, path_speed_mps)
    received = echo + complex_noise(generator, echo.shape)

    errors = {}
    for name in FIRST_SUBCARRIERS:
        mask = _mask(name)
        matrix = _matrix(mask, np.where(mask, received, 0))
        path = estimate_path([matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
        range_error_m = target_errors(path, delay_s, path_speed_mps)["range_m"]
        errors[name] = {"range_m": range_error_m}
    return errors


def _bounds(snr_db: float) -> Errors:
    snr = 10 ** (snr_db / 10)
    bounds = {}
    for name in FIRST_SUBCARRIERS:
        bound = target_bounds([_matrix(_mask(name))], [snr])
        bounds[name] = {"range_m": bound["range_m"]}
    return bounds


def _weak_trial(snr_db: float, generator: np.random.Generator) -> Errors:
    """Detection of the weak target in one run: all ways have the same paths and noise."""
    # Two targets of the same speed, the weaker one behind the other.
    first_s = generator.uniform(*FIRST_DELAYS_S)
    path_speed_mps = generator.uniform(*SPEEDS_MPS)
    whole = _matrix(np.ones((NUM_SUBCARRIERS, NUM_SYMBOLS), bool))
    received = complex_noise(generator, whole.mask.shape)
    for delay_s, level_db in ((first_s, snr_db), (first_s + BEHIND_S, snr_db + WEAKER_DB)):
        amplitude = 10 ** (level_db / 20) * random_phase(generator)
        received += amplitude * path_response(whole, delay_s, path_speed_mps)

    # The second path that each method finds: a weaker peak, or that of the residual.
    found = {}
    for name in FIRST_SUBCARRIERS:
        mask = _mask(name)
        matrix = _matrix(mask, np.where(mask, received, 0))
        for method, second in (
            ("zero filling", _second_peak(name, matrix)),
            (PURSUIT, _second_path(matrix)),
        ):
            is_near = second is not None and _is_near(second, first_s + BEHIND_S, path_speed_mps)
            found[f"{name}, {method}"] = {"weak_found": float(is_near)}
    return found


def _weak_theory(snr_db: float) -> Errors:
    """Share of weak targets that matching pursuit detects in theory."""
    snrs = 10 ** (np.array([snr_db, snr_db + WEAKER_DB]) / 10)
    delays_s = np.mean(FIRST_DELAYS_S) + np.array([0.0, BEHIND_S])
    shares = {}
    for name in FIRST_SUBCARRIERS:
        probability = partial(
            second_path_probability,
            _matrix(_mask(name)),
            delays_s=delays_s,
            path_speeds_mps=np.zeros(2),
            delay_window_s=SEARCH_DELAYS_S,
            speed_window_mps=SEARCH_SPEEDS_MPS,
            false_alarm_rate=FALSE_ALARM_RATE,
        )
        shares[f"{name}, {PURSUIT}"] = {"weak_found": mean_over_phases(probability, snrs)}
    return shares


def _second_peak(name: str, matrix: ChannelMatrix) -> tuple[float, float] | None:
    """Delay in s and speed in m/s of the second strongest peak of the zero-filled map, if any."""
    dictionary = _dictionary(name)
    num_cells = NUM_SUBCARRIERS * NUM_SYMBOLS
    threshold = peak_threshold(num_cells, FALSE_ALARM_RATE, matrix.noise_power)
    peaks = map_peaks(dictionary, dictionary.correlate(matrix.values), threshold)
    if len(peaks) < 2:
        return None
    delay_cells, doppler_cells = peaks[1]
    delay_s = delay_cells / (NUM_SUBCARRIERS * SPACING_HZ)
    return float(delay_s), float(doppler_cells * DOPPLER_CELL_MPS)


def _second_path(matrix: ChannelMatrix) -> tuple[float, float] | None:
    """Delay in s and speed in m/s of the second path by matching pursuit, if any."""
    paths = newtonized_omp(
        [matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS, FALSE_ALARM_RATE, max_paths=2
    )
    if len(paths) < 2:
        return None
    return paths[1].delay_s, paths[1].path_speed_mps


def _is_near(path: tuple[float, float], delay_s: float, path_speed_mps: float) -> bool:
    """True for a delay and a speed within half a cell of those of a target."""
    delay_error_s = abs(path[0] - delay_s)
    speed_error_mps = abs(path[1] - path_speed_mps)
    return delay_error_s < PIECE_CELL_S / 2 and speed_error_mps < DOPPLER_CELL_MPS / 2


@cache
def _dictionary(name: str) -> DelayDopplerGrid:
    """Zero-filled map of a way."""
    return DelayDopplerGrid(
        _mask(name), MAP_OVERSAMPLING * NUM_SUBCARRIERS, MAP_OVERSAMPLING * NUM_SYMBOLS
    )


def _mask(name: str) -> np.ndarray:
    """Resource elements of a way, [num_subcarriers, num_symbols], bool."""
    firsts = FIRST_SUBCARRIERS[name]
    length = NUM_USED // len(firsts)
    mask = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
    for first in firsts:
        mask[first : first + length] = True
    return mask


def _matrix(mask: np.ndarray, values: np.ndarray | None = None) -> ChannelMatrix:
    """Channel on the elements of a mask; without values an empty one."""
    if values is None:
        values = np.zeros(mask.shape, complex)
    return channel_matrix(values, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0, mask)
