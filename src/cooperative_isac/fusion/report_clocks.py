"""Synchronization of reports at the center: path measurements without the clock offsets of links.

Every report is a single path with a location of its own: the direction of arrival, and the length
of the path. The paths of one target differ from their predictions by the offsets of their links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtri

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.fuse import fuse
from cooperative_isac.fusion.link_clocks import (
    LEAST_ACTIVE_SITES,
    LinkClocks,
    Offsets,
    common_errors,
)
from cooperative_isac.fusion.points import fuse_reports
from cooperative_isac.fusion.received import Received
from cooperative_isac.fusion.reports import Links, Reports, reports_of, with_common_errors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, STATE_AXES, point_on_ray
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.measured_path import (
    measured_path,
    path_geometry,
    report_shift_information,
)
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.sensing.search_grid import NEAREST_M
from cooperative_isac.sensing.target_offsets import (
    ObservedTargets,
    PathOffset,
    PredictedPaths,
    predicted_paths,
)

# Standard deviations of what a station knows of the offsets of its links: of a path's length in m,
# and of its Doppler shift over the resolution of the band.
COARSE_M = 0.5
COARSE_SHIFT_CELLS = 0.3

# Standard deviation of a location's move with the length of its path, over that length: which share
# a fit gives to directions changes with the symbols of the frame.
FIT_SHARE = 0.15

# Probability with which a path of a target is in its gate.
GATE_PROBABILITY = 0.999


@dataclass(frozen=True)
class StationReports:
    """What a packet says: single paths, and the offsets with which they were fitted.

    offsets: by index of the transmitter
    """

    reports: tuple[EchoReport, ...]
    offsets: Mapping[int, ClockOffset]


class ReportClocks:
    """Clock offsets of the links between stations that send single paths, over frames.

    scene: seen on one band, with its stations at rest
    links: of the scene
    """

    def __init__(self, scene: Scene, links: Links):
        self.scene = scene
        self._links = links
        self._clocks = LinkClocks(scene)

    def predicted(self, time_s: float | None) -> Offsets:
        """Offsets of the links that earlier frames predict."""
        return self._clocks.predicted(time_s)

    def located(
        self, packets: Mapping[str, StationReports], time_s: float | None
    ) -> tuple[Detection, ...]:
        """Detections of a frame, with the offsets of its links estimated anew.

        packets: by name of the station
        time_s: of the frame, s; None where frames are independent draws
        """
        # Targets that predict the paths on all links.
        offsets = self._clocks.predicted(time_s)
        targets = self._targets(packets, offsets)
        paths = {
            station: self._path_offsets(station, packet, targets)
            for station, packet in packets.items()
        }
        offsets = self._clocks.updated(time_s, paths)

        # Fusion of all paths whose offsets are known.
        corrected = self._all_corrected(packets, offsets)
        reports = self._arrays(corrected, common_errors(offsets))
        detections = fuse_reports(self.scene, reports, Received(packets.keys()))
        if any(offsets.values()):
            return detections
        return tuple(one for one in detections if len(one.sites) >= LEAST_ACTIVE_SITES)

    def _targets(self, packets: Mapping[str, StationReports], offsets: Offsets) -> ObservedTargets:
        """Targets by the paths that do not need the offsets of this frame."""
        if self.scene.sensing.synchronization == "active_observation":
            reports = [
                report
                for station, packet in packets.items()
                for report in packet.reports
                if self._transmitter(report).name == station
            ]
        else:
            # The errors of predictions cancel: offsets of earlier frames are good enough.
            reports = []
            for station, packet in packets.items():
                known = offsets.get(station, {})
                reports += [one.report for one in self._corrected(station, packet, known)]

                # Paths of links that have none yet count as they were measured.
                reports += [
                    report
                    for report in packet.reports
                    if report.paths[0].transmitter not in known
                    and self._transmitter(report).name != station
                ]
        found = [
            one
            for one in fuse(self.scene, reports, packets.keys(), links=self._links)
            if len(one.sites) >= LEAST_ACTIVE_SITES
        ]
        axes = STATE_AXES[self.scene.dimension]
        return ObservedTargets(
            np.array([one.position_m for one in found]).reshape(-1, 3),
            np.array([one.velocity_mps for one in found]).reshape(-1, 3),
            np.array([one.covariance[np.ix_(axes, axes)] for one in found]).reshape(
                -1, len(axes), len(axes)
            ),
        )

    def _path_offsets(
        self, station: str, packet: StationReports, targets: ObservedTargets
    ) -> list[PathOffset]:
        """Offsets of the paths to a station from their predictions, one of each target and link."""
        if not len(targets):
            return []
        scene = self.scene
        receiver = scene.receiver(station)
        gate = chdtri(scene.dimension + 1, 1 - GATE_PROBABILITY)
        found = []
        for index, given in packet.offsets.items():
            reports = [one for one in packet.reports if one.paths[0].transmitter == index]
            paths = predicted_paths(scene, scene.transmitters[index], receiver, targets)
            nearest: dict[int, tuple[float, PathOffset]] = {}
            for report in reports:
                measured = measured_path(scene, receiver, report, given)
                # Distances of the path from all targets, and the target that it is of.
                distances = self._distances(report, measured, given, paths, targets)
                target = int(distances.argmin())
                if distances[target] > gate:
                    continue

                # A target has one path on a link: the nearest.
                if target in nearest and nearest[target][0] <= distances[target]:
                    continue
                path = paths.offset(index, target, measured)
                nearest[target] = (float(distances[target]), path)
            found += [path for _, path in nearest.values()]
        return found

    def _distances(
        self,
        report: EchoReport,
        measured: ClockOffset,
        given: ClockOffset,
        paths: PredictedPaths,
        targets: ObservedTargets,
    ) -> np.ndarray:
        """Squared Mahalanobis distances of a path from all targets, [num_targets], float64.

        measured: delay and Doppler shift with the offsets of the link
        given: those offsets, with which the path was fitted
        """
        # Locations: errors of the path and of the targets, and that of the timing offset.
        size = self.scene.dimension
        differences_m = targets.positions_m[:, :size] - report.point_m[:size]
        of_targets_m2 = targets.covariances[:, :size, :size]
        of_timing_m2 = COARSE_M**2 * np.eye(size)
        covariances_m2 = report.covariance + of_targets_m2 + of_timing_m2
        whitened = np.linalg.solve(covariances_m2, differences_m[..., None])[..., 0]
        location_distances = np.einsum("ni,ni->n", differences_m, whitened)

        # Doppler shifts: errors of the path and of its predictions, and that of the carrier offset.
        measured_hz = measured.frequency_hz - given.frequency_hz
        differences_hz = measured_hz - paths.geometry.doppler_hz
        of_carrier_hz = COARSE_SHIFT_CELLS * self.scene.grid.doppler_resolution_hz
        of_predictions_hz2 = paths.covariances[:, 1, 1]
        variances_hz2 = measured.covariance[1, 1] + of_predictions_hz2 + of_carrier_hz**2
        return location_distances + differences_hz**2 / variances_hz2

    def _all_corrected(
        self, packets: Mapping[str, StationReports], offsets: Offsets
    ) -> list[_Corrected]:
        """Reports of all stations without the offsets of their links."""
        return [
            one
            for station, packet in packets.items()
            for one in self._corrected(station, packet, offsets.get(station, {}))
        ]

    def _arrays(
        self, corrected: Sequence[_Corrected], common: Mapping[str, Mapping[int, np.ndarray]]
    ) -> Reports:
        """Corrected reports as arrays, with the errors that their offsets have in common.

        common: see common_errors
        """
        reports = reports_of(self.scene, [one.report for one in corrected], self._links)
        changes = [change for own in common.values() for change in own.values()]
        if not changes or not corrected:
            return reports

        # Paths of a station's own signal have none.
        none = np.zeros_like(changes[0])
        of_reports = [
            common[one.report.receiver].get(one.report.paths[0].transmitter, none)
            for one in corrected
        ]
        moves = np.array([one.move_mps for one in corrected])
        of_links = np.array(of_reports)
        gradient = moves[:, :, None] * of_links[:, None, 0]
        return with_common_errors(reports, gradient, -of_links[:, 1])

    def _corrected(
        self, station: str, packet: StationReports, known: Mapping[int, ClockOffset]
    ) -> list[_Corrected]:
        """Reports without the offsets of their links; those of links without known ones left out.

        Paths of the station's own signal have none.
        """
        receiver = self.scene.receiver(station)
        reports = []
        for report in packet.reports:
            index = report.paths[0].transmitter
            if self.scene.transmitters[index].name == station:
                reports.append(_Corrected(report, np.zeros(self.scene.dimension)))
            elif index in known:
                given = packet.offsets[index]
                corrected = _without(self.scene, receiver, report, given, known[index])
                if corrected is not None:
                    reports.append(corrected)
        return reports

    def _transmitter(self, report: EchoReport) -> Site:
        """The transmitter of the only path of a report."""
        return self.scene.transmitters[report.paths[0].transmitter]


@dataclass(frozen=True)
class _Corrected:
    """A report without the offsets of its link.

    move_mps: [D], float64, m/s, change of the location with the timing offset
    """

    report: EchoReport
    move_mps: np.ndarray


def _without(
    scene: Scene, receiver: Site, report: EchoReport, given: ClockOffset, known: ClockOffset
) -> _Corrected | None:
    """A report with better offsets of its link, whose own errors are added to those of the report.

    Errors that the offsets of several links have in common are not.

    given: offsets with which the path was fitted
    known: better ones
    Returns None where the path is shorter than the direct one: it is of no target.
    """
    # Location along the direction of arrival, by the corrected length.
    path = report.paths[0]
    geometry = path_geometry(scene, receiver, report)
    longer_m = SPEED_OF_LIGHT_MPS * (given.delay_s - known.delay_s)
    transmitter_m = scene.transmitters[path.transmitter].position_m
    range_m = np.array(geometry.range_m + longer_m)
    point_m = point_on_ray(transmitter_m, receiver.position_m, geometry.aoa, range_m)
    if np.linalg.norm(point_m - receiver.position_m) < NEAREST_M:
        return None

    # The fit knows the direction of departure, too: of all locations with this length the likeliest
    # is not exactly along the direction of arrival.
    size = scene.dimension
    slope = geometry.range_gradient[:size]
    along_ray = geometry.aoa[:size] / (slope @ geometry.aoa[:size])
    with_length = report.covariance @ slope
    per_meter = with_length / (slope @ with_length)
    point_m[:size] += longer_m * (per_meter - along_ray)

    # The error of the timing offset moves it likewise.
    move_mps = -SPEED_OF_LIGHT_MPS * per_meter
    own_covariance = known.own_covariance
    of_timing_m2 = max(own_covariance[0, 0], 0.0) * np.multiply.outer(move_mps, move_mps)
    of_fit_m2 = (FIT_SHARE * longer_m) ** 2 * np.eye(size)
    covariance_m2 = report.covariance + of_timing_m2 + of_fit_m2

    # The error of the carrier offset adds to that of the Doppler shift.
    of_carrier_hz2 = max(own_covariance[1, 1], 0.0)
    loss = 1 + of_carrier_hz2 * report_shift_information(scene, report)
    corrected = replace(
        path,
        doppler_hz=path.doppler_hz + given.frequency_hz - known.frequency_hz,
        power=path.power / loss,
        snr_loss=path.snr_loss * loss,
        information=np.linalg.inv(covariance_m2),
    )
    return _Corrected(replace(report, point_m=point_m, paths=(corrected,)), move_mps)
