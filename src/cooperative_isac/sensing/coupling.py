"""Fisher information of all paths at one receiver together, amplitudes unknown (CF eqs. 22-28).

Targets that are close, or in each other's side lobes, share their echo: what one of them explains
is no evidence for the other. The matrix is that of all locations and Doppler shifts of a group of
targets; paths that are hardly coherent are left to groups of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.information import LEAST_INFORMATION, RIDGE, positive_definite
from cooperative_isac.sensing.replica import LEAST_SHARE, ReplicaMaker

# Coherence of two paths from which on their targets are taken together: below it, one costs the
# other 1 % of its information.
COUPLED = 0.1
# Paths of a group: the cost grows with their square, and more than these are rarely coupled
# closely. A larger group is split where its paths are the least coherent.
MOST_COUPLED = 24
# Share of each target's own information that is added for a step: where two targets are hardly told
# apart, a step along what distinguishes them would be longer than the likelihood is quadratic.
DAMPING = 0.01
# Squared length of the longest step of a location or a Doppler shift, in standard deviations at a
# unit of twice the SNR: half a resolution cell of Doppler, the half of a main lobe.
LONGEST_STEP = 0.8
# Power that stronger targets leave at a weaker one, over its own, from which on it waits for them.
HELD_SHARE = 0.5
STRICTER = 1.5  # factor of the coherence from one attempt to split a group to the next


def coupled_targets(fit: Fit, limit: float = COUPLED) -> list[np.ndarray]:
    """Groups of targets whose paths are coherent, each [num_targets], int, ascending.

    limit: coherence of two paths above which their targets are in one group
    """
    # Targets with coherent paths, and those that others connect.
    state = fit.state
    coherent = np.abs(fit.coherence) > limit
    rows, columns = np.nonzero(coherent)
    is_near = np.eye(state.num_targets, dtype=bool)
    is_near[state.owner[rows], state.owner[columns]] = True
    for _ in range(state.num_targets.bit_length()):
        is_near = is_near @ is_near

    # Groups that are too large, with a stricter limit.
    groups = []
    first = is_near.argmax(axis=1)
    for number in np.unique(first):
        members = np.flatnonzero(first == number)
        paths = paths_of(fit, members)
        if len(members) > 1 and paths.sum() > MOST_COUPLED:
            parts = coupled_targets(fit.keep(paths), STRICTER * limit)
            groups += [members[part] for part in parts]
        else:
            groups.append(members)
    return groups


def paths_of(fit: Fit, targets: np.ndarray) -> np.ndarray:
    """Which paths are of some targets, [num_paths], bool.

    targets: [n], int
    """
    is_chosen = np.zeros(fit.state.num_targets, bool)
    is_chosen[targets] = True
    return is_chosen[fit.state.owner]


def is_coupled(fit: Fit, targets: np.ndarray) -> bool:
    """Whether any two paths of some targets are coherent, so that each hides a part of the other.

    Paths without power hide nothing.

    targets: [n], int
    """
    paths = np.flatnonzero(paths_of(fit, targets))
    if not _has_power(fit, paths):
        return False
    coherent = np.abs(fit.coherence[paths[:, None], paths]) > COUPLED
    return bool(coherent.sum() > len(paths))


def _has_power(fit: Fit, paths: np.ndarray | slice = slice(None)) -> bool:
    """Whether all of some paths have a power, which is zero in an echo without samples but zeros.

    paths: [n], int; by default all
    """
    power = fit.power[paths]
    return bool(np.all(np.isfinite(power) & (power > 0)))


def coupled_information(maker: ReplicaMaker, fit: Fit, targets: np.ndarray) -> np.ndarray:
    """Fisher information of the locations and Doppler shifts of a group of targets.

    All complex amplitudes of the group are unknown.

    targets: [n], int, ascending
    Returns [n D + p, n D + p], float64: the locations, target by target, then the Doppler shifts of
    their p paths in the order of the fit; 1/m^2, 1/(m Hz) and 1/Hz^2.
    """
    state = fit.state
    size = maker.dimension
    paths = np.flatnonzero(paths_of(fit, targets))
    owner = np.searchsorted(targets, state.owner[paths])
    num_paths = len(paths)
    num_targets = len(targets)

    # Inner products of the waveforms and of the arrivals, each with their derivatives.
    signal = maker.waveform_products(fit.replica.filters[paths], fit.replica.turns[paths])
    receive = fit.replica.receive[state.owner[paths]]
    arrival = np.einsum("pim,qjm->piqj", receive.conj(), receive).astype(complex)

    # Derivatives of echoes: with the amplitude, with the location by product rule, with the shift.
    axes = slice(1, 1 + size)
    products = arrival[:, :1, :, :1] * signal
    products[:, axes] += arrival[:, 1:, :, :1] * signal[:, :1]
    products[:, :, :, axes] += arrival[:, :1, :, 1:] * signal[:, :, :, :1]
    products[:, axes, :, axes] += arrival[:, 1:, :, 1:] * signal[:, :1, :, :1]

    # Echoes in standard deviations of noise, at unit amplitude and as strong as they are.
    energy = products[:, 0, :, 0].diagonal().real
    strength = np.sqrt(2 * fit.power[paths] / energy) * np.exp(1j * np.angle(fit.amplitude[paths]))
    products *= (strength.conj()[:, None] * strength)[:, None, :, None]

    # Without what unknown amplitudes explain (Schur complement).
    scale = np.sqrt(2 * fit.power[paths])
    overlap = products[:, 0, :, 0] / np.outer(scale, scale)
    wanted = num_paths * (1 + size)
    crossed = products[:, 1:, :, 0].reshape(wanted, num_paths) / scale
    inner = products[:, 1:, :, 1:].reshape(wanted, wanted)
    explained = np.linalg.solve(overlap + RIDGE * np.eye(num_paths), crossed.conj().T)
    information = np.real(inner - crossed @ explained)

    # The paths of a target share its location.
    sources = np.zeros((num_paths, 1 + size, num_targets * size + num_paths))
    every = np.arange(num_paths)
    for axis in range(size):
        sources[every, axis, owner * size + axis] = 1
    sources[every, size, num_targets * size + every] = 1
    sources = sources.reshape(wanted, -1)
    total = sources.T @ information @ sources
    return (total + total.T) / 2


def with_marginal_information(maker: ReplicaMaker, fit: Fit) -> Fit:
    """A fit with the information of each target and path that is left with all others unknown.

    The information of a target's paths is transformed such that their sum is that of the location
    with all amplitudes, Doppler shifts and other locations of its group unknown. A fit in which a
    path has no power is returned as it is.
    """
    if not _has_power(fit):
        return fit
    size = maker.dimension
    information = fit.information.copy()
    left = fit.left.copy()
    alone = fit.target_information
    for targets in coupled_targets(fit):
        if not is_coupled(fit, targets):
            continue

        # Covariance of all parameters of the group, scaled to unit information of each alone.
        joint = coupled_information(maker, fit, targets)
        scale = np.sqrt(np.maximum(np.diag(joint), LEAST_INFORMATION))
        ridge = RIDGE * np.eye(len(joint))
        covariance = np.linalg.inv(joint / np.outer(scale, scale) + ridge) / np.outer(scale, scale)

        # Locations: a factor that takes the sum over paths to the marginal information.
        for place, target in enumerate(targets):
            axes = slice(place * size, (place + 1) * size)
            marginal = positive_definite(np.linalg.inv(covariance[axes, axes]))
            whole = positive_definite(alone[target])
            factor = np.linalg.cholesky(marginal) @ np.linalg.inv(np.linalg.cholesky(whole))
            own = fit.state.owner == target
            information[own] = factor @ fit.information[own] @ factor.T

        # Doppler shifts, which have no more than alone.
        paths = np.flatnonzero(paths_of(fit, targets))
        variances = covariance.diagonal()[len(targets) * size :]
        shares = 1 / (variances * np.maximum(fit.doppler_information[paths], LEAST_INFORMATION))
        left[paths] = np.clip(shares, LEAST_SHARE, 1.0)
    return replace(
        fit,
        information=information,
        doppler_information=left * fit.doppler_information,
        left=left,
    )


def scoring_step(
    maker: ReplicaMaker, fit: Fit, groups: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton step of all targets with the Fisher information.

    groups: targets that are taken together; those of the others and of groups that are not coherent
    are taken one by one

    Returns the moves of locations [num_targets, 3], m, the moves of Doppler shifts [num_paths], Hz,
    and the gain in log-likelihood that the group of each target expects, [num_targets], float64.
    """
    information = fit.target_information
    size = information.shape[-1]

    # Locations: a ridge where an axis is not measured.
    ridge = np.maximum(1e-6 * np.trace(information, axis1=1, axis2=2), LEAST_INFORMATION)
    damped = information + ridge[:, None, None] * np.eye(size)
    moves = np.zeros((fit.state.num_targets, 3))
    moves[:, :size] = np.linalg.solve(damped, fit.location_slope[..., None])[..., 0]

    # Doppler shifts: none where nothing is known.
    shifts = np.zeros(fit.state.num_paths)
    is_known = fit.doppler_information > 0
    np.divide(fit.doppler_slope, fit.doppler_information, out=shifts, where=is_known)

    # Twice what a quadratic likelihood would gain, over each target's location and paths.
    gain = np.sum(moves[:, :size] * fit.location_slope, axis=1)
    path_gain = shifts * fit.doppler_slope
    gain += np.bincount(fit.state.owner, path_gain, fit.state.num_targets)

    # Together where paths are coherent, the weak ones when the strong ones are fitted.
    held = _is_held(fit, gain)
    for targets in groups:
        if is_coupled(fit, targets):
            free = targets[~held[targets]]
            paths = paths_of(fit, targets)
            moves[targets] = 0.0
            shifts[paths] = 0.0
            if len(free):
                paths = paths_of(fit, free)
                moves[free], shifts[paths], gain[targets] = _coupled_step(maker, fit, free)
    return moves, shifts, gain


def _is_held(fit: Fit, gain: np.ndarray) -> np.ndarray:
    """Which targets wait until stronger ones are fitted, [num_targets], bool.

    What a target that is off its place leaves in the echo is found in all that is coherent with it;
    where that exceeds a share of a weaker target's own power, a step of that would follow it.

    gain: [num_targets], float64, in log-likelihood that each expects
    """
    state = fit.state
    has_path = (state.owner == np.arange(state.num_targets)[:, None]).astype(float)
    shared = has_path @ np.abs(fit.coherence) ** 2 @ has_path.T
    power = fit.target_power
    is_stronger = power > power[:, None]
    leaked = (is_stronger * np.minimum(shared, 1.0)) @ np.maximum(gain, 0.0)
    return leaked > HELD_SHARE * power


def _coupled_step(
    maker: ReplicaMaker, fit: Fit, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Newton step of a group of targets with the Fisher information of them all.

    Returns the moves of their locations [n, 3], m, those of the Doppler shifts of their paths [p],
    Hz, and the gain in log-likelihood that they expect.
    """
    size = maker.dimension
    paths = paths_of(fit, targets)
    slopes = np.concatenate([fit.location_slope[targets].ravel(), fit.doppler_slope[paths]])
    joint = coupled_information(maker, fit, targets)

    # Damped by a share of what each location and each shift would have alone.
    damping = np.diag(np.diag(joint))
    for place in range(len(targets)):
        axes = slice(place * size, (place + 1) * size)
        damping[axes, axes] = joint[axes, axes]
    diagonal = np.maximum(np.diag(joint), LEAST_INFORMATION)
    damped = joint + DAMPING * damping + RIDGE * np.diag(diagonal)
    scale = np.sqrt(diagonal)
    step = np.linalg.solve(damped / np.outer(scale, scale), slopes / scale) / scale
    gain = float(step @ slopes)

    # No location and no shift leaves its main lobe.
    moves = np.zeros((len(targets), 3))
    moves[:, :size] = step[: len(targets) * size].reshape(-1, size)
    power = fit.target_power[targets]
    information = fit.target_information[targets]
    length = np.einsum("ni,nij,nj->n", moves[:, :size], information, moves[:, :size])
    longest = 2 * power * LONGEST_STEP
    moves *= np.sqrt(longest / np.maximum(length, longest))[:, None]
    known = np.maximum(fit.doppler_information[paths], LEAST_INFORMATION)
    reach_hz = np.sqrt(2 * fit.power[paths] * LONGEST_STEP / known)
    shifts = np.clip(step[len(targets) * size :], -reach_hz, reach_hz)
    return moves, shifts, gain
