"""Reports that may be of one target, grouped: all targets of a frame at once.

A group grows from the strongest free report by the statistically nearest report that shares no link
with it, until none is within the gate. What one group takes is gone for the weaker ones. Reports
that lie far apart cannot meet in a group: they are split into neighborhoods, and the groups of all
neighborhoods grow in step, as arrays. Few reports are grouped in turn: arrays of some groups cost
as much as those of a single one.
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

GATE_PROBABILITY = 0.9999
POINT_STD_M = 0.02  # m, beside the noise of a report: linearization and quantization
# Neighborhoods reach so many times as far as the gate of a single report.
REACH = 4.0


@dataclass(frozen=True)
class Groups:
    """Groups of reports.

    rows: [m], int, the reports in groups; those of a group in the order in which they joined
    group: [m], int, group of each, rising
    """

    rows: np.ndarray
    group: np.ndarray

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.group[-1]) + 1 if len(self.group) else 0

    def of(self, index: int) -> np.ndarray:
        """The reports of one group, [k], int."""
        first, end = np.searchsorted(self.group, [index, index + 1])
        return self.rows[first:end]


@dataclass
class _Growing:
    """One open group in each neighborhood.

    information: [k, D, D], float64, 1/m^2, of the location, all members together
    weighted: [k, D], float64, 1/m, the same times the location
    is_open: [k], bool, whether it may still grow
    members: (neighborhood, report) of those that joined, round by round
    """

    information: np.ndarray
    weighted: np.ndarray
    is_open: np.ndarray
    members: list[tuple[np.ndarray, np.ndarray]]


class Grower:
    """Grows groups out of the free reports of one frame.

    information: [n, D, D], float64, 1/m^2, that gates use of each report
    spread_m: standard deviation of reports of one target beside their noise
    """

    def __init__(self, reports: Reports, information: np.ndarray, spread_m: float):
        size = information.shape[-1]
        self.reports = reports
        self.information = information
        self.points = reports.point_m[:, :size]
        self.weighted = np.einsum("nij,nj->ni", information, self.points)
        self.gate = chdtri(size, 1 - GATE_PROBABILITY)

        # Strongest first.
        order = np.argsort(-reports.power, kind="stable")
        self.rank = np.empty(len(reports), int)
        self.rank[order] = np.arange(len(reports))

        noise = np.linalg.inv(information)
        self.covariance = noise + spread_m**2 * np.eye(size)
        # The trace is no less than the largest eigenvalue.
        self.reach_m = np.sqrt(self.gate * np.trace(self.covariance, axis1=1, axis2=2))

    @cached_property
    def neighborhood(self) -> np.ndarray:
        """Neighborhood of each report, [n], int."""
        return neighborhoods(self.points, self.reach_m)

    def grow_in_turn(self, free: np.ndarray) -> Groups:
        """All groups of the free reports, the strongest first, each of what the others leave.

        free: [n], bool
        """
        reports = self.reports
        links = [0] * len(reports)
        for owner, link in zip(reports.owner.tolist(), reports.link.tolist()):
            links[owner] |= 1 << link
        left = np.flatnonzero(free)
        left = left[np.argsort(self.rank[left])].tolist()

        groups = []
        while left:
            group = self._grown_from(left.pop(0), left, links)
            left = [row for row in left if row not in group]
            groups.append(group)
        sizes = [len(group) for group in groups]
        rows = [row for group in groups for row in group]
        return Groups(np.array(rows, int), np.repeat(np.arange(len(groups)), sizes))

    def _grown_from(self, seed: int, candidates: Sequence[int], links: Sequence[int]) -> list[int]:
        """The group of one report, in the order in which others joined.

        candidates: rows of the reports that may join, the strongest first
        links: links of each report, a bit each
        """
        group = [seed]
        taken = links[seed]
        information = self.information[seed]
        weighted = self.weighted[seed]
        while True:
            # A path between one transmitter and one receiver meets a target only once.
            able = [row for row in candidates if not links[row] & taken]
            if not able:
                return group

            # Squared Mahalanobis distances between the locations of reports and of the group.
            noise = np.linalg.inv(information)
            away = self.points[able] - noise @ weighted
            spread = self.covariance[able] + noise
            distances = np.einsum(
                "ni,ni->n", away, np.linalg.solve(spread, away[..., None])[..., 0]
            )

            # The nearest, the stronger one of equals.
            nearest = int(distances.argmin())
            if not distances[nearest] <= self.gate:
                return group
            joined = able[nearest]
            group.append(joined)
            taken |= links[joined]
            information = information + self.information[joined]
            weighted = weighted + self.weighted[joined]

    def grow(self, free: np.ndarray) -> Groups:
        """The strongest group of every neighborhood that has free reports.

        free: [n], bool
        """
        count = int(self.neighborhood.max()) + 1
        growing = self._begun(free, count)
        candidates = free.copy()
        candidates[growing.members[0][1]] = False
        while growing.is_open.any():
            if not self._is_near(growing):
                # Rare: a group wandered off, so that others may have to do with it.
                self.neighborhood = np.zeros(len(self.reports), int)
                return self.grow(free)
            self._join(growing, candidates)
        return _in_order(growing, self.rank)

    def _begun(self, free: np.ndarray, count: int) -> _Growing:
        """A group of the strongest free report of each neighborhood."""
        rows = np.flatnonzero(free)
        rows = rows[np.lexsort((self.rank[rows], self.neighborhood[rows]))]
        neighborhood, first = np.unique(self.neighborhood[rows], return_index=True)
        seeds = rows[first]
        size = self.points.shape[1]
        growing = _Growing(
            np.broadcast_to(np.eye(size), (count, size, size)).copy(),
            np.zeros((count, size)),
            np.zeros(count, bool),
            [(neighborhood, seeds)],
        )
        growing.information[neighborhood] = self.information[seeds]
        growing.weighted[neighborhood] = self.weighted[seeds]
        growing.is_open[neighborhood] = True
        return growing

    def _join(self, growing: _Growing, candidates: np.ndarray) -> None:
        """Let the nearest compatible report join each open group; close those without one."""
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
        away = self.points[rows] - centers[own]
        spread = self.covariance[rows] + noise[own]
        distances = np.einsum("ni,ni->n", away, np.linalg.solve(spread, away[..., None])[..., 0])

        # The nearest of each group, the stronger one of equals.
        order = np.lexsort((self.rank[rows], distances, own))
        neighborhood, first = np.unique(own[order], return_index=True)
        nearest = order[first]
        within = distances[nearest] <= self.gate
        joined = rows[nearest[within]]
        into = neighborhood[within]

        growing.is_open[:] = False
        growing.is_open[into] = True
        growing.information[into] += self.information[joined]
        growing.weighted[into] += self.weighted[joined]
        growing.members.append((into, joined))
        candidates[joined] = False

    def _compatible(self, growing: _Growing, rows: np.ndarray) -> np.ndarray:
        """Whether reports share no link with their group, [num_rows], bool.

        A path between one transmitter and one receiver meets a target only once.
        """
        reports = self.reports
        num_links = len(reports.links.wavelength_m)
        members = np.concatenate([report for _, report in growing.members])
        is_member = np.zeros(len(reports), bool)
        is_member[members] = True

        # Links of each neighborhood that its group has already.
        key = self.neighborhood[reports.owner] * num_links + reports.link
        taken = np.isin(key, key[is_member[reports.owner]])
        blocked = np.zeros(len(reports), bool)
        blocked[reports.owner[taken]] = True
        return ~blocked[rows]

    def _is_near(self, growing: _Growing) -> bool:
        """Whether every open group is still where no report of another neighborhood can join it."""
        owners = np.concatenate([neighborhood for neighborhood, _ in growing.members])
        members = np.concatenate([report for _, report in growing.members])
        members = members[growing.is_open[owners]]
        owners = owners[growing.is_open[owners]]
        opened = np.flatnonzero(growing.is_open)
        centers = np.zeros_like(growing.weighted)
        centers[opened] = np.linalg.solve(
            growing.information[opened], growing.weighted[opened][..., None]
        )[..., 0]
        away = np.linalg.norm(self.points[members] - centers[owners], axis=1)
        is_near = np.zeros(len(growing.is_open), bool)
        is_near[owners[away <= self.reach_m[members]]] = True
        return bool(is_near[opened].all())


def neighborhoods(points: np.ndarray, reach_m: np.ndarray) -> np.ndarray:
    """Parts of the reports that are too far apart to be of one target, [n], int from 0.

    Two reports are in one part where their distance is up to REACH times the larger of their
    reaches, or where others connect them. A group whose center stays within the reach of one of its
    members meets no report of another part.

    points: [n, D], float64, m
    reach_m: [n], float64, m, from where another report may be of the same target
    """
    count = len(points)
    tree = KDTree(points)
    common = 2 * float(np.median(reach_m))
    pairs = [tree.query_pairs(REACH * common, output_type="ndarray")]
    wide = np.flatnonzero(reach_m > common)
    if len(wide):
        found = tree.query_ball_point(points[wide], REACH * reach_m[wide])
        lengths = [len(near) for near in found]
        pairs.append(np.column_stack([np.repeat(wide, lengths), np.concatenate(found)]))
    edges = np.concatenate(pairs).astype(int)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _in_order(growing: _Growing, rank: np.ndarray) -> Groups:
    """The groups by the strength of their first members."""
    neighborhood = np.concatenate([own for own, _ in growing.members])
    rows = np.concatenate([report for _, report in growing.members])
    turn = np.repeat(
        np.arange(len(growing.members)), [len(report) for _, report in growing.members]
    )
    first, seeds = growing.members[0]
    strength = np.zeros(len(growing.information), int)
    strength[first[np.argsort(rank[seeds])]] = np.arange(len(seeds))
    group = strength[neighborhood]
    order = np.lexsort((turn, group))
    return Groups(rows[order], group[order])
