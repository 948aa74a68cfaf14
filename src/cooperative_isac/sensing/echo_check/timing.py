"""Checks of time zero and of the carriers, by delay and Doppler shift of the line of sight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.echo_check.findings import OK, UNDECIDED, WRONG, Check
from cooperative_isac.sensing.echo_check.hypotheses import Choice, peak_delay_s
from cooperative_isac.sensing.echo_check.matcher import PROFILE_OVERSAMPLING, Matcher, Profiles

# Delay offset that is no fault, in resolution cells: a ground reflection shifts the peak as much.
DELAY_TOLERANCE_CELLS = 0.25

# Doppler shift that is no fault, in resolution cells: static paths have none, targets bias it a
# little.
DOPPLER_TOLERANCE_CELLS = 0.05

# Standard deviations that are added to both: a false alarm in two million.
TOLERANCE_SIGMAS = 5

# Share of all static power, from which the peak's delay is that of the line of sight.
CLEAR_SIGHT_SHARE = 0.6


def check_time_zero(scene: Scene, offset_s: float, choice: Choice) -> Check:
    """Check of the delay of the line of sight.

    scene: seen on one band
    offset_s: measured delay beyond that of the scene, s
    choice: the most likely hypothesis
    """
    # Offset with its CRLB.
    cell_s = scene.grid.range_resolution_m / SPEED_OF_LIGHT_MPS
    std_s = cell_s * np.sqrt(12) / (2 * np.pi * np.sqrt(2 * choice.best))
    offset_m = offset_s * SPEED_OF_LIGHT_MPS
    text = f"line of sight {offset_s * 1e9:+.2f} ns ({offset_m:+.2f} m) from its place in the scene"
    text += f", standard deviation {std_s * 1e9:.2f} ns"

    if abs(offset_s) <= DELAY_TOLERANCE_CELLS * cell_s + TOLERANCE_SIGMAS * std_s:
        return Check("time zero", OK, text)
    if choice.share < CLEAR_SIGHT_SHARE:
        text = f"cannot be checked: {text}, but reflections are nearly as strong"
        return Check("time zero", UNDECIDED, text)
    return Check("time zero", WRONG, f"{text}: delays must count from the emission of the frame")


def check_carrier(
    scene: Scene, matcher: Matcher, echoes: Sequence[np.ndarray], choice: Choice
) -> Check:
    """Check of the Doppler shift of the line of sight, which only different carriers cause.

    scene: seen on one band
    matcher: replicas of the line of sight
    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, in the chosen order
    choice: the most likely hypothesis
    """
    # Spectrum over symbols, summed over paths and frames.
    delay_s = matcher.delay_s(choice.offset)
    num_shifts = PROFILE_OVERSAMPLING * scene.grid.num_symbols
    power = np.zeros(num_shifts)
    for frame, echo in enumerate(echoes):
        by_symbol = matcher.over_symbols(echo, frame, *choice.index[1:], delay_s)
        spectrum = np.fft.fft(by_symbol, num_shifts, axis=-1)
        power += (np.abs(spectrum) ** 2).sum(axis=0)

    # Its peak, found as that of a delay profile, with the CRLB of a frequency.
    shifts_hz = np.fft.fftfreq(num_shifts) / scene.grid.symbol_period_s
    shift_hz = peak_delay_s(Profiles(power, shifts_hz), int(power.argmax()))
    cell_hz = scene.grid.doppler_resolution_hz
    std_hz = np.sqrt(12) / (2 * np.pi) * cell_hz / np.sqrt(2 * choice.best)
    text = f"line of sight turns by {shift_hz:+.1f} Hz, standard deviation {std_hz:.1f} Hz"

    if abs(shift_hz) <= DOPPLER_TOLERANCE_CELLS * cell_hz + TOLERANCE_SIGMAS * std_hz:
        return Check("carrier", OK, text)
    ratio_ppm = shift_hz / scene.grid.carrier_hz * 1e6
    return Check("carrier", WRONG, f"{text}: carriers differ by {ratio_ppm:+.3g} ppm; lock them")
