"""Reports of targets that have a body: where its middle is, and how far the points that scatter
deviate from it.

Receivers see different points of a car, a meter and more apart, each to centimeters. A report
therefore carries an
error of the model beside its noise: the point that scatters lies on the near side of the body,
spread over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, Scene, TargetClass
from cooperative_isac.sensing.report import EchoReport

# Standard deviation of the points that scatter, over the length of the body's axis. Uniform over
# it: 0.29; the point nearest to both ends scatters most.
SPREAD = 0.25

# rad/s, of a body about its middle: a turning car, whose far points have a velocity of their own.
TURN_RATE_STD_RADPS = 0.3
DOPPLER_STD_MPS = (
    0.05  # m/s, of the velocity of several interfering points of a body, beside that of its middle
)
POINT_STD_M = 0.02  # m, what is left of a point: linearization and quantization
SLOWEST_HEADING_MPS = 1.0  # m/s, below which a velocity says nothing of where a body points
TINY = 1e-9  # m, keeps directions defined where a length is zero


@dataclass(frozen=True)
class BodyModel:
    """Reports as measurements of the middle of a body.

    points_m: [num_reports, 3], middle of the body by each report
    covariances: [num_reports, D, D], m^2, of noise and model together
    doppler_std_mps: standard deviation of the model in the rate of each path's length
    """

    points_m: np.ndarray
    covariances: np.ndarray
    doppler_std_mps: float


def distinct_bodies(scene: Scene) -> list[Body]:
    """The bodies that targets of the scene can have, smallest first.

    A point is among them where UAVs or vehicles, one of which a detection is taken for, have no
    size.
    """
    bodies = {tuple(body.size_m): body for body in scene.bodies.values() if body.radius_m > 0}
    if any(scene.body(kind).radius_m == 0 for kind in (TargetClass.UAV, TargetClass.VEHICLE)):
        bodies[tuple(POINT_BODY.size_m)] = POINT_BODY
    return sorted(bodies.values(), key=lambda body: body.radius_m)


@overload
def limited_by_multipath(scene: Scene, power: float) -> float: ...
@overload
def limited_by_multipath(scene: Scene, power: np.ndarray) -> np.ndarray: ...
def limited_by_multipath(scene: Scene, power: float | np.ndarray) -> float | np.ndarray:
    """SNR that paths of a body are worth: its echoes by way of walls interfere, like noise that
    grows with the echo.

    power: any shape, float64, coherent SNR, linear
    Returns the same shape.
    """
    ratio = 10 ** (scene.sensing.multipath_ratio_db / 10)
    return power / (1 + power / ratio)


def limited_information(scene: Scene, report: EchoReport) -> np.ndarray:
    """Information of a report's location with the SNR of its paths limited by multipath, [D, D],
    1/m^2.
    """
    limited = [
        path.information * (limited_by_multipath(scene, path.power) / path.power)
        for path in report.paths
    ]
    return sum(limited, np.zeros_like(limited[0]))


def body_model(
    scene: Scene, reports: Sequence[EchoReport], body: Body, velocity_mps: np.ndarray | None
) -> BodyModel:
    """The middle of a body by each report that may be of one of its points.

    velocity_mps: [3], the body's length lies along its horizontal part; None: unknown, any heading
    """
    size = scene.dimension
    axes, extent = _axes(body, velocity_mps)
    spread = axes.T @ np.diag((SPREAD * extent) ** 2 + POINT_STD_M**2) @ axes

    points = np.empty((len(reports), 3))
    covariances = np.empty((len(reports), size, size))
    for index, report in enumerate(reports):
        # An ellipsoid reflects where its normal is the bisector of the directions to transmitter
        # and receiver.
        normal = _bisector(scene, report)
        squared_axes = axes.T @ np.diag((extent / 2) ** 2) @ axes
        towards = squared_axes @ normal
        points[index] = report.point_m - towards / max(np.sqrt(normal @ towards), TINY)
        noise = np.linalg.inv(limited_information(scene, report))
        covariances[index] = noise + spread[:size, :size]

    doppler_std_mps = (
        np.hypot(DOPPLER_STD_MPS, TURN_RATE_STD_RADPS * SPREAD * extent.max())
        if extent.any()
        else 0.0
    )
    return BodyModel(points, covariances, 2 * doppler_std_mps)


def _axes(body: Body, velocity_mps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the body as rows, [3, 3], and its extent along each, [3], m."""
    speed = 0.0 if velocity_mps is None else float(np.hypot(velocity_mps[0], velocity_mps[1]))
    if velocity_mps is None or speed < SLOWEST_HEADING_MPS:
        horizontal = float(np.mean(body.size_m[:2]))
        return np.eye(3), np.array([horizontal, horizontal, body.size_m[2]])
    x, y = velocity_mps[:2] / speed
    return np.array([[x, y, 0], [-y, x, 0], [0, 0, 1.0]]), body.size_m


def _bisector(scene: Scene, report: EchoReport) -> np.ndarray:
    """Unit vector [3] from a target halfway between the directions to receiver and transmitters."""
    view = scene.on(report.band)
    receiver = view.receiver(report.receiver).position_m
    senders = np.array([view.transmitters[path.transmitter].position_m for path in report.paths])
    geometry = bistatic_geometry(senders, receiver, report.point_m, np.zeros(3), 1.0)
    total = -geometry.range_gradient.sum(axis=0)
    if scene.dimension == 2:
        total[2] = 0.0
    return total / max(np.linalg.norm(total), TINY)
