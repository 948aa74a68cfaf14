"""Echo reports of several receivers to detections: associate, estimate, leave out what is
doubtful.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import body_model, distinct_bodies, limited_information
from cooperative_isac.fusion.detection import PARTIAL, Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate, estimate
from cooperative_isac.fusion.rejection import (
    Accepted,
    is_ghost,
    is_located,
    is_part_of_body,
    is_possible,
    is_static,
)
from cooperative_isac.scene.model import Body, Scene, TargetClass
from cooperative_isac.sensing.report import EchoReport

GATE_PROBABILITY = 0.9999
MISFIT_PROBABILITY = 0.99999
POINT_STD_M = 0.02  # m, beside the noise of a report: linearization and quantization

# Reports of one body may lie this share of its longest side apart, as a standard deviation, before
# its shape is fitted.
GROWTH_SPREAD = 0.3

# Which of several reports is left out first: one that takes more degrees of freedom must explain
# more of the misfit. Three times the expected misfit of a degree, as for an outlier at three
# standard deviations per two degrees.
MISFIT_PER_DEGREE = 3.0

# What decides between bodies, in minus twice the log-likelihood: a path that is left out costs as
# much as one at 3.5 standard deviations; a body that does not belong to the height found costs more
# than any likelihood makes up for.
OUTLIER_COST = 12.0
HEIGHT_COST = 100.0


def fuse(
    scene: Scene, reports: Sequence[EchoReport], receivers: Collection[str] | None = None
) -> tuple[Detection, ...]:
    """Detections from all reports of one frame, strongest first.

    Where receivers are missing, the others' doubtful clusters follow as partial detections: which
    of them are of targets is decided by the tracks that they fit.

    receivers: names of those whose packets arrived, also without a target; None: all
    """
    accepted: list[Accepted] = []
    doubtful: list[tuple[list[EchoReport], Detection]] = []
    for cluster, fitted in clusters(scene, reports):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted, receivers):
            accepted.append(Accepted(cluster, detection, fitted.body))
        else:
            doubtful.append((cluster, detection))
    detections = tuple(item.detection for item in accepted)
    if receivers is None or all(site.name in receivers for site in scene.receivers):
        return detections
    partial = [
        replace(detection, num_paths=PARTIAL)
        for cluster, detection in doubtful
        if is_part_of_target(scene, cluster, detection, accepted)
    ]
    return (*detections, *partial)


def is_part_of_target(
    scene: Scene, cluster: Sequence[EchoReport], detection: Detection, accepted: Sequence[Accepted]
) -> bool:
    """Whether a doubtful cluster may be what is left of a target without some receivers.

    Its shifts may be those of clutter or of another target, and its paths few, but it is located.
    """
    if detection_problem(detection) is not None or not is_possible(scene, detection):
        return False
    if not is_located(scene, cluster):
        return False
    return not any(is_part_of_body(scene, cluster, detection, other) for other in accepted)


def is_target(
    scene: Scene,
    cluster: Sequence[EchoReport],
    fitted: Estimate,
    detection: Detection,
    accepted: Sequence[Accepted],
    receivers: Collection[str] | None = None,
) -> bool:
    """Whether a cluster is a target beside those accepted already.

    Rejected are ghosts, static clutter, what is impossibly fast, parts of bodies detected already,
    and estimates that are not valid.
    """
    if detection_problem(detection) is not None:
        return False
    if is_static(scene, cluster, fitted) or not is_possible(scene, detection):
        return False
    if is_ghost(scene, cluster, accepted, receivers):
        return False
    return not any(is_part_of_body(scene, cluster, detection, other) for other in accepted)


def clusters(
    scene: Scene, reports: Sequence[EchoReport]
) -> Iterator[tuple[list[EchoReport], Estimate]]:
    """Reports that may be of one target, each in one cluster, and the target's estimate.

    A cluster grows from the strongest free report by the statistically nearest report of every
    other receiver. Where targets have bodies, the likeliest of the scene's bodies explains it.
    """
    bodies = distinct_bodies(scene)
    free = sorted(reports, key=lambda report: -report.power)
    while free:
        grown = _grow(scene, free, bodies[-1])
        members, fitted = explain(scene, grown)
        free = [report for report in free if not any(report is member.report for member in members)]
        yield [member.used for member in members], fitted


def explain(scene: Scene, reports: Sequence[EchoReport]) -> tuple[list[Member], Estimate]:
    """Members and estimate of the likeliest body that reports may be of; those that contradict it
    are left out.
    """
    hypotheses = [_consistent(scene, reports, body) for body in distinct_bodies(scene)]
    return min(hypotheses, key=lambda found: _cost(scene, *found))


def _cost(scene: Scene, members: Sequence[Member], fitted: Estimate) -> float:
    """Minus twice the log-likelihood of a body, with outliers at their gate and its class at the
    height found.
    """
    explained = sum(len(member.used.paths) for member in members)
    cost = float(fitted.misfits.sum() + fitted.log_det) - OUTLIER_COST * explained
    if scene.dimension == 3:
        flies = fitted.position_m[2] > scene.tracking.uav_height_m
        expected = TargetClass.UAV if flies else TargetClass.VEHICLE
        allowed = (scene.body(expected).radius_m, scene.body(TargetClass.UNKNOWN).radius_m or None)
        cost += 0.0 if fitted.body.radius_m in allowed else HEIGHT_COST
    return cost


@dataclass(frozen=True)
class Member:
    """A report of a cluster, and what of it is used: paths that contradict the others are left
    out.
    """

    report: EchoReport
    used: EchoReport


def _grow(scene: Scene, free: Sequence[EchoReport], largest: Body) -> list[EchoReport]:
    """The strongest report and the nearest reports that can be of the same target."""
    size = scene.dimension
    gate = chdtri(size, 1 - GATE_PROBABILITY)
    cluster = [free[0]]
    information = _information(scene, free[0], largest)
    weighted = information @ free[0].point_m[:size]
    while candidates := [report for report in free if _compatible(report, cluster)]:
        center = np.linalg.solve(information, weighted)
        distances = _distances(scene, candidates, center, information, largest)
        if distances.min() > gate:
            break
        nearest = candidates[distances.argmin()]
        cluster.append(nearest)
        information = information + _information(scene, nearest, largest)
        weighted = weighted + _information(scene, nearest, largest) @ nearest.point_m[:size]
    return cluster


def _information(scene: Scene, report: EchoReport, largest: Body) -> np.ndarray:
    """What a report says of its point: of a body, with its SNR limited by multipath."""
    return report.information if largest.radius_m == 0 else limited_information(scene, report)


def _compatible(report: EchoReport, cluster: Sequence[EchoReport]) -> bool:
    """A path between one transmitter and one receiver meets a target only once."""
    taken = {(r.receiver, path.transmitter) for r in cluster for path in r.paths}
    return not any((report.receiver, path.transmitter) in taken for path in report.paths)


def _distances(
    scene: Scene,
    reports: Sequence[EchoReport],
    center: np.ndarray,
    information: np.ndarray,
    largest: Body,
) -> np.ndarray:
    """Squared Mahalanobis distances between the locations of reports and a cluster's,
    [num_reports].
    """
    covariances = np.linalg.inv(
        np.array([_information(scene, report, largest) for report in reports])
    )
    covariances += np.linalg.inv(information)
    spread_m = np.hypot(POINT_STD_M, GROWTH_SPREAD * largest.size_m.max())
    covariances += spread_m**2 * np.eye(scene.dimension)
    away = np.array([report.point_m[: scene.dimension] for report in reports]) - center
    return np.einsum("ri,ri->r", away, np.linalg.solve(covariances, away[..., None])[..., 0])


def _consistent(
    scene: Scene, cluster: Sequence[EchoReport], body: Body
) -> tuple[list[Member], Estimate]:
    """The cluster without what contradicts the rest: reports or, of a body, single paths."""
    members = [Member(report, report) for report in cluster]
    fitted = _fit(scene, members, body)
    while len(members) > 1 and fitted.misfits.sum() > chdtri(
        max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY
    ):
        candidates = list(_reduced(members, single_paths=body.radius_m > 0))
        fits = [_fit(scene, candidate, body, fitted) for candidate in candidates]
        scores = [fit.misfits.sum() - MISFIT_PER_DEGREE * fit.degrees for fit in fits]
        best = int(np.argmin(scores))
        members, fitted = candidates[best], fits[best]
    return members, fitted


def _reduced(members: Sequence[Member], single_paths: bool) -> Iterator[list[Member]]:
    """The cluster with one report less, or with one path less of a report that has several."""
    for index, member in enumerate(members):
        yield [*members[:index], *members[index + 1 :]]
        if single_paths and len(member.used.paths) > 1:
            for left_out in member.used.paths:
                rest = tuple(path for path in member.used.paths if path is not left_out)
                trimmed = Member(member.report, replace(member.used, paths=rest))
                yield [*members[:index], trimmed, *members[index + 1 :]]


def _fit(
    scene: Scene, members: Sequence[Member], body: Body, before: Estimate | None = None
) -> Estimate:
    """The estimate of a cluster under one body, which points along its velocity.

    before: estimate of a cluster with more members, whose velocity says where the body points;
    None: fitted first
    """
    reports = [member.used for member in members]
    if body.radius_m == 0:
        return estimate(scene, reports)

    # Without the full velocity there is no heading.
    if sum(len(report.paths) for report in reports) < scene.dimension:
        return replace(estimate(scene, reports, body_model(scene, reports, body, None)), body=body)

    # The heading, then the body along it.
    if before is None:
        before = estimate(scene, reports, body_model(scene, reports, body, None))
    velocity = np.zeros(3)
    velocity[: scene.dimension] = before.velocity_mps
    return replace(estimate(scene, reports, body_model(scene, reports, body, velocity)), body=body)


def detection_of(scene: Scene, cluster: Sequence[EchoReport], fitted: Estimate) -> Detection:
    """What the center says of a cluster of reports and its estimate."""
    size = scene.dimension
    position, velocity = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
    position[:size], velocity[:size] = fitted.position_m, fitted.velocity_mps
    covariance = np.diag([scene.height_std_m**2] * 6)
    axes = np.concatenate([np.arange(size), 3 + np.arange(size)])
    covariance[np.ix_(axes, axes)] = fitted.covariance
    power = sum(report.power for report in cluster)
    sites = tuple(sorted({report.receiver for report in cluster}))
    return Detection(
        position,
        velocity,
        covariance,
        float(10 * np.log10(power)),
        sites,
        sum(len(report.paths) for report in cluster),
    )
