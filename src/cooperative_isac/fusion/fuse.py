"""Fusion of the reports of several stations: association, estimation, rejection."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import (
    POINT_STD_M,
    body_model,
    distinct_bodies,
    limited_by_multipath,
    limited_reports,
)
from cooperative_isac.fusion.detection import PARTIAL, Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate, estimate, in_space
from cooperative_isac.fusion.grouping import Grower
from cooperative_isac.fusion.points import (
    MISFIT_PER_DEGREE,
    MISFIT_PROBABILITY,
    fuse_reports,
    point_groups,
)
from cooperative_isac.fusion.received import Received
from cooperative_isac.fusion.rejection import (
    Accepted,
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

# Standard deviation of reports of one body from each other, over its longest side, before its shape
# is fitted.
GROWTH_SPREAD = 0.3

# Cost of a rejected path in the choice of a body, minus twice the log-likelihood: that of a path at
# 3.5 standard deviations.
OUTLIER_COST = 12.0

# Cost of a body that does not belong to the estimated height: more than any likelihood gains.
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

    Where receivers are missing, doubtful clusters of the others follow as partial detections; the
    tracker decides by its tracks which of them are of targets.

    scene: of one or several bands
    reports: of all receivers
    receivers: names of those whose reports arrived, even without a target; None: all
    bands: names of those that the frame contains; None: all
    without_reports: names of the receivers whose packets arrived, but contain no reports
    links: links of the scene; None: computed here
    """
    received = Received(receivers, bands, without_reports)
    if not scene.has_bodies:
        limited = limited_reports(scene, reports)
        return fuse_reports(scene, reports_of(scene, limited, links), received)

    # Targets, strongest first.
    accepted: list[Accepted] = []
    doubtful: list[tuple[list[EchoReport], Detection]] = []
    for cluster, fitted in clusters(scene, reports, links):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted, received):
            accepted.append(Accepted(cluster, detection, fitted.body))
        else:
            doubtful.append((cluster, detection))
    detections = tuple(item.detection for item in accepted)
    if not received.is_incomplete(scene):
        return detections

    # Doubtful clusters, where packets are missing.
    partial = [
        replace(detection, num_paths=PARTIAL)
        for cluster, detection in doubtful
        if is_part_of_target(scene, cluster, detection, accepted)
    ]
    return (*detections, *partial)


def is_part_of_target(
    scene: Scene, cluster: Sequence[EchoReport], detection: Detection, accepted: Sequence[Accepted]
) -> bool:
    """True where a doubtful cluster may be a target without the reports of some receivers.

    Its Doppler shifts may be as of clutter or of another target, and its paths few, but they
    determine a location.

    scene: of one or several bands
    cluster: its reports
    detection: of the cluster
    accepted: targets of the frame
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
    received: Received | None = None,
) -> bool:
    """True where a cluster is a further target, beside those that are accepted already.

    Rejected are ghosts, static clutter, impossible speeds, parts of bodies detected already, and
    invalid estimates.

    scene: of one or several bands
    cluster: its reports
    fitted: estimate of the cluster
    detection: of the cluster
    accepted: stronger targets of the frame
    received: stations and bands of the frame; None: all
    """
    if detection_problem(detection) is not None:
        return False
    if is_static(scene, cluster, fitted) or not is_possible(scene, detection):
        return False
    if is_ghost(scene, cluster, accepted, received):
        return False
    return not any(is_part_of_body(scene, cluster, detection, other) for other in accepted)


def clusters(
    scene: Scene, reports: Sequence[EchoReport], links: Links | None = None
) -> Iterator[tuple[list[EchoReport], Estimate]]:
    """Clusters of reports that may be of one target, and the target's estimate, strongest first.

    A cluster grows from the strongest free report by the statistically nearest report of every
    other link. Where targets have bodies, the likeliest of the scene's bodies is fitted. Outliers
    of a cluster are free for weaker ones.

    scene: of one or several bands
    reports: of all receivers
    links: links of the scene; None: computed here
    """
    if not reports:
        return

    # Point targets.
    links = links_of(scene) if links is None else links
    arrays = reports_of(scene, reports, links)
    largest = distinct_bodies(scene)[-1]
    if largest.radius_m == 0:
        groups, found = point_groups(scene, arrays)
        for index in range(groups.count):
            yield [reports[row] for row in groups.of(index)], found.of(index, groups)
        return

    # Association of reports of bodies, which are spread over their sides.
    information = _limited_information(scene, arrays, reports)
    spread_m = float(np.hypot(POINT_STD_M, GROWTH_SPREAD * largest.size_m.max()))
    grower = Grower(arrays, information, spread_m)
    ranked: list[tuple[int, list[EchoReport], Estimate]] = []
    free = np.ones(len(reports), bool)
    while free.any():
        groups = grower.grow(free)

        # The likeliest body of each group, without outliers.
        for index in range(groups.count):
            rows = groups.of(index)
            members, fitted = fit_body(scene, [reports[row] for row in rows], links)

            # Its members are taken; they are compared as objects, because they contain arrays.
            kept = {id(member.report) for member in members}
            free[[row for row in rows if id(reports[row]) in kept]] = False
            rank = int(grower.rank[rows[0]])
            ranked.append((rank, [member.used for member in members], fitted))

    # By the rank of their first reports.
    ranked.sort(key=lambda item: item[0])
    for _, cluster, fitted in ranked:
        yield cluster, fitted


def _limited_information(
    scene: Scene, arrays: Reports, reports: Sequence[EchoReport]
) -> np.ndarray:
    """Information of reports with their SNR limited by multipath, [num_reports, D, D], 1/m^2."""
    # Information of each path, in proportion to its SNR.
    paths = [path for report in reports for path in report.paths]
    information = np.array([path.information for path in paths])
    shares = limited_by_multipath(scene, arrays.snr) / arrays.snr
    limited = information * shares[:, None, None]

    # Sum over the paths of each report.
    first_paths = np.searchsorted(arrays.owner, np.arange(len(arrays)))
    return np.add.reduceat(limited, first_paths)


def fit_body(
    scene: Scene, reports: Sequence[EchoReport], links: Links | None = None
) -> tuple[list[Member], Estimate]:
    """Fit of the likeliest body to reports: its members without outliers, and its estimate.

    scene: of one or several bands
    reports: that may be of one body
    links: links of the scene; None: computed here
    """
    # A hypothesis for each of the scene's bodies.
    links = links_of(scene) if links is None else links
    hypotheses = [_consistent(scene, reports, body, links) for body in distinct_bodies(scene)]
    return min(hypotheses, key=lambda found: _cost(scene, *found))


def _cost(scene: Scene, members: Sequence[Member], fitted: Estimate) -> float:
    """Minus twice the log-likelihood of a body, with costs of outliers and of a wrong height."""
    # A path that is used saves the cost of its rejection.
    num_paths = sum(len(member.used.paths) for member in members)
    cost = float(fitted.misfits.sum() + fitted.log_det) - OUTLIER_COST * num_paths

    # Bodies of the class at the estimated height.
    if scene.dimension == 3:
        is_flying = fitted.position_m[2] > scene.tracking.uav_height_m
        expected = TargetClass.UAV if is_flying else TargetClass.VEHICLE
        allowed_m = [scene.body(expected).radius_m]

        # A body of unknown class may be at any height, where the scene gives it a size.
        unknown_m = scene.body(TargetClass.UNKNOWN).radius_m
        if unknown_m > 0:
            allowed_m.append(unknown_m)
        if fitted.body.radius_m not in allowed_m:
            cost += HEIGHT_COST
    return cost


@dataclass(frozen=True)
class Member:
    """Report of a cluster without its outlier paths.

    report: with all paths
    used: with the paths that agree with the cluster
    """

    report: EchoReport
    used: EchoReport


def _consistent(
    scene: Scene, cluster: Sequence[EchoReport], body: Body, links: Links
) -> tuple[list[Member], Estimate]:
    """A cluster without outliers: reports or, of a body, single paths."""
    members = [Member(report, report) for report in cluster]
    fitted = _fit(scene, members, body, links)
    while len(members) > 1:
        gate = chdtri(max(fitted.degrees, 1), 1 - MISFIT_PROBABILITY)
        if not fitted.misfits.sum() > gate:
            break

        # Without the report or path whose rejection reduces the misfit most.
        candidates = list(_reduced(members, single_paths=body.radius_m > 0))
        fits = [_fit(scene, candidate, body, links, fitted) for candidate in candidates]
        scores = [fit.misfits.sum() - MISFIT_PER_DEGREE * fit.degrees for fit in fits]
        best = int(np.argmin(scores))
        members = candidates[best]
        fitted = fits[best]
    return members, fitted


def _reduced(members: Sequence[Member], single_paths: bool) -> Iterator[list[Member]]:
    """Clusters with one report less, or with one path less of a report that has several."""
    for index, member in enumerate(members):
        before = members[:index]
        after = members[index + 1 :]
        yield [*before, *after]
        if not single_paths or len(member.used.paths) == 1:
            continue

        # Each of its paths left out.
        for rejected in member.used.paths:
            paths = tuple(path for path in member.used.paths if path is not rejected)
            reduced = Member(member.report, replace(member.used, paths=paths))
            yield [*before, reduced, *after]


def _fit(
    scene: Scene,
    members: Sequence[Member],
    body: Body,
    links: Links,
    before: Estimate | None = None,
) -> Estimate:
    """Estimate of a cluster of one body, whose length is parallel to its velocity.

    before: estimate of a cluster with more members, whose velocity gives the heading; None: it is
        estimated first, without a heading
    """
    reports = [member.used for member in members]
    if body.radius_m == 0:
        return estimate(scene, reports, None, links)

    # Too few paths for a full velocity: any heading.
    num_paths = sum(len(report.paths) for report in reports)
    if num_paths < scene.dimension:
        any_heading = body_model(scene, reports, body, None)
        return replace(estimate(scene, reports, any_heading, links), body=body)

    # The heading.
    if before is None:
        any_heading = body_model(scene, reports, body, None)
        before = estimate(scene, reports, any_heading, links)
    _, velocity_mps = in_space(scene, before)

    # The body in this direction.
    model = body_model(scene, reports, body, velocity_mps)
    return replace(estimate(scene, reports, model, links), body=body)


def detection_of(scene: Scene, cluster: Sequence[EchoReport], fitted: Estimate) -> Detection:
    """Detection of a cluster of reports.

    scene: of one or several bands
    cluster: its reports
    fitted: its estimate
    """
    # State in space; in a plane the height and its accuracy are those of the scene.
    position_m, velocity_mps = in_space(scene, fitted)
    covariance = np.diag([scene.height_std_m**2] * 6)
    axes = STATE_AXES[scene.dimension]
    covariance[np.ix_(axes, axes)] = fitted.covariance

    snr = sum(report.snr for report in cluster)
    return Detection(
        position_m=position_m,
        velocity_mps=velocity_mps,
        covariance=covariance,
        snr_db=float(10 * np.log10(snr)),
        sites=tuple(sorted({report.receiver for report in cluster})),
        num_paths=sum(len(report.paths) for report in cluster),
        links=links_of_reports(scene, cluster),
    )


def links_of_reports(scene: Scene, reports: Sequence[EchoReport]) -> tuple[Link, ...]:
    """The links of the paths of reports, in the scene's order of bands, receivers, transmitters.

    scene: of one or several bands
    reports: of one target
    """
    # Indices of band, receiver and transmitter.
    bands = [view.band for view in scene.views]
    found = set()
    for report in reports:
        number = bands.index(report.band)
        view = scene.views[number]
        receiver = [site.name for site in view.receivers].index(report.receiver)
        found |= {(number, receiver, path.transmitter) for path in report.paths}

    # Their names.
    return tuple(
        Link(
            scene.views[number].transmitters[transmitter].name,
            scene.views[number].receivers[receiver].name,
            bands[number],
        )
        for number, receiver, transmitter in sorted(found)
    )
