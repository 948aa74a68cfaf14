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

STEPS = 3
SETTLED = 1e-6  # squared length of a step, in standard deviations


@dataclass(frozen=True)
class Estimate:
    """Location and velocity of one target.

    position_m, velocity_mps: [D], float64
    covariance: [2 D, 2 D], float64, of both
    misfits: [num_reports], float64, normalized squared error of each report (location and its
    Doppler shifts), in the order of the reports
    degrees: equations minus unknowns
    log_det: log determinant of the covariances of all measurements
    body: what the reports were taken to be of
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
    """Locations and velocities of c targets.

    position_m, velocity_mps: [c, D], float64
    covariance: [c, 2 D, 2 D], float64
    misfits: [num_reports], float64, as of Estimate
    misfit: [c], float64, their sums
    degrees: [c], int
    log_det: [c], float64
    num_paths: [c], int
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
        """Some of the targets, and the misfits of some of the reports."""
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

        groups: of the reports that the estimates are of
        """
        return Estimate(
            self.position_m[index],
            self.velocity_mps[index],
            self.covariance[index],
            self.misfits[groups.group == index],
            int(self.degrees[index]),
            float(self.log_det[index]),
        )


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

    model: the reports as measurements of the middle of a body; None: of a point
    links: of the scene, where they are known already
    """
    arrays = reports_of(scene, reports, links)
    if model is not None:
        arrays = _of_body(scene, arrays, model)
    one = estimate_all(scene, arrays, np.zeros(len(reports), int), 1)
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

    Their SNR is limited by multipath, and the model has an error beside their noise.
    """
    limited = reports.shift_information * limited_by_multipath(scene, reports.snr) / reports.snr
    variance_hz2 = (model.doppler_std_mps / reports.links.wavelength_m[reports.link]) ** 2
    return replace(
        reports,
        point_m=model.points_m,
        information=np.linalg.inv(model.covariances),
        shift_information=limited / (1 + variance_hz2 * limited),
    )


def estimate_all(scene: Scene, reports: Reports, group: np.ndarray, num_groups: int) -> Estimates:
    """Weighted least squares of location and velocity, over the reports of each target.

    Each report weighs its location by the information matrix it sent and each Doppler shift by its
    SNR; the sum is the quadratic form of the joint likelihood around its peak. Unobserved velocity
    stays within the scene's maximum speed (a weak prior). The inverse normal matrix is the
    covariance.

    group: [num_reports], int, target of each report, each with one at least
    """
    size = scene.dimension
    of_path = group[reports.owner]
    points = reports.point_m[:, :size]
    weights = reports.information
    shift_weights = reports.shift_information
    information = _summed(weights, group, num_groups)
    weighted = _summed(np.einsum("nij,nj->ni", weights, points), group, num_groups)
    prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps**-2.0], size))

    # Gauss-Newton steps: Doppler shifts depend on the location, and on the velocity linearly.
    state = np.zeros((num_groups, 2 * size))
    state[:, :size] = _solved(information, weighted)
    normal = np.empty((num_groups, 2 * size, 2 * size))
    rows = np.empty((len(of_path), 2 * size))
    active = np.ones(num_groups, bool)
    for _ in range(STEPS):
        # Normal equations about the states.
        slopes, errors = _shift_equations(scene, reports, state[of_path])
        outer = shift_weights[:, None, None] * slopes[:, :, None] * slopes[:, None, :]
        equations = prior + _summed(outer, of_path, num_groups)
        equations[:, :size, :size] += information
        right = _summed(slopes * (shift_weights * errors)[:, None], of_path, num_groups)
        right -= state @ prior
        right[:, :size] += weighted - np.einsum("cij,cj->ci", information, state[:, :size])
        steps = _solved(equations, right)

        # Only where the last step was not short.
        state[active] += steps[active]
        normal[active] = equations[active]
        rows[active[of_path]] = slopes[active[of_path]]
        lengths = np.einsum("ci,cij,cj->c", steps, equations, steps)
        active &= lengths >= SETTLED
        if not active.any():
            break

    # What is left: normalized squared errors of each report.
    _, errors = _shift_equations(scene, reports, state[of_path])
    misfits = np.bincount(reports.owner, shift_weights * errors**2, len(reports))
    away = points - state[group, :size]
    misfits += np.einsum("ni,nij,nj->n", away, weights, away)
    num_reports = np.bincount(group, minlength=num_groups)
    num_paths = np.bincount(of_path, minlength=num_groups)
    determinants = np.bincount(group, np.linalg.slogdet(weights)[1], num_groups)
    determinants += np.bincount(of_path, np.log(shift_weights), num_groups)

    covariance = np.linalg.inv(normal)
    for index in np.flatnonzero(num_paths < size):
        own = of_path == index
        covariance[index] = _wide_covariance(
            information[index],
            scene.sensing.max_speed_mps,
            rows[own],
            1 / shift_weights[own]
            + _turning_variance_hz2(
                scene, reports, own, state[index, :size], np.linalg.inv(information[index])
            ),
        )
    return Estimates(
        position_m=state[:, :size],
        velocity_mps=state[:, size:],
        covariance=covariance,
        misfits=misfits,
        misfit=np.bincount(group, misfits, num_groups),
        degrees=size * num_reports + num_paths - 2 * size,
        log_det=-determinants,
        num_paths=num_paths,
    )


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
    """Slope of each Doppler shift with location and velocity [p, 2 D], and its error [p], Hz.

    states: [p, 2 D], float64, of the target of each path
    """
    size = scene.dimension
    points = _in_space(states[:, :size], scene.plane_height_m)
    velocities = _in_space(states[:, size:], 0.0)
    paths = reports.geometry(points, velocities)
    with_location = reports.shift_gradient(paths, velocities)[:, :size]
    wavelengths = reports.links.wavelength_m[reports.link]
    with_velocity = -paths.range_gradient[:, :size] / wavelengths[:, None]
    errors = reports.doppler_hz - paths.doppler_hz
    return np.concatenate([with_location, with_velocity], axis=1), errors


def _in_space(vectors: np.ndarray, height: float) -> np.ndarray:
    """Vectors [p, D] in three dimensions, [p, 3], those of a plane at its height."""
    whole = np.empty((len(vectors), 3))
    whole[:, 2] = height
    whole[:, : vectors.shape[1]] = vectors
    return whole


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


def _turning_variance_hz2(
    scene: Scene,
    reports: Reports,
    own: np.ndarray,
    position: np.ndarray,
    covariance: np.ndarray,
) -> np.ndarray:
    """Variance of some shifts by errors of location and velocity together, [num_own], Hz^2.

    The shift is bilinear in direction and velocity. Where the velocity is open up to the maximum
    speed, an error of location turns an unknown share of it into the measured direction:
    tr(M V M^T P), M the mixed derivative.

    own: [p], bool, the paths of one target
    covariance: [D, D], float64, m^2, of the location
    """
    size = scene.dimension
    links = reports.links
    link = reports.link[own]
    point = _in_space(position[None], scene.plane_height_m)[0]
    paths = bistatic_geometry(
        links.transmitters_m[link],
        links.receivers_m[link],
        point,
        np.zeros(3),
        links.wavelength_m[link],
    )
    columns = [
        paths.doppler_location_gradient(axis, links.wavelength_m[link]) for axis in np.eye(3)[:size]
    ]
    mixed = np.stack(columns, axis=-1)[:, :size]
    variance = np.einsum("pij,pkj,ik->p", mixed, mixed, covariance)
    return scene.sensing.max_speed_mps**2 * variance
