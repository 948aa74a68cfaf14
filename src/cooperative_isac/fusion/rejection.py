"""Which clusters of reports are no targets: ghosts, static clutter, what is impossibly fast."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
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
BISECTIONS = 60  # halves of an interval of some hundred, down to rounding
EDGE_M = 1e-6  # a place in the plane of an array counts as in front of it
# Largest deviation of a location from fewer paths than dimensions, share of the area's diagonal:
# what is located worse starts no track that a second detection could confirm.
LOCATED_SHARE = 0.1

# Distance between the middles of two targets that do not collide, m: the size of a small one, some
# standard deviations of a located one.
CLOSEST_M = 1.0

BODY_SIGMAS = (
    3.0  # standard deviations by which a cluster may lie outside a body that it is a part of
)
PART_SPEED_MPS = (
    3.0  # m/s, speed of points of a turning body against its middle: 2.5 m from it at 70 degrees/s
)

Cluster = Sequence[EchoReport]


@dataclass(frozen=True)
class Received:
    """What the center has of a frame.

    stations: names of those whose reports arrived, also without a target; None: all
    bands: names of those on the air; None: all
    without_reports: names of those whose packets arrived, but carry no reports
    """

    stations: Collection[str] | None = None
    bands: Collection[str] | None = None
    without_reports: Collection[str] = ()

    def has_station(self, name: str) -> bool:
        """Whether the reports of a station arrived."""
        return self.stations is None or name in self.stations

    def has_band(self, name: str) -> bool:
        """Whether a band was on the air."""
        return self.bands is None or name in self.bands

    def is_incomplete(self, scene: Scene) -> bool:
        """Whether packets of stations with links on the bands on the air did not arrive."""
        return any(
            not self.has_station(site.name) and site.name not in self.without_reports
            for view in scene.views
            if self.has_band(view.band)
            for site in view.receivers
            if view.linked_transmitters(site.name)
        )


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
    heard: Received | None = None,
) -> bool:
    """Whether a cluster is no target of its own.

    It has fewer paths than its place needs; of bodies, which are often found on single paths, a
    second receiver is check enough. A cluster of one receiver alone, much weaker than an accepted
    target and with its Doppler shifts, is
    an echo of that target: a side lobe where the receiver supports that target as well, else its
    echo at a wrong place.

    heard: what was heard in the frame; None: all stations on all bands
    """
    paths = _paths(cluster)
    sites = {report.receiver for report in cluster}

    # Of a body, a second receiver confirms what few paths show.
    is_confirmed = len(sites) > 1 and scene.has_bodies
    if not is_confirmed:
        if len(paths) < paths_needed(scene, _middle(cluster), heard):
            return True
        if len(paths) < scene.dimension and not is_located(scene, cluster):
            return True

    return is_echo_of_other(scene, cluster, accepted)


def is_echo_of_other(scene: Scene, cluster: Cluster, accepted: Sequence[Accepted]) -> bool:
    """Whether a cluster of one receiver alone is an echo of an accepted target: a side lobe, or
    misplaced, or at its place with a path that was taken for that of another target.
    """
    sites = {report.receiver for report in cluster}
    if len(sites) > 1:
        return False
    (receiver,) = sites
    if any(_is_at_place_of(cluster, other.detection) for other in accepted):
        return True
    return any(
        _is_side_lobe(scene, cluster, other.cluster)
        if receiver in other.detection.sites
        else _is_misplaced(scene, cluster, other.cluster, other.detection)
        for other in accepted
    )


def paths_needed(scene: Scene, point_m: np.ndarray, heard: Received | None = None) -> int:
    """Number of paths that a target at a place needs to be accepted.

    As many as dimensions, which give the full velocity, where as many links face the place: among
    many links a cluster of fewer paths is mostly a ghost. Where fewer links face it, one path is
    enough.

    point_m: [3], float64, m, map; a place outside the area counts as the nearest one inside
    heard: what was heard in the frame; None: all stations on all bands
    """
    inside = point_m.copy()
    size = scene.dimension
    inside[:size] = np.clip(point_m[:size], scene.box.low_m[:size], scene.box.high_m[:size])
    num_links = sum(
        _num_links(view, inside, heard)
        for view in scene.views
        if heard is None or heard.has_band(view.band)
    )
    return scene.dimension if num_links >= scene.dimension else 1


def _num_links(view: Scene, point_m: np.ndarray, heard: Received | None) -> int:
    """Number of links of a band whose arrays have a place on their front sides."""
    facing = [is_facing(site, point_m) for site in view.transmitters]
    return sum(
        sum(facing[index] for index in view.linked_transmitters(site.name))
        for site in view.receivers
        if (heard is None or heard.has_station(site.name)) and is_facing(site, point_m)
    )


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
    velocity_std = np.sqrt(np.trace(other.detection.covariance[3:, 3:]))
    for report in cluster:
        view = scene.on(report.band)
        tolerance_hz = 2 * PART_SPEED_MPS / view.grid.wavelength_m
        tolerance_hz += 2 * velocity_std / view.grid.wavelength_m
        expected = _shifts_hz(view, report, report.point_m, other.detection.velocity_mps)
        measured = np.array([path.doppler_hz for path in report.paths])
        if np.any(np.abs(measured - expected) > tolerance_hz):
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
    return all(may_be_static(scene, report, limit) for report in cluster)


def may_be_static(scene: Scene, report: EchoReport, limit_mps: float) -> bool:
    """Whether every Doppler shift of a report can be that of something slower than a limit.

    Of moving stations, a shift is taken beside that of a point at rest at the report's place.
    """
    view = scene.on(report.band)
    at_rest = _shifts_hz(view, report, report.point_m, np.zeros(3))
    measured = np.array([path.doppler_hz for path in report.paths])
    powers = np.array([path.power for path in report.paths])
    information = shift_information(view.grid, powers, measured, scene.sensing.static_paths)
    shifts = np.abs(measured - at_rest)
    limits = 2 * limit_mps / view.grid.wavelength_m + STATIC_SIGMAS / np.sqrt(information)
    return bool(np.all(shifts < limits))


def _shifts_hz(
    view: Scene, report: EchoReport, point_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Doppler shifts that a target at a place has on the paths of a report, [num_paths], Hz.

    view: the scene seen on the band of the report
    point_m, velocity_mps: [3], float64, of the target
    """
    sites = [view.transmitters[path.transmitter] for path in report.paths]
    return _expected_shifts_hz(view, sites, report.receiver, point_m, velocity_mps)


def _expected_shifts_hz(
    view: Scene,
    transmitters: Sequence[Site],
    receiver: str,
    point_m: np.ndarray,
    velocity_mps: np.ndarray,
) -> np.ndarray:
    """Doppler shifts of a target between transmitters and a receiver, [num_transmitters], Hz."""
    site = view.receiver(receiver)
    is_moving = site.is_moving or any(other.is_moving for other in transmitters)
    return bistatic_geometry(
        np.array([other.position_m for other in transmitters]),
        site.position_m,
        point_m,
        velocity_mps,
        view.grid.wavelength_m,
        np.array([other.velocity_mps for other in transmitters]) if is_moving else None,
        site.velocity_mps if is_moving else None,
    ).doppler_hz


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

    covariance: [n, n], positive definite
    """
    return float(distances_to_ball(vector[None], covariance[None], radius)[0])


def distances_to_ball(vectors: np.ndarray, covariances: np.ndarray, radius: float) -> np.ndarray:
    """Squared Mahalanobis distances from vectors to the nearest vectors no longer than radius.

    The nearest vector solves (P^-1 + m I) u = P^-1 v with the multiplier m at which its length is
    the radius; the logarithm of m is found by bisection.

    vectors: [k, n], float64
    covariances: [k, n, n], float64, positive definite
    Returns [k], float64.
    """
    variances, axes = np.linalg.eigh(covariances)
    variances = np.maximum(variances, ROUNDING * variances[:, -1:])
    along = np.einsum("kji,kj->ki", axes, vectors)
    lengths = np.linalg.norm(along, axis=1)
    outside = lengths > radius
    distances = np.zeros(len(vectors))
    variances = variances[outside]
    along = along[outside]
    lengths = lengths[outside]

    # At these ends the nearest vector is the vector itself (to rounding), and shorter than the
    # radius.
    low = np.log(1e-20 / variances[:, -1])
    high = np.log(lengths / radius / variances[:, 0])
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        nearest = along / (1 + np.exp(middle)[:, None] * variances)
        is_long = np.linalg.norm(nearest, axis=1) > radius
        low = np.where(is_long, middle, low)
        high = np.where(is_long, high, middle)

    multiplier = np.exp((low + high) / 2)[:, None]
    share = multiplier * along / (1 + multiplier * variances)
    distances[outside] = np.sum(variances * share**2, axis=1)
    return distances


def _paths(cluster: Cluster) -> list[PathReport]:
    return [path for report in cluster for path in report.paths]


def _middle(cluster: Cluster) -> np.ndarray:
    """Mean location of a cluster's reports, [3], m."""
    return np.mean([report.point_m for report in cluster], axis=0)


def is_facing(site: Site, point_m: np.ndarray) -> bool:
    """Whether an array has a place on its front side."""
    return bool(site.boresight @ (point_m - site.position_m) >= -EDGE_M)


def is_located(scene: Scene, cluster: Cluster) -> bool:
    """Whether a cluster's location is known along every axis, to a small share of the area."""
    limit_m = LOCATED_SHARE * np.linalg.norm((scene.box.high_m - scene.box.low_m)[:2])
    information = sum(report.information for report in cluster)
    return bool(np.linalg.eigvalsh(information)[0] > limit_m**-2.0)


def _is_at_place_of(cluster: Cluster, detection: Detection) -> bool:
    """Whether a cluster lies where several receivers found a target: two cannot be at one place."""
    if len(detection.sites) < 2:
        return False
    return bool(np.linalg.norm(_middle(cluster) - detection.position_m) < CLOSEST_M)


def _is_side_lobe(scene: Scene, cluster: Cluster, other: Cluster) -> bool:
    """Whether a much stronger echo at the same receiver has the Doppler shifts of these paths."""
    (receiver,) = {report.receiver for report in cluster}
    stronger = {
        (report.band, path.transmitter): path
        for report in other
        if report.receiver == receiver
        for path in report.paths
    }
    pairs = [
        (scene.on(report.band), path, stronger[report.band, path.transmitter])
        for report in cluster
        for path in report.paths
        if (report.band, path.transmitter) in stronger
    ]
    if not pairs or _power(stronger.values()) <= SIDE_LOBE * _power(_paths(cluster)):
        return False
    return all(
        abs(mine.doppler_hz - its.doppler_hz) < view.grid.doppler_resolution_hz
        for view, mine, its in pairs
    )


def _is_misplaced(scene: Scene, cluster: Cluster, other: Cluster, detection: Detection) -> bool:
    """Whether these paths have the Doppler shifts of a stronger target that this receiver should
    hear too.

    A path may be taken for another transmitter's, as all send the same streams.
    """
    if _power(_paths(other)) <= MISPLACED * _power(_paths(cluster)):
        return False
    for report in cluster:
        view = scene.on(report.band)
        expected = _expected_shifts_hz(
            view,
            view.transmitters,
            report.receiver,
            detection.position_m,
            detection.velocity_mps,
        )
        nearest = [np.abs(path.doppler_hz - expected).min() for path in report.paths]
        if max(nearest) >= MISPLACED_BINS * view.grid.doppler_resolution_hz:
            return False
    return True


def _power(paths: Iterable[PathReport]) -> float:
    return sum(path.power for path in paths)
