"""Detections from the echoes of all receivers: local candidates, one joint fit, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.echo_links import Targets
from cooperative_isac.fusion.estimate import Estimate, in_space
from cooperative_isac.fusion.fuse import clusters, detection_of
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl
from cooperative_isac.fusion.rejection import is_possible, is_static
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport, PathReport


def detect_jointly(
    joint: JointMl,
    reports: Sequence[EchoReport],
    threshold: float,
    path_thresholds: Mapping[str, float],
) -> tuple[Detection, ...]:
    """Detections of the targets with enough evidence in all echoes together, strongest first.

    joint: likelihood of the echoes
    reports: of the single receivers, from which the fit starts
    threshold: evidence of a target, log-likelihood ratio
    path_thresholds: power over noise from which a path counts as detected, by band
    """
    match = significant(joint, _candidates(joint.scene, reports), threshold)
    return () if match is None else detections_of(joint.scene, match, path_thresholds)


def detections_of(
    scene: Scene, match: JointMatch, path_thresholds: Mapping[str, float]
) -> tuple[Detection, ...]:
    """Detections of fitted targets, strongest first, without the static objects among them.

    scene: of one or several bands
    match: of all targets
    path_thresholds: power over noise from which a path counts as detected, by band
    """
    detections = []
    for target in np.argsort(-match.power).tolist():
        # Paths that are detected, and the estimate from all of them.
        cluster = list(_detected_paths(match, target, path_thresholds))
        fitted = _estimate(match, target, scene.dimension)
        if not cluster or fitted is None:
            continue

        # Moving targets with a valid state.
        detection = detection_of(scene, cluster, fitted)
        is_valid = detection_problem(detection) is None
        if is_valid and not is_static(scene, cluster, fitted) and is_possible(scene, detection):
            detections.append(detection)
    return tuple(detections)


def significant(joint: JointMl, targets: Targets, threshold: float) -> JointMatch | None:
    """The joint fit of the targets whose evidence exceeds a threshold; None: there are none.

    Duplicates and targets without evidence are dropped one by one, and the rest is fitted anew.

    joint: likelihood of the echoes
    targets: start of the fit
    threshold: evidence of a target, log-likelihood ratio
    """
    while len(targets):
        # Fit, and a target to drop: a duplicate, or the one with the least evidence.
        match = joint.fisher_scoring(joint.match(targets))
        dropped = match.duplicate()
        if dropped is None:
            if match.evidence.min() >= threshold:
                return match
            dropped = match.evidence.argmin()
        targets = match.targets.keep(np.arange(len(targets)) != dropped)
    return None


def _candidates(scene: Scene, reports: Sequence[EchoReport]) -> Targets:
    """Targets from the reports of single receivers, with ghosts and clutter among them."""
    states = [in_space(scene, fitted) for _, fitted in clusters(scene, reports)]
    points_m = np.array([position_m for position_m, _ in states]).reshape(-1, 3)
    velocities_mps = np.array([velocity_mps for _, velocity_mps in states]).reshape(-1, 3)
    return Targets(points_m, velocities_mps)


def _detected_paths(
    match: JointMatch, target: int, path_thresholds: Mapping[str, float]
) -> Iterator[EchoReport]:
    """The paths of a target that are above the threshold, one report for each echo."""
    for (band, receiver), fit in match.fits.items():
        is_detected = (fit.state.owner == target) & (fit.power > path_thresholds[band])
        paths = [
            PathReport(
                int(fit.state.transmitter[path]),
                float(fit.state.doppler_hz[path]),
                float(fit.power[path]),
                fit.information[path],
            )
            for path in np.flatnonzero(is_detected)
        ]
        if paths:
            yield EchoReport(receiver, match.targets.points_m[target], tuple(paths), band)


def _estimate(match: JointMatch, target: int, size: int) -> Estimate | None:
    """State of a target of the match, or None where the echoes do not locate it.

    It has no misfits: they are in the evidence already.
    """
    try:
        covariance = np.linalg.inv(match.information[target])
    except np.linalg.LinAlgError:
        return None
    return Estimate(
        position_m=match.targets.points_m[target, :size],
        velocity_mps=match.targets.velocities_mps[target, :size],
        covariance=(covariance + covariance.T) / 2,
        misfits=np.zeros(0),
        degrees=0,
    )
