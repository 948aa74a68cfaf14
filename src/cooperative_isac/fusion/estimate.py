"""Location and full velocity of one target from its echo reports, by weighted least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.report import EchoReport, doppler_information

STEPS = 4


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


def estimate(scene: Scene, reports: Sequence[EchoReport]) -> Estimate:
    """Minimise the reports' normalised squared errors over location and velocity.

    Each report weighs its location by the information matrix it sent and each Doppler shift by its SNR; the sum is
    the quadratic form of the joint likelihood around its peak. Unobserved velocity stays within the scene's maximum
    speed (a weak prior). The inverse normal matrix is the covariance.
    """
    size = scene.dimension
    information = sum(report.information for report in reports)
    position = np.linalg.solve(information, sum(r.information @ r.point_m[:size] for r in reports))
    velocity = np.zeros(size)
    prior = np.diag(np.repeat([0.0, scene.sensing.max_speed_mps ** -2.0], size))
    for _ in range(STEPS):
        rows, errors, weights = _doppler_equations(scene, reports, position, velocity)
        normal = prior + rows.T @ (weights[:, None] * rows)
        normal[:size, :size] += information
        slope = rows.T @ (weights * errors) - prior @ np.concatenate([position, velocity])
        slope[:size] += sum(r.information @ (r.point_m[:size] - position) for r in reports)
        step = np.linalg.solve(normal, slope)
        position, velocity = position + step[:size], velocity + step[size:]
    degrees = size * len(reports) + len(rows) - 2 * size
    misfits = _misfits(scene, reports, position, velocity)
    return Estimate(position, velocity, np.linalg.inv(normal), misfits, degrees)


def _doppler_equations(scene, reports, position, velocity):
    """Jacobian rows [num_paths, 2 dimension] of all Doppler shifts, their errors and weights [num_paths]."""
    size = scene.dimension
    rows, errors, weights = [], [], []
    for report in reports:
        receiver = scene.receiver(report.receiver)
        for path in report.paths:
            geometry = _path_geometry(scene, receiver, path.transmitter, position, velocity)
            shift_slope = -geometry.range_gradient[:size] / scene.grid.wavelength_m
            rows.append(np.concatenate([np.zeros(size), shift_slope]))
            errors.append(path.doppler_hz - geometry.doppler_hz)
            weights.append(doppler_information(scene.grid, path.power))
    return np.array(rows), np.array(errors), np.array(weights)


def _misfits(scene, reports, position, velocity) -> np.ndarray:
    _, errors, weights = _doppler_equations(scene, reports, position, velocity)
    squares = iter(np.split(weights * errors ** 2, np.cumsum([len(r.paths) for r in reports])[:-1]))
    away = [report.point_m[:scene.dimension] - position for report in reports]
    return np.array([offset @ report.information @ offset + next(squares).sum()
                     for report, offset in zip(reports, away)])


def _path_geometry(scene, receiver, transmitter, position, velocity):
    point = np.array([0.0, 0.0, scene.plane_height_m])
    point[:scene.dimension] = position
    moving = np.zeros(3)
    moving[:scene.dimension] = velocity
    return bistatic_geometry(scene.transmitters[transmitter].position_m, receiver.position_m, point, moving,
                             scene.grid.wavelength_m)
