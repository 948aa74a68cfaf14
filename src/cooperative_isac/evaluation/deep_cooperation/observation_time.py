"""Time-domain figure: accumulation over more and more symbols, and its end (DC section III-B)."""

from __future__ import annotations

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS
from scipy.stats import ncx2

from cooperative_isac.estimation import (
    accumulate_noncoherently,
    channel_matrix,
    delay_doppler_map,
    path_response,
)
from cooperative_isac.evaluation.deep_cooperation.draws import complex_noise, random_phase
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity

# 100 MHz at 24 GHz. A path that shortens by 60 m/s crosses a delay cell of 3 m in 50 ms, which are
# 1250 symbols.
CARRIER_HZ = 24e9
NUM_SUBCARRIERS = 32
BANDWIDTH_HZ = 100e6
SPACING_HZ = BANDWIDTH_HZ / NUM_SUBCARRIERS
SYMBOL_S = 40e-6
PATH_SPEED_MPS = 60.0

# Delays of a run, cells: away from both ends of the 32 cells that are unambiguous.
DELAY_CELLS = (5.0, 25.0)

# A path that one frame of 512 symbols does not show.
SNR_DB = -34.0
FRAME_SYMBOLS = 512

# Cells of the maps per resolution cell, and distance of a peak that counts as the target's: the
# resolution cell and, where the path migrates, the cells that it crosses.
MAP_OVERSAMPLING = 2
PEAK_CELLS = 2.0

# Levels of a peak over which the theory is integrated, and the highest one, deviations of noise
# above the target.
NUM_LEVELS = 2000
PEAK_DEVIATIONS = 6.0

FIXED = "coherent, cell fixed"
COMPENSATED = "coherent, migration compensated"
FRAMES = "frames of 512 symbols, not coherent"


def observation_time() -> Experiment:
    """Share of targets found over the observation time, with and without compensation."""
    return Experiment(
        name="observation_time",
        title="DC III-B: accumulation ends where the target leaves its delay cell (50 ms)",
        axis="observation time (ms)",
        values=tuple(1e3 * SYMBOL_S * num for num in (512, 1024, 2048, 4096, 8192)),
        quantities={"found": Quantity("share of targets found", "mean", logarithmic=False)},
        trial=_trial,
        theory=_theory,
    )


def _trial(observation_ms: float, generator: np.random.Generator) -> Errors:
    """Detections of one run: all ways have the same echo."""
    # Echo of one path in noise.
    num_symbols = round(observation_ms * 1e-3 / SYMBOL_S)
    zeros = np.zeros((NUM_SUBCARRIERS, num_symbols), complex)
    grid = channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
    delay_cells = generator.uniform(*DELAY_CELLS)
    delay_s = delay_cells / (NUM_SUBCARRIERS * SPACING_HZ)
    amplitude = 10 ** (SNR_DB / 20) * random_phase(generator)
    echo = amplitude * path_response(grid, delay_s, PATH_SPEED_MPS)
    values = echo + complex_noise(generator, echo.shape)

    return {
        FIXED: _found(_power(values, compensate=False), delay_cells, num_symbols),
        COMPENSATED: _found(_power(values, compensate=True), delay_cells, num_symbols),
        FRAMES: _found(_power_of_frames(values), delay_cells, FRAME_SYMBOLS),
    }


def _theory(observation_ms: float) -> Errors:
    """Share of targets whose peak is above all noise, with all energy in one cell.

    Noise of different resolution cells is independent; maxima between them are left out, so that
    no way of accumulation finds more.
    """
    # Energy over noise power, and the peaks that nearly all draws of noise leave.
    num_symbols = round(observation_ms * 1e-3 / SYMBOL_S)
    num_cells = NUM_SUBCARRIERS * num_symbols
    energy = 10 ** (SNR_DB / 10) * num_cells
    levels = np.linspace(0, (np.sqrt(energy) + PEAK_DEVIATIONS) ** 2, NUM_LEVELS)

    # A peak, twice of which is noncentral chi-square, is above the exponential power of all others.
    density = 2 * ncx2.pdf(2 * levels, 2, 2 * energy)
    above_noise = (1 - np.exp(-levels)) ** (num_cells - 1)
    return {COMPENSATED: {"found": float(np.trapezoid(density * above_noise, levels))}}


def _power(values: np.ndarray, *, compensate: bool) -> np.ndarray:
    """Power of the delay-Doppler map of all symbols."""
    num_subcarriers, num_symbols = values.shape
    correlation = delay_doppler_map(
        values,
        CARRIER_HZ,
        SPACING_HZ,
        MAP_OVERSAMPLING * num_subcarriers,
        MAP_OVERSAMPLING * num_symbols,
        compensate_migration=compensate,
    )
    return np.abs(correlation) ** 2


def _power_of_frames(values: np.ndarray) -> np.ndarray:
    """Mean power of the delay-Doppler maps of frames."""
    frames = np.split(values, values.shape[1] // FRAME_SYMBOLS, axis=1)
    maps = [
        delay_doppler_map(
            frame,
            CARRIER_HZ,
            SPACING_HZ,
            MAP_OVERSAMPLING * NUM_SUBCARRIERS,
            MAP_OVERSAMPLING * FRAME_SYMBOLS,
            compensate_migration=False,
        )
        for frame in frames
    ]
    return accumulate_noncoherently(np.stack(maps))


def _found(power: np.ndarray, delay_cells: float, num_symbols: int) -> dict[str, float]:
    """Detection: 1 where the highest peak of a map is near the target, else 0.

    power: [num_delays, num_bins], float64, MAP_OVERSAMPLING points per resolution cell
    delay_cells: delay of the target, resolution cells
    num_symbols: of the map
    """
    # The highest peak, and where the target is in the map.
    row, column = np.unravel_index(np.argmax(power), power.shape)
    doppler_hz = CARRIER_HZ * PATH_SPEED_MPS / LIGHT_SPEED_MPS
    doppler_cells = doppler_hz * SYMBOL_S * num_symbols

    # Migration moves and widens both peaks by the cells that the path crosses.
    crossed = PATH_SPEED_MPS * SYMBOL_S * num_symbols * BANDWIDTH_HZ / LIGHT_SPEED_MPS
    delay_error = row / MAP_OVERSAMPLING - delay_cells
    doppler_error = column / MAP_OVERSAMPLING - doppler_cells
    is_near = abs(delay_error) < PEAK_CELLS + crossed and abs(doppler_error) < PEAK_CELLS + crossed
    return {"found": float(is_near)}
