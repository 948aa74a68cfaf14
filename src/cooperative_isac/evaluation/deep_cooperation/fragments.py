"""Fragmented spectrum: the same number of subcarriers in one, two and four pieces (DC III-C)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cooperative_isac.estimation import (
    ChannelMatrix,
    channel_matrix,
    estimate_path,
    path_response,
    sidelobes,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
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
