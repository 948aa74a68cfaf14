"""Reference signals alone and together, and recovery over their holes (DC section III-C1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import (
    ChannelMatrix,
    DelayDopplerGrid,
    channel_matrix,
    debiased,
    fista,
    newtonized_omp,
    omp,
    path_response,
    peak_threshold,
    second_path_probability,
    sidelobes,
    unambiguous_delay_cells,
    unambiguous_doppler_cells,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    mean_over_phases,
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
NUM_SUBCARRIERS = 12 * NUM_BLOCKS
NUM_SYMBOLS = 14 * NUM_SLOTS
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)

# Resolution cells of delay and of path speed.
CELL_S = 1 / (NUM_SUBCARRIERS * SPACING_HZ)
CELL_MPS = LIGHT_SPEED_MPS / (CARRIER_HZ * NUM_SYMBOLS * SYMBOL_S)

# The second target is weaker, dB, and a few resolution cells of delay behind the first. Estimates
# within NEAR_CELLS of a target count as the target.
WEAKER_DB = -20.0
CELLS_APART = 3.0
NEAR_CELLS = 0.75

# The strong target's delay in cells, and Doppler shifts within three cells of zero. Matching
# pursuit searches twice these windows; zero filling and FISTA take the whole grid.
STRONG_CELLS = (10.0, 60.0)
DOPPLER_CELLS = (-3.0, 3.0)
SEARCH_DELAY_CELLS = (0.0, 2 * STRONG_CELLS[1])
SEARCH_DOPPLER_CELLS = (2 * DOPPLER_CELLS[0], 2 * DOPPLER_CELLS[1])
SEARCH_DELAYS_S = (SEARCH_DELAY_CELLS[0] * CELL_S, SEARCH_DELAY_CELLS[1] * CELL_S)
SEARCH_SPEEDS_MPS = (SEARCH_DOPPLER_CELLS[0] * CELL_MPS, SEARCH_DOPPLER_CELLS[1] * CELL_MPS)

# Cells of the dictionary per resolution cell in both dimensions.
GRID_OVERSAMPLING = 2

# Probability of a false path in a frame without targets, and paths at most.
FALSE_ALARM_RATE = 1e-2
MAX_PATHS = 12
# Name of gridless matching pursuit in the curves.
PURSUIT = "Newtonized OMP"
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


@cache
def union_dictionary() -> DelayDopplerGrid:
    """Dictionary of paths on the union of all reference signals."""
    return DelayDopplerGrid(
        masks()["union"], GRID_OVERSAMPLING * NUM_SUBCARRIERS, GRID_OVERSAMPLING * NUM_SYMBOLS
    )


def search_cells() -> tuple[range, range]:
    """Cells of delay and of Doppler shift of the dictionary that matching pursuit searches."""
    delays, dopplers = (
        range(round(GRID_OVERSAMPLING * first), round(GRID_OVERSAMPLING * last) + 1)
        for first, last in (SEARCH_DELAY_CELLS, SEARCH_DOPPLER_CELLS)
    )
    return delays, dopplers


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
        theory=_theory,
    )


def _trial(snr_db: float, generator: np.random.Generator) -> Errors:
    matrix, cells = two_targets(snr_db, generator)
    return {method: _score(recover(matrix), cells) for method, recover in METHODS.items()}


def _theory(snr_db: float) -> Errors:
    """Share of weak targets that matching pursuit detects in theory."""
    probability = partial(
        second_path_probability,
        _union_grid(),
        delays_s=(np.mean(STRONG_CELLS) + np.array([0.0, CELLS_APART])) * CELL_S,
        path_speeds_mps=np.zeros(2),
        delay_window_s=SEARCH_DELAYS_S,
        speed_window_mps=SEARCH_SPEEDS_MPS,
        false_alarm_rate=FALSE_ALARM_RATE,
    )
    snrs = 10 ** (np.array([snr_db, snr_db + WEAKER_DB]) / 10)
    return {PURSUIT: {"weak_found": mean_over_phases(probability, snrs)}}


def two_targets(snr_db: float, generator: np.random.Generator) -> tuple[ChannelMatrix, np.ndarray]:
    """Channel of a strong and a weak target of the same speed on the union, and their cells.

    snr_db: of the strong target on one resource element, dB
    generator: of places, phases and noise
    Returns the channel matrix in unit noise, and [2, 2], float64, delay and Doppler shift in
    resolution cells, the strong target first.
    """
    # Places and levels of both targets.
    delay_cells = generator.uniform(*STRONG_CELLS)
    speed_cells = generator.uniform(*DOPPLER_CELLS)
    cells = np.array([[delay_cells, speed_cells], [delay_cells + CELLS_APART, speed_cells]])
    levels_db = (snr_db, snr_db + WEAKER_DB)

    # Their echoes in noise, on the elements of the mask.
    grid = _union_grid()
    values = complex_noise(generator, grid.mask.shape)
    for (delay, speed), level_db in zip(cells, levels_db, strict=True):
        amplitude = 10 ** (level_db / 20) * random_phase(generator)
        values += amplitude * path_response(grid, delay * CELL_S, speed * CELL_MPS)
    return replace(grid, values=np.where(grid.mask, values, 0)), cells


def _union_grid() -> ChannelMatrix:
    """Grid of the union of all reference signals, in unit noise."""
    mask = masks()["union"]
    zeros = np.zeros(mask.shape, complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0, mask)


def _by_zero_filling(matrix: ChannelMatrix) -> np.ndarray:
    dictionary = union_dictionary()
    return map_peaks(dictionary, dictionary.correlate(matrix.values), _threshold())


def _by_omp(matrix: ChannelMatrix) -> np.ndarray:
    dictionary = union_dictionary()
    return _active(
        dictionary, omp(matrix.values, dictionary, _threshold(), MAX_PATHS, search_cells())
    )


def _by_fista(matrix: ChannelMatrix) -> np.ndarray:
    dictionary = union_dictionary()
    sparse = fista(matrix.values, dictionary, np.sqrt(_threshold()), FISTA_ITERATIONS)
    return _active(dictionary, debiased(matrix.values, dictionary, sparse))


def _by_newtonized_omp(matrix: ChannelMatrix) -> np.ndarray:
    paths = newtonized_omp(
        [matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS, FALSE_ALARM_RATE, MAX_PATHS
    )
    cells = [[path.delay_s / CELL_S, path.path_speed_mps / CELL_MPS] for path in paths]
    return np.array(cells).reshape(-1, 2)


# Delay and Doppler shift of the paths that each method finds in a channel, [num, 2], in cells.
METHODS: Mapping[str, Callable[[ChannelMatrix], np.ndarray]] = {
    "zero filling": _by_zero_filling,
    "OMP": _by_omp,
    "FISTA": _by_fista,
    PURSUIT: _by_newtonized_omp,
}


def _threshold() -> float:
    """Power of a correlation that noise alone hardly exceeds in a frame."""
    return peak_threshold(NUM_SUBCARRIERS * NUM_SYMBOLS, FALSE_ALARM_RATE, 1.0)


def _score(estimates: np.ndarray, cells: np.ndarray) -> dict[str, float]:
    """Detection of the weak target (0 or 1), and number of estimates of no target."""
    # Distance of each estimate from each target, the larger of delay and Doppler shift, in cells.
    distances = np.abs(estimates[:, None] - cells).max(axis=-1)
    return {
        "weak_found": float(np.any(distances[:, 1] < NEAR_CELLS)),
        "false_paths": float(np.sum(distances.min(axis=1, initial=np.inf) > NEAR_CELLS)),
    }


def map_peaks(
    dictionary: DelayDopplerGrid, correlation: np.ndarray, threshold: float
) -> np.ndarray:
    """Local maxima of the zero-filled map above the threshold, at most MAX_PATHS.

    dictionary: of the map
    correlation: [num_delays, num_dopplers], complex128, map
    threshold: least power
    Returns [num, 2], float64, delay and Doppler shift in cells, the strongest first.
    """
    # Cells above the threshold that are at least as strong as their four neighbors.
    power = np.abs(correlation) ** 2
    is_peak = power > threshold
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        is_peak &= power >= np.roll(power, shift, axis=(0, 1))

    # The strongest of them.
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

    # Half of the Doppler shifts are negative.
    half = num_symbols / 2
    dopplers = (dopplers + half) % num_symbols - half
    return np.stack([delays, dopplers], axis=-1)


def _slots(signal: ReferenceSignal) -> ReferenceSignal:
    return in_sequence([signal] * NUM_SLOTS)
