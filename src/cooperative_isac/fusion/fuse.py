"""Reports of several stations to detections: associate, estimate, reject what is doubtful."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import body_model, distinct_bodies, limited_by_multipath
from cooperative_isac.fusion.detection import PARTIAL, Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate, estimate
from cooperative_isac.fusion.grouping import POINT_STD_M, Grower
from cooperative_isac.fusion.points import (
    MISFIT_PER_DEGREE,
    MISFIT_PROBABILITY,
    fuse_reports,
    point_groups,
)
from cooperative_isac.fusion.rejection import (
    Accepted,
    Received,
    is_ghost,
    is_located,
    is_part_of_body,
    is_possible,
    is_static,
)
from cooperative_isac.fusion.reports import Links, Reports, links_of, reports_of
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Body, Scene, TargetClass
from cooperative_isac.scene.station import Link
from cooperative_isac.sensing.report import EchoReport

# Reports of one body may be this share of its longest side apart, as a standard deviation, before
# its shape is fitted.
GROWTH_SPREAD = 0.3

# What decides between bodies, in minus twice the log-likelihood: a path that is left out costs as
# much as one at 3.5 standard deviations; a body that does not belong to the height found costs more
# than any likelihood makes up for.
OUTLIER_COST = 12.0
HEIGHT_COST = 100.0


def fuse(
    scene: Scene,
    reports: Sequence[EchoReport],
    receivers: Collection[str] | None = None,
    bands: Collection[str] | None = None,
    without_reports: Collection[str] = (),
    links: Links | None = None,
) -> tuple[Detection, ...]:
    """Detections from all reports of one frame, strongest first.

    Where receivers are missing, the others' doubtful clusters follow as partial detections: which
    of them are of targets is decided by the tracks that they fit.

    receivers: names of those whose reports arrived, also without a target; None: all
    bands: names of those on the air in the frame; None: all
    without_reports: names of the receivers whose packets arrived, but carry no reports
    links: of the scene, where they are known already
    """
    heard = Received(receivers, bands, without_reports)
    if not scene.has_bodies:
        return fuse_reports(scene, reports_of(scene, reports, links), heard)
    accepted: list[Accepted] = []
    doubtful: list[tuple[list[EchoReport], Detection]] = []
    for cluster, fitted in clusters(scene, reports, links):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted, heard):
            accepted.append(Accepted(cluster, detection, fitted.body))
        else:
            doubtful.append((cluster, detection))
    detections = tuple(item.detection for item in accepted)
    if not heard.is_incomplete(scene):
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
    heard: Received | None = None,
) -> bool:
    """Whether a cluster is a target beside those accepted already.

    Rejected are ghosts, static clutter, what is impossibly fast, parts of bodies detected already,
    and estimates that are not valid.
    """
    if detection_problem(detection) is not None:
        return False
    if is_static(scene, cluster, fitted) or not is_possible(scene, detection):
        return False
    if is_ghost(scene, cluster, accepted, heard):
        return False
    return not any(is_part_of_body(scene, cluster, detection, other) for other in accepted)


def clusters(
    scene: Scene, reports: Sequence[EchoReport], links: Links | None = None
) -> Iterator[tuple[list[EchoReport], Estimate]]:
    """Reports that may be of one target, each in one cluster, and the target's estimate.

    A cluster grows from the strongest free report by the statistically nearest report of every
    other link. Where targets have bodies, the likeliest of the scene's bodies explains it. What
    contradicts the rest of its cluster is free for weaker ones.

    links: of the scene, where they are known already
    """
    if not reports:
        return
    links = links_of(scene) if links is None else links
    arrays = reports_of(scene, reports, links)
    largest = distinct_bodies(scene)[-1]
    if largest.radius_m == 0:
        groups, found = point_groups(scene, arrays)
        for index in range(groups.count):
            yield [reports[row] for row in groups.of(index)], found.of(index, groups)
        return

    information = _limited_information(scene, arrays, reports)
    spread_m = float(np.hypot(POINT_STD_M, GROWTH_SPREAD * largest.size_m.max()))
    grower = Grower(arrays, information, spread_m)
    explained: list[tuple[int, list[EchoReport], Estimate]] = []
    free = np.ones(len(reports), bool)
    while free.any():
        groups = grower.grow(free)
        for index in range(groups.count):
            rows = groups.of(index)
            members, fitted = explain(scene, [reports[row] for row in rows], links)
            kept = {id(member.report) for member in members}
            free[[row for row in rows if id(reports[row]) in kept]] = False
            strength = int(grower.rank[rows[0]])
            explained.append((strength, [member.used for member in members], fitted))
    explained.sort(key=lambda item: item[0])
    for _, cluster, fitted in explained:
        yield cluster, fitted


def _limited_information(
    scene: Scene, arrays: Reports, reports: Sequence[EchoReport]
) -> np.ndarray:
    """Information of the points of reports with their SNR limited by multipath, [n, D, D]."""
    paths = np.array([path.information for report in reports for path in report.paths])
    limited = paths * (limited_by_multipath(scene, arrays.snr) / arrays.snr)[:, None, None]
    return np.add.reduceat(limited, np.searchsorted(arrays.owner, np.arange(len(arrays))))


def explain(
    scene: Scene, reports: Sequence[EchoReport], links: Links | None = None
) -> tuple[list[Member], Estimate]:
    """Members and estimate of the likeliest body that reports may be of; those that contradict it
    are left out.
    """
    links = links_of(scene) if links is None else links
    hypotheses = [_consistent(scene, reports, body, links) for body in distinct_bodies(scene)]
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


def _consistent(
    scene: Scene, cluster: Sequence[EchoReport], body: Body, links: Links
) -> tuple[list[Member], Estimate]:
    """The cluster without what contradicts the rest: reports or, of a body, single paths."""
    members = [Member(report, report) for report in cluster]
    fitted = _fit(scene, members, body, links)
    while len(members) > 1 and fitted.misfits.sum() > chdtri(
        max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY
    ):
        candidates = list(_reduced(members, single_paths=body.radius_m > 0))
        fits = [_fit(scene, candidate, body, links, fitted) for candidate in candidates]
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
    scene: Scene,
    members: Sequence[Member],
    body: Body,
    links: Links,
    before: Estimate | None = None,
) -> Estimate:
    """The estimate of a cluster under one body, which points along its velocity.

    before: estimate of a cluster with more members, along whose velocity the body points;
    None: fitted first
    """
    reports = [member.used for member in members]
    if body.radius_m == 0:
        return estimate(scene, reports, None, links)

    # Without the full velocity there is no heading.
    if sum(len(report.paths) for report in reports) < scene.dimension:
        return replace(
            estimate(scene, reports, body_model(scene, reports, body, None), links), body=body
        )

    # The heading, then the body along it.
    if before is None:
        before = estimate(scene, reports, body_model(scene, reports, body, None), links)
    velocity = np.zeros(3)
    velocity[: scene.dimension] = before.velocity_mps
    return replace(
        estimate(scene, reports, body_model(scene, reports, body, velocity), links), body=body
    )


def detection_of(scene: Scene, cluster: Sequence[EchoReport], fitted: Estimate) -> Detection:
    """The detection of a cluster of reports and its estimate."""
    size = scene.dimension
    position = np.array([0.0, 0.0, scene.plane_height_m])
    position[:size] = fitted.position_m
    velocity = np.zeros(3)
    velocity[:size] = fitted.velocity_mps
    covariance = np.diag([scene.height_std_m**2] * 6)
    axes = STATE_AXES[size]
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
        links_of_reports(scene, cluster),
    )


def links_of_reports(scene: Scene, reports: Sequence[EchoReport]) -> tuple[Link, ...]:
    """The links of the paths of reports, in the scene's order of bands, receivers, transmitters."""
    bands = [view.band for view in scene.views]
    found = set()
    for report in reports:
        number = bands.index(report.band)
        view = scene.views[number]
        receiver = [site.name for site in view.receivers].index(report.receiver)
        found |= {(number, receiver, path.transmitter) for path in report.paths}
    return tuple(
        Link(
            scene.views[number].transmitters[transmitter].name,
            scene.views[number].receivers[receiver].name,
            bands[number],
        )
        for number, receiver, transmitter in sorted(found)
    )
