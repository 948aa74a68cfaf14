"""Detections from the raw echoes of all receivers: local candidates, one joint fit, joint
evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate
from cooperative_isac.fusion.fuse import clusters, detection_of
from cooperative_isac.fusion.joint_ml import JointMatch, JointMl, Targets
from cooperative_isac.fusion.rejection import is_possible, is_static
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport, PathReport


def detect_jointly(
    joint: JointMl, reports: Sequence[EchoReport], threshold: float, path_threshold: float
) -> tuple[Detection, ...]:
    """Detections of the targets whose evidence in all echoes together exceeds the threshold,
    strongest first.

    Reports of the single receivers say where to begin; what stands still is fitted with the rest
    and then left out. A path counts as heard when its power exceeds path_threshold.
    """
    scene = joint.scene
    match = _believed(joint, _beginnings(scene, reports), threshold)
    if match is None:
        return ()
    told = []
    for target in np.argsort(-match.power).tolist():
        cluster = list(_heard(match, target, path_threshold, scene.band))
        fitted = _estimate(match, target, scene.dimension)
        if not cluster or fitted is None:
            continue
        detection = detection_of(scene, cluster, fitted)
        is_valid = detection_problem(detection) is None
        if is_valid and not is_static(scene, cluster, fitted) and is_possible(scene, detection):
            told.append(detection)
    return tuple(told)


def _believed(joint: JointMl, targets: Targets, threshold: float) -> JointMatch | None:
    """The joint fit of what is left when doubles and targets without evidence are gone, one by
    one.
    """
    while len(targets):
        match = joint.climb(joint.match(targets))
        worst = match.double()
        if worst is None and match.evidence.min() >= threshold:
            return match
        worst = match.evidence.argmin() if worst is None else worst
        targets = match.targets.keep(np.arange(len(targets)) != worst)
    return None


def _beginnings(scene: Scene, reports: Sequence[EchoReport]) -> Targets:
    """Where targets may be, from the reports of single receivers: ghosts and clutter are among
    them.
    """
    begun, size = [fitted for _, fitted in clusters(scene, reports)], scene.dimension
    points, velocities = np.zeros((len(begun), 3)), np.zeros((len(begun), 3))
    points[:, 2] = scene.plane_height_m
    for index, fitted in enumerate(begun):
        points[index, :size], velocities[index, :size] = fitted.position_m, fitted.velocity_mps
    return Targets(points, velocities)


def _heard(
    match: JointMatch, target: int, path_threshold: float, band: str
) -> Iterator[EchoReport]:
    """The paths of a target that stand out of the noise, by receiver."""
    for receiver, fit in match.fits.items():
        paths = [
            PathReport(
                int(fit.state.transmitter[path]),
                float(fit.state.doppler_hz[path]),
                float(fit.power[path]),
                fit.information[path],
            )
            for path in np.flatnonzero((fit.state.owner == target) & (fit.power > path_threshold))
        ]
        if paths:
            yield EchoReport(receiver, match.targets.points_m[target], tuple(paths), band)


def _estimate(match: JointMatch, target: int, size: int) -> Estimate | None:
    """A target of the match, None where the echoes do not locate it; its misfit is in its evidence
    already.
    """
    position, velocity = (
        match.targets.points_m[target, :size],
        match.targets.velocities_mps[target, :size],
    )
    try:
        covariance = np.linalg.inv(match.information[target])
    except np.linalg.LinAlgError:
        return None
    covariance = (covariance + covariance.T) / 2
    return Estimate(position, velocity, covariance, np.zeros(0), 0)
