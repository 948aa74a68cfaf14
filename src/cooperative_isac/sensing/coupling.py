"""Joint Fisher information of all paths at one receiver, amplitudes unknown (CF eqs. 22-28).

Targets that are close, or in each other's side lobes, share their echo: the part that one of them
explains is no evidence of the other. The matrix is that of all locations and Doppler shifts of a
group of targets; targets whose paths are hardly coherent are in different groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.information import (
    INFORMATION_RIDGE,
    LEAST_INFORMATION,
    positive_definite,
)
from cooperative_isac.sensing.replica import LEAST_REMAINING_SHARE, ReplicaMaker

# Coherence of two paths from which their targets are in one group: below it, each loses less than
# 1 % of its information to the other.
COUPLED_COHERENCE = 0.1

# Paths of a group at most: the cost grows with their square, and larger groups are rarely coupled
# closely. A larger one is split where its paths are the least coherent.
MAX_COUPLED_PATHS = 24

# Factor of the coherence from one attempt to split a group to the next.
COHERENCE_STEP = 1.5

# Share of each target's own information that is added for a step: where two targets are hardly
# resolved, a step along their difference would leave the range of a quadratic likelihood.
DAMPING = 0.01

# Longest step x of a location or a Doppler shift with the information J, as x^T J x over twice the
# SNR. Half a resolution cell of Doppler is (2 pi / 2)^2 / 12 = 0.8, which is about half of a main
# lobe in location as well.
LONGEST_STEP = 0.8

# Residual of stronger targets at a weaker one, over its own power, from which its step is held.
HELD_SHARE = 0.5

# Share of the information matrix of a location that is added to its diagonal, so that a step stays
# finite along an axis that is not measured.
LOCATION_RIDGE = 1e-6


def coupled_targets(fit: Fit, limit: float = COUPLED_COHERENCE) -> list[np.ndarray]:
    """Groups of targets whose paths are coherent.

    fit: all targets
    limit: coherence of two paths above which their targets are in one group
    Returns indices [num_members], int, ascending, of each group.
    """
    # Targets with coherent paths, directly or by way of others: each square of the matrix doubles
    # the number of steps from target to target.
    state = fit.state
    coherent = np.abs(fit.coherence) > limit
    rows, columns = np.nonzero(coherent)
    is_near = np.eye(state.num_targets, dtype=bool)
    is_near[state.owner[rows], state.owner[columns]] = True
    for _ in range(state.num_targets.bit_length()):
        is_near = is_near @ is_near

    # The first target of each group names it. Groups that are too large have a stricter limit.
    groups = []
    first = is_near.argmax(axis=1)
    for number in np.unique(first):
        members = np.flatnonzero(first == number)
        paths = paths_of(fit, members)
        if len(members) > 1 and paths.sum() > MAX_COUPLED_PATHS:
            parts = coupled_targets(fit.keep(paths), COHERENCE_STEP * limit)
            groups += [members[part] for part in parts]
        else:
            groups.append(members)
    return groups


def paths_of(fit: Fit, targets: np.ndarray) -> np.ndarray:
    """Mask of the paths of some targets, [num_paths], bool.

    fit: all targets
    targets: [num_chosen], int, indices
    """
    is_chosen = np.zeros(fit.state.num_targets, bool)
    is_chosen[targets] = True
    return is_chosen[fit.state.owner]


def is_coupled(fit: Fit, targets: np.ndarray) -> bool:
    """True where any two paths of some targets are coherent, or one is with canceled paths.

    Paths without power are coherent with none.

    fit: all targets
    targets: [num_chosen], int, indices
    """
    paths = np.flatnonzero(paths_of(fit, targets))
    if not _has_power(fit, paths):
        return False
    if np.any(fit.canceled_share[paths] > COUPLED_COHERENCE**2):
        return True
    coherent = np.abs(fit.coherence[paths[:, None], paths]) > COUPLED_COHERENCE
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

    maker: replicas of the receiver
    fit: all targets
    targets: [num_members], int, indices of the group, ascending
    Returns [num_members D + num_paths, num_members D + num_paths], float64: the locations, target
    by target, then the Doppler shifts of their paths in the order of the fit; 1/m^2, 1/(m Hz) and
    1/Hz^2.
    """
    paths = np.flatnonzero(paths_of(fit, targets))
    owner = np.searchsorted(targets, fit.state.owner[paths])

    # Information of location and shift of every path by itself.
    products = _derivative_products(maker, fit, paths)
    least_energy = LEAST_REMAINING_SHARE * fit.replica.gram[paths, 0, 0].real
    information = _path_information(products, fit.amplitude[paths], fit.power[paths], least_energy)

    # Chain rule: the paths of a target share its location.
    jacobian = _of_shared_locations(owner, len(targets), maker.dimension)
    joint = jacobian.T @ information @ jacobian
    return (joint + joint.T) / 2


def _derivative_products(maker: ReplicaMaker, fit: Fit, paths: np.ndarray) -> np.ndarray:
    """Inner products of the echoes of some paths at unit amplitude, and of their derivatives.

    maker: replicas of the receiver
    fit: all targets
    paths: [num_paths], int
    Returns [num_paths, 2 + D, num_paths, 2 + D], complex128: of the echo itself, its derivatives
    with the location, and that with the Doppler shift.
    """
    # Inner products of the waveforms and of the arrivals, each with their derivatives.
    replica = fit.replica
    signal = maker.waveform_products(replica.filters[paths], replica.doppler_phases[paths])
    receive = replica.receive[fit.state.owner[paths]]
    steering = np.einsum("pim,qjm->piqj", receive.conj(), receive).astype(complex)

    # Arrivals of two paths themselves, with slopes of the first, of the second, and of both.
    arrivals = steering[:, :1, :, :1]
    first_slopes = steering[:, 1:, :, :1]
    second_slopes = steering[:, :1, :, 1:]
    both_slopes = steering[:, 1:, :, 1:]

    # Product rule: the location changes waveform and arrival, the shift the waveform alone.
    axes = slice(1, 1 + maker.dimension)
    products = arrivals * signal
    products[:, axes] += first_slopes * signal[:, :1]
    products[:, :, :, axes] += second_slopes * signal[:, :, :, :1]
    products[:, axes, :, axes] += both_slopes * signal[:, :1, :, :1]

    # Without what canceled static paths explain.
    if maker.canceled is not None:
        with_slopes = maker.canceled_products(replica, fit.state.owner)[paths]
        flat = with_slopes.reshape(-1, with_slopes.shape[-1])
        products -= maker.canceled.removed(flat).reshape(products.shape)
    return products


def _path_information(
    products: np.ndarray, amplitude: np.ndarray, power: np.ndarray, least_energy: np.ndarray
) -> np.ndarray:
    """Fisher information of location and Doppler shift of every path, amplitudes unknown.

    products: [num_paths, 2 + D, num_paths, 2 + D], complex128, of echoes at unit amplitude and
        their derivatives
    amplitude: [num_paths], complex128
    power: [num_paths], float64, coherent SNR
    least_energy: [num_paths], float32, of a path at unit amplitude: below, rounding of what the
        suppression of static paths leaves
    Returns [num_paths (1 + D), num_paths (1 + D)], float64.
    """
    num_paths = len(power)
    num_parameters = num_paths * (products.shape[1] - 1)

    # Echoes at their fitted amplitudes, in standard deviations of noise.
    between_echoes = products[:, 0, :, 0]
    energy = np.maximum(between_echoes.diagonal().real, least_energy)
    phases = np.exp(1j * np.angle(amplitude))
    amplitudes = np.sqrt(2 * power / energy) * phases
    of_pairs = amplitudes.conj()[:, None] * amplitudes
    products = products * of_pairs[:, None, :, None]

    # Parts of their Gram matrix: amplitudes, these with locations and shifts, and the latter.
    scale = np.sqrt(2 * power)
    overlap = products[:, 0, :, 0] / np.outer(scale, scale)
    cross = products[:, 1:, :, 0].reshape(num_parameters, num_paths) / scale
    inner = products[:, 1:, :, 1:].reshape(num_parameters, num_parameters)

    # Schur complement of the amplitudes.
    loaded = overlap + INFORMATION_RIDGE * np.eye(num_paths)
    explained = np.linalg.solve(loaded, cross.conj().T)
    return np.real(inner - cross @ explained)


def _of_shared_locations(owner: np.ndarray, num_targets: int, size: int) -> np.ndarray:
    """Derivatives of the parameters of single paths with those of targets and their paths.

    owner: [num_paths], int, target of each path
    size: dimension D
    Returns [num_paths (1 + D), num_targets D + num_paths], float64: rows of location and shift of
    each path; columns of all locations, then of all shifts.
    """
    num_paths = len(owner)
    num_coordinates = num_targets * size
    jacobian = np.zeros((num_paths, 1 + size, num_coordinates + num_paths))

    # A path has the location of its target.
    all_paths = np.arange(num_paths)
    for axis in range(size):
        column = owner * size + axis
        jacobian[all_paths, axis, column] = 1

    # Its Doppler shift is its own.
    jacobian[all_paths, size, num_coordinates + all_paths] = 1
    return jacobian.reshape(num_paths * (1 + size), -1)


def with_marginal_information(maker: ReplicaMaker, fit: Fit) -> Fit:
    """A fit with the information of each target and path with all others unknown.

    The information of a target's paths is transformed such that their sum is that of the location
    with all amplitudes, Doppler shifts and other locations of its group unknown. A fit in which a
    path has no power is returned unchanged.

    maker: replicas of the receiver
    fit: all targets
    """
    if not _has_power(fit):
        return fit
    size = maker.dimension
    information = fit.information.copy()
    marginal_share = fit.marginal_share.copy()
    alone = fit.target_information
    for targets in coupled_targets(fit):
        if not is_coupled(fit, targets):
            continue

        # Covariance of all parameters of the group, scaled to unit information of each alone.
        joint = coupled_information(maker, fit, targets)
        scale = np.sqrt(np.maximum(np.diag(joint), LEAST_INFORMATION))
        scales = np.outer(scale, scale)
        ridge = INFORMATION_RIDGE * np.eye(len(joint))
        covariance = np.linalg.inv(joint / scales + ridge) / scales

        # Locations: a factor that transforms the sum over paths to the marginal information.
        for place, target in enumerate(targets):
            axes = slice(place * size, (place + 1) * size)
            marginal = positive_definite(np.linalg.inv(covariance[axes, axes]))
            conditional = positive_definite(alone[target])
            factor = np.linalg.cholesky(marginal) @ np.linalg.inv(np.linalg.cholesky(conditional))
            own = fit.state.owner == target
            information[own] = factor @ fit.information[own] @ factor.T

        # Doppler shifts: share of the information that each would have alone.
        paths = np.flatnonzero(paths_of(fit, targets))
        variances_hz2 = covariance.diagonal()[len(targets) * size :]
        own_information = np.maximum(fit.doppler_information[paths], LEAST_INFORMATION)
        shares = 1 / (variances_hz2 * own_information)
        marginal_share[paths] = np.clip(shares, LEAST_REMAINING_SHARE, 1.0)

    return replace(
        fit,
        information=information,
        doppler_information=marginal_share * fit.doppler_information,
        marginal_share=marginal_share,
    )


def scoring_step(
    maker: ReplicaMaker, fit: Fit, groups: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton step of all targets with the Fisher information.

    maker: replicas of the receiver
    fit: all targets
    groups: [num_members], int, indices of the targets of each group; those of groups that are not
        coherent are moved one by one
    Returns the moves of locations [num_targets, 3], m, the moves of Doppler shifts [num_paths], Hz,
    and twice the expected gain of log-likelihood of each target's group, [num_targets], float64.
    """
    information = fit.target_information
    size = information.shape[-1]

    # Locations, with a ridge for axes that are not measured.
    traces = np.trace(information, axis1=1, axis2=2)
    ridge = np.maximum(LOCATION_RIDGE * traces, LEAST_INFORMATION)
    damped = information + ridge[:, None, None] * np.eye(size)
    moves = np.zeros((fit.state.num_targets, 3))
    moves[:, :size] = np.linalg.solve(damped, fit.location_slope[..., None])[..., 0]

    # Doppler shifts, where they are measured.
    shifts = np.zeros(fit.state.num_paths)
    is_measured = fit.doppler_information > 0
    np.divide(fit.doppler_slope, fit.doppler_information, out=shifts, where=is_measured)

    # Twice the gain of a quadratic likelihood, over each target's location and paths.
    gain = np.sum(moves[:, :size] * fit.location_slope, axis=1)
    path_gain = shifts * fit.doppler_slope
    gain += np.bincount(fit.state.owner, path_gain, fit.state.num_targets)

    # Joint steps where paths are coherent; weak targets are held until strong ones are fitted.
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
    """Mask of the targets that are held until stronger ones are fitted, [num_targets], bool.

    The residual of a target that is not at its peak leaks into all coherent paths; where it exceeds
    a share of a weaker target's own power, the step of the weaker one would follow it.

    fit: all targets
    gain: [num_targets], float64, expected gain of log-likelihood of each
    """
    state = fit.state
    # Share of its energy that each pair of targets has in common.
    targets = np.arange(state.num_targets)
    has_path = (state.owner == targets[:, None]).astype(float)
    shared = has_path @ np.abs(fit.coherence) ** 2 @ has_path.T

    # What stronger ones leak into each.
    power = fit.target_power
    is_stronger = power > power[:, None]
    shares = is_stronger * np.minimum(shared, 1.0)
    leaked = shares @ np.maximum(gain, 0.0)
    return leaked > HELD_SHARE * power


def _coupled_step(
    maker: ReplicaMaker, fit: Fit, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Newton step of a group of targets with their joint Fisher information.

    maker: replicas of the receiver
    fit: all targets
    targets: [num_members], int, indices of the group, ascending
    Returns the moves of their locations [num_members, 3], m, those of the Doppler shifts of their
    paths [num_paths], Hz, and twice the expected gain of log-likelihood.
    """
    size = maker.dimension
    paths = paths_of(fit, targets)
    of_locations = fit.location_slope[targets].ravel()
    of_shifts = fit.doppler_slope[paths]
    slopes = np.concatenate([of_locations, of_shifts])
    joint = coupled_information(maker, fit, targets)

    # Damping by a share of the information that each location (all axes) and each shift has alone.
    damping = np.diag(np.diag(joint))
    for place in range(len(targets)):
        axes = slice(place * size, (place + 1) * size)
        damping[axes, axes] = joint[axes, axes]
    diagonal = np.maximum(np.diag(joint), LEAST_INFORMATION)
    damped = joint + DAMPING * damping + INFORMATION_RIDGE * np.diag(diagonal)

    # Step, scaled to unit information of each parameter.
    scale = np.sqrt(diagonal)
    scaled = damped / np.outer(scale, scale)
    step = np.linalg.solve(scaled, slopes / scale) / scale
    gain = float(step @ slopes)

    # Locations: steps within the main lobe.
    num_coordinates = len(targets) * size
    moves_m = np.zeros((len(targets), 3))
    moves_m[:, :size] = step[:num_coordinates].reshape(-1, size)
    information = fit.target_information[targets]
    squared = np.einsum("ni,nij,nj->n", moves_m[:, :size], information, moves_m[:, :size])
    longest = 2 * fit.target_power[targets] * LONGEST_STEP
    shares = np.sqrt(longest / np.maximum(squared, longest))
    moves_m *= shares[:, None]

    # Doppler shifts likewise.
    own_information = np.maximum(fit.doppler_information[paths], LEAST_INFORMATION)
    reach_hz = np.sqrt(2 * fit.power[paths] * LONGEST_STEP / own_information)
    shifts_hz = np.clip(step[num_coordinates:], -reach_hz, reach_hz)
    return moves_m, shifts_hz, gain
