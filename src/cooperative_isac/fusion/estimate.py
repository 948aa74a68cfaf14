"""Location and full velocity of targets from their reports, by weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from cooperative_isac.fusion.body import BodyModel, limited_by_multipath
from cooperative_isac.fusion.grouping import Groups
from cooperative_isac.fusion.reports import Links, Reports, reports_of
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, Scene
from cooperative_isac.sensing.report import EchoReport

# Gauss-Newton steps at most: the problem is linear but for the curvature of the Doppler shifts over
# the location, which the first step has nearly found.
GAUSS_NEWTON_STEPS = 3

# Squared length of a step in standard deviations, below which an estimate has converged.
CONVERGED_STEP = 1e-6


@dataclass(frozen=True)
class Estimate:
    """Location and velocity of one target.

    position_m: [D], float64, m
    velocity_mps: [D], float64, m/s
    covariance: [2 D, 2 D], float64, SI, of both
    misfits: [num_reports], float64, normalized squared error of each report (location and its
        Doppler shifts), in the order of the reports
    degrees: degrees of freedom, equations minus unknowns
    log_det: log determinant of the covariances of all measurements
    body: that the estimate assumes
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    misfits: np.ndarray
    degrees: int
    log_det: float = 0.0
    body: Body = POINT_BODY


@dataclass(frozen=True)
class Estimates:
    """Locations and velocities of several targets.

    position_m: [num_targets, D], float64, m
    velocity_mps: [num_targets, D], float64, m/s
    covariance: [num_targets, 2 D, 2 D], float64, SI, of both
    misfits: [num_reports], float64, normalized squared error of each report (see Estimate)
    misfit: [num_targets], float64, sum of the misfits of a target's reports
    degrees: [num_targets], int, degrees of freedom
    log_det: [num_targets], float64, log determinant of the covariances of a target's measurements
    num_paths: [num_targets], int
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    misfits: np.ndarray
    misfit: np.ndarray
    degrees: np.ndarray
    log_det: np.ndarray
    num_paths: np.ndarray

    def take(self, chosen: np.ndarray, reports: np.ndarray) -> Estimates:
        """The estimates of some targets with the misfits of some reports.

        chosen: [num], int, indices of targets, or a mask [num_targets], bool
        reports: the same of reports
        """
        return Estimates(
            self.position_m[chosen],
            self.velocity_mps[chosen],
            self.covariance[chosen],
            self.misfits[reports],
            self.misfit[chosen],
            self.degrees[chosen],
            self.log_det[chosen],
            self.num_paths[chosen],
        )

    def of(self, index: int, groups: Groups) -> Estimate:
        """The estimate of one target.

        index: of the target
        groups: of the reports from which the estimates were made
        """
        return Estimate(
            self.position_m[index],
            self.velocity_mps[index],
            self.covariance[index],
            self.misfits[groups.group == index],
            int(self.degrees[index]),
            float(self.log_det[index]),
        )


def in_space(scene: Scene, found: Estimate | Estimates) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity of estimates in three dimensions; in a plane at its height.

    scene: of one or several bands
    found: one estimate, or several
    Returns position, m, and velocity, m/s, [3] each or [num_targets, 3], float64, map.
    """
    size = scene.dimension
    position_m = np.zeros((*found.position_m.shape[:-1], 3))
    position_m[..., 2] = scene.plane_height_m
    position_m[..., :size] = found.position_m
    velocity_mps = np.zeros_like(position_m)
    velocity_mps[..., :size] = found.velocity_mps
    return position_m, velocity_mps


def concatenated(parts: Sequence[Estimates]) -> Estimates:
    """The estimates of all parts, one after the other."""
    names = [field.name for field in fields(Estimates)]
    return Estimates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def estimate(
    scene: Scene,
    reports: Sequence[EchoReport],
    model: BodyModel | None = None,
    links: Links | None = None,
) -> Estimate:
    """Weighted least squares of location and velocity over the reports of one target.

    scene: of one or several bands
    reports: of the target
    model: the reports as measurements of the middle of a body; None: of a point
    links: of the scene, where they are known already
    """
    arrays = reports_of(scene, reports, links)
    if model is not None:
        arrays = _of_body(scene, arrays, model)
    group = np.zeros(len(reports), int)
    one = estimate_all(scene, arrays, group, num_groups=1)
    return Estimate(
        one.position_m[0],
        one.velocity_mps[0],
        one.covariance[0],
        one.misfits,
        int(one.degrees[0]),
        float(one.log_det[0]),
    )


def _of_body(scene: Scene, reports: Reports, model: BodyModel) -> Reports:
    """Reports as measurements of the middle of a body.

    Their SNR is limited by multipath, and the error of the model is added to their noise.
    """
    # Information of the Doppler shifts at the limited SNR.
    limited_snr = limited_by_multipath(scene, reports.snr)
    noise_information = reports.shift_information * limited_snr / reports.snr

    # Sum of the variances of noise and model, as information.
    wavelengths_m = reports.links.wavelength_m[reports.link]
    model_variance_hz2 = (model.doppler_std_mps / wavelengths_m) ** 2
    shift_information = noise_information / (1 + model_variance_hz2 * noise_information)
    return replace(
        reports,
        point_m=model.points_m,
        information=np.linalg.inv(model.covariances),
        shift_information=shift_information,
        displacement=None,
    )


def estimate_all(scene: Scene, reports: Reports, group: np.ndarray, num_groups: int) -> Estimates:
    """Weighted least squares of location and velocity, over the reports of each target.

    The weight of a location is the information matrix of its report, that of a Doppler shift
    follows from its SNR; the sum is the quadratic form of the joint likelihood around its peak. A
    weak prior keeps unobserved velocities within the scene's maximum speed. The covariance is the
    inverse of the normal matrix.

    scene: of one or several bands
    reports: of all targets
    group: [num_reports], int, target of each report; every target has one at least
    num_groups: number of targets
    """
    size = scene.dimension
    path_group = group[reports.owner]
    locations = _Locations(reports, reports.point_m[:, :size], group, num_groups)
    fitted = _fitted(scene, reports, locations, path_group)
    state = fitted.state

    # Normalized squared residuals of each report.
    shift_weights = reports.own_shift_information
    _, errors_hz = _shift_equations(scene, reports, state[path_group])
    misfits = np.bincount(reports.owner, shift_weights * errors_hz**2, len(reports))
    misfits += locations.misfits(state[:, locations.unknowns])

    # Degrees of freedom, and the volume of the measurements' covariances.
    num_reports = np.bincount(group, minlength=num_groups)
    num_paths = np.bincount(path_group, minlength=num_groups)
    degrees = size * num_reports + num_paths - 2 * size
    log_dets = np.linalg.slogdet(reports.information)[1]
    log_det_information = np.bincount(group, log_dets, num_groups)
    log_det_information += np.bincount(path_group, np.log(reports.shift_information), num_groups)
    return Estimates(
        position_m=state[:, :size],
        velocity_mps=state[:, size : 2 * size],
        covariance=_covariances(scene, reports, locations, path_group, fitted),
        misfits=misfits,
        misfit=np.bincount(group, misfits, num_groups),
        degrees=degrees,
        log_det=-log_det_information,
        num_paths=num_paths,
    )


@dataclass(frozen=True)
class _Fitted:
    """States of least squared errors, and the equations about them.

    state: [num_groups, 2 D + K], float64, location and velocity, SI, and K common errors of the
        reports in standard deviations
    normal: [num_groups, 2 D + K, 2 D + K], float64, normal matrix
    slopes: [num_paths, 2 D + K], float64, of the Doppler shifts with the state
    """

    state: np.ndarray
    normal: np.ndarray
    slopes: np.ndarray


def _fitted(
    scene: Scene, reports: Reports, locations: _Locations, path_group: np.ndarray
) -> _Fitted:
    """States of least squared errors by Gauss-Newton.

    locations: of the reports of all targets
    path_group: [num_paths], int, target of each path
    """
    # Location and common errors by the points alone, velocity zero.
    size = scene.dimension
    information = locations.information
    weighted = locations.weighted
    num_groups = len(information)
    num_unknowns = size + information.shape[1]
    unknowns = locations.unknowns
    state = np.zeros((num_groups, num_unknowns))
    state[:, unknowns] = _solved(information, weighted)

    # Gauss-Newton steps: Doppler shifts depend on the location, and on the velocity linearly.
    shift_weights = reports.own_shift_information
    prior = np.zeros((num_unknowns, num_unknowns))
    np.fill_diagonal(prior[size : 2 * size, size : 2 * size], scene.sensing.max_speed_mps**-2.0)
    normal = np.empty((num_groups, num_unknowns, num_unknowns))
    path_slopes = np.empty((len(path_group), num_unknowns))
    active = np.ones(num_groups, bool)
    for _ in range(GAUSS_NEWTON_STEPS):
        # Normal matrix about the states.
        slopes, errors_hz = _shift_equations(scene, reports, state[path_group])
        outer = shift_weights[:, None, None] * slopes[:, :, None] * slopes[:, None, :]
        equations = prior + _summed(outer, path_group, num_groups)
        equations[:, unknowns[:, None], unknowns] += information

        # Right side: errors of Doppler shifts, of velocities from the prior, and of locations.
        weighted_errors = slopes * (shift_weights * errors_hz)[:, None]
        right = _summed(weighted_errors, path_group, num_groups)
        right -= state @ prior
        fitted_locations = np.einsum("cij,cj->ci", information, state[:, unknowns])
        right[:, unknowns] += weighted - fitted_locations
        steps = _solved(equations, right)

        # Update of the targets that have not converged.
        state[active] += steps[active]
        normal[active] = equations[active]
        is_of_active = active[path_group]
        path_slopes[is_of_active] = slopes[is_of_active]

        # They have where a step is short in standard deviations.
        lengths = np.einsum("ci,cij,cj->c", steps, equations, steps)
        active &= lengths >= CONVERGED_STEP
        if not active.any():
            break
    return _Fitted(state, normal, path_slopes)


def _covariances(
    scene: Scene, reports: Reports, locations: _Locations, path_group: np.ndarray, fitted: _Fitted
) -> np.ndarray:
    """Covariances of the states, [num_groups, 2 D, 2 D], float64, SI.

    They are inverse normal matrices, but where the paths are too few for the velocity.

    locations: of the reports of all targets
    path_group: [num_paths], int, target of each path
    """
    size = scene.dimension
    covariance = np.linalg.inv(fitted.normal)[:, : 2 * size, : 2 * size]
    num_paths = np.bincount(path_group, minlength=len(covariance))
    for index in np.flatnonzero(num_paths < size):
        own = path_group == index
        location_covariance = np.linalg.inv(locations.information[index])[:size, :size]
        turning_hz2 = _turning_variance_hz2(
            scene, reports, own, fitted.state[index, :size], location_covariance
        )
        covariance[index] = _wide_covariance(
            location_covariance,
            scene.sensing.max_speed_mps,
            fitted.slopes[own, : 2 * size],
            1 / reports.shift_information[own] + turning_hz2,
        )
    return covariance


class _Locations:
    """Locations of the reports of several targets as measurements of the targets' locations.

    Errors that reports have in common, as of uncertain positions of stations, are further unknowns
    of each target, with a normal prior.

    reports: of all targets
    points_m: [num_reports, D], float64, m, their locations
    group: [num_reports], int, target of each report
    num_groups: number of targets
    unknowns: [D + K], int, places of location and common errors in the state (_Fitted)
    information: [num_groups, D + K, D + K], float64, of both
    weighted: [num_groups, D + K], float64, right side of the normal equations
    """

    def __init__(self, reports: Reports, points_m: np.ndarray, group: np.ndarray, num_groups: int):
        displacement = reports.displacement
        size = points_m.shape[1]
        self._points_m = points_m
        self._group = group
        if displacement is None:
            self._gradient = None
            self._weights = reports.information
            self.unknowns = np.arange(size)
            values = np.einsum("nij,nj->ni", self._weights, points_m)
            self.information = _summed(self._weights, group, num_groups)
            self.weighted = _summed(values, group, num_groups)
            return

        # Locations move with their target and with the errors.
        self._gradient = displacement.gradient
        self._weights = displacement.information
        num_errors = self._gradient.shape[-1]
        self.unknowns = np.r_[:size, 2 * size : 2 * size + num_errors]
        with_target = np.broadcast_to(np.eye(size), (len(points_m), size, size))
        slopes = np.concatenate([with_target, self._gradient], axis=2)
        coupled = self._weights @ slopes

        # Normal equations, with the prior of the errors.
        prior = np.diag(np.repeat([0.0, 1.0], [size, num_errors]))
        self.information = prior + _summed(slopes.swapaxes(1, 2) @ coupled, group, num_groups)
        values = np.einsum("nik,ni->nk", coupled, points_m)
        self.weighted = _summed(values, group, num_groups)

    def misfits(self, fitted: np.ndarray) -> np.ndarray:
        """Normalized squared residuals of each report, [num_reports], float64.

        A common error counts for the reports of its target in equal shares.

        fitted: [num_groups, D + K], float64, locations of the targets and common errors
        """
        size = self._points_m.shape[1]
        residuals_m = self._points_m - fitted[self._group, :size]
        if self._gradient is None:
            return np.einsum("ni,nij,nj->n", residuals_m, self._weights, residuals_m)
        errors = fitted[:, size:]
        residuals_m -= np.einsum("nik,nk->ni", self._gradient, errors[self._group])
        misfits = np.einsum("ni,nij,nj->n", residuals_m, self._weights, residuals_m)

        # The misfit of the errors themselves, in equal shares.
        num_reports = np.bincount(self._group, minlength=len(fitted))
        shares = np.sum(errors**2, axis=1) / num_reports
        return misfits + shares[self._group]


def _summed(values: np.ndarray, group: np.ndarray, num_groups: int) -> np.ndarray:
    """Sums of values [n, ...] over the members of each group, [num_groups, ...]."""
    if num_groups == 1:
        return values.sum(axis=0, keepdims=True)
    columns = values.reshape(len(values), -1)
    sums = np.empty((num_groups, columns.shape[1]))
    for index, column in enumerate(columns.T):
        sums[:, index] = np.bincount(group, column, num_groups)
    return sums.reshape(num_groups, *values.shape[1:])


def _solved(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solutions of linear equations, [c, n]."""
    return np.linalg.solve(matrices, right[..., None])[..., 0]


def _shift_equations(
    scene: Scene, reports: Reports, states: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linearized equations of the Doppler shifts.

    states: [num_paths, 2 D + K], float64, of the target of each path (_Fitted)
    Returns slopes with the state [num_paths, 2 D + K], and errors [num_paths], Hz.
    """
    size = scene.dimension
    points_m = _in_space(states[:, :size], scene.plane_height_m)
    velocities_mps = _in_space(states[:, size : 2 * size], 0.0)
    paths = reports.geometry(points_m, velocities_mps)

    with_location = reports.shift_gradient(paths, velocities_mps)[:, :size]
    wavelengths_m = reports.links.wavelength_m[reports.link]
    with_velocity = -paths.range_gradient[:, :size] / wavelengths_m[:, None]
    errors_hz = reports.doppler_hz - paths.doppler_hz
    if reports.displacement is None:
        return np.concatenate([with_location, with_velocity], axis=1), errors_hz

    # Common errors of the reports.
    with_errors = reports.displacement.shift_gradient
    errors_hz = errors_hz - np.sum(with_errors * states[:, 2 * size :], axis=1)
    return np.concatenate([with_location, with_velocity, with_errors], axis=1), errors_hz


def _in_space(vectors: np.ndarray, height: float) -> np.ndarray:
    """Vectors [num, D] as vectors [num, 3], those of a plane at a height."""
    spatial = np.empty((len(vectors), 3))
    spatial[:, 2] = height
    spatial[:, : vectors.shape[1]] = vectors
    return spatial


def _wide_covariance(
    of_location: np.ndarray, max_speed_mps: float, rows: np.ndarray, noise_hz2: np.ndarray
) -> np.ndarray:
    """Covariance of location and velocity where few paths leave velocities unobserved.

    The inverse of the normal matrix, as the update of a Kalman filter in Joseph's form: between
    millimeters and the maximum speed, the plain inverse loses its positive eigenvalues to rounding.

    of_location: [D, D], float64, m^2, covariance of the location
    rows: [num_paths, 2 D], float64, slopes of the Doppler shifts
    noise_hz2: [num_paths], float64, Hz^2, variances of the Doppler shifts
    Returns [2 D, 2 D], float64, SI.
    """
    # Prior: location by the points, any velocity up to the maximum speed.
    size = len(of_location)
    prior = np.zeros((2 * size, 2 * size))
    prior[:size, :size] = of_location
    prior[size:, size:] = max_speed_mps**2 * np.eye(size)

    # Kalman gain of the Doppler shifts.
    noise = np.diag(noise_hz2)
    cross_covariance = rows @ prior
    innovation_covariance = cross_covariance @ rows.T + noise
    gain = np.linalg.solve(innovation_covariance, cross_covariance).T

    # Covariance after the update: what is left of the prior, and errors of the shifts.
    residual = np.eye(2 * size) - gain @ rows
    of_prior = residual @ prior @ residual.T
    of_shifts = gain @ noise @ gain.T
    covariance = of_prior + of_shifts
    return (covariance + covariance.T) / 2


def _turning_variance_hz2(
    scene: Scene,
    reports: Reports,
    own: np.ndarray,
    position_m: np.ndarray,
    covariance: np.ndarray,
) -> np.ndarray:
    """Variance of Doppler shifts by errors of location and velocity together.

    The shift is bilinear in direction and velocity. Where the velocity is unobserved up to the
    maximum speed, an error of location turns an unknown share of it into the measured direction:
    tr(M V M^T P), M the mixed derivative.

    own: [num_paths], bool, the paths of one target
    position_m: [D], float64, m, its location
    covariance: [D, D], float64, m^2, of the location
    Returns [num_own], float64, Hz^2.
    """
    size = scene.dimension
    links = reports.links
    link = reports.link[own]
    wavelengths_m = links.wavelength_m[link]
    point_m = _in_space(position_m[None], scene.plane_height_m)[0]
    paths = bistatic_geometry(
        links.transmitters_m[link], links.receivers_m[link], point_m, np.zeros(3), wavelengths_m
    )

    # Mixed derivatives with location and velocity.
    columns = [paths.doppler_location_gradient(axis, wavelengths_m) for axis in np.eye(3)[:size]]
    mixed = np.stack(columns, axis=-1)[:, :size]
    variance = np.einsum("pij,pkj,ik->p", mixed, mixed, covariance)
    return scene.sensing.max_speed_mps**2 * variance
