"""Rejection of false alarms: ghosts, static clutter, impossible speeds, parts of bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import TINY_M
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.estimate import Estimate
from cooperative_isac.fusion.paths_needed import paths_needed
from cooperative_isac.fusion.received import Received
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Body, Scene
from cooperative_isac.scene.reflected import seen_on
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.report import EchoReport, PathReport

# Probability with which the estimated velocity of static clutter passes the test for it.
STATIC_PROBABILITY = 0.9999

# Standard deviations by which a Doppler shift must exceed the largest one of clutter.
STATIC_SIGMAS = 3.0

# Standard deviations by which a speed may exceed the scene's maximum.
SPEED_SIGMAS = 3.0

# Power of a target over its side lobe at the same receiver, at least: 10 dB.
SIDE_LOBE_RATIO = 10.0

# Power of a target over its echo at a wrong location, at least: 6 dB.
MISPLACED_RATIO = 4.0

# Difference of their Doppler shifts at most, in resolution cells.
MISPLACED_CELLS = 0.5

# Least variance over the largest one, above the rounding of double precision.
LEAST_VARIANCE_SHARE = 1e-15

# Multiplier times largest variance at which the nearest vector is the vector itself to rounding.
LEAST_MULTIPLIER = 1e-20

# Bisections of an interval of about a hundred, down to rounding.
BISECTIONS = 60

# Standard deviation of a location from fewer paths than dimensions at most, over the area's
# diagonal: a worse one starts no track that a second detection could confirm.
LOCATED_SHARE = 0.1

# Distance between the middles of two targets that do not collide, m: the size of a small one, and
# several standard deviations of its location.
CLOSEST_M = 1.0

# Standard deviations by which a cluster may be outside a body of which it is a part.
BODY_SIGMAS = 3.0

# Speed of points of a turning body against its middle, m/s: 2.5 m from it at 70 degrees/s.
PART_SPEED_MPS = 3.0

Cluster = Sequence[EchoReport]


@dataclass(frozen=True)
class Accepted:
    """Accepted target.

    cluster: its reports
    detection: of the cluster
    body: that was fitted to the reports
    """

    cluster: Cluster
    detection: Detection
    body: Body


def is_ghost(
    scene: Scene,
    cluster: Cluster,
    accepted: Sequence[Accepted],
    received: Received | None = None,
) -> bool:
    """True where a cluster is a ghost: too few paths, or an echo of another target.

    A target needs paths_needed paths; of bodies, which are often detected on single paths, a second
    receiver is enough. A cluster of one receiver alone, much weaker than an accepted target and
    with its Doppler shifts, is an echo of that target: a side lobe where the receiver detects that
    target as well, else its echo at a wrong location.

    scene: of one or several bands
    cluster: its reports
    accepted: targets of the frame
    received: stations and bands of the frame; None: all
    """
    paths = _paths(cluster)
    sites = {report.receiver for report in cluster}

    # Too few paths, or no location. A second receiver confirms a body with few paths.
    is_confirmed = len(sites) > 1 and scene.has_bodies
    if not is_confirmed:
        if len(paths) < paths_needed(scene, _middle(cluster)[None], received)[0]:
            return True
        if len(paths) < scene.dimension and not is_located(scene, cluster):
            return True

    return is_echo_of_other(scene, cluster, accepted)


def is_echo_of_other(scene: Scene, cluster: Cluster, accepted: Sequence[Accepted]) -> bool:
    """True where a cluster of one receiver alone is an echo of an accepted target.

    It is a side lobe, a mislocated echo, or an echo at its location with a path that was taken for
    that of another target.

    scene: of one or several bands
    cluster: its reports
    accepted: targets of the frame
    """
    sites = {report.receiver for report in cluster}
    if len(sites) > 1:
        return False
    (receiver,) = sites
    if any(_is_at_location_of(cluster, other.detection) for other in accepted):
        return True
    for other in accepted:
        if receiver in other.detection.sites:
            is_echo = _is_side_lobe(scene, cluster, other.cluster)
        else:
            is_echo = _is_misplaced(scene, cluster, other.cluster, other.detection)
        if is_echo:
            return True
    return False


def is_part_of_body(scene: Scene, cluster: Cluster, detection: Detection, other: Accepted) -> bool:
    """True where a cluster is of further points of a body that was detected already.

    It is within the body, to its accuracy, and has the Doppler shifts of the body's motion.

    scene: of one or several bands
    cluster: its reports
    detection: of the cluster
    other: target with a body
    """
    if other.body.radius_m == 0:
        return False
    size = scene.dimension

    # Within the body: two bodies cannot be at one location.
    difference_m = detection.position_m - other.detection.position_m
    horizontal_m = np.linalg.norm(difference_m[:2])
    vertical_m = np.abs(difference_m[2])
    if horizontal_m < other.body.radius_m and vertical_m < other.body.size_m[2]:
        return True

    # Beyond the distance of two touching bodies and the accuracy of both locations.
    difference_m = difference_m[:size]
    distance_m = np.linalg.norm(difference_m)
    direction = difference_m / max(distance_m, TINY_M)
    covariance = (detection.covariance + other.detection.covariance)[:size, :size]
    std_m = np.sqrt(direction @ covariance @ direction)
    if distance_m > 2 * other.body.radius_m + BODY_SIGMAS * std_m:
        return False

    # Doppler shifts of the body's motion, to the accuracy of its velocity, and within those of its
    # turning: a speed v shifts the frequency of a path by up to 2 v / lambda.
    velocity_std_mps = np.sqrt(np.trace(other.detection.covariance[3:, 3:]))
    for report in cluster:
        view = seen_on(scene, report.band, report.surface)
        tolerance_hz = 2 * PART_SPEED_MPS / view.grid.wavelength_m
        tolerance_hz += 2 * velocity_std_mps / view.grid.wavelength_m
        expected_hz = _shifts_hz(view, report, report.point_m, other.detection.velocity_mps)
        measured_hz = np.array([path.doppler_hz for path in report.paths])
        if np.any(np.abs(measured_hz - expected_hz) > tolerance_hz):
            return False
    return True


def is_static(scene: Scene, cluster: Cluster, fitted: Estimate) -> bool:
    """True where a cluster is compatible with clutter slower than the scene's minimum speed.

    For several receivers the fitted velocity is tested. That of one receiver alone depends on its
    location, which no other confirms: there the Doppler shifts are tested.

    scene: of one or several bands
    cluster: its reports
    fitted: its estimate
    """
    limit_mps = scene.sensing.min_speed_mps
    if limit_mps == 0:
        return False
    if len({report.receiver for report in cluster}) <= 1:
        return all(may_be_static(scene, report, limit_mps) for report in cluster)

    size = scene.dimension
    velocity_covariance = fitted.covariance[size:, size:]
    return bool(are_static(scene, fitted.velocity_mps[None], velocity_covariance[None])[0])


def are_static(scene: Scene, velocities_mps: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Mask of the velocities that are compatible with clutter slower than the minimum speed.

    scene: of one or several bands
    velocities_mps: [num_velocities, D], float64, m/s
    covariances: [num_velocities, D, D], float64, (m/s)^2
    Returns [num_velocities], bool; nothing is static in a scene without a minimum speed.
    """
    limit_mps = scene.sensing.min_speed_mps
    if limit_mps == 0:
        return np.zeros(len(velocities_mps), bool)
    # Chi-square quantile of the squared Mahalanobis distance to the nearest slow velocity.
    gate = chdtri(scene.dimension, 1 - STATIC_PROBABILITY)
    return distances_to_ball(velocities_mps, covariances, limit_mps) < gate


def may_be_static(scene: Scene, report: EchoReport, limit_mps: float) -> bool:
    """True where every Doppler shift of a report can be that of an object slower than a limit.

    For moving stations, shifts are relative to that of a point at rest at the report's location.

    scene: of one or several bands
    report: of one receiver
    limit_mps: speed, m/s
    """
    # Measured shifts beside those of a point at rest.
    view = seen_on(scene, report.band, report.surface)
    at_rest_hz = _shifts_hz(view, report, report.point_m, np.zeros(3))
    measured_hz = np.array([path.doppler_hz for path in report.paths])
    shifts_hz = np.abs(measured_hz - at_rest_hz)

    # Their accuracies.
    snr = np.array([path.power for path in report.paths])
    suppression = link_suppression(view, view.receiver(report.receiver))
    information = shift_information(view.grid, snr, measured_hz, suppression)
    accuracies_hz = STATIC_SIGMAS / np.sqrt(information)

    # Largest shift of clutter, 2 v / lambda, within the accuracies.
    clutter_hz = 2 * limit_mps / view.grid.wavelength_m
    limits_hz = clutter_hz + accuracies_hz
    return bool(np.all(shifts_hz < limits_hz))


def _shifts_hz(
    view: Scene, report: EchoReport, point_m: np.ndarray, velocity_mps: np.ndarray
) -> np.ndarray:
    """Doppler shifts of a target on the paths of a report, [num_paths], float64, Hz.

    view: the scene seen on the band of the report
    report: whose paths are used
    point_m: [3], float64, m, map, location of the target
    velocity_mps: [3], float64, m/s, map, velocity of the target
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
    transmitters_m = np.array([other.position_m for other in transmitters])

    # Velocities of the sites, where one of them moves.
    transmitters_mps = None
    receiver_mps = None
    if site.is_moving or any(other.is_moving for other in transmitters):
        transmitters_mps = np.array([other.velocity_mps for other in transmitters])
        receiver_mps = site.velocity_mps

    paths = bistatic_geometry(
        transmitters_m,
        site.position_m,
        point_m,
        velocity_mps,
        view.grid.wavelength_m,
        transmitters_mps,
        receiver_mps,
    )
    return paths.doppler_hz


def is_possible(scene: Scene, detection: Detection) -> bool:
    """True where the speed of a detection is within the scene's maximum, to its accuracy.

    Fewer paths than dimensions leave components of the velocity unobserved: there some velocity
    that agrees with the measured components must be slow enough.

    scene: of one or several bands
    detection: to be tested
    """
    limit_mps = scene.sensing.max_speed_mps
    covariance = detection.covariance[3:, 3:]
    if detection.num_paths < scene.dimension:
        distance = distance_to_ball(detection.velocity_mps, covariance, limit_mps)
        return distance <= SPEED_SIGMAS**2

    speed_mps = np.linalg.norm(detection.velocity_mps)
    std_mps = np.sqrt(np.linalg.eigvalsh(covariance)[-1])
    return bool(speed_mps <= limit_mps + SPEED_SIGMAS * std_mps)


def distance_to_ball(vector: np.ndarray, covariance: np.ndarray, radius: float) -> float:
    """Squared Mahalanobis distance from a vector to the nearest vector no longer than radius.

    vector: [n], float64
    covariance: [n, n], float64, positive definite
    radius: of the ball about the origin
    """
    return float(distances_to_ball(vector[None], covariance[None], radius)[0])


def distances_to_ball(vectors: np.ndarray, covariances: np.ndarray, radius: float) -> np.ndarray:
    """Squared Mahalanobis distances from vectors to the nearest vectors no longer than radius.

    The nearest vector solves (P^-1 + m I) u = P^-1 v with the multiplier m at which its length is
    the radius; the logarithm of m is found by bisection.

    vectors: [num_vectors, n], float64
    covariances: [num_vectors, n, n], float64, positive definite
    radius: of the ball about the origin
    Returns [num_vectors], float64.
    """
    # Components along the axes of each covariance.
    variances, axes = np.linalg.eigh(covariances)
    variances = np.maximum(variances, LEAST_VARIANCE_SHARE * variances[:, -1:])
    along = np.einsum("kji,kj->ki", axes, vectors)

    # Vectors outside the ball; the others have no distance.
    lengths = np.linalg.norm(along, axis=1)
    outside = lengths > radius
    distances = np.zeros(len(vectors))
    variances = variances[outside]
    along = along[outside]
    lengths = lengths[outside]

    # Bisection of log m between the vector itself (to rounding) and one that is shorter than the
    # radius. Along an axis of variance p, the nearest vector has the component of v over 1 + m p.
    low = np.log(LEAST_MULTIPLIER / variances[:, -1])
    high = np.log(lengths / radius / variances[:, 0])
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        nearest = along / (1 + np.exp(middle)[:, None] * variances)
        is_long = np.linalg.norm(nearest, axis=1) > radius
        low = np.where(is_long, middle, low)
        high = np.where(is_long, high, middle)

    # Distances (v - u)^T P^-1 (v - u) at the multipliers, in which P^-1 (v - u) = m u.
    multiplier = np.exp((low + high) / 2)[:, None]
    scaled_nearest = multiplier * along / (1 + multiplier * variances)
    distances[outside] = np.sum(variances * scaled_nearest**2, axis=1)
    return distances


def _paths(cluster: Cluster) -> list[PathReport]:
    """All paths of a cluster."""
    return [path for report in cluster for path in report.paths]


def _middle(cluster: Cluster) -> np.ndarray:
    """Mean location of a cluster's reports, [3], m."""
    return np.mean([report.point_m for report in cluster], axis=0)


def is_located(scene: Scene, cluster: Cluster) -> bool:
    """True where a cluster has a location along every axis, to a small share of the area.

    scene: of one or several bands
    cluster: its reports
    """
    # Largest standard deviation, from the diagonal of the area.
    size_m = scene.box.high_m - scene.box.low_m
    limit_m = LOCATED_SHARE * np.linalg.norm(size_m[:2])

    # Information along the least accurate axis.
    information = sum(report.information for report in cluster)
    least_information = np.linalg.eigvalsh(information)[0]
    return bool(least_information > limit_m**-2.0)


def _is_at_location_of(cluster: Cluster, detection: Detection) -> bool:
    """True where a cluster is at the location of a target that several receivers detected."""
    if len(detection.sites) < 2:
        return False
    return bool(np.linalg.norm(_middle(cluster) - detection.position_m) < CLOSEST_M)


def _is_side_lobe(scene: Scene, cluster: Cluster, other: Cluster) -> bool:
    """True where a much stronger target at this receiver has the Doppler shifts of a cluster."""
    # Paths of both over the same links.
    (receiver,) = {report.receiver for report in cluster}
    stronger = {
        (report.band, report.surface, path.transmitter): path
        for report in other
        if report.receiver == receiver
        for path in report.paths
    }
    pairs = [
        (
            scene.on(report.band),
            path,
            stronger[report.band, report.surface, path.transmitter],
        )
        for report in cluster
        for path in report.paths
        if (report.band, report.surface, path.transmitter) in stronger
    ]
    if not pairs or _power(stronger.values()) <= SIDE_LOBE_RATIO * _power(_paths(cluster)):
        return False

    # Doppler shifts that the frame does not resolve.
    return all(
        abs(weak.doppler_hz - strong.doppler_hz) < view.grid.doppler_resolution_hz
        for view, weak, strong in pairs
    )


def _is_misplaced(scene: Scene, cluster: Cluster, other: Cluster, detection: Detection) -> bool:
    """True where a cluster has the Doppler shifts that its receiver expects of a stronger target.

    A path may be taken for that of another transmitter, because all send the same streams.
    """
    if _power(_paths(other)) <= MISPLACED_RATIO * _power(_paths(cluster)):
        return False
    for report in cluster:
        view = seen_on(scene, report.band, report.surface)
        expected_hz = _expected_shifts_hz(
            view,
            view.transmitters,
            report.receiver,
            detection.position_m,
            detection.velocity_mps,
        )
        nearest_hz = [np.abs(path.doppler_hz - expected_hz).min() for path in report.paths]
        if max(nearest_hz) >= MISPLACED_CELLS * view.grid.doppler_resolution_hz:
            return False
    return True


def _power(paths: Iterable[PathReport]) -> float:
    """Measured coherent SNR summed over paths, linear."""
    return sum(path.snr for path in paths)
