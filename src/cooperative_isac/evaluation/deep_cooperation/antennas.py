"""Space-domain figures: antennas accumulated and spliced, and sparse arrays (DC section III-A)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from cooperative_isac.estimation import (
    ChannelMatrix,
    accumulate_coherently,
    channel_matrix,
    coprime_positions,
    estimate_path,
    nested_positions,
    phases_of_path,
    relative_phases,
    root_music,
    sample_covariance,
    smoothed_covariance,
    splice,
    steering,
    stochastic_crlb,
)
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    echo_of_path,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.monostatic import target_bounds, target_errors

# Subcarriers and symbols with the normal cyclic prefix of TS 38.211: 144 of 2048 samples.
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)

# Resource elements of one antenna, and the SNR of each, linear.
NUM_SUBCARRIERS = 32
NUM_SYMBOLS = 28
SNR = 0.1

# Symbols at the start in which all antennas use the same subcarriers, from which their initial
# phases are estimated; they cost one seventh of the time.
SHARED_SYMBOLS = 4

# Delays of a run, and the window of the search, which leaves room for errors on both sides.
DELAYS_S = (0.4e-6, 1.6e-6)
SEARCH_DELAYS_S = (0.0, 2e-6)
# Path speeds of a run, and the window of the search.
SPEEDS_MPS = (-40.0, 40.0)
SEARCH_SPEEDS_MPS = (-60.0, 60.0)

ACCUMULATED = "same elements, accumulated"
SPLICED = "spliced, phases from a line of sight"
SPLICED_SHARED = "spliced, phases from shared symbols"
SPLICED_OWN = "phases of the echo itself"
SPLICED_JOINT = "shared symbols and blocks, joint fit"

# A line of sight of known delay, from which initial phases are estimated, above the echo.
SIGHT_DB = 20.0
SIGHT_S = 0.2e-6


def splicing() -> Experiment:
    """Range from several antennas: accumulated on the same subcarriers, or spliced in frequency."""
    return _splicing_experiment(
        "splicing",
        "DC III-A1: antennas accumulated, or spliced to more bandwidth",
        {"range_m": Quantity("RMSE of range (m)")},
        _block_of_subcarriers,
    )


def splicing_time() -> Experiment:
    """Velocity from several antennas: accumulated on the same symbols, or spliced in time."""
    return _splicing_experiment(
        "splicing_time",
        "DC III-A1: antennas accumulated, or spliced to a longer time",
        {"velocity_mps": Quantity("RMSE of velocity (m/s)")},
        _block_of_symbols,
    )


def _splicing_experiment(
    name: str,
    title: str,
    quantities: Mapping[str, Quantity],
    block: Callable[[int], ChannelMatrix],
) -> Experiment:
    """Accumulated and spliced antennas over their number.

    name, title: of the figure
    quantities: what is measured, by name
    block: resource elements of an antenna by its number
    """
    return Experiment(
        name=name,
        title=title,
        axis="number of antennas",
        values=(1.0, 2.0, 4.0, 8.0, 16.0),
        quantities=quantities,
        trial=partial(_splicing_trial, tuple(quantities), block),
        bounds=partial(_splicing_bounds, tuple(quantities), block),
    )


def _splicing_trial(
    quantities: Sequence[str],
    block: Callable[[int], ChannelMatrix],
    num_antennas: float,
    generator: np.random.Generator,
) -> Errors:
    """Errors of one run: all curves have the same path and initial phases of the antennas."""
    # The path of the target: an amplitude of its own at each antenna.
    count = int(num_antennas)
    delay_s = generator.uniform(*DELAYS_S)
    speed_mps = generator.uniform(*SPEEDS_MPS)
    amplitudes = [np.sqrt(SNR) * random_phase(generator) for _ in range(count)]

    # All antennas on the same elements: phases from the whole echo.
    same = [
        echo_of_path(block(0), amplitude, delay_s, speed_mps, generator) for amplitude in amplitudes
    ]
    channels = np.stack([echo.values for echo in same])
    accumulated = replace(
        same[0],
        values=accumulate_coherently(channels, relative_phases(channels)),
        noise_power=1 / count,
    )

    # Each antenna on a block of its own, with phases from a line of sight.
    blocks = []
    sights = []
    for antenna, amplitude in enumerate(amplitudes):
        strong = amplitude * 10 ** (SIGHT_DB / 20)
        blocks.append(echo_of_path(block(antenna), amplitude, delay_s, speed_mps, generator))
        sights.append(echo_of_path(block(antenna), strong, SIGHT_S, 0.0, generator))
    spliced = splice(blocks, phases_of_path(sights, SIGHT_S, 0.0))

    # Phases from symbols before, in which all antennas shared their elements.
    shared = [
        echo_of_path(_shared_symbols(), amplitude, delay_s, speed_mps, generator)
        for amplitude in amplitudes
    ]
    phases = relative_phases(np.stack([symbols.values for symbols in shared]))

    # The target by each way; several matrices have an unknown phase each.
    errors = {}
    for curve, matrices in (
        (ACCUMULATED, [accumulated]),
        (SPLICED, [spliced]),
        (SPLICED_SHARED, [splice(blocks, phases)]),
        (SPLICED_OWN, blocks),
        (SPLICED_JOINT, _with_shared(blocks, shared)),
    ):
        path = estimate_path(matrices, SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)
        of_target = target_errors(path, delay_s, speed_mps)
        errors[curve] = {quantity: of_target[quantity] for quantity in quantities}
    return errors


def _splicing_bounds(
    quantities: Sequence[str], block: Callable[[int], ChannelMatrix], num_antennas: float
) -> Errors:
    """Root bounds: more SNR when accumulated, a greater span when spliced with known phases.

    With an unknown phase in each, the information of the blocks is added. The same holds for blocks
    with the shared symbols of each antenna, whatever is made of them.
    """
    count = int(num_antennas)
    blocks = [block(antenna) for antenna in range(count)]
    spliced = splice(blocks, np.zeros(count))
    with_shared = _with_shared(blocks, [_shared_symbols()] * count)
    bounds = {}
    for curve, matrices, snr in (
        (ACCUMULATED, [block(0)], count * SNR),
        (SPLICED, [spliced], SNR),
        (SPLICED_SHARED, with_shared, SNR),
        (SPLICED_OWN, blocks, SNR),
        (SPLICED_JOINT, with_shared, SNR),
    ):
        of_target = target_bounds(matrices, [snr] * len(matrices))
        bounds[curve] = {quantity: of_target[quantity] for quantity in quantities}
    return bounds


def _block_of_subcarriers(antenna: int) -> ChannelMatrix:
    """Resource elements of an antenna: a block of subcarriers above those of the one before."""
    grid = _grid()
    first_hz = antenna * NUM_SUBCARRIERS * SPACING_HZ
    return replace(grid, frequency_hz=grid.frequency_hz + first_hz)


def _block_of_symbols(antenna: int) -> ChannelMatrix:
    """Resource elements of an antenna: a block of symbols after those of the one before."""
    grid = _grid()
    first_s = antenna * NUM_SYMBOLS * SYMBOL_S
    return replace(grid, time_s=grid.time_s + first_s)


def _shared_symbols() -> ChannelMatrix:
    """Resource elements before the blocks that all antennas use."""
    grid = _grid()
    used = slice(0, SHARED_SYMBOLS)
    return replace(
        grid,
        values=grid.values[:, used],
        time_s=grid.time_s[used] - SHARED_SYMBOLS * SYMBOL_S,
        mask=grid.mask[:, used],
    )


def _with_shared(
    blocks: Sequence[ChannelMatrix], shared: Sequence[ChannelMatrix]
) -> list[ChannelMatrix]:
    """Block and shared symbols of each antenna as one channel of one phase."""
    pairs = zip(blocks, shared, strict=True)
    return [splice(pair, np.zeros(2)) for pair in pairs]


def _grid() -> ChannelMatrix:
    zeros = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)


# Sources of the sparse arrays in cycles per half wavelength, as many as a uniform array of six can
# still separate.
SOURCES = np.array([-0.31, -0.12, 0.06, 0.27])
NUM_SNAPSHOTS = 500
ARRAYS = {
    "uniform, 6 antennas": np.arange(6),
    "nested, 6 antennas": nested_positions(3, 3),
    "uniform, 12 antennas": np.arange(12),
    "coprime, 6 antennas": coprime_positions(2, 3),
}


def sparse_arrays() -> Experiment:
    """Direction from sparse arrays of six antennas beside uniform arrays of six and of twelve."""
    return Experiment(
        name="sparse_arrays",
        title="DC III-A2: a sparse array saves antennas and pays in SNR",
        axis="SNR of an antenna (dB)",
        values=(-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0),
        quantities={"direction_deg": Quantity("RMSE of direction at broadside (deg)")},
        trial=_sparse_trial,
        bounds=_sparse_bounds,
    )


def _sparse_trial(snr_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all arrays receive the same sources."""
    amplitude = 10 ** (snr_db / 20)
    sources = amplitude * complex_noise(generator, (len(SOURCES), NUM_SNAPSHOTS))
    errors = {}
    for curve, positions in ARRAYS.items():
        noise = complex_noise(generator, (len(positions), NUM_SNAPSHOTS))
        covariance = sample_covariance(steering(SOURCES, positions) @ sources + noise)

        # An array with gaps: the covariance of the uniform array of its differences.
        if np.ptp(positions) >= len(positions):
            covariance = smoothed_covariance(covariance, positions)

        # Directions by root-MUSIC, in the order of the sources.
        found = root_music(covariance, len(SOURCES))
        errors[curve] = {"direction_deg": _in_degrees(_rms(found - SOURCES))}
    return errors


def _sparse_bounds(snr_db: float) -> Errors:
    """Root bounds of random sources, root mean square over the sources."""
    powers = np.full(len(SOURCES), 10 ** (snr_db / 10))
    bounds = {}
    for curve, positions in ARRAYS.items():
        covariance = stochastic_crlb(SOURCES, positions.astype(float), powers, 1.0, NUM_SNAPSHOTS)
        bounds[curve] = {"direction_deg": _in_degrees(np.sqrt(np.mean(np.diag(covariance))))}
    return bounds


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _in_degrees(frequency: float) -> float:
    """Angle at broadside of a spatial frequency in cycles per half wavelength, degrees.

    The frequency is half the sine of the angle.
    """
    return float(np.degrees(2 * frequency))
