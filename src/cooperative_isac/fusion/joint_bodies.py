"""Detections of bodies from the raw echoes of all receivers: local fits, and predicted paths.

Receivers see different points of a body, so that no common point fits all echoes. Each receiver's
echo therefore has a fit of its own, and these are fused like reports. Beyond that, the center
searches each echo at the location and Doppler shift that the other receivers predict for a target:
few cells can raise a false alarm there, so that a path may be much weaker than one that is searched
for everywhere, or close to the notch that the suppression of static paths leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.body import body_model
from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.estimate import Estimate, in_space
from cooperative_isac.fusion.fuse import clusters, detection_of, fit_body, is_target
from cooperative_isac.fusion.rejection import Accepted, is_echo_of_other, is_part_of_body
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.information import positive_definite
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.local_ml import ROUGH
from cooperative_isac.sensing.path_state import single_path
from cooperative_isac.sensing.report import EchoReport, PathReport, report_fit

# Probability that noise alone exceeds the threshold of a predicted path. Thousands of cells of a
# whole area share the scene's false-alarm probability; a predicted path has a few.
FALSE_PATH_PROBABILITY = 1e-3

# Half width of the predicted interval of Doppler shifts, in standard deviations.
DOPPLER_SIGMAS = 3.0

# Share of a path's energy that the suppression of static paths must leave, so that its Doppler
# shift is tried: below, single precision rounds too much.
LEAST_ENERGY_SHARE = 0.01

# Doubtful clusters, strongest first, that are searched for in other echoes: bounds the time.
MAX_DOUBTFUL = 6

# Trial Doppler shifts in one resolution cell: with 4 a path between two loses 0.2 dB.
SHIFTS_PER_CELL = 4


@dataclass(frozen=True)
class SensedEcho:
    """One receiver's echo at the center, with the paths found in it alone.

    joint: likelihood of paths in the echo
    fit: all paths found in this echo alone, or None
    main: the same without satellites, the further points of a body (LocalMl.main_targets)
    """

    joint: JointFit
    fit: Fit | None
    main: Fit | None


def detect_bodies(scene: Scene, echoes: Mapping[str, SensedEcho]) -> tuple[Detection, ...]:
    """Detections of extended targets from the echoes of all receivers, strongest first.

    scene: seen on one band
    echoes: by receiver
    """
    reports = []
    for receiver, echo in echoes.items():
        reports += _valid_reports(receiver, echo.main, scene.band)
    search = _FurtherPaths(scene, echoes)
    accepted: list[Accepted] = []
    doubtful: list[tuple[list[EchoReport], Estimate]] = []

    # Targets that the receivers find without further search.
    for cluster, fitted in clusters(scene, reports):
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted):
            accepted.append(Accepted(cluster, detection, fitted.body))
        elif _num_paths(cluster) <= scene.dimension:
            # So few paths that further ones may confirm the target.
            doubtful.append((cluster, fitted))

    # Doubtful targets that further paths confirm.
    for cluster, fitted in doubtful[:MAX_DOUBTFUL]:
        detection = detection_of(scene, cluster, fitted)
        is_valid = detection_problem(detection) is None
        if not is_valid or _is_explained(scene, cluster, detection, accepted):
            continue
        further = search.find(cluster, fitted)
        if not further:
            continue

        # The target again, with all its paths.
        members, fitted = fit_body(scene, [*cluster, *further])
        cluster = [member.used for member in members]
        detection = detection_of(scene, cluster, fitted)
        if is_target(scene, cluster, fitted, detection, accepted):
            accepted.append(Accepted(cluster, detection, fitted.body))
    detections = (one.detection for one in accepted)
    return tuple(sorted(detections, key=lambda detection: -detection.snr_db))


def _num_paths(cluster: Sequence[EchoReport]) -> int:
    """Number of paths in all reports of a cluster."""
    return sum(len(report.paths) for report in cluster)


def _is_explained(
    scene: Scene, cluster: Sequence[EchoReport], detection: Detection, accepted: Sequence[Accepted]
) -> bool:
    """True where a cluster is another echo of an accepted target, or another point of its body."""
    if is_echo_of_other(scene, cluster, accepted):
        return True
    return any(is_part_of_body(scene, cluster, detection, other) for other in accepted)


def with_valid_information(report: EchoReport) -> EchoReport:
    """The report with its information matrices made symmetric and positive definite."""
    paths = tuple(
        replace(path, information=positive_definite(path.information)) for path in report.paths
    )
    return replace(report, paths=paths)


def _valid_reports(receiver: str, fit: Fit | None, band: str) -> list[EchoReport]:
    """Reports of a fit; targets without a finite location or information are left out."""
    return [
        with_valid_information(report)
        for report in report_fit(receiver, fit, band)
        if np.isfinite(report.point_m).all() and np.isfinite(report.information).all()
    ]


class _FurtherPaths:
    """Search for missing paths of targets in the residuals of all receivers' fits."""

    def __init__(self, scene: Scene, echoes: Mapping[str, SensedEcho]):
        self.scene = scene
        self._echoes = echoes
        self._residuals: dict[str, np.ndarray] = {}

    def find(self, cluster: Sequence[EchoReport], fitted: Estimate) -> list[EchoReport]:
        """Reports of the missing paths of a target that are detected where its state predicts them.

        cluster: reports of the target
        fitted: its state
        """
        present = {
            (report.receiver, path.transmitter) for report in cluster for path in report.paths
        }
        further = []
        for receiver in self._echoes:
            for transmitter in range(len(self.scene.transmitters)):
                if (receiver, transmitter) not in present:
                    further += self._detect_path(receiver, transmitter, fitted)
        return further

    def _detect_path(self, receiver: str, transmitter: int, fitted: Estimate) -> list[EchoReport]:
        """Report of a target's path from a transmitter to a receiver; empty if not detected.

        A detected path is subtracted from the receiver's residual.
        """
        joint = self._echoes[receiver].joint
        reference = joint.maker.reference
        residual = self._residual(receiver)
        point_m = self._reflecting_point(receiver, transmitter, fitted)

        # Doppler shifts that the estimate allows, without the notch of static paths.
        resolution_hz = reference.frame.grid.doppler_resolution_hz
        shifts_hz = self._expected_shifts_hz(receiver, transmitter, point_m, fitted, resolution_hz)
        shares = reference.static_share(shifts_hz)
        is_usable = shares > LEAST_ENERGY_SHARE
        shifts_hz = shifts_hz[is_usable]
        shares = shares[is_usable]
        if not len(shifts_hz):
            return []

        # Matched filter over antennas, then over subcarriers and streams.
        beam = joint.maker.receive_at(point_m).conj()
        received = np.tensordot(beam, residual, axes=1)
        filters, energy = joint.maker.filters_at(transmitter, point_m[None])
        blocks = np.einsum("ik,ikb->b", filters[0].conj(), received)

        # Spectrum over blocks of symbols, in noise variances: Exp(1) in noise.
        doppler_phases = np.exp(-2j * np.pi * reference.block_times_s[:, None] * shifts_hz)
        noise_w = shares * energy[0] * joint.noise_power_w
        power = np.abs(blocks @ doppler_phases) ** 2 / noise_w

        # Detection of its peak, at a threshold for all resolution cells of the interval.
        num_cells = 1 + len(shifts_hz) / SHIFTS_PER_CELL
        threshold = -np.log(FALSE_PATH_PROBABILITY / num_cells)
        if not power.max() > threshold:
            return []

        # Fit of the reflecting point of this path alone.
        alone = JointFit(joint.maker, residual, joint.noise_power_w)
        start = single_path(point_m, transmitter, shifts_hz[power.argmax()])
        fit = alone.fisher_scoring(alone.match(start), **ROUGH)
        if not fit.power[0] > threshold:
            return []
        self._residuals[receiver] = subtract_paths(residual, fit)
        return _valid_reports(receiver, fit, self.scene.band)

    def _residual(self, receiver: str) -> np.ndarray:
        """Correlation of a receiver's echo without the paths found so far."""
        if receiver not in self._residuals:
            echo = self._echoes[receiver]
            correlation = echo.joint.correlation
            if echo.fit is not None:
                correlation = subtract_paths(correlation, echo.fit)
            self._residuals[receiver] = correlation
        return self._residuals[receiver]

    def _reflecting_point(self, receiver: str, transmitter: int, fitted: Estimate) -> np.ndarray:
        """Point [3] of the estimated body that reflects from transmitter to receiver, in map."""
        middle_m, velocity_mps = in_space(self.scene, fitted)
        if fitted.body.radius_m == 0:
            return middle_m

        # The model gives the middle by a point; here the point is as far on the other side.
        any_information = np.eye(self.scene.dimension)
        path = PathReport(transmitter, 0.0, 1.0, any_information)
        report = EchoReport(receiver, middle_m, (path,), self.scene.band)
        model = body_model(self.scene, [report], fitted.body, velocity_mps)
        return middle_m + (middle_m - model.points_m[0])

    def _expected_shifts_hz(
        self,
        receiver: str,
        transmitter: int,
        point_m: np.ndarray,
        fitted: Estimate,
        resolution_hz: float,
    ) -> np.ndarray:
        """Trial Doppler shifts of a path, within the uncertainty of the estimated velocity.

        point_m: [3], float64, m, reflecting point
        fitted: estimate of the target's state
        resolution_hz: Doppler resolution of a frame, Hz
        Returns [num_shifts], float64, Hz, ascending.
        """
        # Predicted path at the estimated velocity.
        size = self.scene.dimension
        wavelength_m = self.scene.grid.wavelength_m
        _, velocity_mps = in_space(self.scene, fitted)
        path = bistatic_geometry(
            self.scene.transmitters[transmitter].position_m,
            self.scene.receiver(receiver).position_m,
            point_m,
            velocity_mps,
            wavelength_m,
        )

        # Standard deviation of the shift, from that of the velocity (Hz per m/s).
        velocity_gradient = -path.range_gradient[:size] / wavelength_m
        velocity_covariance = fitted.covariance[size:, size:]
        variance_hz2 = velocity_gradient @ velocity_covariance @ velocity_gradient
        std_hz = np.sqrt(max(variance_hz2, 0.0))
        half_width_hz = DOPPLER_SIGMAS * std_hz + resolution_hz / 2

        # Interval about the predicted shift, within those of the scene's targets.
        limit_hz = 2 * self.scene.sensing.max_speed_mps / wavelength_m
        low_hz = np.clip(path.doppler_hz - half_width_hz, -limit_hz, limit_hz)
        high_hz = np.clip(path.doppler_hz + half_width_hz, -limit_hz, limit_hz)
        num_shifts = 1 + int(np.ceil((high_hz - low_hz) / resolution_hz * SHIFTS_PER_CELL))
        return np.linspace(low_hz, high_hz, num_shifts)
