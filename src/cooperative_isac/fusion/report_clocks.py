"""Synchronization of reports at the center: path measurements without the clock offsets of links.

Every report is a single path with a location of its own: the direction of arrival, and the length
of the path. The paths of one target differ from their predictions by the offsets of their links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import chdtri

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.link_clocks import (
    LEAST_ACTIVE_SITES,
    LinkClocks,
    Offsets,
    common_errors,
)
from cooperative_isac.fusion.points import fuse_reports
from cooperative_isac.fusion.received import Received
from cooperative_isac.fusion.reports import (
    Links,
    joined_reports,
    with_common_errors,
    with_station_errors,
)
from cooperative_isac.fusion.single_paths import (
    SinglePaths,
    StationReports,
    corrected_reports,
    path_clocks,
    single_paths,
)
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.measured_path import delay_variance
from cooperative_isac.sensing.target_offsets import (
    ObservedTargets,
    PathOffset,
    predicted_paths_between,
)

# Standard deviations of what a station knows of the offsets of its links: of a path's length in m,
# and of its Doppler shift over the resolution of the band.
COARSE_M = 0.5
COARSE_SHIFT_CELLS = 0.3

# Probability with which a path of a target is in its gate.
GATE_PROBABILITY = 0.999


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
        paths = single_paths(self.scene, packets, self._links)
        received = Received(packets.keys())
        before = self._clocks.predicted(time_s)
        known = None
        if self.scene.sensing.synchronization == "active_observation":
            own = np.flatnonzero(paths.is_own)
            reports = with_station_errors(self.scene, paths.reports.take(own))
            detections = fuse_reports(self.scene, reports, received)
        elif self._has_all(paths, before):
            # The errors of predictions cancel: offsets of earlier frames are good enough.
            known = self._fused(paths, before, received)
            detections = known
        else:
            detections = self._roughly_fused(paths, before, received)
        targets = self._observed(detections)

        # Offsets of the links by all paths.
        found: dict[str, list[PathOffset]] = {station: [] for station in packets}
        for place, path in self._path_offsets(paths, targets):
            found[paths.receiver[place]].append(path)
        offsets = self._clocks.updated(time_s, found)

        # Fusion of all paths whose offsets are known, where it is not done already.
        if known is None or not _are_same(offsets, before):
            known = self._fused(paths, offsets, received)
        if any(offsets.values()):
            return known
        return tuple(one for one in known if len(one.sites) >= LEAST_ACTIVE_SITES)

    def _has_all(self, paths: SinglePaths, offsets: Offsets) -> bool:
        """True where the offsets of the links of all paths are known."""
        return bool(path_clocks(paths, offsets, {}).is_known.all())

    def _fused(
        self, paths: SinglePaths, offsets: Offsets, received: Received
    ) -> tuple[Detection, ...]:
        """Detections of all paths whose offsets are known, with the errors that these share."""
        clocks = path_clocks(paths, offsets, common_errors(offsets))
        reports, chosen, moves_mps = corrected_reports(self.scene, paths, clocks)
        located = with_station_errors(self.scene, reports)
        common = clocks.common[chosen]
        if common.shape[-1] and len(chosen):
            gradient = moves_mps[:, :, None] * common[:, None, 0]
            located = with_common_errors(located, gradient, -common[:, 1])
        return fuse_reports(self.scene, located, received)

    def _roughly_fused(
        self, paths: SinglePaths, offsets: Offsets, received: Received
    ) -> tuple[Detection, ...]:
        """Detections of all paths, those of links without known offsets as they were measured."""
        clocks = path_clocks(paths, offsets, {})
        corrected, _, _ = corrected_reports(self.scene, paths, clocks)
        others = paths.reports.take(np.flatnonzero(~clocks.is_known))
        reports = joined_reports(corrected, others)
        return fuse_reports(self.scene, with_station_errors(self.scene, reports), received)

    def _observed(self, detections: Sequence[Detection]) -> ObservedTargets:
        """Targets that enough stations have located."""
        found = [one for one in detections if len(one.sites) >= LEAST_ACTIVE_SITES]
        axes = STATE_AXES[self.scene.dimension]
        return ObservedTargets(
            np.array([one.position_m for one in found]).reshape(-1, 3),
            np.array([one.velocity_mps for one in found]).reshape(-1, 3),
            np.array([one.covariance[np.ix_(axes, axes)] for one in found]).reshape(
                -1, len(axes), len(axes)
            ),
        )

    def _path_offsets(
        self, paths: SinglePaths, targets: ObservedTargets
    ) -> list[tuple[int, PathOffset]]:
        """Offsets of paths from their predictions, one of each target and link.

        Returns each with the index of its path.
        """
        others = np.flatnonzero(~paths.is_own)
        if not len(targets) or not len(others):
            return []
        scene = self.scene
        reports = paths.reports.take(others)
        links = reports.links
        predicted = predicted_paths_between(
            scene,
            links.transmitters_m[reports.link],
            links.receivers_m[reports.link],
            targets,
        )
        geometry = predicted.geometry
        variances_s2 = delay_variance(scene, reports.snr)
        variances_hz2 = 1 / reports.shift_information

        # Locations: errors of the path and of the targets, and that of the timing offset.
        size = scene.dimension
        differences_m = targets.positions_m[:, :size] - reports.point_m[:, None, :size]
        of_targets_m2 = targets.covariances[:, :size, :size]
        of_timing_m2 = COARSE_M**2 * np.eye(size)
        covariances_m2 = paths.covariances_m2[others, None] + of_targets_m2 + of_timing_m2
        whitened = np.linalg.solve(covariances_m2, differences_m[..., None])[..., 0]
        distances = np.sum(differences_m * whitened, axis=-1)

        # Doppler shifts: errors of the path and of its predictions, and that of the carrier offset.
        differences_hz = reports.doppler_hz[:, None] - geometry.doppler_hz
        of_carrier_hz = COARSE_SHIFT_CELLS * scene.grid.doppler_resolution_hz
        of_predictions_hz2 = predicted.covariances[..., 1, 1]
        total_hz2 = variances_hz2[:, None] + of_predictions_hz2 + of_carrier_hz**2
        distances += differences_hz**2 / total_hz2

        # The target that each path is of; a target has one path on a link: the nearest.
        gate = chdtri(size + 1, 1 - GATE_PROBABILITY)
        nearest: dict[tuple[int, int], tuple[float, int]] = {}
        chosen = distances.argmin(axis=1).tolist()
        for place, target in enumerate(chosen):
            distance = float(distances[place, target])
            key = (int(reports.link[place]), target)
            if distance <= gate and (key not in nearest or distance < nearest[key][0]):
                nearest[key] = (distance, place)

        # Their offsets.
        found = []
        for (_, target), (_, place) in nearest.items():
            delay_s, doppler_hz = paths.measured[others[place]].tolist()
            offset = ClockOffset(
                delay_s - float(geometry.delay_s[place, target]),
                doppler_hz - float(geometry.doppler_hz[place, target]),
                np.diag([variances_s2[place], variances_hz2[place]]),
            )
            index = int(paths.transmitter[others[place]])
            path = PathOffset(index, target, offset, predicted.gradients[place, target])
            found.append((int(others[place]), path))
        return found


def _are_same(one: Offsets, other: Offsets) -> bool:
    """True where both are the very same offsets of the same links."""
    return all(
        own.keys() == other[name].keys() and all(own[index] is other[name][index] for index in own)
        for name, own in one.items()
    )
