"""Echo reports of several receivers to detections: associate, estimate, leave out what is doubtful."""

from __future__ import annotations

from typing import Iterator, Sequence

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import body_model
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.doubt import is_ghost, is_possible, is_static
from cooperative_isac.fusion.estimate import Estimate, estimate
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport

GATE_PROBABILITY = 0.9999
MISFIT_PROBABILITY = 0.99999
MODEL_STD_M = 0.02


def fuse(scene: Scene, reports: Sequence[EchoReport]) -> tuple[Detection, ...]:
    """Detections from all reports of one frame, strongest first.

    A cluster that is a ghost, static clutter or impossibly fast is not told.
    """
    told: list[tuple[list[EchoReport], Detection]] = []
    for cluster, fitted in clusters(scene, reports):
        detection = detection_of(scene, cluster, fitted)
        doubtful = (is_static(scene, cluster, fitted) or is_ghost(scene, cluster, told)
                    or not is_possible(scene, detection))
        if not doubtful:
            told.append((cluster, detection))
    return tuple(detection for _, detection in told)


def clusters(scene: Scene, reports: Sequence[EchoReport]) -> Iterator[tuple[list[EchoReport], Estimate]]:
    """Reports that may be of one target, each in one cluster, and what they tell together.

    A cluster grows from the strongest free report by the statistically nearest report of every other
    receiver.
    """
    free = sorted(reports, key=lambda report: -report.power)
    bodies = [body for body in scene.bodies.values() if body.radius_m > 0]
    while free:
        grown = _grow(scene, free)
        if bodies:
            cluster, fitted = min((_consistent(scene, grown, body) for body in bodies), key=lambda x: _score(x))
        else:
            cluster, fitted = _consistent(scene, grown)
        free = [report for report in free if not any(report is used for used in cluster)]
        yield cluster, fitted


def _grow(scene: Scene, free: Sequence[EchoReport]) -> list[EchoReport]:
    """The strongest report and the nearest reports that can be of the same target."""
    cluster, information = [free[0]], free[0].information
    gate = chdtri(scene.dimension, 1 - GATE_PROBABILITY)
    while candidates := [report for report in free if _compatible(report, cluster)]:
        centre = np.linalg.solve(information, sum(r.information @ r.point_m[:scene.dimension] for r in cluster))
        distances = _distances(scene, candidates, centre, information)
        if distances.min() > gate:
            break
        cluster.append(candidates[distances.argmin()])
        information = information + cluster[-1].information
    return cluster


def _compatible(report: EchoReport, cluster: Sequence[EchoReport]) -> bool:
    """A path between one transmitter and one receiver meets a target only once."""
    taken = {(r.receiver, path.transmitter) for r in cluster for path in r.paths}
    return not any((report.receiver, path.transmitter) in taken for path in report.paths)


def _distances(scene: Scene, reports: Sequence[EchoReport], centre: np.ndarray,
               information: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances between the locations of reports and a cluster's, [num_reports]."""
    covariances = np.array([report.covariance for report in reports]) + np.linalg.inv(information)
    covariances += MODEL_STD_M ** 2 * np.eye(scene.dimension)
    for body in [max(scene.bodies.values(), key=lambda b: b.radius_m)] if scene.bodies else []:
        covariances = covariances + (0.3 * body.size_m.max()) ** 2 * np.eye(scene.dimension)
    away = np.array([report.point_m[:scene.dimension] for report in reports]) - centre
    return np.einsum("ri,ri->r", away, np.linalg.solve(covariances, away[..., None])[..., 0])


def _score(found) -> float:
    cluster, fitted = found
    num = sum(len(r.paths) for r in cluster)
    return -num, fitted.misfits.sum() + fitted.log_det


def _fit(scene, cluster, body):
    if body is None:
        return estimate(scene, cluster)
    fitted = estimate(scene, cluster, body_model(scene, cluster, body, None))
    velocity = np.zeros(3)
    velocity[:scene.dimension] = fitted.velocity_mps
    return estimate(scene, cluster, body_model(scene, cluster, body, velocity))


def _consistent(scene: Scene, cluster: list[EchoReport], body=None) -> tuple[list[EchoReport], Estimate]:
    """The cluster without the reports whose location or Doppler shifts contradict the rest."""
    fitted = _fit(scene, cluster, body)
    while len(cluster) > 1 and fitted.misfits.sum() > chdtri(max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY):
        rest = [[r for r in cluster if r is not left_out] for left_out in cluster]
        fits = [_fit(scene, reports, body) for reports in rest]
        best = min(range(len(fits)), key=lambda index: fits[index].misfits.sum())
        cluster, fitted = rest[best], fits[best]
    return cluster, fitted


def detection_of(scene: Scene, cluster: Sequence[EchoReport], fitted: Estimate) -> Detection:
    """What the centre says of a cluster of reports and its estimate."""
    size = scene.dimension
    position, velocity = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
    position[:size], velocity[:size] = fitted.position_m, fitted.velocity_mps
    covariance = np.diag([scene.height_std_m ** 2] * 6)
    axes = np.concatenate([np.arange(size), 3 + np.arange(size)])
    covariance[np.ix_(axes, axes)] = fitted.covariance
    power = sum(report.power for report in cluster)
    sites = tuple(sorted({report.receiver for report in cluster}))
    return Detection(position, velocity, covariance, float(10 * np.log10(power)), sites,
                     sum(len(report.paths) for report in cluster))
