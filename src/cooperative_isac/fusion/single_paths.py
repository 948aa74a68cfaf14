"""Reports of single paths as arrays, and their correction by better clock offsets of links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.link_clocks import Offsets
from cooperative_isac.fusion.reports import Links, Reports, arrays_of, shift_weights
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry, point_on_ray
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.sensing.search_grid import NEAREST_M

# Standard deviation of a location's move with the length of its path, over that length: which share
# a fit gives to directions changes with the symbols of the frame.
FIT_SHARE = 0.15


@dataclass(frozen=True)
class StationReports:
    """What a packet says: single paths, and the offsets with which they were fitted.

    offsets: by index of the transmitter
    """

    reports: tuple[EchoReport, ...]
    offsets: Mapping[int, ClockOffset]


@dataclass(frozen=True)
class SinglePaths:
    """All paths that the stations of a band sent in a frame.

    reports: one of each path
    transmitter: [num_paths], int, index
    is_own: [num_paths], bool, paths of a station's own signal, which has one clock
    given: [num_paths, 2], float64, timing in s and carrier in Hz with which they were fitted
    """

    reports: Reports
    transmitter: np.ndarray
    is_own: np.ndarray
    given: np.ndarray

    def __len__(self) -> int:
        return len(self.transmitter)

    @cached_property
    def receiver(self) -> tuple[str, ...]:
        """Name of the receiving station of each path."""
        names = self.reports.links.names
        return tuple(names[link].rx for link in self.reports.link.tolist())

    @cached_property
    def geometry(self) -> BistaticGeometry:
        """Of the paths by way of targets at rest."""
        points_m = self.reports.point_m
        return self.reports.geometry(points_m, np.zeros_like(points_m))

    @cached_property
    def covariances_m2(self) -> np.ndarray:
        """Covariances of the locations, [num_paths, D, D], float64."""
        return np.linalg.inv(self.reports.information)

    @cached_property
    def measured(self) -> np.ndarray:
        """Delays in s and Doppler shifts in Hz as measured, with the offsets, [num_paths, 2]."""
        without = np.column_stack([self.geometry.delay_s, self.reports.doppler_hz])
        return without + self.given


def single_paths(
    scene: Scene, packets: Mapping[str, StationReports], links: Links | None = None
) -> SinglePaths:
    """The paths of all packets as arrays, in their order.

    scene: seen on one band
    packets: by name of the station
    links: of the scene, where they are known already
    """
    reports = [report for packet in packets.values() for report in packet.reports]
    transmitters = [report.paths[0].transmitter for report in reports]

    # Links of a station with itself have no offset.
    names = [site.name for site in scene.transmitters]
    is_own = np.zeros(len(reports), bool)
    given = np.zeros((len(reports), 2))
    for place, (index, report) in enumerate(zip(transmitters, reports, strict=True)):
        is_own[place] = names[index] == report.receiver
        if is_own[place]:
            continue

        # Offsets of the other links, as their stations sent them.
        offset = packets[report.receiver].offsets[index]
        given[place] = offset.delay_s, offset.frequency_hz
    arrays = arrays_of(scene, reports, links)
    return SinglePaths(arrays, np.array(transmitters, int), is_own, given)


@dataclass(frozen=True)
class PathClocks:
    """Clock offsets of the links of several paths.

    is_known: [num_paths], bool
    values: [num_paths, 2], float64, timing in s and carrier in Hz; zeros where not known
    own_variances: [num_paths, 2], float64, without the errors in common with other links
    common: [num_paths, 2, K], float64, changes of both with errors in common (common_errors)
    """

    is_known: np.ndarray
    values: np.ndarray
    own_variances: np.ndarray
    common: np.ndarray


def path_clocks(
    paths: SinglePaths, offsets: Offsets, common: Mapping[str, Mapping[int, np.ndarray]]
) -> PathClocks:
    """Clock offsets of the links of all paths; those of a station's own signal are exact.

    offsets: of the links, by receiver and transmitter
    common: see common_errors; of no link where they count as independent
    """
    # One row of each link, then that of exact offsets.
    rows = {}
    values = []
    variances = []
    for name, own in offsets.items():
        for index, one in own.items():
            rows[name, index] = len(values)
            values.append([one.delay_s, one.frequency_hz])
            variances.append(np.maximum(one.own_covariance.diagonal(), 0.0))
    exact = len(values)
    table = np.array([*values, [0.0, 0.0]])
    variance_table = np.array([*variances, [0.0, 0.0]])

    # Common errors likewise.
    changes = {(name, index): one for name, own in common.items() for index, one in own.items()}
    num_errors = next((change.shape[1] for change in changes.values()), 0)
    common_table = np.zeros((exact + 1, 2, num_errors))
    for link, change in changes.items():
        common_table[rows[link]] = change

    # The row of each path.
    links = zip(paths.receiver, paths.transmitter.tolist(), strict=True)
    row = np.array([rows.get(link, exact) for link in links], int)
    is_known = paths.is_own | (row < exact)
    row[paths.is_own] = exact
    return PathClocks(is_known, table[row], variance_table[row], common_table[row])


def corrected_reports(
    scene: Scene, paths: SinglePaths, clocks: PathClocks
) -> tuple[Reports, np.ndarray, np.ndarray]:
    """Reports with better offsets of their links, whose own errors are added to those of the paths.

    Errors that the offsets of several links have in common are not. Paths that are shorter than the
    direct one are of no target, and left out, as are those of links without known offsets.

    scene: seen on one band
    paths: of all stations
    clocks: better offsets
    Returns the reports, the index of each one's path [num_reports], int, and the change of its
    location with the timing offset, [num_reports, D], float64, m/s.
    """
    reports = paths.reports
    geometry = paths.geometry
    size = scene.dimension
    longer_m = SPEED_OF_LIGHT_MPS * (paths.given[:, 0] - clocks.values[:, 0])

    # Locations along the direction of arrival, by the corrected lengths.
    points_m = reports.point_m.copy()
    is_moved = clocks.is_known & ~paths.is_own
    links = reports.links
    for link in np.unique(reports.link[is_moved]):
        own = np.flatnonzero(is_moved & (reports.link == link))
        ranges_m = geometry.range_m[own] + longer_m[own]
        points_m[own] = point_on_ray(
            links.transmitters_m[link], links.receivers_m[link], geometry.aoa[own], ranges_m
        )
    distances_m = np.linalg.norm(points_m - links.receivers_m[reports.link], axis=1)
    is_possible = paths.is_own | (distances_m >= NEAREST_M)

    # The fit has the direction of departure, too: of all locations with this length the likeliest
    # is not exactly along the direction of arrival.
    slopes = geometry.range_gradient[:, :size]
    directions = geometry.aoa[:, :size]
    with_length = (paths.covariances_m2 @ slopes[..., None])[..., 0]
    per_meter = with_length / np.sum(slopes * with_length, axis=1, keepdims=True)
    along_ray = directions / np.sum(slopes * directions, axis=1, keepdims=True)
    points_m[:, :size] += np.where(is_moved, longer_m, 0.0)[:, None] * (per_meter - along_ray)

    # The errors of the timing offsets move them likewise.
    moves_mps = np.where(is_moved[:, None], -SPEED_OF_LIGHT_MPS * per_meter, 0.0)
    outer = moves_mps[:, :, None] * moves_mps[:, None]
    of_timing_m2 = clocks.own_variances[:, 0, None, None] * outer
    of_fit_m2 = (FIT_SHARE * longer_m)[:, None, None] ** 2 * np.eye(size)
    information = np.linalg.inv(paths.covariances_m2 + of_timing_m2 + of_fit_m2)
    information = np.where(is_moved[:, None, None], information, reports.information)

    # The errors of the carrier offsets add to those of the Doppler shifts.
    loss = 1 + clocks.own_variances[:, 1] * reports.shift_information
    doppler_hz = reports.doppler_hz + paths.given[:, 1] - clocks.values[:, 1]
    snr = reports.snr / loss
    corrected = replace(
        reports,
        point_m=points_m,
        information=information,
        doppler_hz=doppler_hz,
        snr=snr,
        snr_loss=reports.snr_loss * loss,
        shift_information=shift_weights(scene, links, reports.link, snr, doppler_hz),
    )
    chosen = np.flatnonzero(clocks.is_known & is_possible)
    return corrected.take(chosen), chosen, moves_mps[chosen]
