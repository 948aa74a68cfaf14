"""Reacquisition of Doppler shifts that left their resolution cell since the last frame.

A long frame resolves Doppler shifts finer than a target's acceleration changes them from frame to
frame. Fisher scoring would then start on a side lobe of the likelihood and stay there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.path_state import PathState

# Largest acceleration of a target, m/s^2: a car that brakes or turns hard.
MAX_ACCELERATION_MPS2 = 10.0

# Largest change of a Doppler shift, in resolution cells, up to which Fisher scoring finds it: the
# main lobe ends one cell from its peak, and on its flank the first steps are too long.
MAX_CHANGE_CELLS = 0.7

# Trial shifts per resolution cell: a peak between two of them loses 0.2 dB at most.
TRIALS_PER_CELL = 4

# Gain of power at another shift, from which it replaces the predicted one: a share of the power at
# the predicted one, and the gain that noise reaches somewhere in the interval.
MIN_GAIN_SHARE = 0.2
MIN_GAIN = 12.0

# The same over the error that stronger paths at a wrong shift may leave at a coherent path.
GAIN_OVER_LEAKAGE = 4.0


def doppler_reach_hz(grid: OfdmGrid, period_s: float) -> float:
    """Largest change of a Doppler shift from frame to frame, 0 where it stays in its cell, Hz.

    grid: of the frame
    period_s: time between frames of the band, s
    """
    reach_hz = 2 * MAX_ACCELERATION_MPS2 * period_s / grid.wavelength_m
    return reach_hz if reach_hz > MAX_CHANGE_CELLS * grid.doppler_resolution_hz else 0.0


def reacquired(joint: JointFit, fit: Fit, reach_hz: float) -> PathState:
    """The state of a fit, with each path's Doppler shift at the peak of its spectrum within reach.

    The spectrum is that at the path's location, without all other paths.

    joint: likelihood of the echo
    fit: of the predicted paths
    reach_hz: largest change of a shift, Hz
    """
    reference = joint.maker.reference
    step_hz = reference.frame.grid.doppler_resolution_hz / TRIALS_PER_CELL
    num_steps = int(np.ceil(reach_hz / step_hz))
    offsets_hz = step_hz * np.arange(-num_steps, num_steps + 1)

    # Each path's waveform and the residual of the fit, behind its filter.
    amplitude = fit.amplitude[:, None, None, None].astype(np.complex64)
    waveforms = amplitude * fit.replica.waveforms + fit.residual[fit.state.owner]
    blocks = reference.behind_filters(fit.replica.filters[:, 0], waveforms, fit.state.doppler_hz)

    # Spectrum about the predicted shift, which is the middle trial.
    trials_hz = fit.state.doppler_hz[:, None] + offsets_hz
    phases = np.exp(-2j * np.pi * trials_hz[..., None] * reference.block_times_s)
    power = np.abs(np.einsum("pb,psb->ps", blocks, phases)) ** 2

    # Gain at the peak over the predicted shift, in noise variances.
    best = power.argmax(axis=1)
    paths = np.arange(fit.state.num_paths)
    noise_w = fit.replica.gram[:, 0, 0].real * joint.noise_power_w
    predicted = power[:, num_steps] / noise_w
    gain = power[paths, best] / noise_w - predicted
    is_better = gain > MIN_GAIN_SHARE * predicted + MIN_GAIN

    # Error of stronger paths at a path, which appears at their own shifts.
    is_stronger = predicted > predicted[:, None]
    best_hz = trials_hz[paths, best]
    coherence_of_shifts = np.maximum(
        _coherence_of_shifts(joint, best_hz, best_hz),
        _coherence_of_shifts(joint, best_hz, fit.state.doppler_hz),
    )
    shared = (_coherence_of_places(fit) * coherence_of_shifts) ** 2
    leaked = (is_stronger * shared) @ np.where(is_better, gain, 0.0)

    # Shifts whose gain exceeds that error.
    is_better &= gain > GAIN_OVER_LEAKAGE * leaked
    if not is_better.any():
        return fit.state
    return replace(fit.state, doppler_hz=np.where(is_better, best_hz, fit.state.doppler_hz))


def _coherence_of_places(fit: Fit) -> np.ndarray:
    """Coherence that paths would have at one Doppler shift, [num_paths, num_paths], float64.

    Streams count as uncorrelated and equally strong.
    """
    # Inner products of the waveforms, and of the arrivals.
    filters = fit.replica.filters[:, 0].reshape(fit.state.num_paths, -1)
    of_waveforms = filters.conj() @ filters.T
    steering = fit.replica.receive[fit.state.owner, 0]
    of_arrivals = steering.conj() @ steering.T

    # Their product, over the energies.
    overlap = np.abs(of_waveforms * of_arrivals)
    energy = overlap.diagonal()
    return overlap / np.sqrt(np.outer(energy, energy))


def _coherence_of_shifts(
    joint: JointFit, first_hz: np.ndarray, second_hz: np.ndarray
) -> np.ndarray:
    """Coherence of Doppler shifts over a frame, [num_first, num_second], float64."""
    times_s = joint.maker.reference.block_times_s
    first = np.exp(2j * np.pi * first_hz[:, None] * times_s)
    second = np.exp(2j * np.pi * second_hz[:, None] * times_s)
    correlation = first @ second.conj().T
    return np.abs(correlation) / len(times_s)
