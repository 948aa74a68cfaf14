"""Echo reports of several receivers to detections: associate, estimate, tell ghosts apart."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.estimate import Estimate, estimate
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport, doppler_information

GATE_PROBABILITY = 0.9999
MISFIT_PROBABILITY = 0.99999
MODEL_STD_M = 0.02
STATIC_SIGMAS = 3.0
SPEED_SIGMAS = 3.0
SIDE_LOBE = 10.0


def fuse(scene: Scene, reports: Sequence[EchoReport]) -> tuple[Detection, ...]:
    """Detections from all reports of one frame, strongest first.

    A cluster grows from the strongest free report by the statistically nearest report of every other receiver; a
    cluster that is a ghost, static clutter or impossibly fast is not told.
    """
    free = sorted(reports, key=lambda report: -report.power)
    told: list[list[EchoReport]] = []
    detections = []
    while free:
        cluster = _consistent(scene, _grow(scene, free))
        free = [report for report in free if not any(report is used for used in cluster)]
        if is_static(scene, cluster) or is_ghost(scene, cluster, told):
            continue
        detection = _detection(scene, cluster, estimate(scene, cluster))
        if is_possible(scene, detection):
            told.append(cluster)
            detections.append(detection)
    return tuple(detections)


def is_ghost(scene: Scene, cluster: Sequence[EchoReport], told: Sequence[Sequence[EchoReport]]) -> bool:
    """Whether a cluster is no target of its own.

    Fewer paths than dimensions cannot tell its full velocity. Heard by one receiver alone, and with the Doppler shifts
    of a much stronger target there, it is that target's side lobe.
    """
    if sum(len(report.paths) for report in cluster) < scene.dimension:
        return True
    if len({report.receiver for report in cluster}) > 1:
        return False
    resolution_hz = 1 / (scene.grid.num_symbols * scene.grid.symbol_period_s)
    mine = {path.transmitter: path for path in cluster[0].paths}
    for report in (r for other in told for r in other if r.receiver == cluster[0].receiver):
        shared = [path for path in report.paths if path.transmitter in mine]
        if shared and report.power > SIDE_LOBE * cluster[0].power and all(
                abs(path.doppler_hz - mine[path.transmitter].doppler_hz) < resolution_hz for path in shared):
            return True
    return False


def is_possible(scene: Scene, detection: Detection) -> bool:
    """Whether a target of the scene can be as fast as a detection says, within its accuracy."""
    speed = np.linalg.norm(detection.velocity_mps)
    deviation = np.sqrt(np.linalg.eigvalsh(detection.covariance[3:, 3:])[-1])
    return bool(speed <= scene.sensing.max_speed_mps + SPEED_SIGMAS * deviation)


def is_static(scene: Scene, cluster: Sequence[EchoReport]) -> bool:
    """Whether no path's Doppler shift tells the cluster from clutter, which moves slower than the scene's minimum speed."""
    limit = 2 * scene.sensing.min_speed_mps / scene.grid.wavelength_m
    if limit == 0:
        return False
    paths = [path for report in cluster for path in report.paths]
    return all(abs(path.doppler_hz) < limit + STATIC_SIGMAS / np.sqrt(doppler_information(scene.grid, path.power))
               for path in paths)


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


def _detection(scene: Scene, cluster: Sequence[EchoReport], fitted: Estimate) -> Detection:
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
