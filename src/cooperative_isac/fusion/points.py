"""Fusion of the reports of point targets: all targets of a frame at once, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import chdtri

from cooperative_isac.fusion.detection import PARTIAL, Detection
from cooperative_isac.fusion.estimate import Estimates, concatenated, estimate_all
from cooperative_isac.fusion.grouping import POINT_STD_M, Groups, Grower
from cooperative_isac.fusion.rejection import (
    EDGE_M,
    SPEED_SIGMAS,
    STATIC_PROBABILITY,
    Accepted,
    Received,
    distances_to_ball,
    is_echo_of_other,
    is_located,
    is_possible,
    may_be_static,
)
from cooperative_isac.fusion.reports import Reports
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.limits import are_states
from cooperative_isac.scene.model import POINT_BODY, Scene, Site
from cooperative_isac.scene.station import Link
from cooperative_isac.sensing.report import EchoReport, PathReport

# Of a cluster whose reports are of one target: beyond it, the one that contradicts the rest goes.
MISFIT_PROBABILITY = 0.99999
# Which of several reports goes first: one that takes more degrees of freedom must explain more of
# the misfit. Three times the expected misfit of a degree, as for an outlier at three standard
# deviations per two degrees.
MISFIT_PER_DEGREE = 3.0
# Reports of a frame up to which groups are grown in turn: beyond, growing all neighborhoods in step
# is faster (benchmarks/fusion.py).
FEW_REPORTS = 48


def fuse_reports(
    scene: Scene, reports: Reports, heard: Received | None = None
) -> tuple[Detection, ...]:
    """Detections of point targets from all reports of one frame, strongest first.

    Partial detections follow where receivers are missing; see fusion.fuse.

    heard: what was heard in the frame; None: all stations on all bands
    """
    heard = Received() if heard is None else heard
    if not len(reports):
        return ()
    groups, found = point_groups(scene, reports)
    clusters = _Clusters(scene, reports, groups, found)
    is_clear = clusters.is_target(heard)

    # Echoes of other targets are of one receiver alone: those of several come first.
    accepted: list[int] = []
    doubtful: list[int] = []
    for index in np.argsort(clusters.num_sites == 1, kind="stable").tolist():
        is_accepted = is_clear[index]
        if is_accepted and clusters.num_sites[index] == 1:
            others = [clusters.accepted(other) for other in accepted]
            is_accepted = not is_echo_of_other(scene, clusters.members(index), others)
        (accepted if is_accepted else doubtful).append(index)
    accepted.sort()
    doubtful.sort()
    detections = tuple(clusters.detections[index] for index in accepted)
    if not heard.is_incomplete(scene):
        return detections

    partial = [
        replace(clusters.detections[index], num_paths=PARTIAL)
        for index in doubtful
        if clusters.is_valid[index]
        and clusters.is_possible[index]
        and is_located(scene, clusters.members(index))
    ]
    return (*detections, *partial)


def point_groups(scene: Scene, reports: Reports) -> tuple[Groups, Estimates]:
    """Reports that agree on a point, and its estimate, the strongest first.

    Every report is in one group.
    """
    grower = Grower(reports, reports.information, POINT_STD_M)
    if len(reports) <= FEW_REPORTS:
        return _few_groups(scene, reports, grower)
    free = np.ones(len(reports), bool)
    parts: list[_Part] = []
    while free.any():
        # What contradicts the rest is free for weaker groups.
        grown = grower.grow(free)
        seeds = grown.rows[np.searchsorted(grown.group, np.arange(grown.count))]
        kept, found = consistent(scene, reports, grown)
        free[kept.rows] = False
        parts.append(_Part(kept, found, grower.rank[seeds]))
    return _joined(parts)


def _few_groups(scene: Scene, reports: Reports, grower: Grower) -> tuple[Groups, Estimates]:
    """The groups of few reports: all are grown, then estimated together.

    Up to the first group that is contradicted they are as if they had been estimated in turn.
    """
    free = np.ones(len(reports), bool)
    parts: list[_Part] = []
    while free.any():
        # All groups, and their estimates.
        grown = grower.grow_in_turn(free)
        found = estimate_all(scene, reports.take(grown.rows), grown.group, grown.count)
        seeds = grown.rows[np.searchsorted(grown.group, np.arange(grown.count))]
        whole = _Part(grown, found, grower.rank[seeds])

        # Those before the first that is contradicted stay.
        number = np.arange(grown.count)
        contradicted = np.flatnonzero(_are_contradicted(grown, found))
        first = int(contradicted[0]) if len(contradicted) else grown.count
        parts.append(whole.of(number < first))
        free[parts[-1].groups.rows] = False

        # What contradicts the rest of that one is free for weaker groups.
        if first < grown.count:
            one = whole.of(number == first)
            kept, refitted = consistent(scene, reports, one.groups)
            parts.append(_Part(kept, refitted, one.label))
            free[kept.rows] = False
    return _joined(parts)


def consistent(scene: Scene, reports: Reports, groups: Groups) -> tuple[Groups, Estimates]:
    """Groups without the reports that contradict the rest, and their estimates as points.

    As long as the misfit of a group is beyond its gate, the report goes without which the misfit is
    least for its degrees of freedom.
    """
    parts: list[_Part] = []
    label = np.arange(groups.count)
    while True:
        found = estimate_all(scene, reports.take(groups.rows), groups.group, groups.count)
        spoiled = _are_contradicted(groups, found)
        parts.append(_Part(groups, found, label).of(~spoiled))
        if not spoiled.any():
            return _joined(parts)

        # The others without the report that contradicts them most.
        groups = _Part(groups, found, label).of(spoiled).groups
        label = label[spoiled]
        groups = _reduced(scene, reports, groups)


def _are_contradicted(groups: Groups, found: Estimates) -> np.ndarray:
    """Which groups have a report that contradicts the rest, [count], bool."""
    sizes = np.bincount(groups.group, minlength=groups.count)
    gates = chdtri(np.maximum(found.degrees, 1), 1 - MISFIT_PROBABILITY)
    return (sizes > 1) & (found.misfit > gates)


def _reduced(scene: Scene, reports: Reports, groups: Groups) -> Groups:
    """Each group without the report whose absence explains most."""
    # Every group without each of its members in turn.
    places = np.arange(len(groups.rows))
    members = [np.flatnonzero(groups.group == group) for group in range(groups.count)]
    kept = [members[group][members[group] != place] for place, group in enumerate(groups.group)]
    trial = np.repeat(places, [len(own) for own in kept])
    rows = groups.rows[np.concatenate(kept)]
    tried = estimate_all(scene, reports.take(rows), trial, len(places))
    scores = tried.misfit - MISFIT_PER_DEGREE * tried.degrees

    # The best of them.
    order = np.lexsort((places, scores, groups.group))
    _, first = np.unique(groups.group[order], return_index=True)
    left = np.delete(places, order[first])
    return Groups(groups.rows[left], groups.group[left])


@dataclass(frozen=True)
class _Part:
    """Some of the groups of a frame.

    label: [count], int, by which all groups will be ordered
    """

    groups: Groups
    found: Estimates
    label: np.ndarray

    def of(self, chosen: np.ndarray) -> _Part:
        """Some of the groups, [count], bool."""
        rows = chosen[self.groups.group]
        number = np.cumsum(chosen) - 1
        groups = Groups(self.groups.rows[rows], number[self.groups.group[rows]])
        return _Part(groups, self.found.take(chosen, rows), self.label[chosen])


def _joined(parts: list[_Part]) -> tuple[Groups, Estimates]:
    """The groups of all parts by their labels; of one label, in the order of the parts."""
    if len(parts) == 1 and np.all(np.diff(parts[0].label) > 0):
        return parts[0].groups, parts[0].found

    # The place of every group among all, by label.
    labels = np.concatenate([part.label for part in parts])
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))

    # The reports of all parts, each with the place of its group.
    groups = []
    num_before = 0
    for part in parts:
        groups.append(place[num_before + part.groups.group])
        num_before += part.groups.count
    group = np.concatenate(groups)
    reports = np.concatenate([part.groups.rows for part in parts])

    # Reports follow their groups.
    rows = np.argsort(group, kind="stable")
    found = concatenated([part.found for part in parts])
    return Groups(reports[rows], group[rows]), found.take(order, rows)


@dataclass(frozen=True)
class _States:
    """Estimates in three dimensions.

    position_m, velocity_mps: [c, 3], float64
    covariance: [c, 6, 6], float64
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray


class _Clusters:
    """All groups of a frame as candidates for targets."""

    def __init__(self, scene: Scene, reports: Reports, groups: Groups, found: Estimates):
        self.scene = scene
        self.reports = reports
        self.groups = groups
        self.found = found
        self.starts = np.searchsorted(groups.group, np.arange(groups.count + 1))
        self.states = _states(scene, found)
        self._accepted: dict[int, Accepted] = {}
        self.detections = self._detections()
        self.num_sites = np.array([len(one.sites) for one in self.detections])
        self.is_valid = are_states(
            self.states.position_m, self.states.velocity_mps, self.states.covariance
        )
        self.is_possible = self._possible()

    def members(self, index: int) -> list[EchoReport]:
        """The reports of a cluster as objects, each path with an equal share of the information."""
        rows = self.groups.rows[self.starts[index] : self.starts[index + 1]]
        return [self._report(int(row)) for row in rows]

    def accepted(self, index: int) -> Accepted:
        """A cluster as a target."""
        if index not in self._accepted:
            members = self.members(index)
            self._accepted[index] = Accepted(members, self.detections[index], POINT_BODY)
        return self._accepted[index]

    def is_target(self, heard: Received) -> np.ndarray:
        """Which clusters are targets, unless they are echoes of others, [c], bool."""
        fit = self.is_valid & self.is_possible
        fit[fit] = ~self._is_static(np.flatnonzero(fit))
        few = self.found.num_paths < self._paths_needed(heard)
        fit &= ~few
        for index in np.flatnonzero(fit & (self.found.num_paths < self.scene.dimension)):
            fit[index] = is_located(self.scene, self.members(int(index)))
        return fit

    def _detections(self) -> list[Detection]:
        """The detection of each cluster."""
        power = np.bincount(self.groups.group, self.reports.power[self.groups.rows])
        snr_db = (10 * np.log10(power)).tolist()
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
        """Names of the stations that support each cluster; clusters often have the same ones."""
        names = self.reports.links.stations
        supports = np.zeros((self.groups.count, len(names)), bool)
        supports[self.groups.group, self.reports.station[self.groups.rows]] = True
        kinds, kind = np.unique(supports, axis=0, return_inverse=True)
        known = [tuple(names[own] for own in np.flatnonzero(row)) for row in kinds]
        return [known[index] for index in kind.ravel()]

    def _links(self) -> list[tuple[Link, ...]]:
        """The links of each cluster's paths, in their order."""
        paths = self.reports.take(self.groups.rows)
        names = self.reports.links.names
        pairs = np.unique(len(names) * self.groups.group[paths.owner] + paths.link)
        firsts = len(names) * np.arange(self.groups.count + 1)
        bounds = np.searchsorted(pairs, firsts).tolist()
        numbers = (pairs % len(names)).tolist()
        return [
            tuple(names[number] for number in numbers[first:end]) for first, end in pairwise(bounds)
        ]

    def _possible(self) -> np.ndarray:
        """Which clusters a target of the scene can be as fast as, [c], bool."""
        limit = self.scene.sensing.max_speed_mps
        speed = np.linalg.norm(self.states.velocity_mps, axis=1)
        possible = np.zeros(len(speed), bool)
        sound = self.is_valid
        widest = np.linalg.eigvalsh(self.states.covariance[sound][:, 3:, 3:])[:, -1]
        possible[sound] = speed[sound] <= limit + SPEED_SIGMAS * np.sqrt(widest)
        for index in np.flatnonzero(sound & (self.found.num_paths < self.scene.dimension)):
            possible[index] = is_possible(self.scene, self.detections[int(index)])
        return possible

    def _is_static(self, indices: np.ndarray) -> np.ndarray:
        """Whether clusters may be clutter, which is slower than the scene's minimum speed, [k]."""
        limit = self.scene.sensing.min_speed_mps
        if limit == 0:
            return np.zeros(len(indices), bool)
        size = self.scene.dimension
        gate = chdtri(size, 1 - STATIC_PROBABILITY)
        velocities = self.found.velocity_mps[indices]
        covariances = self.found.covariance[indices][:, size:, size:]

        static = distances_to_ball(velocities, covariances, limit) < gate
        for place in np.flatnonzero(self.num_sites[indices] == 1):
            members = self.members(int(indices[place]))
            static[place] = all(may_be_static(self.scene, one, limit) for one in members)
        return static

    def _paths_needed(self, heard: Received) -> np.ndarray:
        """Number of paths that a target at each cluster's place needs (rejection.paths_needed)."""
        scene = self.scene
        size = scene.dimension
        rows = self.groups.rows
        counts = np.diff(self.starts)
        middle = np.column_stack(
            [np.bincount(self.groups.group, axis[rows]) / counts for axis in self.reports.point_m.T]
        )
        middle[:, :size] = np.clip(
            middle[:, :size], scene.box.low_m[:size], scene.box.high_m[:size]
        )

        # Links whose arrays both have the place on their front side.
        num_links = np.zeros(len(middle))
        for view in scene.views:
            if not heard.has_band(view.band):
                continue
            transmits = _facing(view.transmitters, middle)
            for site in view.receivers:
                if heard.has_station(site.name):
                    linked = list(view.linked_transmitters(site.name))
                    num_links += _facing((site,), middle)[0] * transmits[linked].sum(axis=0)
        return np.where(num_links >= size, size, 1)

    def _report(self, row: int) -> EchoReport:
        """One report as an object."""
        reports = self.reports
        links = reports.links
        own = slice(*np.searchsorted(reports.owner, [row, row + 1]))
        first = reports.link[own.start]
        view = self.scene.views[links.view[first]]
        station = links.stations[links.receiver[first]]
        share = reports.information[row] / (own.stop - own.start)
        offset = links.first[view.band, station]
        paths = tuple(
            PathReport(int(link) - offset, float(shift), float(snr), share)
            for link, shift, snr in zip(
                reports.link[own], reports.doppler_hz[own], reports.snr[own]
            )
        )
        return EchoReport(station, reports.point_m[row], paths, view.band)


def _states(scene: Scene, found: Estimates) -> _States:
    """Estimates in three dimensions; in a plane with the height and accuracy of the scene."""
    size = scene.dimension
    count = len(found.position_m)
    position = np.tile([0.0, 0.0, scene.plane_height_m], (count, 1))
    velocity = np.zeros((count, 3))
    position[:, :size] = found.position_m
    velocity[:, :size] = found.velocity_mps
    covariance = np.tile(np.diag([scene.height_std_m**2] * 6), (count, 1, 1))
    axes = STATE_AXES[size]
    covariance[:, axes[:, None], axes] = found.covariance
    return _States(position, velocity, covariance)


def _facing(sites: tuple[Site, ...], points_m: np.ndarray) -> np.ndarray:
    """Whether places are on the front sides of arrays, [num_sites, num_points], bool."""
    boresights = np.array([site.boresight for site in sites]).reshape(-1, 3)
    places = np.array([site.position_m for site in sites]).reshape(-1, 3)
    return boresights @ points_m.T - np.sum(boresights * places, axis=1)[:, None] >= -EDGE_M
