"""Reference signals alone and together, and recovery over their holes (DC section III-C1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import (
    DelayDopplerGrid,
    channel_matrix,
    debiased,
    fista,
    newtonized_omp,
    omp,
    path_response,
    peak_threshold,
    sidelobes,
    unambiguous_delay_cells,
    unambiguous_doppler_cells,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.waveform.reference_signals import (
    ReferenceSignal,
    channel_state_signal,
    demodulation_signal,
    in_sequence,
    positioning_signal,
    synchronization_block,
    union,
)

# Two slots of 21 resource blocks: 252 subcarriers and 28 symbols, as in reference [11].
NUM_BLOCKS = 21
NUM_SLOTS = 2
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)

# The second target is weaker, dB, and a few resolution cells of delay behind the first. Estimates
# within NEAR_CELLS of a target count as the target.
WEAKER_DB = -20.0
CELLS_APART = 3.0
NEAR_CELLS = 0.75

# Search: the strong target's delay in cells, and Doppler shifts within three cells of zero.
STRONG_CELLS = (10.0, 60.0)
DOPPLER_CELLS = (-3.0, 3.0)

# Probability of a false path in a frame without targets, and paths at most.
FALSE_ALARM_RATE = 1e-2
MAX_PATHS = 12
FISTA_ITERATIONS = 60


@cache
def masks() -> dict[str, np.ndarray]:
    """Resource elements of reference signals alone and together, [num_subcarriers, num_symbols]."""
    positioning = positioning_signal(NUM_BLOCKS, comb=4, num_symbols=4, first_symbol=4)
    pilots = demodulation_signal(NUM_BLOCKS, symbols=(2, 11))
    channel_state = channel_state_signal(NUM_BLOCKS, symbols=(8, 12))
    alone = {"PRS, comb 4": positioning, "DMRS": pilots, "CSI-RS": channel_state}
    signals = {**alone, "union": union(list(alone.values()))}
    return {name: _slots(signal).mask for name, signal in signals.items()}


@dataclass(frozen=True)
class MaskFigures:
    """What zero filling makes of a mask of resource elements.

    share: of the elements in use
    peak_db: highest side lobe over the main peak, dB
    integrated_db: energy of all side lobes over that of the main lobe, dB
    delay_cells, doppler_cells: unambiguous span, resolution cells of the whole grid
    """

    share: float
    peak_db: float
    integrated_db: float
    delay_cells: int
    doppler_cells: int


def mask_figures() -> Mapping[str, MaskFigures]:
    """Side lobes and unambiguous spans of reference signals alone and together, by name.

    The synchronization block is repeated every slot, as blocks of different beams are.
    """
    block = _slots(synchronization_block(NUM_BLOCKS)).mask
    together = masks()["union"]
    named = {"SSB": block, **masks(), "union with SSB": together | block}
    named["all elements"] = np.ones_like(together)
    return {name: _mask_figures(mask) for name, mask in named.items()}


def _mask_figures(mask: np.ndarray) -> MaskFigures:
    levels = sidelobes(mask)
    return MaskFigures(
        share=float(mask.mean()),
        peak_db=levels.peak_db,
        integrated_db=levels.integrated_db,
        delay_cells=unambiguous_delay_cells(mask),
        doppler_cells=unambiguous_doppler_cells(mask),
    )


def reference_signals() -> Experiment:
    """Share of weak second targets that are found, with zero filling and with sparse recovery."""
    return Experiment(
        name="reference_signals",
        title="DC III-C1: a target 20 dB weaker, 3 cells away, on PRS, DMRS and CSI-RS together",
        axis="SNR of the strong target's resource element (dB)",
        values=(-10.0, -5.0, 0.0, 5.0, 10.0, 15.0),
        quantities={
            "weak_found": Quantity("share of weak targets found", "mean", logarithmic=False),
            "false_paths": Quantity("false paths a frame", "mean", logarithmic=False),
        },
        trial=_trial,
        bounds=_no_bounds,
    )


def _trial(snr_db: float, generator: np.random.Generator) -> Errors:
    mask = masks()["union"]
    num_subcarriers, num_symbols = mask.shape
    cell_s = 1 / (num_subcarriers * SPACING_HZ)
    cell_mps = LIGHT_SPEED_MPS / (CARRIER_HZ * num_symbols * SYMBOL_S)

    # Two targets of the same speed.
    delay_cells = generator.uniform(*STRONG_CELLS)
    speed_cells = generator.uniform(*DOPPLER_CELLS)
    cells = np.array([[delay_cells, speed_cells], [delay_cells + CELLS_APART, speed_cells]])
    levels_db = (snr_db, snr_db + WEAKER_DB)
    grid = channel_matrix(
        np.zeros(mask.shape, complex), CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0, mask
    )
    values = complex_noise(generator, mask.shape)
    for (delay, speed), level_db in zip(cells, levels_db, strict=True):
        amplitude = 10 ** (level_db / 20) * random_phase(generator)
        values += amplitude * path_response(grid, delay * cell_s, speed * cell_mps)
    matrix = channel_matrix(values, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0, mask)

    dictionary = DelayDopplerGrid(mask, 2 * num_subcarriers, 2 * num_symbols)
    threshold = peak_threshold(mask.size, FALSE_ALARM_RATE, 1.0)
    paths = newtonized_omp(
        [matrix],
        (0.0, 2 * STRONG_CELLS[1] * cell_s),
        (2 * DOPPLER_CELLS[0] * cell_mps, 2 * DOPPLER_CELLS[1] * cell_mps),
        FALSE_ALARM_RATE,
        MAX_PATHS,
    )
    found = {
        "zero filling": _peaks(dictionary, dictionary.correlate(matrix.values), threshold),
        "OMP": _active(dictionary, omp(matrix.values, dictionary, threshold, MAX_PATHS)),
        "FISTA": _active(
            dictionary,
            debiased(
                matrix.values,
                dictionary,
                fista(matrix.values, dictionary, np.sqrt(threshold), FISTA_ITERATIONS),
            ),
        ),
        "Newtonized OMP": np.array(
            [[path.delay_s / cell_s, path.path_speed_mps / cell_mps] for path in paths]
        ).reshape(-1, 2),
    }
    return {method: _score(estimates, cells) for method, estimates in found.items()}


def _score(estimates: np.ndarray, cells: np.ndarray) -> dict[str, float]:
    """Detection of the weak target (0 or 1), and number of estimates of no target."""
    distances = np.abs(estimates[:, None] - cells).max(axis=-1)
    return {
        "weak_found": float(np.any(distances[:, 1] < NEAR_CELLS)),
        "false_paths": float(np.sum(distances.min(axis=1, initial=np.inf) > NEAR_CELLS)),
    }


def _peaks(dictionary: DelayDopplerGrid, correlation: np.ndarray, threshold: float) -> np.ndarray:
    """Local maxima of the zero-filled map above the threshold, the strongest, in cells."""
    power = np.abs(correlation) ** 2
    is_peak = power > threshold
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        is_peak &= power >= np.roll(power, shift, axis=(0, 1))
    peaks = np.argwhere(is_peak)
    strongest = peaks[np.argsort(-power[is_peak])[:MAX_PATHS]]
    return _in_cells(dictionary, strongest)


def _active(dictionary: DelayDopplerGrid, coefficients: np.ndarray) -> np.ndarray:
    """Cells of a sparse solution."""
    return _in_cells(dictionary, np.argwhere(coefficients))


def _in_cells(dictionary: DelayDopplerGrid, indices: np.ndarray) -> np.ndarray:
    """Delay and Doppler in resolution cells, [num, 2]; the upper half of Doppler is negative."""
    num_subcarriers, num_symbols = dictionary.mask.shape
    delays = indices[:, 0] * num_subcarriers / dictionary.num_delays
    dopplers = indices[:, 1] * num_symbols / dictionary.num_dopplers
    dopplers = (dopplers + num_symbols / 2) % num_symbols - num_symbols / 2
    return np.stack([delays, dopplers], axis=-1)


def _no_bounds(snr_db: float) -> Errors:
    return {}


def _slots(signal: ReferenceSignal) -> ReferenceSignal:
    return in_sequence([signal] * NUM_SLOTS)
