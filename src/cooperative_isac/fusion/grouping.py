"""Association of reports: groups that may be of one target, for all targets of a frame.

A group grows from the strongest free report by the statistically nearest report that shares no link
with it, until none is within the gate. Weaker groups grow from the remaining reports. Reports that
are far apart cannot be in one group: they are divided into neighborhoods, and the groups of all
neighborhoods grow in step, as arrays. Few reports are grouped one group after another, because
arrays of a few groups cost as much time as those of a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.special import chdtri

from cooperative_isac.fusion.reports import Reports

# Probability with which a report of a target falls into the gate of its group.
GATE_PROBABILITY = 0.9999

# Distance of reports up to which they are in one neighborhood, over the gate of a single report: a
# group whose center stays within the gate of a member has no report of another one in its own. Such
# a report is at most 1 + sqrt(2) gates from the member; the rest is a margin.
NEIGHBORHOOD_REACH = 4.0

# Least eigenvalue of an information matrix over its largest one: below it the inverse is rounding
# error, and its trace can be negative.
LEAST_CONDITION = 1e-12
# Least eigenvalue, 1/m^2: that of a standard deviation of 1000 km, which no scene has.
LEAST_INFORMATION = 1e-12


@dataclass(frozen=True)
class Groups:
    """Groups of reports.

    rows: [num_members], int, indices of the reports in groups, those of a group in the order in
        which they were added
    group: [num_members], int, group of each, rising
    """

    rows: np.ndarray
    group: np.ndarray

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.group[-1]) + 1 if len(self.group) else 0

    def of(self, index: int) -> np.ndarray:
        """Indices of the reports of one group, [num_reports], int."""
        first, end = np.searchsorted(self.group, [index, index + 1])
        return self.rows[first:end]


@dataclass
class _Growing:
    """One growing group in each neighborhood.

    information: [num_neighborhoods, D, D], float64, 1/m^2, of the location, all members together
    weighted: [num_neighborhoods, D], float64, 1/m, the same times the location
    is_open: [num_neighborhoods], bool, True while the group may grow
    members: neighborhoods and reports that were added, round by round
    """

    information: np.ndarray
    weighted: np.ndarray
    is_open: np.ndarray
    members: list[tuple[np.ndarray, np.ndarray]]


class Grower:
    """Association of the free reports of one frame to groups.

    reports: of all stations
    information: [num_reports, D, D], float64, 1/m^2, of each report in gates
    spread_m: standard deviation of reports of one target beside their noise, m
    """

    def __init__(self, reports: Reports, information: np.ndarray, spread_m: float):
        size = information.shape[-1]
        self.reports = reports
        self.information = information
        self.points = reports.point_m[:, :size]
        self.weighted = np.einsum("nij,nj->ni", information, self.points)
        self.gate = chdtri(size, 1 - GATE_PROBABILITY)

        # Rank by power, the strongest first.
        order = np.argsort(-reports.power, kind="stable")
        self.rank = np.empty(len(reports), int)
        self.rank[order] = np.arange(len(reports))

        # Gates, of a radius that the trace bounds: it is no less than the largest eigenvalue.
        noise = _covariances(information)
        self.covariance = noise + spread_m**2 * np.eye(size)
        self.reach_m = np.sqrt(self.gate * np.trace(self.covariance, axis1=1, axis2=2))

    @cached_property
    def neighborhood(self) -> np.ndarray:
        """Neighborhood of each report, [num_reports], int."""
        return neighborhoods(self.points, self.reach_m)

    def grow_in_turn(self, free: np.ndarray) -> Groups:
        """All groups of the free reports, one after another, the strongest first.

        free: mask [num_reports], bool
        """
        # Links of each report as bits, and the free reports by rank.
        reports = self.reports
        links = [0] * len(reports)
        for owner, link in zip(reports.owner.tolist(), reports.link.tolist()):
            links[owner] |= 1 << link
        remaining = np.flatnonzero(free)
        remaining = remaining[np.argsort(self.rank[remaining])].tolist()

        groups = []
        while remaining:
            group = self._grown_from(remaining.pop(0), remaining, links)
            remaining = [row for row in remaining if row not in group]
            groups.append(group)
        sizes = [len(group) for group in groups]
        rows = [row for group in groups for row in group]
        return Groups(np.array(rows, int), np.repeat(np.arange(len(groups)), sizes))

    def _grown_from(self, seed: int, candidates: Sequence[int], links: Sequence[int]) -> list[int]:
        """The group of one report, in the order in which others are added.

        seed: index of its first report
        candidates: indices of the reports that may be added, the strongest first
        links: links of each report as bits
        """
        group = [seed]
        taken = links[seed]
        information = self.information[seed]
        weighted = self.weighted[seed]
        while True:
            # A target has one path between a transmitter and a receiver.
            compatible = [row for row in candidates if not links[row] & taken]
            if not compatible:
                return group

            # Squared Mahalanobis distances between the locations of reports and of the group.
            noise = np.linalg.inv(information)
            differences_m = self.points[compatible] - noise @ weighted
            covariances = self.covariance[compatible] + noise
            whitened = np.linalg.solve(covariances, differences_m[..., None])[..., 0]
            distances = np.einsum("ni,ni->n", differences_m, whitened)

            # The nearest, the stronger one of equals.
            nearest = int(distances.argmin())
            if not distances[nearest] <= self.gate:
                return group

            # Update of the group.
            added = compatible[nearest]
            group.append(added)
            taken |= links[added]
            information = information + self.information[added]
            weighted = weighted + self.weighted[added]

    def grow(self, free: np.ndarray) -> Groups:
        """The strongest group of every neighborhood that has free reports.

        free: mask [num_reports], bool
        """
        num_neighborhoods = int(self.neighborhood.max()) + 1
        growing = self._started(free, num_neighborhoods)
        candidates = free.copy()
        candidates[growing.members[0][1]] = False
        while growing.is_open.any():
            if not self._is_near(growing):
                # Rare: the center of a group has left its neighborhood. All reports as one.
                self.neighborhood = np.zeros(len(self.reports), int)
                return self.grow(free)
            self._add_nearest(growing, candidates)
        return _in_order(growing, self.rank)

    def _started(self, free: np.ndarray, num_neighborhoods: int) -> _Growing:
        """Groups of the strongest free report of each neighborhood."""
        # Seeds: the first free report of each neighborhood by rank.
        rows = np.flatnonzero(free)
        rows = rows[np.lexsort((self.rank[rows], self.neighborhood[rows]))]
        neighborhood, first = np.unique(self.neighborhood[rows], return_index=True)
        seeds = rows[first]

        # Neighborhoods without one have no open group.
        size = self.points.shape[1]
        growing = _Growing(
            information=np.broadcast_to(np.eye(size), (num_neighborhoods, size, size)).copy(),
            weighted=np.zeros((num_neighborhoods, size)),
            is_open=np.zeros(num_neighborhoods, bool),
            members=[(neighborhood, seeds)],
        )
        growing.information[neighborhood] = self.information[seeds]
        growing.weighted[neighborhood] = self.weighted[seeds]
        growing.is_open[neighborhood] = True
        return growing

    def _add_nearest(self, growing: _Growing, candidates: np.ndarray) -> None:
        """Add the nearest compatible report to each open group, and close groups without one.

        growing: groups, which are changed
        candidates: mask [num_reports], bool, of the reports in no group, which is changed
        """
        # Compatible reports of neighborhoods with an open group.
        rows = np.flatnonzero(candidates & growing.is_open[self.neighborhood])
        rows = rows[self._compatible(growing, rows)]
        own = self.neighborhood[rows]

        # Squared Mahalanobis distances between the locations of reports and of groups.
        opened = np.unique(own)
        centers = np.zeros_like(growing.weighted)
        noise = np.zeros_like(growing.information)
        centers[opened] = np.linalg.solve(
            growing.information[opened], growing.weighted[opened][..., None]
        )[..., 0]
        noise[opened] = np.linalg.inv(growing.information[opened])
        differences_m = self.points[rows] - centers[own]
        covariances = self.covariance[rows] + noise[own]
        whitened = np.linalg.solve(covariances, differences_m[..., None])[..., 0]
        distances = np.einsum("ni,ni->n", differences_m, whitened)

        # The nearest of each group, the stronger one of equals.
        order = np.lexsort((self.rank[rows], distances, own))
        neighborhood, first = np.unique(own[order], return_index=True)
        nearest = order[first]
        within = distances[nearest] <= self.gate
        added = rows[nearest[within]]
        into = neighborhood[within]

        # Update of the groups.
        growing.is_open[:] = False
        growing.is_open[into] = True
        growing.information[into] += self.information[added]
        growing.weighted[into] += self.weighted[added]
        growing.members.append((into, added))
        candidates[added] = False

    def _compatible(self, growing: _Growing, rows: np.ndarray) -> np.ndarray:
        """Mask of the reports that share no link with the group of their neighborhood.

        A target has one path between a transmitter and a receiver.

        growing: groups
        rows: [num_rows], int, indices of reports
        Returns [num_rows], bool.
        """
        # Reports that are in a group.
        reports = self.reports
        members = np.concatenate([report for _, report in growing.members])
        is_member = np.zeros(len(reports), bool)
        is_member[members] = True

        # Paths over a link that the group of their neighborhood has; the pair of neighborhood and
        # link is one number.
        num_links = len(reports.links.wavelength_m)
        pairs = self.neighborhood[reports.owner] * num_links + reports.link
        is_taken = np.isin(pairs, pairs[is_member[reports.owner]])

        # Reports with such a path.
        is_blocked = np.zeros(len(reports), bool)
        is_blocked[reports.owner[is_taken]] = True
        return ~is_blocked[rows]

    def _is_near(self, growing: _Growing) -> bool:
        """True while no report of another neighborhood is in the gate of an open group.

        The center of a group is near enough when it is in the gate of one of its members.
        """
        # Members of open groups.
        owners = np.concatenate([neighborhood for neighborhood, _ in growing.members])
        members = np.concatenate([report for _, report in growing.members])
        is_open = growing.is_open[owners]
        members = members[is_open]
        owners = owners[is_open]

        # Centers of the groups.
        opened = np.flatnonzero(growing.is_open)
        information = growing.information[opened]
        weighted = growing.weighted[opened]
        centers = np.zeros_like(growing.weighted)
        centers[opened] = np.linalg.solve(information, weighted[..., None])[..., 0]

        # Those within the gate of a member.
        distances_m = np.linalg.norm(self.points[members] - centers[owners], axis=1)
        is_gated = distances_m <= self.reach_m[members]
        is_near = np.zeros(len(growing.is_open), bool)
        is_near[owners[is_gated]] = True
        return bool(is_near[opened].all())


def neighborhoods(points: np.ndarray, reach_m: np.ndarray) -> np.ndarray:
    """Neighborhoods of reports: connected components of those that are close together.

    Two reports are close where their distance is up to NEIGHBORHOOD_REACH times the larger of their
    gates. A group whose center stays within the gate of one of its members has no report of another
    neighborhood in its own gate.

    points: [num_reports, D], float64, m
    reach_m: [num_reports], float64, m, radius of the gate of each report
    Returns [num_reports], int, number of each report's neighborhood, from 0.
    """
    # Pairs within the reach of most reports, and those of reports with a larger one. The common
    # reach joins some reports that are not close, which costs time alone.
    tree = KDTree(points)
    common_m = 2 * float(np.median(reach_m))
    pairs = [tree.query_pairs(NEIGHBORHOOD_REACH * common_m, output_type="ndarray")]
    wide = np.flatnonzero(reach_m > common_m)
    if len(wide):
        found = tree.query_ball_point(points[wide], NEIGHBORHOOD_REACH * reach_m[wide])
        lengths = [len(near) for near in found]
        pairs.append(np.column_stack([np.repeat(wide, lengths), np.concatenate(found)]))

    # Components of their graph.
    edges = np.concatenate(pairs).astype(int)
    shape = (len(points), len(points))
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=shape)
    return connected_components(graph, directed=False)[1]


def _in_order(growing: _Growing, rank: np.ndarray) -> Groups:
    """Finished groups, ordered by the rank of their first members.

    rank: [num_reports], int, of each report by power
    """
    # Members round by round.
    neighborhood = np.concatenate([own for own, _ in growing.members])
    rows = np.concatenate([report for _, report in growing.members])
    num_added = [len(report) for _, report in growing.members]
    round_added = np.repeat(np.arange(len(growing.members)), num_added)

    # Number of the group of each neighborhood.
    first, seeds = growing.members[0]
    in_order = first[np.argsort(rank[seeds])]
    number = np.zeros(len(growing.information), int)
    number[in_order] = np.arange(len(seeds))

    # Members by group, and within each by round.
    group = number[neighborhood]
    order = np.lexsort((round_added, group))
    return Groups(rows[order], group[order])


def _covariances(information: np.ndarray) -> np.ndarray:
    """Inverses of information matrices; where one is singular to rounding, with the least
    information that is distinguished from none.

    information: [n, D, D], float64, 1/m^2
    Returns [n, D, D], float64, m^2.
    """
    values, vectors = np.linalg.eigh(information)
    least = np.maximum(LEAST_CONDITION * values[:, -1], LEAST_INFORMATION)
    is_singular = values[:, 0] < least

    # A report that measures nothing along an axis has a long error ellipsoid along it.
    floored = np.maximum(values[is_singular], least[is_singular, None])
    axes = vectors[is_singular]
    covariances = np.empty_like(information)
    covariances[is_singular] = (axes / floored[:, None]) @ axes.swapaxes(1, 2)
    covariances[~is_singular] = np.linalg.inv(information[~is_singular])
    return covariances
