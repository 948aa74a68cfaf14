"""Detections of bodies from the raw echoes of all receivers: local fits, and predicted paths.

Receivers see different points of a body, so that no common point fits all echoes. Each receiver's
echo therefore has a fit of its own, and these are fused like reports. Beyond that, the center looks
in each echo at the place and the Doppler shift that the other receivers predict for a target: few
cells can raise a false alarm there, so that a path may be much weaker than one that is searched for
everywhere, or close to the notch that the suppression of static paths leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.body import body_model
from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate
from cooperative_isac.fusion.fuse import clusters, detection_of, explain, is_target
from cooperative_isac.fusion.rejection import Accepted, is_echo_of_other, is_part_of_body
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.information import positive_definite
from cooperative_isac.sensing.joint_fit import JointFit, without
from cooperative_isac.sensing.local_ml import ROUGH
from cooperative_isac.sensing.path_state import single_path
from cooperative_isac.sensing.report import EchoReport, PathReport, report_fit

FALSE_PATH_PROBABILITY = 1e-3  # of noise alone, for each predicted path
DOPPLER_SIGMAS = 3.0  # half width of the predicted interval of Doppler shifts
# Share of a path's energy that the suppression of static paths must leave: below, it is rounding.
LEAST_SHARE = 0.01
# Clusters in doubt, strongest first, that are looked for in other echoes: bounds the time.
MOST_DOUBTFUL = 6
STEPS_PER_BIN = 4  # Doppler shifts that are tried within one resolution cell


@dataclass(frozen=True)
class SensedEcho:
    """One receiver's echo at the center.

    joint: fits paths to the echo
    fit: of all that the receiver finds alone, None if that is nothing
    main: the same without satellites (LocalMl.main_targets)
    """

    joint: JointFit
    fit: Fit | None
    main: Fit | None


def detect_bodies(scene: Scene, echoes: Mapping[str, SensedEcho]) -> tuple[Detection, ...]:
    """Detections of targets with bodies from the echoes of all receivers."""
    reports = []
    for receiver, echo in echoes.items():
        reports += _sound_reports(receiver, echo.main, scene.band)
    search = _FurtherPaths(scene, echoes)
    accepted: list[Accepted] = []
    doubtful: list[tuple[list[EchoReport], Estimate]] = []

    # What the receivers find alone.
    for cluster, fitted in clusters(scene, reports):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted):
            accepted.append(Accepted(cluster, detection, fitted.body))
        elif _num_paths(cluster) <= scene.dimension:
            doubtful.append((cluster, fitted))

    # What further paths confirm.
    for cluster, fitted in doubtful[:MOST_DOUBTFUL]:
        detection = detection_of(scene, cluster, fitted)
        is_valid = detection_problem(detection) is None
        if not is_valid or _is_explained(scene, cluster, detection, accepted):
            continue
        further = search.find(cluster, fitted)
        if not further:
            continue
        members, fitted = explain(scene, [*cluster, *further])
        cluster = [member.used for member in members]
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted):
            accepted.append(Accepted(cluster, detection, fitted.body))
    detections = (one.detection for one in accepted)
    return tuple(sorted(detections, key=lambda detection: -detection.snr_db))


def _num_paths(cluster: Sequence[EchoReport]) -> int:
    return sum(len(report.paths) for report in cluster)


def _is_explained(
    scene: Scene, cluster: Sequence[EchoReport], detection: Detection, accepted: Sequence[Accepted]
) -> bool:
    """Whether an accepted target explains a cluster."""
    return is_echo_of_other(scene, cluster, accepted) or any(
        is_part_of_body(scene, cluster, detection, other) for other in accepted
    )


def sound(report: EchoReport) -> EchoReport:
    """The report with symmetric, positive definite information matrices, whatever rounding did."""
    paths = tuple(
        replace(path, information=positive_definite(path.information)) for path in report.paths
    )
    return replace(report, paths=paths)


def _sound_reports(receiver: str, fit: Fit | None, band: str) -> list[EchoReport]:
    """Reports of a fit; targets without a finite location or information are left out."""
    return [
        sound(report)
        for report in report_fit(receiver, fit, band)
        if np.isfinite(report.point_m).all() and np.isfinite(report.information).all()
    ]


class _FurtherPaths:
    """Looks for the missing paths of targets in what the fits of all receivers leave."""

    def __init__(self, scene: Scene, echoes: Mapping[str, SensedEcho]):
        self.scene = scene
        self._echoes = echoes
        self._residuals: dict[str, np.ndarray] = {}

    def find(self, cluster: Sequence[EchoReport], fitted: Estimate) -> list[EchoReport]:
        """Reports of paths that the cluster lacks and whose echo is there."""
        there = {(report.receiver, path.transmitter) for report in cluster for path in report.paths}
        further = []
        for receiver in self._echoes:
            for transmitter in range(len(self.scene.transmitters)):
                if (receiver, transmitter) not in there:
                    further += self._path(receiver, transmitter, fitted)
        return further

    def _path(self, receiver: str, transmitter: int, fitted: Estimate) -> list[EchoReport]:
        """Report of a target's path from a transmitter to a receiver, none if it is not heard."""
        joint = self._echoes[receiver].joint
        reference = joint.maker.reference
        residual = self._residual(receiver)
        point = self._reflecting_point(receiver, transmitter, fitted)

        # Doppler shifts that the estimate allows, without the notch of static paths.
        resolution_hz = reference.frame.grid.doppler_resolution_hz
        shifts = self._expected_shifts(receiver, transmitter, point, fitted, resolution_hz)
        shares = reference.static_share(shifts)
        shifts, shares = shifts[shares > LEAST_SHARE], shares[shares > LEAST_SHARE]
        if not len(shifts):
            return []

        # Their matched-filter power.
        beam = joint.maker.receive_at(point).conj()
        filters, energy = joint.maker.filters_at(transmitter, point[None])
        behind = np.tensordot(beam, residual, axes=1)
        blocks = np.einsum("ik,ikb->b", filters[0].conj(), behind)
        turns = np.exp(-2j * np.pi * reference.block_times_s[:, None] * shifts)
        power = np.abs(blocks @ turns) ** 2 / (shares * energy[0] * joint.noise_power_w)
        threshold = -np.log(FALSE_PATH_PROBABILITY / (1 + len(shifts) / STEPS_PER_BIN))
        if not power.max() > threshold:
            return []

        # Fit its own point, as for a target of its own.
        alone = JointFit(joint.maker, residual, joint.noise_power_w)
        start = single_path(point, transmitter, shifts[power.argmax()])
        fit = alone.climb(alone.match(start), **ROUGH)
        if not fit.power[0] > threshold:
            return []
        self._residuals[receiver] = without(residual, fit)
        return _sound_reports(receiver, fit, self.scene.band)

    def _residual(self, receiver: str) -> np.ndarray:
        """What the paths found so far leave of a receiver's correlation."""
        if receiver not in self._residuals:
            echo = self._echoes[receiver]
            whole = echo.joint.correlation
            self._residuals[receiver] = whole if echo.fit is None else without(whole, echo.fit)
        return self._residuals[receiver]

    def _reflecting_point(self, receiver: str, transmitter: int, fitted: Estimate) -> np.ndarray:
        """Point [3] of the estimated body that reflects from transmitter to receiver, in map."""
        middle, velocity = self._state(fitted)
        if fitted.body.radius_m == 0:
            return middle
        nothing = np.eye(self.scene.dimension)
        path = PathReport(transmitter, 0.0, 1.0, nothing)
        report = EchoReport(receiver, middle, (path,), self.scene.band)
        model = body_model(self.scene, [report], fitted.body, velocity)
        return middle + (middle - model.points_m[0])

    def _expected_shifts(
        self,
        receiver: str,
        transmitter: int,
        point_m: np.ndarray,
        fitted: Estimate,
        resolution_hz: float,
    ) -> np.ndarray:
        """Doppler shifts that the estimate allows on a path, [num_shifts], Hz."""
        size, wavelength = self.scene.dimension, self.scene.grid.wavelength_m
        _, velocity = self._state(fitted)
        path = bistatic_geometry(
            self.scene.transmitters[transmitter].position_m,
            self.scene.receiver(receiver).position_m,
            point_m,
            velocity,
            wavelength,
        )

        # Mean and standard deviation of the shift, from the estimate's velocity.
        row = -path.range_gradient[:size] / wavelength
        deviation = np.sqrt(max(row @ fitted.covariance[size:, size:] @ row, 0.0))
        half_width = DOPPLER_SIGMAS * deviation + resolution_hz / 2

        # What a target of the scene can have.
        limit = 2 * self.scene.sensing.max_speed_mps / wavelength
        low = np.clip(path.doppler_hz - half_width, -limit, limit)
        high = np.clip(path.doppler_hz + half_width, -limit, limit)
        count = 1 + int(np.ceil((high - low) / resolution_hz * STEPS_PER_BIN))
        return np.linspace(low, high, count)

    def _state(self, fitted: Estimate) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity of an estimate, [3] each."""
        size = self.scene.dimension
        position = np.array([0.0, 0.0, self.scene.plane_height_m])
        velocity = np.zeros(3)
        position[:size] = fitted.position_m
        velocity[:size] = fitted.velocity_mps
        return position, velocity
