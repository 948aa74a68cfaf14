"""Fusion of the detections of several groups of stations.

Every group is decoded by itself, from the echoes of other receivers, so that the errors of their
detections are independent, and the information of two detections of a target adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.geometry import STATE_AXES

# Probability with which two detections of one target fall into the gate of each other.
ASSOCIATION_PROBABILITY = 0.9999

# Cost of a pair outside of the gate, squared Mahalanobis distance: more than any inside.
OUTSIDE_COST = 1e9


def merge_detections(
    dimension: int, groups: Sequence[Sequence[Detection]]
) -> tuple[Detection, ...]:
    """The detections of all groups, those of one target merged, strongest first.

    Groups are taken in their order; each is associated with the merged ones of the groups before,
    by the assignment of least total distance within a chi-square gate. Partial detections are not
    merged and follow unchanged.

    dimension: of the scene; in a plane (2) all have the same height, which is not compared
    groups: detections of each group
    """
    partial = [detection for group in groups for detection in group if detection.is_partial]

    # Group after group.
    merged: list[Detection] = []
    for group in groups:
        full = [detection for detection in group if not detection.is_partial]
        merged = _associated(dimension, merged, full)
    if len(groups) > 1:
        merged.sort(key=lambda detection: -detection.snr_db)
    return (*merged, *partial)


def _associated(
    dimension: int, known: list[Detection], further: Sequence[Detection]
) -> list[Detection]:
    """Known detections merged with further ones of the same targets, and the rest of both."""
    if not known or not further:
        return [*known, *further]

    # Squared Mahalanobis distances of all pairs.
    axes = STATE_AXES[dimension]
    known_states = _states(known)[:, axes]
    further_states = _states(further)[:, axes]
    differences = known_states[:, None] - further_states[None]
    covariances = _covariances(known, axes)[:, None] + _covariances(further, axes)[None]
    whitened = np.linalg.solve(covariances, differences[..., None])[..., 0]
    distances = np.einsum("kfi,kfi->kf", differences, whitened)

    # Assignment of least total distance within the gate.
    gate = chdtri(len(axes), 1 - ASSOCIATION_PROBABILITY)
    costs = np.where(distances < gate, distances, OUTSIDE_COST)
    rows, columns = linear_sum_assignment(costs)
    partners = {
        int(column): int(row)
        for row, column in zip(rows, columns)
        if costs[row, column] < OUTSIDE_COST
    }

    # Merged detections in the places of the known ones, then the new ones.
    merged = list(known)
    for column, detection in enumerate(further):
        if column in partners:
            row = partners[column]
            merged[row] = _fused(axes, merged[row], detection)
        else:
            merged.append(detection)
    return merged


def _fused(axes: np.ndarray, first: Detection, second: Detection) -> Detection:
    """Two detections of one target, weighted by their information along some axes of the state.

    axes: [num_axes], int, of position and velocity (6)
    first: whose state and covariance are kept along all other axes
    """
    # The information of both adds up.
    grid = np.ix_(axes, axes)
    first_information = np.linalg.inv(first.covariance[grid])
    second_information = np.linalg.inv(second.covariance[grid])
    covariance = np.linalg.inv(first_information + second_information)
    first_state, second_state = _states((first, second))
    weighted = first_information @ first_state[axes] + second_information @ second_state[axes]

    # State and covariance (exactly symmetric) along these axes.
    state = first_state.copy()
    state[axes] = covariance @ weighted
    full_covariance = first.covariance.copy()
    full_covariance[grid] = (covariance + covariance.T) / 2

    # Paths of both.
    power = 10 ** (first.snr_db / 10) + 10 ** (second.snr_db / 10)
    return replace(
        first,
        position_m=state[:3],
        velocity_mps=state[3:],
        covariance=full_covariance,
        snr_db=float(10 * np.log10(power)),
        sites=tuple(sorted({*first.sites, *second.sites})),
        num_paths=first.num_paths + second.num_paths,
        links=(*first.links, *second.links),
    )


def _states(detections: Sequence[Detection]) -> np.ndarray:
    """Positions and velocities, [num_detections, 6]."""
    return np.array([[*item.position_m, *item.velocity_mps] for item in detections])


def _covariances(detections: Sequence[Detection], axes: np.ndarray) -> np.ndarray:
    """Covariances along some axes of the state, [num_detections, num_axes, num_axes]."""
    covariances = np.array([detection.covariance for detection in detections])
    return covariances[:, axes[:, None], axes]
