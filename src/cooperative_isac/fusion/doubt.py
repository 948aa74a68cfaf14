"""Which clusters of reports are no targets: ghosts, static clutter, what is impossibly fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.estimate import Estimate
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Body, Scene
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.report import EchoReport, PathReport

STATIC_PROBABILITY = 0.9999
STATIC_SIGMAS = 3.0
SPEED_SIGMAS = 3.0
SIDE_LOBE = 10.0
MISPLACED = 4.0
MISPLACED_BINS = 0.5
ROUNDING = 1e-15

Cluster = Sequence[EchoReport]
BODY_SIGMAS = 3.0
PART_SPEED_MPS = 3.0


@dataclass(frozen=True)
class Accepted:
    """A cluster that was accepted as a target, its detection, and the body that explains it."""

    cluster: Cluster
    detection: Detection
    body: Body


def is_ghost(scene: Scene, cluster: Cluster, accepted: Sequence[Accepted]) -> bool:
    """Whether a cluster is no target of its own.

    Fewer paths than dimensions cannot tell its full velocity. Heard by one receiver alone, much weaker than a
    target that was told and with its Doppler shifts, it is an echo of that target: a side lobe where the
    receiver heard the target as well, else the echo itself at a wrong place.
    """
    return len(_paths(cluster)) < scene.dimension or is_echo_of_other(scene, cluster, accepted)


def is_echo_of_other(scene: Scene, cluster: Cluster, accepted: Sequence[Accepted]) -> bool:
    """Whether one receiver alone heard a cluster, and it is an echo of an accepted target: a side lobe or misplaced."""
    paths = _paths(cluster)
    receivers = {report.receiver for report in cluster}
    if len(receivers) > 1:
        return False
    receiver, = receivers
    return any(_is_side_lobe(scene, receiver, paths, other.cluster) if receiver in other.detection.sites
               else _is_misplaced(scene, receiver, paths, other.cluster, other.detection) for other in accepted)


def is_part_of_body(scene: Scene, cluster: Cluster, detection: Detection, other: Accepted) -> bool:
    """Whether a cluster is of further points of a body that was detected already.

    It lies within the body, as far as its accuracy can tell, and has the Doppler shifts of the body's motion.
    """
    if other.body.radius_m == 0:
        return False
    size = scene.dimension

    # Where one body is there cannot be another.
    if np.linalg.norm(detection.position_m - other.detection.position_m) < other.body.radius_m:
        return True

    # Inside the body, or so near that its accuracy does not tell.
    away = (detection.position_m - other.detection.position_m)[:size]
    distance = np.linalg.norm(away)
    direction = away / max(distance, 1e-9)
    spread = (detection.covariance + other.detection.covariance)[:size, :size]
    deviation = np.sqrt(direction @ spread @ direction)
    if distance > 2 * other.body.radius_m + BODY_SIGMAS * deviation:
        return False

    # Doppler shifts of the body's motion, which its own turning widens.
    tolerance_hz = 2 * PART_SPEED_MPS / scene.grid.wavelength_m
    velocity_std = np.sqrt(np.trace(other.detection.covariance[3:, 3:]))
    tolerance_hz += 2 * velocity_std / scene.grid.wavelength_m
    for report in cluster:
        for path in report.paths:
            expected = bistatic_geometry(scene.transmitters[path.transmitter].position_m,
                                         scene.receiver(report.receiver).position_m, report.point_m,
                                         other.detection.velocity_mps, scene.grid.wavelength_m).doppler_hz
            if abs(path.doppler_hz - expected) > tolerance_hz:
                return False
    return True


def is_static(scene: Scene, cluster: Cluster, fitted: Estimate) -> bool:
    """Whether nothing tells a cluster from clutter, which moves slower than the scene's minimum speed.

    Several receivers: a velocity that slow agrees with the fitted one. The fit of one receiver alone depends
    on its location, which nobody confirms: there some path's Doppler shift must exceed clutter's.
    """
    limit = scene.sensing.min_speed_mps
    if limit == 0:
        return False
    if len({report.receiver for report in cluster}) > 1:
        size = scene.dimension
        away = distance_to_ball(fitted.velocity_mps, fitted.covariance[size:, size:], limit)
        return bool(away < chdtri(size, 1 - STATIC_PROBABILITY))
    paths = _paths(cluster)
    deviations = 1 / np.sqrt(doppler_information(scene.grid, np.array([path.power for path in paths])))
    shifts = np.abs([path.doppler_hz for path in paths])
    return bool(np.all(shifts < 2 * limit / scene.grid.wavelength_m + STATIC_SIGMAS * deviations))


def is_possible(scene: Scene, detection: Detection) -> bool:
    """Whether a target of the scene can be as fast as a detection says, within its accuracy."""
    speed = np.linalg.norm(detection.velocity_mps)
    deviation = np.sqrt(np.linalg.eigvalsh(detection.covariance[3:, 3:])[-1])
    return bool(speed <= scene.sensing.max_speed_mps + SPEED_SIGMAS * deviation)


def distance_to_ball(vector: np.ndarray, covariance: np.ndarray, radius: float) -> float:
    """Squared Mahalanobis distance from a vector [n] to the nearest vector no longer than radius.

    covariance: [n, n], positive definite. The nearest vector solves (P^-1 + m I) u = P^-1 v with the
    multiplier m at which its length is the radius.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, ROUNDING * variances[-1])
    along = axes.T @ vector

    def too_long(log_multiplier: float) -> float:
        return float(np.linalg.norm(along / (1 + np.exp(log_multiplier) * variances))) - radius

    if np.linalg.norm(along) <= radius:
        return 0.0
    # At these ends the nearest vector is the vector itself (to rounding), and shorter than the radius.
    low, high = np.log(1e-20 / variances[-1]), np.log(np.linalg.norm(along) / radius / variances[0])
    multiplier = np.exp(brentq(too_long, low, high))
    return float(np.sum(variances * (multiplier * along / (1 + multiplier * variances)) ** 2))


def _paths(cluster: Cluster) -> list[PathReport]:
    return [path for report in cluster for path in report.paths]


def _doppler_bin_hz(scene: Scene) -> float:
    return 1 / (scene.grid.num_symbols * scene.grid.symbol_period_s)


def _is_side_lobe(scene: Scene, receiver: str, paths: Sequence[PathReport], other: Cluster) -> bool:
    """Whether a much stronger echo at the same receiver has the Doppler shifts of these paths."""
    theirs = {path.transmitter: path for path in _paths([r for r in other if r.receiver == receiver])}
    pairs = [(path, theirs[path.transmitter]) for path in paths if path.transmitter in theirs]
    if not pairs or _power(theirs.values()) <= SIDE_LOBE * _power(paths):
        return False
    return all(abs(mine.doppler_hz - its.doppler_hz) < _doppler_bin_hz(scene) for mine, its in pairs)


def _is_misplaced(scene: Scene, receiver: str, paths: Sequence[PathReport], other: Cluster,
                  detection: Detection) -> bool:
    """Whether these paths have the Doppler shifts of a stronger target that this receiver should hear too.

    A path may be taken for another transmitter's, as all send the same streams.
    """
    if _power(_paths(other)) <= MISPLACED * _power(paths):
        return False
    transmitters = np.array([site.position_m for site in scene.transmitters])
    expected = bistatic_geometry(transmitters, scene.receiver(receiver).position_m, detection.position_m,
                                 detection.velocity_mps, scene.grid.wavelength_m).doppler_hz
    nearest = [np.abs(path.doppler_hz - expected).min() for path in paths]
    return max(nearest) < MISPLACED_BINS * _doppler_bin_hz(scene)


def _power(paths) -> float:
    return sum(path.power for path in paths)
