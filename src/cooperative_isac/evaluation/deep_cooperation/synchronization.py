"""Clock offsets between stations, estimated in five ways (DC section IV-A)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.calibration.offsets import (
    ClockOffset,
    corrected,
    cross_correlated,
    cross_correlation_snr,
    offset_of_both_directions,
    offset_of_path,
    separable,
)
from cooperative_isac.estimation import (
    ChannelMatrix,
    PathEstimate,
    channel_matrix,
    estimate_path,
)
from cooperative_isac.evaluation.deep_cooperation.bistatic import path_bounds, path_errors
from cooperative_isac.evaluation.deep_cooperation.draws import (
    echo_of_path,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity

# Frame of a link: 15.4 MHz around 24 GHz, with the normal cyclic prefix of TS 38.211 (144 of 2048
# samples).
CARRIER_HZ = 24e9
SPACING_HZ = 240e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)
NUM_SUBCARRIERS = 64
NUM_SYMBOLS = 32
# SNR of one resource element of the echo, dB.
ECHO_SNR_DB = -10.0

# Offsets are up to a hundred delay cells of 65 ns, beyond the unambiguous delay of 4.2 us. Echoes
# repeat with it: of an offset only the remainder matters, and is estimated.
UNAMBIGUOUS_S = 1 / SPACING_HZ
MAX_OFFSET_S = 100 / (NUM_SUBCARRIERS * SPACING_HZ)
MAX_OFFSET_HZ = 2000.0

# Frames in which an active observation has been compared with the link before: clocks drift slowly
# beside the frame rate.
ACTIVE_FRAMES = 4

# Delay of the line of sight, delays and path speeds of the echo, and the windows of the search: all
# delays that are unambiguous, and speeds with the largest offset.
LINE_OF_SIGHT_S = 0.3e-6
DELAYS_S = (0.5e-6, 1.5e-6)
MIDDLE_DELAY_S = sum(DELAYS_S) / 2
SPEEDS_MPS = (-40.0, 40.0)
SEARCH_DELAYS_S = (MIDDLE_DELAY_S - UNAMBIGUOUS_S / 2, MIDDLE_DELAY_S + UNAMBIGUOUS_S / 2)
SEARCH_SPEEDS_MPS = (-120.0, 120.0)

SYNCHRONOUS = "synchronous"
SIGHT = "offset from the line of sight"
CROSS = "echo times line of sight"
SEPARABLE = "echo times separable line of sight"
BOTH = "no line of sight: both directions"
ACTIVE = "no line of sight: active observation"

# Path speed of a Doppler shift of 1 Hz, m/s: the wavelength.
METERS_PER_SECOND = LIGHT_SPEED_MPS / CARRIER_HZ


def synchronization() -> Experiment:
    """Bistatic path after correction of clock offsets, over the strength of the line of sight."""
    return Experiment(
        name="synchronization",
        title="DC IV-A: clock offsets estimated from what the link receives",
        axis="line of sight above the echo (dB)",
        values=(0.0, 5.0, 10.0, 15.0, 20.0),
        quantities={
            "path_m": Quantity("RMSE of path length (m)"),
            "path_speed_mps": Quantity("RMSE of path speed (m/s)"),
        },
        trial=_trial,
        bounds=_bounds,
    )


def _trial(sight_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all ways have the same path and the same clock offsets."""
    # The target's path, and the clock offsets of the receiver.
    delay_s = generator.uniform(*DELAYS_S)
    speed_mps = generator.uniform(*SPEEDS_MPS)
    offset_s = generator.uniform(-MAX_OFFSET_S, MAX_OFFSET_S)
    offset_mps = generator.uniform(-MAX_OFFSET_HZ, MAX_OFFSET_HZ) * METERS_PER_SECOND

    # Echoes: as synchronous stations would receive it, and forward, backward and active ones.
    amplitude = 10 ** (ECHO_SNR_DB / 20)
    sight_amplitude = amplitude * 10 ** (sight_db / 20)
    phase = random_phase(generator)
    synchronous = _draw(amplitude * phase, delay_s, speed_mps, generator)
    forward = _draw(amplitude * phase, delay_s + offset_s, speed_mps + offset_mps, generator)
    backward = _draw(amplitude * phase, delay_s - offset_s, speed_mps - offset_mps, generator)
    sight = _draw(
        sight_amplitude * random_phase(generator), LINE_OF_SIGHT_S + offset_s, offset_mps, generator
    )

    # Offset and what is left of the path, by each way.
    seen_forward = _estimate(forward)
    by_sight = offset_of_path(_estimate(sight), CARRIER_HZ, LINE_OF_SIGHT_S, 0.0)
    by_both = offset_of_both_directions(seen_forward, _estimate(backward), CARRIER_HZ)
    relative = _estimate(cross_correlated(forward, sight))
    by_product = _estimate(cross_correlated(forward, separable(sight)))
    by_active = _mean_offset(
        [
            _active_offset(amplitude, delay_s, speed_mps, offset_s, offset_mps, generator)
            for _ in range(ACTIVE_FRAMES)
        ]
    )

    # Half of a remainder is known within half the unambiguous delay: so is the path.
    halved = _estimate(corrected(forward, by_both))
    of_both_s = _remainder(halved.delay_s, UNAMBIGUOUS_S / 2, MIDDLE_DELAY_S)

    return {
        SYNCHRONOUS: path_errors(_estimate(synchronous), delay_s, speed_mps),
        SIGHT: path_errors(_estimate(corrected(forward, by_sight)), delay_s, speed_mps),
        CROSS: path_errors(relative, delay_s - LINE_OF_SIGHT_S, speed_mps),
        SEPARABLE: path_errors(by_product, delay_s - LINE_OF_SIGHT_S, speed_mps),
        BOTH: path_errors(replace(halved, delay_s=of_both_s), delay_s, speed_mps),
        ACTIVE: path_errors(_estimate(corrected(forward, by_active)), delay_s, speed_mps),
    }


def _active_offset(
    amplitude: float,
    delay_s: float,
    speed_mps: float,
    offset_s: float,
    offset_mps: float,
    generator: np.random.Generator,
) -> ClockOffset:
    """Offset of an earlier frame from the path that an active observation of it predicts."""
    active = _estimate(_draw(amplitude * random_phase(generator), delay_s, speed_mps, generator))
    bistatic = _estimate(
        _draw(
            amplitude * random_phase(generator),
            delay_s + offset_s,
            speed_mps + offset_mps,
            generator,
        )
    )
    return offset_of_path(
        bistatic, CARRIER_HZ, active.delay_s, active.path_speed_mps, active.covariance
    )


def _mean_offset(offsets: list[ClockOffset]) -> ClockOffset:
    """Mean of independent estimates of one offset, each of them a remainder."""
    near_s = [_remainder(offset.delay_s, UNAMBIGUOUS_S, offsets[0].delay_s) for offset in offsets]
    return ClockOffset(
        delay_s=float(np.mean(near_s)),
        frequency_hz=float(np.mean([offset.frequency_hz for offset in offsets])),
        covariance=np.mean([offset.covariance for offset in offsets], axis=0) / len(offsets),
    )


def _remainder(delay_s: float, span_s: float, middle_s: float) -> float:
    """Delay within half a span of another one, whole spans apart from the given delay, s."""
    return middle_s + (delay_s - middle_s + span_s / 2) % span_s - span_s / 2


def _bounds(sight_db: float) -> Errors:
    """Root bounds of all ways, from that of the echo of synchronous stations."""
    snr = 10 ** (ECHO_SNR_DB / 10)
    sight_snr = snr * 10 ** (sight_db / 10)
    synchronous = path_bounds([_grid()], [snr])

    # Variances over the synchronous one: that of the echo and that of the offset.
    by_sight = 1 + snr / sight_snr
    variances = {
        SYNCHRONOUS: 1.0,
        SIGHT: by_sight,
        CROSS: snr / cross_correlation_snr(snr, sight_snr),
        SEPARABLE: by_sight,
        # The mean of two echoes: the offset cancels.
        BOTH: 1 / 2,
        # Two paths of each earlier frame.
        ACTIVE: 1 + 2 / ACTIVE_FRAMES,
    }
    return {
        way: {quantity: float(np.sqrt(variance)) * bound for quantity, bound in synchronous.items()}
        for way, variance in variances.items()
    }


def _estimate(matrix: ChannelMatrix) -> PathEstimate:
    return estimate_path([matrix], SEARCH_DELAYS_S, SEARCH_SPEEDS_MPS)


def _draw(
    amplitude: complex, delay_s: float, speed_mps: float, generator: np.random.Generator
) -> ChannelMatrix:
    return echo_of_path(_grid(), amplitude, delay_s, speed_mps, generator)


def _grid() -> ChannelMatrix:
    """Resource elements of a link."""
    zeros = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
