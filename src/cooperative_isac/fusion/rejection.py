"""Which clusters of reports are no targets: ghosts, static clutter, what is impossibly fast."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.estimate import Estimate
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Body, Scene, Site
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.report import EchoReport, PathReport

STATIC_PROBABILITY = 0.9999
STATIC_SIGMAS = 3.0
SPEED_SIGMAS = 3.0
SIDE_LOBE = 10.0
MISPLACED = 4.0
MISPLACED_BINS = 0.5
ROUNDING = 1e-15
TINY = 1e-9  # m, keeps directions defined where a length is zero
EDGE_M = 1e-6  # a place in the plane of an array counts as in front of it
# Largest deviation of a location from fewer paths than dimensions, share of the area's diagonal:
# what is located worse starts no track that a second detection could confirm.
LOCATED_SHARE = 0.1

BODY_SIGMAS = (
    3.0  # standard deviations by which a cluster may lie outside a body that it is a part of
)
PART_SPEED_MPS = (
    3.0  # m/s, speed of points of a turning body against its middle: 2.5 m from it at 70 degrees/s
)

Cluster = Sequence[EchoReport]


@dataclass(frozen=True)
class Accepted:
    """A cluster that was accepted as a target, its detection, and the body that explains it."""

    cluster: Cluster
    detection: Detection
    body: Body


def is_ghost(
    scene: Scene,
    cluster: Cluster,
    accepted: Sequence[Accepted],
    receivers: Collection[str] | None = None,
) -> bool:
    """Whether a cluster is no target of its own.

    It has fewer paths than its place needs; of bodies, which are often found on single paths, a
    second receiver is check enough. A cluster of one receiver alone, much weaker than an accepted
    target and with its Doppler shifts, is
    an echo of that target: a side lobe where the receiver supports that target as well, else its
    echo at a wrong place.

    receivers: names of those whose packets arrived; None: all
    """
    paths = _paths(cluster)
    sites = {report.receiver for report in cluster}

    # Of a body, a second receiver confirms what few paths show.
    is_confirmed = len(sites) > 1 and scene.has_bodies
    if not is_confirmed:
        if len(paths) < paths_needed(scene, _middle(cluster), receivers):
            return True
        if len(paths) < scene.dimension and not is_located(scene, cluster):
            return True

    return is_echo_of_other(scene, cluster, accepted)


def is_echo_of_other(scene: Scene, cluster: Cluster, accepted: Sequence[Accepted]) -> bool:
    """Whether a cluster of one receiver alone is an echo of an accepted target: a side lobe, or
    misplaced.
    """
    paths = _paths(cluster)
    sites = {report.receiver for report in cluster}
    if len(sites) > 1:
        return False
    (receiver,) = sites
    return any(
        _is_side_lobe(scene, receiver, paths, other.cluster)
        if receiver in other.detection.sites
        else _is_misplaced(scene, receiver, paths, other.cluster, other.detection)
        for other in accepted
    )


def paths_needed(
    scene: Scene, point_m: np.ndarray, receivers: Collection[str] | None = None
) -> int:
    """Number of paths that a target at a place needs to be accepted.

    As many as dimensions, which give the full velocity, where as many links face the place: among
    many links a cluster of fewer paths is mostly a ghost. Where fewer links face it, one path is
    enough.

    point_m: [3], float64, m, map; a place outside the area counts as the nearest one inside
    receivers: names of those whose packets arrived; None: all
    """
    inside = point_m.copy()
    size = scene.dimension
    inside[:size] = np.clip(point_m[:size], scene.box.low_m[:size], scene.box.high_m[:size])
    heard = [site for site in scene.receivers if receivers is None or site.name in receivers]
    links = _num_facing(scene.transmitters, inside) * _num_facing(heard, inside)
    return scene.dimension if links >= scene.dimension else 1


def is_part_of_body(scene: Scene, cluster: Cluster, detection: Detection, other: Accepted) -> bool:
    """Whether a cluster is of further points of a body that was detected already.

    It lies within the body, as far as its accuracy can tell, and has the Doppler shifts of the
    body's motion.
    """
    if other.body.radius_m == 0:
        return False
    size = scene.dimension

    # Where one body is there cannot be another.
    apart = np.abs(detection.position_m - other.detection.position_m)
    if np.linalg.norm(apart[:2]) < other.body.radius_m and apart[2] < other.body.size_m[2]:
        return True

    # Two bodies touch, or come so near that the accuracy does not tell.
    away = (detection.position_m - other.detection.position_m)[:size]
    distance = np.linalg.norm(away)
    direction = away / max(distance, TINY)
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
            expected = bistatic_geometry(
                scene.transmitters[path.transmitter].position_m,
                scene.receiver(report.receiver).position_m,
                report.point_m,
                other.detection.velocity_mps,
                scene.grid.wavelength_m,
            ).doppler_hz
            if abs(path.doppler_hz - expected) > tolerance_hz:
                return False
    return True


def is_static(scene: Scene, cluster: Cluster, fitted: Estimate) -> bool:
    """Whether nothing tells a cluster from clutter, which moves slower than the scene's minimum
    speed.

    Several receivers: a velocity that slow agrees with the fitted one. The fit of one receiver
    alone depends
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
    shifts = np.abs([path.doppler_hz for path in paths])
    powers = np.array([path.power for path in paths])
    deviations = 1 / np.sqrt(
        shift_information(scene.grid, powers, shifts, scene.sensing.static_paths)
    )
    return bool(np.all(shifts < 2 * limit / scene.grid.wavelength_m + STATIC_SIGMAS * deviations))


def is_possible(scene: Scene, detection: Detection) -> bool:
    """Whether a target of the scene can be as fast as a detection says, within its accuracy.

    Fewer paths than dimensions leave directions of the velocity open: there some velocity that
    agrees with the measured components must be slow enough.
    """
    if detection.num_paths < scene.dimension:
        away = distance_to_ball(
            detection.velocity_mps, detection.covariance[3:, 3:], scene.sensing.max_speed_mps
        )
        return away <= SPEED_SIGMAS**2
    speed = np.linalg.norm(detection.velocity_mps)
    deviation = np.sqrt(np.linalg.eigvalsh(detection.covariance[3:, 3:])[-1])
    return bool(speed <= scene.sensing.max_speed_mps + SPEED_SIGMAS * deviation)


def distance_to_ball(vector: np.ndarray, covariance: np.ndarray, radius: float) -> float:
    """Squared Mahalanobis distance from a vector [n] to the nearest vector no longer than radius.

    covariance: [n, n], positive definite. The nearest vector solves (P^-1 + m I) u = P^-1 v with
    the multiplier m at which its length is the radius.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, ROUNDING * variances[-1])
    along = axes.T @ vector

    def too_long(log_multiplier: float) -> float:
        return float(np.linalg.norm(along / (1 + np.exp(log_multiplier) * variances))) - radius

    if np.linalg.norm(along) <= radius:
        return 0.0
    # At these ends the nearest vector is the vector itself (to rounding), and shorter than the
    # radius.
    low, high = np.log(1e-20 / variances[-1]), np.log(np.linalg.norm(along) / radius / variances[0])
    multiplier = np.exp(brentq(too_long, low, high))
    return float(np.sum(variances * (multiplier * along / (1 + multiplier * variances)) ** 2))


def _paths(cluster: Cluster) -> list[PathReport]:
    return [path for report in cluster for path in report.paths]


def _middle(cluster: Cluster) -> np.ndarray:
    """Mean location of a cluster's reports, [3], m."""
    return np.mean([report.point_m for report in cluster], axis=0)


def _num_facing(sites: Sequence[Site], point_m: np.ndarray) -> int:
    """Number of arrays that have a place on their front side."""
    return sum(bool(site.boresight @ (point_m - site.position_m) >= -EDGE_M) for site in sites)


def is_located(scene: Scene, cluster: Cluster) -> bool:
    """Whether a cluster's location is known along every axis, to a small share of the area."""
    limit_m = LOCATED_SHARE * np.linalg.norm((scene.box.high_m - scene.box.low_m)[:2])
    information = sum(report.information for report in cluster)
    return bool(np.linalg.eigvalsh(information)[0] > limit_m**-2.0)


def _doppler_bin_hz(scene: Scene) -> float:
    return 1 / (scene.grid.num_symbols * scene.grid.symbol_period_s)


def _is_side_lobe(scene: Scene, receiver: str, paths: Sequence[PathReport], other: Cluster) -> bool:
    """Whether a much stronger echo at the same receiver has the Doppler shifts of these paths."""
    theirs = {
        path.transmitter: path for path in _paths([r for r in other if r.receiver == receiver])
    }
    pairs = [(path, theirs[path.transmitter]) for path in paths if path.transmitter in theirs]
    if not pairs or _power(theirs.values()) <= SIDE_LOBE * _power(paths):
        return False
    return all(
        abs(mine.doppler_hz - its.doppler_hz) < _doppler_bin_hz(scene) for mine, its in pairs
    )


def _is_misplaced(
    scene: Scene, receiver: str, paths: Sequence[PathReport], other: Cluster, detection: Detection
) -> bool:
    """Whether these paths have the Doppler shifts of a stronger target that this receiver should
    hear too.

    A path may be taken for another transmitter's, as all send the same streams.
    """
    if _power(_paths(other)) <= MISPLACED * _power(paths):
        return False
    transmitters = np.array([site.position_m for site in scene.transmitters])
    expected = bistatic_geometry(
        transmitters,
        scene.receiver(receiver).position_m,
        detection.position_m,
        detection.velocity_mps,
        scene.grid.wavelength_m,
    ).doppler_hz
    nearest = [np.abs(path.doppler_hz - expected).min() for path in paths]
    return max(nearest) < MISPLACED_BINS * _doppler_bin_hz(scene)


def _power(paths) -> float:
    return sum(path.power for path in paths)
