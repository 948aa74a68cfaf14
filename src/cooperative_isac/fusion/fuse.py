"""Echo reports of several receivers to detections: associate, estimate, leave out what is doubtful."""

from __future__ import annotations

from typing import Iterator, Sequence

import numpy as np
from scipy.special import chdtri

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
    for cluster in clusters(scene, reports):
        fitted = estimate(scene, cluster)
        detection = detection_of(scene, cluster, fitted)
        doubtful = (is_static(scene, cluster, fitted) or is_ghost(scene, cluster, told)
                    or not is_possible(scene, detection))
        if not doubtful:
            told.append((cluster, detection))
    return tuple(detection for _, detection in told)


def clusters(scene: Scene, reports: Sequence[EchoReport]) -> Iterator[list[EchoReport]]:
    """Reports that may be of one target, each in one cluster.

    A cluster grows from the strongest free report by the statistically nearest report of every other
    receiver.
    """
    free = sorted(reports, key=lambda report: -report.power)
    while free:
        cluster = _consistent(scene, _grow(scene, free))
        free = [report for report in free if not any(report is used for used in cluster)]
        yield cluster


def _grow(scene: Scene, free: Sequence[EchoReport]) -> list[EchoReport]:
    """The strongest report and the nearest reports that can be of the same target."""
    cluster, information = [free[0]], free[0].information
    gate = chdtri(scene.dimension, 1 - GATE_PROBABILITY)
    while True:
        centre = np.linalg.solve(information, sum(r.information @ r.point_m[:scene.dimension] for r in cluster))
        distances = [(_distance(scene, report, centre, information), index) for index, report in enumerate(free)
                     if _compatible(report, cluster)]
        if not distances or min(distances)[0] > gate:
            return cluster
        cluster.append(free[min(distances)[1]])
        information = information + cluster[-1].information


def _compatible(report: EchoReport, cluster: Sequence[EchoReport]) -> bool:
    """A path between one transmitter and one receiver meets a target only once."""
    taken = {(r.receiver, path.transmitter) for r in cluster for path in r.paths}
    return not any((report.receiver, path.transmitter) in taken for path in report.paths)


def _distance(scene: Scene, report: EchoReport, centre: np.ndarray, information: np.ndarray) -> float:
    """Squared Mahalanobis distance between a report's location and a cluster's."""
    covariance = np.linalg.inv(report.information) + np.linalg.inv(information)
    covariance += MODEL_STD_M ** 2 * np.eye(scene.dimension)
    away = report.point_m[:scene.dimension] - centre
    return float(away @ np.linalg.solve(covariance, away))


def _consistent(scene: Scene, cluster: list[EchoReport]) -> list[EchoReport]:
    """The cluster without the reports whose location or Doppler shifts contradict the rest."""
    while len(cluster) > 1:
        fitted = estimate(scene, cluster)
        if fitted.misfits.sum() <= chdtri(max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY):
            break
        rest = [[r for r in cluster if r is not left_out] for left_out in cluster]
        cluster = min(rest, key=lambda reports: estimate(scene, reports).misfits.sum())
    return cluster


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
