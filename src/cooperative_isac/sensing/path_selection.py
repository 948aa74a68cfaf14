"""Selection among the fitted paths of one receiver: duplicates, merges of targets, residues."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import chdtri

from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import ReplicaMaker

# Probability with which two locations of one target pass the test for a merge.
MERGE_PROBABILITY = 0.9999

# Coherence of two paths from which they are taken for one echo, and the same for points of one
# body, which a joint fit resolves better.
UNRESOLVED_COHERENCE = 0.6
SATELLITE_COHERENCE = 0.95

# Power of the error of a replica over that of its path: 3 % of the amplitude, as of calibrated
# arrays. A weaker echo in a path's main lobe is taken for a part of it.
REPLICA_ERROR = 1e-3


def merge_targets(fit: Fit, detected: np.ndarray) -> PathState:
    """The state of a fit with targets merged that are one: close, by different transmitters.

    fit: all targets
    detected: mask [num_paths], bool, of the detected paths
    """
    state = fit.state
    information = fit.target_information
    size = information.shape[-1]
    gate = chdtri(size, 1 - MERGE_PROBABILITY)
    transmitters = [
        {*state.transmitter[detected & (state.owner == target)].tolist()}
        for target in range(state.num_targets)
    ]
    for first, second in combinations(range(state.num_targets), 2):
        if not transmitters[first] or not transmitters[second]:
            continue
        if not transmitters[first].isdisjoint(transmitters[second]):
            continue

        # Squared Mahalanobis distance d^T (J1^-1 + J2^-1)^-1 d of both locations, without inverses:
        # the middle matrix is J1 (J1 + J2)^-1 J2.
        difference_m = (state.points_m[first] - state.points_m[second])[:size]
        total = information[first] + information[second]
        offset_m = np.linalg.solve(total, information[second] @ difference_m)
        distance = difference_m @ information[first] @ offset_m
        if distance < gate:
            # Information-weighted mean.
            point_m = state.points_m[first].copy()
            point_m[:size] -= offset_m
            state = state.merged(first, second, point_m)
            transmitters[first] |= transmitters[second]
            transmitters[second] = set()
    return state


def unresolved(fit: Fit, limit: float = UNRESOLVED_COHERENCE) -> np.ndarray:
    """Mask of the paths in the main lobe of a stronger one, [num_paths], bool.

    fit: all paths
    limit: coherence of two paths from which they are taken for one echo
    """
    is_close = np.abs(fit.coherence) > limit
    is_stronger = fit.power[:, None] < fit.power[None, :]
    return np.any(is_close & is_stronger, axis=1)


def is_same_echo(fit: Fit, threshold: float) -> np.ndarray:
    """Mask of the paths of point targets that explain nothing beside a stronger one.

    In the main lobe of the stronger path, a second echo adds the more to the likelihood the less
    coherent both are; noise, and errors of the stronger one's replica, add little.

    fit: all paths
    threshold: power that noise does not exceed
    Returns [num_paths], bool.
    """
    # Powers of each path, along rows, beside those of all others.
    own = fit.power[:, None]
    other = fit.power[None, :]
    is_stronger = own < other

    # What a path adds beside another one, and what noise and replica errors may.
    coherence = np.abs(fit.coherence)
    added = own * (1 - coherence**2)
    is_little = added < np.maximum(threshold, REPLICA_ERROR * other)

    # In the main lobe, or in its wider surroundings with little of its own.
    is_satellite = coherence > SATELLITE_COHERENCE
    is_unresolved = coherence > UNRESOLVED_COHERENCE
    is_close = is_satellite | (is_unresolved & is_little)
    return np.any(is_close & is_stronger, axis=1)


def residues(maker: ReplicaMaker, fit: Fit) -> np.ndarray:
    """Mask of the targets that are residues of a learned background (ReplicaMaker.is_residue).

    The strongest path of each target decides.

    maker: replicas of the frame
    fit: all targets
    Returns [num_targets], bool.
    """
    state = fit.state
    found = np.zeros(state.num_targets, bool)
    static = maker.reference.static
    if static is None or static.left_share == 0:
        return found
    for target in range(state.num_targets):
        own = np.flatnonzero(state.owner == target)
        path = own[fit.power[own].argmax()]
        found[target] = maker.is_residue(
            int(state.transmitter[path]),
            state.points_m[target],
            float(state.doppler_hz[path]),
            float(fit.power[path]),
        )
    return found
