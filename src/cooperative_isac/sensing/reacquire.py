"""Doppler shifts of followed paths that left their resolution cell since the last frame.

A long frame resolves Doppler shifts finer than a target's acceleration changes them from frame to
frame. The climb to the peak of the likelihood would then start on a side lobe and stay there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.scene.model import OfdmGrid
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState

MAX_ACCELERATION_MPS2 = 10.0  # of a target; a car that brakes or turns hard
# Largest change, in Doppler cells, above which paths are reacquired: the main lobe ends one cell
# from its peak, and on its flank the climb begins with steps that are too long.
CELLS_REACHED = 0.7
OVERSAMPLING = 4  # trial shifts per Doppler cell
# Least gain in power at another shift, below which the shift is kept: a share of the power at the
# expected one, beside what noise gains somewhere within reach.
BETTER_SHARE = 0.2
BETTER_POWER = 12.0
# A stronger path that is off its shift leaves its error in all that is coherent with it: a path is
# moved where its own gain is so many times what stronger ones leave there.
BEYOND_LEAKAGE = 4.0


def doppler_reach_hz(grid: OfdmGrid, period_s: float) -> float:
    """How far a Doppler shift may move from frame to frame, Hz; 0 where that is within its cell."""
    reach = 2 * MAX_ACCELERATION_MPS2 * period_s / grid.wavelength_m
    return reach if reach > CELLS_REACHED * grid.doppler_resolution_hz else 0.0


def reacquired(joint: JointFit, fit: Fit, reach_hz: float) -> PathState:
    """The state of a fit, with each path's Doppler shift at the peak of its spectrum within reach.

    The spectrum is that at the path's location, all other paths removed.
    """
    reference = joint.maker.reference
    step_hz = reference.frame.grid.doppler_resolution_hz / OVERSAMPLING
    count = int(np.ceil(reach_hz / step_hz))
    offsets = step_hz * np.arange(-count, count + 1)

    # Each path's own waveform, and what the fit leaves, behind its filter.
    weights = fit.replica.filters[:, 0].conj()
    amplitude = fit.amplitude[:, None, None, None].astype(np.complex64)
    waveform = amplitude * fit.replica.own + fit.residual[fit.state.owner]
    blocks = np.einsum("pki,pkib->pb", weights, waveform)

    # Spectrum about the expected shift; the middle trial is that shift.
    shifts = fit.state.doppler_hz[:, None] + offsets
    turns = np.exp(-2j * np.pi * shifts[..., None] * reference.block_times_s)
    power = np.abs(np.einsum("pb,psb->ps", blocks, turns)) ** 2
    best = power.argmax(axis=1)
    paths = np.arange(fit.state.num_paths)
    noise_w = fit.replica.gram[:, 0, 0].real * joint.noise_power_w
    expected = power[:, count] / noise_w
    gain = power[paths, best] / noise_w - expected
    is_better = gain > BETTER_SHARE * expected + BETTER_POWER

    # Not where the gain may be the error of a stronger path, which is found at its own shifts.
    is_stronger = expected > expected[:, None]
    wanted = shifts[paths, best]
    doppler = np.maximum(
        _coherence_of_shifts(joint, wanted, wanted),
        _coherence_of_shifts(joint, wanted, fit.state.doppler_hz),
    )
    shared = (_coherence_of_places(fit) * doppler) ** 2
    leaked = (is_stronger * shared) @ np.where(is_better, gain, 0.0)
    is_better &= gain > BEYOND_LEAKAGE * leaked
    if not is_better.any():
        return fit.state
    return replace(fit.state, doppler_hz=np.where(is_better, wanted, fit.state.doppler_hz))


def _coherence_of_places(fit: Fit) -> np.ndarray:
    """Coherence that paths would have at one Doppler shift, [num_paths, num_paths], float64.

    Streams count as uncorrelated and equally strong.
    """
    filters = fit.replica.filters[:, 0].reshape(fit.state.num_paths, -1)
    arrivals = fit.replica.receive[fit.state.owner, 0]
    overlap = np.abs((filters.conj() @ filters.T) * (arrivals.conj() @ arrivals.T))
    energy = overlap.diagonal()
    return overlap / np.sqrt(np.outer(energy, energy))


def _coherence_of_shifts(
    joint: JointFit, first_hz: np.ndarray, second_hz: np.ndarray
) -> np.ndarray:
    """Coherence of Doppler shifts over a frame, [num_first, num_second], float64."""
    times_s = joint.maker.reference.block_times_s
    first = np.exp(2j * np.pi * first_hz[:, None] * times_s)
    second = np.exp(2j * np.pi * second_hz[:, None] * times_s)
    return np.abs(first @ second.conj().T) / len(times_s)
