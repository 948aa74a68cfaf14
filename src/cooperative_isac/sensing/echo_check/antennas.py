"""Checks of single antennas: dead ones, two that are exchanged, and clipped samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.sensing.echo_check.conventions import MIN_EVIDENCE
from cooperative_isac.sensing.echo_check.findings import OK, WRONG, Check
from cooperative_isac.sensing.echo_check.hypotheses import Choice
from cooperative_isac.sensing.echo_check.matcher import Matcher

# Power below the median antenna from which an antenna counts as dead, dB.
DEAD_ANTENNA_DB = 20.0

# Values at the largest one from which samples may be clipped: a Gaussian has one.
CLIP_COUNT = 8

# The same, over the number of values in the 2 % below the largest one: coarse quantization piles
# up in both.
CLIP_PILE = 2.0
CLIP_BAND = 0.98

# Values within this share of the largest one are equal to it in single precision.
SINGLE_PRECISION = 1e-6

# Phase errors of two exchanged antennas: before they are put back at least the first, after that
# at most the second.
PHASE_WRONG_RAD = np.deg2rad(60)
PHASE_RIGHT_RAD = np.deg2rad(30)

# Amplitude over that of the strongest path: weaker paths are too noisy to order antennas by.
STRONG_PATH_SHARE = 0.3

# Antennas that a list in a text names at most.
MAX_LISTED = 8


def check_antennas(echoes: Sequence[np.ndarray]) -> Check:
    """Check for antennas without signal, and those far below the others.

    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64
    """
    # Mean power of each antenna.
    powers = [np.mean(np.abs(echo.astype(np.complex128)) ** 2, axis=(1, 2)) for echo in echoes]
    power = np.mean(powers, axis=0)
    silent = np.flatnonzero(power == 0)
    if len(silent) == len(power):
        return Check("antennas", WRONG, "all samples are zero")

    median = np.median(power[power > 0])
    weak = np.flatnonzero((power > 0) & (power < median * 10 ** (-DEAD_ANTENNA_DB / 10)))
    faults = []
    if len(silent):
        faults.append(f"all samples of antennas {_list(silent)} are zero")
    if len(weak):
        faults.append(
            f"antennas {_list(weak)} are more than {DEAD_ANTENNA_DB:.0f} dB below the median: dead?"
        )
    if faults:
        return Check("antennas", WRONG, "; ".join(faults) + " (counted from 0)")
    spread_db = 10 * np.log10(power.max() / power.min())
    return Check("antennas", OK, f"powers within {spread_db:.1f} dB")


def check_clipping(echoes: Sequence[np.ndarray]) -> Check:
    """Check for values that pile up at the largest one.

    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64
    """
    clipped_share = 0.0
    for echo in echoes:
        # Real and imaginary parts at the largest one, and a little below it.
        values = np.abs(np.ascontiguousarray(echo, np.complex64).view(np.float32)).ravel()
        largest = values.max()
        at_top = np.count_nonzero(values >= largest * np.float32(1 - SINGLE_PRECISION))
        in_band = np.count_nonzero(values >= largest * np.float32(CLIP_BAND))
        just_below = in_band - at_top
        if largest > 0 and at_top >= CLIP_COUNT and at_top > CLIP_PILE * just_below:
            clipped_share = max(clipped_share, at_top / len(values))

    if clipped_share:
        percent = f"{100 * clipped_share:.2g} %"
        text = f"{percent} of the values stand at the largest one: reduce the gain"
        return Check("clipping", WRONG, text)
    return Check("clipping", OK, "no values pile up at the largest one")


def check_swapped(matcher: Matcher, echoes: Sequence[np.ndarray], choice: Choice) -> Check:
    """Check for two antennas that are exchanged, by the phases of the line of sight over antennas.

    matcher: replicas of the line of sight
    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, in the chosen order
    choice: the most likely hypothesis
    """
    # Amplitudes at each antenna, with the phases of the plane wave removed.
    mirrored, sign, elements = choice.index[1:]
    steering = matcher.arrival[elements]
    num_ant = steering.shape[-1]
    delay_s = matcher.delay_s(choice.offset)
    amplitudes = np.stack(
        [
            matcher.per_antenna(echo, frame, mirrored, sign, delay_s)
            for frame, echo in enumerate(echoes)
        ]
    )
    amplitudes = amplitudes * steering.conj()

    # Frames brought to one phase and summed.
    sums = amplitudes.sum(axis=-1)
    amplitudes = (amplitudes * sums.conj()[..., None]).sum(axis=0)
    strengths = np.sqrt(np.abs(amplitudes.sum(axis=-1)))

    # The exchange that gains most, by any path that is not much weaker than the strongest.
    swapped = None
    for path in np.flatnonzero(strengths > strengths.max() * STRONG_PATH_SHARE):
        # Amplitudes over their mean: 1 at every antenna for an exact plane wave.
        aligned = amplitudes[path] / amplitudes[path].sum() * num_ant

        # The same of each antenna (row) if it were in the place of another one (column).
        phases = steering[path] * np.sqrt(num_ant)
        moved = aligned[:, None] * phases[:, None] * phases.conj()

        # The pair whose exchange adds most to the coherent sum over antennas.
        gain = (moved + moved.T - aligned[:, None] - aligned).real
        place = np.unravel_index(np.triu(gain, 1).argmax(), gain.shape)
        first, second = (int(part) for part in place)

        # Phase errors before and after, and the gain of log-likelihood.
        before_rad = np.abs(np.angle(aligned[[first, second]])).min()
        after_rad = np.abs(np.angle([moved[first, second], moved[second, first]])).max()
        evidence = choice.best * ((1 + gain[first, second] / num_ant) ** 2 - 1)
        is_better = before_rad > PHASE_WRONG_RAD and after_rad < PHASE_RIGHT_RAD
        if is_better and evidence > MIN_EVIDENCE:
            swapped = first, second

    # Verdict, with the phase errors of the strongest path.
    if swapped:
        text = f"antennas {swapped[0]} and {swapped[1]} (counted from 0) are exchanged"
        return Check("antenna swaps", WRONG, text)
    strongest = amplitudes[strengths.argmax()]
    phases_rad = np.angle(strongest / strongest.sum())
    rms_deg = np.rad2deg(np.sqrt(np.mean(phases_rad**2)))
    text = f"no two are exchanged; phases deviate by {rms_deg:.0f} degrees r.m.s. from a plane wave"
    return Check("antenna swaps", OK, text)


def _list(numbers: np.ndarray) -> str:
    """The first numbers, separated by commas."""
    shown = ", ".join(map(str, numbers[:MAX_LISTED]))
    return shown + (", ..." if len(numbers) > MAX_LISTED else "")
