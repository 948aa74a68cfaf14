"""Location and full velocity of one target from its echo reports, by weighted least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from cooperative_isac.fusion.body import BodyModel
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, Scene
from cooperative_isac.sensing.information import doppler_information, suppressed_doppler_information
from cooperative_isac.sensing.report import EchoReport

STEPS = 3
SETTLED = 1e-6  # squared length of a step, in standard deviations


@dataclass(frozen=True)
class Estimate:
    """position_m, velocity_mps: [dimension]; covariance: [2 dimension, 2 dimension] of both;

    misfits: normalised squared error of each report (location and its Doppler shifts), in the order of the reports;
    degrees: equations minus unknowns.
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    covariance: np.ndarray
    misfits: np.ndarray
    degrees: int
    log_det: float = 0.0
    body: Body = POINT_BODY


def estimate(scene: Scene, reports: Sequence[EchoReport], model: BodyModel | None = None) -> Estimate:
    """Minimise the reports' normalised squared errors over location and velocity.

    Each report weighs its location by the information matrix it sent and each Doppler shift by its SNR; the sum is
    the quadratic form of the joint likelihood around its peak. Unobserved velocity stays within the scene's maximum
    speed (a weak prior). The inverse normal matrix is the covariance.
    """
    size = scene.dimension
    points = [report.point_m[:size] for report in reports] if model is None else model.points_m[:, :size]
    weights = ([report.information for report in reports] if model is None else np.linalg.inv(model.covariances))
    information = sum(weights)
    weighted = sum(weight @ point for weight, point in zip(weights, points))
    position, velocity = np.linalg.solve(information, weighted), np.zeros(size)
    prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps ** -2.0], size))
    shifts = _doppler_shifts(scene, reports, 0.0 if model is None else model.doppler_std_hz)
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
    degrees = size * len(reports) + len(shifts.weights) - 2 * size
    _, errors = shifts.equations(scene, position, velocity)
    misfits = np.bincount(shifts.owner, shifts.weights * errors ** 2, len(reports))
    log_det = -float(np.sum(np.linalg.slogdet(np.array(weights))[1]) + np.sum(np.log(shifts.weights)))
    for index, (weight, point) in enumerate(zip(weights, points)):
        away = point - position
        misfits[index] += away @ weight @ away
    return Estimate(position, velocity, np.linalg.inv(normal), misfits, degrees, log_det)


@dataclass(frozen=True)
class _DopplerShifts:
    """The Doppler shifts of all paths: ends of each path [num_paths, 3], measured shift, weight and report's index."""

    transmitters_m: np.ndarray
    receivers_m: np.ndarray
    doppler_hz: np.ndarray
    weights: np.ndarray
    owner: np.ndarray

    def equations(self, scene: Scene, position: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope of each shift with location and velocity [num_paths, 2 dimension], and its error, at a state."""
        size, wavelength = scene.dimension, scene.grid.wavelength_m
        point, moving = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
        point[:size], moving[:size] = position, velocity
        paths = bistatic_geometry(self.transmitters_m, self.receivers_m, point, moving, wavelength)
        with_location = paths.doppler_location_gradient(moving, wavelength)[:, :size]
        with_velocity = -paths.range_gradient[:, :size] / wavelength
        return np.concatenate([with_location, with_velocity], axis=1), self.doppler_hz - paths.doppler_hz


def _doppler_shifts(scene: Scene, reports: Sequence[EchoReport], model_std_hz: float) -> _DopplerShifts:
    owners = [index for index, report in enumerate(reports) for _ in report.paths]
    paths = [path for report in reports for path in report.paths]
    powers = np.array([path.power for path in paths])
    doppler_hz = np.array([path.doppler_hz for path in paths])
    information = _doppler_information(scene, powers, doppler_hz)
    return _DopplerShifts(np.array([scene.transmitters[path.transmitter].position_m for path in paths]),
                          np.array([scene.receiver(reports[owner].receiver).position_m for owner in owners]),
                          doppler_hz,
                          1 / (1 / information + model_std_hz ** 2), np.array(owners))


def _doppler_information(scene: Scene, powers: np.ndarray, doppler_hz: np.ndarray) -> np.ndarray:
    """Fisher information of Doppler shifts, [num_paths], 1/Hz^2, as the receivers suppress static paths.

    A packet does not say how much of a background was learned when it was sent: the lesser of both applies then.
    """
    known = doppler_information(scene.grid, powers)
    if scene.sensing.static_paths == "keep":
        return known
    unknown = suppressed_doppler_information(scene.grid, powers, doppler_hz)
    return unknown if scene.sensing.static_paths == "project" else np.minimum(known, unknown)
