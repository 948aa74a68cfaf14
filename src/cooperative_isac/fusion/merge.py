"""Detections of one target by several groups of stations, merged to one.

Each group was decoded by itself, from the echoes of other receivers, so that the errors of their
detections are independent: information adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.geometry import STATE_AXES

# That two detections of one target are associated.
GATE_PROBABILITY = 0.9999
# Cost of an association outside of the gate: more than any inside.
OUTSIDE = 1e9


def merge_detections(
    dimension: int, groups: Sequence[Sequence[Detection]]
) -> tuple[Detection, ...]:
    """The detections of all groups, those of one target merged, strongest first.

    Groups are taken in their order; each is associated with what the ones before gave, by the
    assignment of least total distance within a chi-square gate. Partial detections are not merged:
    they follow as they are.

    dimension: of the scene; in a plane (2) the height is given to both and left out
    """
    partial = [detection for group in groups for detection in group if detection.is_partial]
    merged: list[Detection] = []
    for group in groups:
        whole = [detection for detection in group if not detection.is_partial]
        merged = _joined(dimension, merged, whole)
    if len(groups) > 1:
        merged.sort(key=lambda detection: -detection.snr_db)
    return (*merged, *partial)


def _joined(
    dimension: int, known: list[Detection], further: Sequence[Detection]
) -> list[Detection]:
    """Known detections merged with further ones of the same targets, and the rest of both."""
    if not known or not further:
        return [*known, *further]

    # Squared Mahalanobis distances of all pairs.
    axes = STATE_AXES[dimension]
    states = [_states(group)[:, axes] for group in (known, further)]
    covariances = [
        np.array([detection.covariance for detection in group])[:, axes[:, None], axes]
        for group in (known, further)
    ]
    away = states[0][:, None] - states[1][None]
    both = covariances[0][:, None] + covariances[1][None]
    distances = np.einsum("kfi,kfi->kf", away, np.linalg.solve(both, away[..., None])[..., 0])

    # Assignment of least total distance within the gate.
    gate = chdtri(len(axes), 1 - GATE_PROBABILITY)
    costs = np.where(distances < gate, distances, OUTSIDE)
    rows, columns = linear_sum_assignment(costs)
    pairs = {int(c): int(r) for r, c in zip(rows, columns) if costs[r, c] < OUTSIDE}

    joined = list(known)
    for column, detection in enumerate(further):
        if column in pairs:
            joined[pairs[column]] = _combined(axes, joined[pairs[column]], detection)
        else:
            joined.append(detection)
    return joined


def _combined(axes: np.ndarray, first: Detection, second: Detection) -> Detection:
    """Two detections of one target, weighted by their information."""
    grid = np.ix_(axes, axes)
    information = [np.linalg.inv(one.covariance[grid]) for one in (first, second)]
    covariance = np.linalg.inv(information[0] + information[1])
    states = _states((first, second))
    state = states[0].copy()
    weighted = information[0] @ states[0, axes] + information[1] @ states[1, axes]
    state[axes] = covariance @ weighted
    whole = first.covariance.copy()
    whole[grid] = (covariance + covariance.T) / 2
    power = 10 ** (first.snr_db / 10) + 10 ** (second.snr_db / 10)
    return replace(
        first,
        position_m=state[:3],
        velocity_mps=state[3:],
        covariance=whole,
        snr_db=float(10 * np.log10(power)),
        sites=tuple(sorted({*first.sites, *second.sites})),
        num_paths=first.num_paths + second.num_paths,
        links=(*first.links, *second.links),
    )


def _states(detections: Sequence[Detection]) -> np.ndarray:
    """Positions and velocities, [num_detections, 6]."""
    return np.array([[*item.position_m, *item.velocity_mps] for item in detections])
