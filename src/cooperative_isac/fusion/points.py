"""Fusion of the reports of point targets, for all targets of a frame at once, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.body import POINT_STD_M
from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.fusion.estimate import Estimates, concatenated, estimate_all, in_space
from cooperative_isac.fusion.grouping import Groups, Grower
from cooperative_isac.fusion.paths_needed import paths_needed
from cooperative_isac.fusion.received import Received
from cooperative_isac.fusion.rejection import (
    SPEED_SIGMAS,
    Accepted,
    are_static,
    is_echo_of_other,
    is_located,
    is_possible,
    may_be_static,
)
from cooperative_isac.fusion.reports import Reports
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.limits import are_states
from cooperative_isac.scene.model import POINT_BODY, Scene
from cooperative_isac.scene.reflected import sensed_views
from cooperative_isac.scene.station import Link
from cooperative_isac.sensing.report import EchoReport, PathReport

# Probability with which a cluster without outliers passes the chi-square test of its misfit; where
# it fails, the worst report is rejected.
MISFIT_PROBABILITY = 0.99999

# Misfit that the rejection of a report must remove for each degree of freedom that it takes: three
# times the expected one, as for an outlier at three standard deviations in two degrees.
MISFIT_PER_DEGREE = 3.0

# Reports of a frame up to which groups grow one after another: with more, all neighborhoods in step
# are faster (benchmarks/fusion.py).
FEW_REPORTS = 48


def fuse_reports(
    scene: Scene, reports: Reports, received: Received | None = None
) -> tuple[Detection, ...]:
    """Detections of point targets from all reports of one frame, strongest first.

    Partial detections follow where receivers are missing; see fusion.fuse.

    scene: of one or several bands
    reports: of all stations
    received: stations and bands of the frame; None: all
    """
    received = Received() if received is None else received
    if not len(reports):
        return ()

    # Association and estimates.
    groups, found = point_groups(scene, reports)
    clusters = _Clusters(scene, reports, groups, found)
    is_candidate = clusters.is_target(received)

    # Clusters of several receivers first: those of one may be echoes of their targets.
    accepted: list[int] = []
    doubtful: list[int] = []
    for index in np.argsort(clusters.num_sites == 1, kind="stable").tolist():
        is_accepted = is_candidate[index]
        if is_accepted and clusters.num_sites[index] == 1:
            others = [clusters.accepted(other) for other in accepted]
            is_accepted = not is_echo_of_other(scene, clusters.members(index), others)
        (accepted if is_accepted else doubtful).append(index)
    accepted.sort()
    doubtful.sort()
    detections = tuple(clusters.detections[index] for index in accepted)
    if not received.is_incomplete(scene):
        return detections

    # Doubtful clusters, where packets are missing.
    partial = [
        replace(clusters.detections[index], num_paths=PARTIAL)
        for index in doubtful
        if clusters.is_valid[index]
        and clusters.is_possible[index]
        and is_located(scene, clusters.members(index))
    ]
    return (*detections, *partial)


def point_groups(scene: Scene, reports: Reports) -> tuple[Groups, Estimates]:
    """Groups of reports that agree on a point, with their estimates, the strongest first.

    Every report is in one group.

    scene: of one or several bands
    reports: of all stations
    """
    grower = Grower(reports, reports.information, POINT_STD_M)
    if len(reports) <= FEW_REPORTS:
        return _few_groups(scene, reports, grower)
    free = np.ones(len(reports), bool)
    parts: list[_Part] = []
    while free.any():
        # Outliers of a group are free for weaker ones.
        grown = grower.grow(free)
        seeds = grown.rows[np.searchsorted(grown.group, np.arange(grown.count))]
        kept, found = consistent(scene, reports, grown)
        free[kept.rows] = False
        parts.append(_Part(kept, found, grower.rank[seeds]))
    return _joined(parts)


def _few_groups(scene: Scene, reports: Reports, grower: Grower) -> tuple[Groups, Estimates]:
    """Groups of few reports: all grow, then all are estimated together.

    Up to the first group with an outlier the result is the same as one after another.
    """
    free = np.ones(len(reports), bool)
    parts: list[_Part] = []
    while free.any():
        # All groups, and their estimates.
        grown = grower.grow_in_turn(free)
        found = estimate_all(scene, reports.take(grown.rows), grown.group, grown.count)
        seeds = grown.rows[np.searchsorted(grown.group, np.arange(grown.count))]
        whole = _Part(grown, found, grower.rank[seeds])

        # Groups before the first one with an outlier are final.
        number = np.arange(grown.count)
        inconsistent = np.flatnonzero(_have_outliers(grown, found))
        first = int(inconsistent[0]) if len(inconsistent) else grown.count
        parts.append(whole.of(number < first))
        free[parts[-1].groups.rows] = False

        # Outliers of that one are free for weaker groups.
        if first < grown.count:
            one = whole.of(number == first)
            kept, refitted = consistent(scene, reports, one.groups)
            parts.append(_Part(kept, refitted, one.label))
            free[kept.rows] = False
    return _joined(parts)


def consistent(scene: Scene, reports: Reports, groups: Groups) -> tuple[Groups, Estimates]:
    """Groups without outlier reports, and their estimates as points.

    As long as the misfit of a group is beyond its gate, the report is rejected without which the
    misfit is least for its degrees of freedom.

    scene: of one or several bands
    reports: of all stations
    groups: of these reports
    """
    parts: list[_Part] = []
    label = np.arange(groups.count)
    while True:
        found = estimate_all(scene, reports.take(groups.rows), groups.group, groups.count)
        has_outlier = _have_outliers(groups, found)
        parts.append(_Part(groups, found, label).of(~has_outlier))
        if not has_outlier.any():
            return _joined(parts)

        # The others without their worst outlier.
        groups = _Part(groups, found, label).of(has_outlier).groups
        label = label[has_outlier]
        groups = _reduced(scene, reports, groups)


def _have_outliers(groups: Groups, found: Estimates) -> np.ndarray:
    """Mask of the groups with an outlier report, [num_groups], bool."""
    sizes = np.bincount(groups.group, minlength=groups.count)
    gates = chdtri(np.maximum(found.degrees, 1), 1 - MISFIT_PROBABILITY)
    return (sizes > 1) & (found.misfit > gates)


def _reduced(scene: Scene, reports: Reports, groups: Groups) -> Groups:
    """Each group without its worst outlier: the report whose rejection reduces the misfit most."""
    # One trial for each report in a group: the other members of its group.
    num_trials = len(groups.rows)
    members = [np.flatnonzero(groups.group == group) for group in range(groups.count)]
    kept = []
    for rejected, group in enumerate(groups.group):
        is_kept = members[group] != rejected
        kept.append(members[group][is_kept])

    # Estimates of all trials.
    trial = np.repeat(np.arange(num_trials), [len(own) for own in kept])
    rows = groups.rows[np.concatenate(kept)]
    tried = estimate_all(scene, reports.take(rows), trial, num_trials)
    scores = tried.misfit - MISFIT_PER_DEGREE * tried.degrees

    # Trial with the least score in each group, the first one of equal scores.
    by_group_and_score = np.lexsort((np.arange(num_trials), scores, groups.group))
    _, first_of_group = np.unique(groups.group[by_group_and_score], return_index=True)
    outliers = by_group_and_score[first_of_group]

    rows = np.delete(groups.rows, outliers)
    group = np.delete(groups.group, outliers)
    return Groups(rows, group)


@dataclass(frozen=True)
class _Part:
    """Some of the groups of a frame.

    groups: of reports
    found: their estimates
    label: [num_groups], int, by which all groups will be ordered
    """

    groups: Groups
    found: Estimates
    label: np.ndarray

    def of(self, chosen: np.ndarray) -> _Part:
        """Some of the groups.

        chosen: mask [num_groups], bool
        """
        # Their reports, and the groups numbered anew.
        rows = chosen[self.groups.group]
        number = np.cumsum(chosen) - 1
        group = number[self.groups.group[rows]]
        groups = Groups(self.groups.rows[rows], group)
        return _Part(groups, self.found.take(chosen, rows), self.label[chosen])


def _joined(parts: list[_Part]) -> tuple[Groups, Estimates]:
    """The groups of all parts, ordered by their labels, then in the order of the parts."""
    if len(parts) == 1 and np.all(np.diff(parts[0].label) > 0):
        return parts[0].groups, parts[0].found

    # Place of every group among all, by label.
    labels = np.concatenate([part.label for part in parts])
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))

    # Reports of all parts, each with the place of its group.
    groups = []
    num_before = 0
    for part in parts:
        groups.append(place[num_before + part.groups.group])
        num_before += part.groups.count
    group = np.concatenate(groups)
    reports = np.concatenate([part.groups.rows for part in parts])

    # Reports in the order of their groups.
    rows = np.argsort(group, kind="stable")
    found = concatenated([part.found for part in parts])
    return Groups(reports[rows], group[rows]), found.take(order, rows)


@dataclass(frozen=True)
class _States:
    """Estimates in three dimensions.

    position_m: [num_clusters, 3], float64, m, map
    velocity_mps: [num_clusters, 3], float64, m/s, map
    covariance: [num_clusters, 6, 6], float64, SI
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray


class _Clusters:
    """All groups of a frame as candidates for targets.

    scene: of one or several bands
    reports: of all stations
    groups: of these reports
    found: their estimates
    starts: [num_clusters + 1], int, first row in groups.rows of each cluster, and their number
    states: estimates in three dimensions
    num_sites: [num_clusters], int, stations that report the cluster
    is_valid: [num_clusters], bool, finite states with a positive definite covariance
    is_possible: [num_clusters], bool, of a possible speed
    """

    def __init__(self, scene: Scene, reports: Reports, groups: Groups, found: Estimates):
        self.scene = scene
        self.reports = reports
        self.groups = groups
        self.found = found
        self._accepted: dict[int, Accepted] = {}

        # Rows of each cluster: groups.group is sorted.
        self.starts = np.searchsorted(groups.group, np.arange(groups.count + 1))

        # States and detections, and the masks of those that can be targets.
        self.states = _states(scene, found)
        self.detections = self._detections()
        self.num_sites = np.array([len(detection.sites) for detection in self.detections])
        self.is_valid = are_states(
            self.states.position_m, self.states.velocity_mps, self.states.covariance
        )
        self.is_possible = self._possible()

    def members(self, index: int) -> list[EchoReport]:
        """Reports of a cluster as objects, each path with an equal share of the information."""
        rows = self.groups.rows[self.starts[index] : self.starts[index + 1]]
        return [self._report(int(row)) for row in rows]

    def accepted(self, index: int) -> Accepted:
        """A cluster as an accepted target."""
        if index not in self._accepted:
            members = self.members(index)
            self._accepted[index] = Accepted(members, self.detections[index], POINT_BODY)
        return self._accepted[index]

    def is_target(self, received: Received) -> np.ndarray:
        """Mask of the clusters that are targets or echoes of others, [num_clusters], bool.

        received: stations and bands of the frame
        """
        # Valid states with a possible speed that is not that of clutter.
        is_candidate = self.is_valid & self.is_possible
        is_candidate[is_candidate] = ~self._is_static(np.flatnonzero(is_candidate))

        # Enough paths, and a location.
        has_few_paths = self.found.num_paths < self._paths_needed(received)
        is_candidate &= ~has_few_paths
        is_underdetermined = self.found.num_paths < self.scene.dimension
        for index in np.flatnonzero(is_candidate & is_underdetermined):
            is_candidate[index] = is_located(self.scene, self.members(int(index)))
        return is_candidate

    def _detections(self) -> list[Detection]:
        """Detection of each cluster."""
        # Attributes of all clusters, as lists.
        snr = np.bincount(self.groups.group, self.reports.measured_snr[self.groups.rows])
        snr_db = (10 * np.log10(snr)).tolist()
        sites = self._sites()
        num_paths = self.found.num_paths.tolist()
        states = self.states
        links = self._links()
        return [
            Detection(
                states.position_m[index],
                states.velocity_mps[index],
                states.covariance[index],
                snr_db[index],
                sites[index],
                num_paths[index],
                links[index],
            )
            for index in range(self.groups.count)
        ]

    def _sites(self) -> list[tuple[str, ...]]:
        """Names of the stations of each cluster's reports."""
        # Mask of the stations of each cluster.
        groups = self.groups
        names = self.reports.links.stations
        station = self.reports.station[groups.rows]
        has_station = np.zeros((groups.count, len(names)), bool)
        has_station[groups.group, station] = True

        # Many clusters have the same stations: one tuple for each combination.
        combinations, place = np.unique(has_station, axis=0, return_inverse=True)
        sites = []
        for is_in in combinations:
            stations = np.flatnonzero(is_in)
            sites.append(tuple(names[index] for index in stations))
        return [sites[index] for index in place.ravel()]

    def _links(self) -> list[tuple[Link, ...]]:
        """Links of each cluster's paths, in the order of the scene."""
        paths = self.reports.take(self.groups.rows)
        names = self.reports.links.names

        num_links = len(names)

        # Distinct pairs of a cluster and a link, each as one number, in the order of clusters.
        cluster = self.groups.group[paths.owner]
        pairs = np.unique(num_links * cluster + paths.link)
        links = (pairs % num_links).tolist()

        # Links of each cluster, from the first of its pairs to that of the next cluster.
        clusters = np.arange(self.groups.count + 1)
        first_pairs = num_links * clusters
        bounds = np.searchsorted(pairs, first_pairs).tolist()
        of_clusters = [links[begin:end] for begin, end in pairwise(bounds)]
        # Paths of one link by way of several surfaces count once.
        return [tuple(dict.fromkeys(names[link] for link in own)) for own in of_clusters]

    def _possible(self) -> np.ndarray:
        """Mask of the clusters with a possible speed, [num_clusters] (rejection.is_possible)."""
        # Speed, within the largest standard deviation in any direction.
        limit_mps = self.scene.sensing.max_speed_mps
        speeds_mps = np.linalg.norm(self.states.velocity_mps, axis=1)
        valid = self.is_valid
        of_velocities = self.states.covariance[valid][:, 3:, 3:]
        variances = np.linalg.eigvalsh(of_velocities)[:, -1]
        limits_mps = limit_mps + SPEED_SIGMAS * np.sqrt(variances)
        possible = np.zeros(len(speeds_mps), bool)
        possible[valid] = speeds_mps[valid] <= limits_mps

        # Clusters without a full velocity one by one.
        is_underdetermined = self.found.num_paths < self.scene.dimension
        for index in np.flatnonzero(valid & is_underdetermined):
            possible[index] = is_possible(self.scene, self.detections[int(index)])
        return possible

    def _is_static(self, indices: np.ndarray) -> np.ndarray:
        """Mask of the clusters that may be static clutter (rejection.is_static).

        indices: [num], int, of the clusters
        Returns [num], bool.
        """
        limit_mps = self.scene.sensing.min_speed_mps
        if limit_mps == 0:
            return np.zeros(len(indices), bool)

        # Clusters of several receivers by their velocity.
        size = self.scene.dimension
        velocities_mps = self.found.velocity_mps[indices]
        covariances = self.found.covariance[indices][:, size:, size:]
        static = are_static(self.scene, velocities_mps, covariances)

        # Those of one receiver by their Doppler shifts.
        for place in np.flatnonzero(self.num_sites[indices] == 1):
            members = self.members(int(indices[place]))
            static[place] = all(may_be_static(self.scene, one, limit_mps) for one in members)
        return static

    def _paths_needed(self, received: Received) -> np.ndarray:
        """Number of paths that each cluster needs, [num_clusters] (fusion.paths_needed)."""
        # Mean locations of the reports.
        rows = self.groups.rows
        counts = np.diff(self.starts)
        middle = np.column_stack(
            [np.bincount(self.groups.group, axis[rows]) / counts for axis in self.reports.point_m.T]
        )
        return paths_needed(self.scene, middle, received)

    def _report(self, row: int) -> EchoReport:
        """One report as an object.

        row: index of the report
        """
        # Its paths, band and station.
        reports = self.reports
        links = reports.links
        own = slice(*np.searchsorted(reports.owner, [row, row + 1]))
        first = reports.link[own.start]
        view = sensed_views(self.scene)[links.view[first]]
        station = links.stations[links.receiver[first]]

        # Paths with transmitters counted within the band, and equal shares of the information.
        share = reports.information[row] / (own.stop - own.start)
        offset = links.first[view.band, station, view.surface]
        paths = tuple(
            PathReport(int(link) - offset, float(shift), float(snr), share, float(loss))
            for link, shift, snr, loss in zip(
                reports.link[own],
                reports.doppler_hz[own],
                reports.snr[own],
                reports.snr_loss[own],
            )
        )
        return EchoReport(station, reports.point_m[row], paths, view.band, view.surface)


def _states(scene: Scene, found: Estimates) -> _States:
    """Estimates in three dimensions; in a plane with the height and its accuracy of the scene."""
    position_m, velocity_mps = in_space(scene, found)
    of_height = np.diag([scene.height_std_m**2] * 6)
    covariance = np.tile(of_height, (len(position_m), 1, 1))
    axes = STATE_AXES[scene.dimension]
    covariance[:, axes[:, None], axes] = found.covariance
    return _States(position_m, velocity_mps, covariance)
