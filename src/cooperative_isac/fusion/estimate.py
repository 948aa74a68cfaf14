"""Location and full velocity of one target from its echo reports, by weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.fusion.body import BodyModel, limited_by_multipath
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, Scene
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.report import EchoReport

STEPS = 3
SETTLED = 1e-6  # squared length of a step, in standard deviations


@dataclass(frozen=True)
class Estimate:
    """Location and velocity of one target, and how well they fit its reports.

    position_m, velocity_mps: [dimension]; covariance: [2 dimension, 2 dimension] of both;
    misfits: normalized squared error of each report (location and its Doppler shifts), in the order
    of the reports;
    degrees: equations minus unknowns; log_det: log determinant of the covariances of all
    measurements; body: what the reports were taken to be of.
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    misfits: np.ndarray
    degrees: int
    log_det: float = 0.0
    body: Body = POINT_BODY


def estimate(
    scene: Scene, reports: Sequence[EchoReport], model: BodyModel | None = None
) -> Estimate:
    """Weighted least squares of location and velocity over the reports of one target.

    Each report weighs its location by the information matrix it sent and each Doppler shift by its
    SNR; the sum is the quadratic form of the joint likelihood around its peak. Unobserved velocity
    stays within the scene's maximum speed (a weak prior). The inverse normal matrix is the
    covariance.

    model: the reports as measurements of the middle of a body; None: of a point
    """
    size = scene.dimension

    # Locations and their weights, of a point or of a body's middle.
    if model is None:
        points = [report.point_m[:size] for report in reports]
        weights = [report.information for report in reports]
        shifts = _doppler_shifts(scene, reports)
    else:
        points = model.points_m[:, :size]
        weights = np.linalg.inv(model.covariances)
        shifts = _doppler_shifts(scene, reports).of_body(scene, model.doppler_std_hz)
    information = sum(weights, np.zeros((size, size)))
    weighted = sum((weight @ point for weight, point in zip(weights, points)), np.zeros(size))
    prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], size))

    # Gauss-Newton steps: Doppler shifts depend on the location, and on the velocity linearly.
    position, velocity = np.linalg.solve(information, weighted), np.zeros(size)
    rows = np.empty((0, 2 * size))
    normal = prior
    for _ in range(STEPS):
        rows, errors = shifts.equations(scene, position, velocity)
        normal = prior + rows.T @ (shifts.weights[:, None] * rows)
        normal[:size, :size] += information
        slope = rows.T @ (shifts.weights * errors) - prior @ np.concatenate([position, velocity])
        slope[:size] += weighted - information @ position
        step = np.linalg.solve(normal, slope)
        position, velocity = position + step[:size], velocity + step[size:]
        if step @ normal @ step < SETTLED:
            break

    # What is left: normalized squared errors of each report.
    degrees = size * len(reports) + len(shifts.weights) - 2 * size
    _, errors = shifts.equations(scene, position, velocity)
    misfits = np.bincount(shifts.owner, shifts.weights * errors**2, len(reports))
    for index, (weight, point) in enumerate(zip(weights, points)):
        away = point - position
        misfits[index] += away @ weight @ away
    log_det = -float(
        np.sum(np.linalg.slogdet(np.array(weights))[1]) + np.sum(np.log(shifts.weights))
    )

    covariance = np.linalg.inv(normal)
    if len(shifts.weights) < size:
        turning_hz2 = shifts.turning_variance_hz2(scene, position, np.linalg.inv(information))
        noise_hz2 = 1 / shifts.weights + turning_hz2
        covariance = _wide_covariance(information, scene.sensing.max_speed_mps, rows, noise_hz2)
    return Estimate(position, velocity, covariance, misfits, degrees, log_det)


def _wide_covariance(
    information: np.ndarray, max_speed_mps: float, rows: np.ndarray, noise_hz2: np.ndarray
) -> np.ndarray:
    """Covariance [2 D, 2 D] of location and velocity where few paths leave velocities open.

    The inverse of the normal matrix, as the update of a Kalman filter in Joseph's form: between
    millimeters and the maximum speed, the plain inverse loses its positive eigenvalues to rounding.

    information: [D, D], float64, 1/m^2, of the location
    rows: [num_paths, 2 D], float64, slopes of the Doppler shifts
    noise_hz2: [num_paths], float64, Hz^2, variances of the Doppler shifts
    """
    size = len(information)
    prior = np.zeros((2 * size, 2 * size))
    prior[:size, :size] = np.linalg.inv(information)
    prior[size:, size:] = max_speed_mps**2 * np.eye(size)

    noise = np.diag(noise_hz2)
    gain = np.linalg.solve(rows @ prior @ rows.T + noise, rows @ prior).T
    rest = np.eye(2 * size) - gain @ rows
    covariance = rest @ prior @ rest.T + gain @ noise @ gain.T
    return (covariance + covariance.T) / 2


@dataclass(frozen=True)
class _DopplerShifts:
    """Doppler shifts of all paths.

    transmitters_m, receivers_m: [num_paths, 3], m, ends of each path
    doppler_hz: [num_paths], measured shifts
    powers: [num_paths], coherent SNR
    weights: [num_paths], 1/Hz^2, inverse variances
    owner: [num_paths], index of each path's report
    """

    transmitters_m: np.ndarray
    receivers_m: np.ndarray
    doppler_hz: np.ndarray
    powers: np.ndarray
    weights: np.ndarray
    owner: np.ndarray

    def of_body(self, scene: Scene, model_std_hz: float) -> _DopplerShifts:
        """The shifts with their SNR limited by multipath and an error of the model beside their
        noise.
        """
        limited = self.weights * limited_by_multipath(scene, self.powers) / self.powers
        return replace(self, weights=limited / (1 + model_std_hz**2 * limited))

    def equations(
        self, scene: Scene, position: np.ndarray, velocity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slope of each shift with location and velocity [num_paths, 2 dimension], and its error,
        at a state.
        """
        size, wavelength = scene.dimension, scene.grid.wavelength_m
        point, moving = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
        point[:size], moving[:size] = position, velocity
        paths = bistatic_geometry(self.transmitters_m, self.receivers_m, point, moving, wavelength)
        with_location = paths.doppler_location_gradient(moving, wavelength)[:, :size]
        with_velocity = -paths.range_gradient[:, :size] / wavelength
        return np.concatenate(
            [with_location, with_velocity], axis=1
        ), self.doppler_hz - paths.doppler_hz

    def turning_variance_hz2(
        self, scene: Scene, position: np.ndarray, covariance: np.ndarray
    ) -> np.ndarray:
        """Variance of each shift by errors of location and velocity together, [num_paths], Hz^2.

        The shift is bilinear in direction and velocity. Where the velocity is open up to the
        maximum speed, an error of location turns an unknown share of it into the measured
        direction: tr(M V M^T P), M the mixed derivative.

        covariance: [D, D], float64, m^2, of the location
        """
        size = scene.dimension
        wavelength = scene.grid.wavelength_m
        point = np.array([0.0, 0.0, scene.plane_height_m])
        point[:size] = position
        paths = bistatic_geometry(
            self.transmitters_m, self.receivers_m, point, np.zeros(3), wavelength
        )
        columns = [paths.doppler_location_gradient(axis, wavelength) for axis in np.eye(3)[:size]]
        mixed = np.stack(columns, axis=-1)[:, :size]
        variance = np.einsum("pij,pkj,ik->p", mixed, mixed, covariance)
        return scene.sensing.max_speed_mps**2 * variance


def _doppler_shifts(scene: Scene, reports: Sequence[EchoReport]) -> _DopplerShifts:
    """Doppler shifts of all paths of the reports."""
    owners = []
    paths = []
    for index, report in enumerate(reports):
        owners.extend([index] * len(report.paths))
        paths.extend(report.paths)
    shifts = np.array([path.doppler_hz for path in paths])
    powers = np.array([path.power for path in paths])
    information = shift_information(scene.grid, powers, shifts, scene.sensing.static_paths)
    return _DopplerShifts(
        transmitters_m=np.array(
            [scene.transmitters[path.transmitter].position_m for path in paths]
        ),
        receivers_m=np.array(
            [scene.receiver(reports[owner].receiver).position_m for owner in owners]
        ),
        doppler_hz=shifts,
        powers=powers,
        weights=information,
        owner=np.array(owners),
    )
