"""Extended targets: reports of points on a body as measurements of its middle.

Receivers see different points of a car, a meter and more apart, each to centimeters. A report
therefore has an error of the model beside its noise: the reflecting point is on the near side of
the body, spread over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import POINT_BODY, Body, Scene, TargetClass
from cooperative_isac.sensing.report import EchoReport

# Standard deviation of the reflecting points, over the length of the body's axis. Uniform over it
# would be 0.29; points nearest to transmitter and receiver reflect most.
SPREAD_PER_LENGTH = 0.25

# Standard deviation of the turn rate of a body about its middle, rad/s: that of a turning car,
# whose far points have a velocity of their own.
TURN_RATE_STD_RADPS = 0.3

# Standard deviation of the velocity that interfering points of one body seem to have, beside that
# of its middle, m/s.
INTERFERENCE_STD_MPS = 0.05

# Standard deviation of a reflecting point along each axis without any spread, m: linearization and
# quantization.
POINT_STD_M = 0.02

# Speed below which the direction of a velocity is too uncertain to be the heading of a body, m/s.
SLOWEST_HEADING_MPS = 1.0

# Length that keeps directions defined where a length is zero, m.
TINY_M = 1e-9


@dataclass(frozen=True)
class BodyModel:
    """Reports as measurements of the middle of a body.

    points_m: [num_reports, 3], float64, m, middle of the body by each report
    covariances: [num_reports, D, D], float64, m^2, of noise and model together
    doppler_std_mps: standard deviation of the model in the range rate of each path, m/s
    """

    points_m: np.ndarray
    covariances: np.ndarray
    doppler_std_mps: float


def distinct_bodies(scene: Scene) -> list[Body]:
    """The bodies that targets of the scene can have, smallest first.

    A point is among them where the scene gives UAVs or vehicles no size, because every detection is
    taken for one of these two.
    """
    # Bodies of one size are one.
    with_size = [body for body in scene.bodies.values() if body.radius_m > 0]
    bodies = {tuple(body.size_m): body for body in with_size}

    # The point.
    uav = scene.body(TargetClass.UAV)
    vehicle = scene.body(TargetClass.VEHICLE)
    if uav.radius_m == 0 or vehicle.radius_m == 0:
        bodies[tuple(POINT_BODY.size_m)] = POINT_BODY
    return sorted(bodies.values(), key=lambda body: body.radius_m)


@overload
def limited_by_multipath(scene: Scene, power: float) -> float: ...
@overload
def limited_by_multipath(scene: Scene, power: np.ndarray) -> np.ndarray: ...
def limited_by_multipath(scene: Scene, power: float | np.ndarray) -> float | np.ndarray:
    """Effective SNR of paths of a target, whose multipath interferes like noise in proportion.

    power: [...], float64, coherent SNR, linear
    Returns [...], float64, linear.
    """
    ratio = 10 ** (scene.sensing.multipath_ratio_db / 10)
    return power / (1 + power / ratio)


def limited_information(scene: Scene, report: EchoReport) -> np.ndarray:
    """Information of a report's location with its SNR limited by multipath, [D, D], 1/m^2."""
    limited = [
        path.information * (limited_by_multipath(scene, path.power) / path.power)
        for path in report.paths
    ]
    return sum(limited, np.zeros_like(limited[0]))


def limited_reports(scene: Scene, reports: Sequence[EchoReport]) -> list[EchoReport]:
    """Reports of points with their SNR limited by multipath, where the world reflects target paths.

    scene: of one or several bands
    reports: of all stations
    """
    has_multipath = [
        view.world is not None and view.world.target_reflections > 0 for view in scene.views
    ]
    if not any(has_multipath):
        return list(reports)
    return [_limited_report(scene, report) for report in reports]


def _limited_report(scene: Scene, report: EchoReport) -> EchoReport:
    """A report with the accuracies that its paths have at a limited SNR."""
    paths = []
    for path in report.paths:
        limited_power = limited_by_multipath(scene, path.power)
        share = limited_power / path.power
        paths.append(
            replace(
                path,
                power=limited_power,
                information=share * path.information,
                snr_loss=path.snr_loss / share,
            )
        )
    return replace(report, paths=tuple(paths))


def body_model(
    scene: Scene, reports: Sequence[EchoReport], body: Body, velocity_mps: np.ndarray | None
) -> BodyModel:
    """The middle of a body by each report of one of its points.

    scene: of one or several bands
    reports: that may be of points of the body
    body: shape and size
    velocity_mps: [3], float64, m/s, map, to whose horizontal part the body's length is parallel;
        None: unknown, and any heading is as likely
    """
    size = scene.dimension
    axes, extent_m = _axes(body, velocity_mps)
    spread_m = SPREAD_PER_LENGTH * extent_m
    spread_covariance = axes.T @ np.diag(spread_m**2 + POINT_STD_M**2) @ axes
    ellipsoid = axes.T @ np.diag((extent_m / 2) ** 2) @ axes

    points_m = np.empty((len(reports), 3))
    covariances = np.empty((len(reports), size, size))
    for index, report in enumerate(reports):
        # Specular point of an ellipsoid: its normal is the bisector of the directions to
        # transmitter and receiver.
        normal = _bisector(scene, report)
        along_m2 = ellipsoid @ normal
        offset_m = along_m2 / max(np.sqrt(normal @ along_m2), TINY_M)
        points_m[index] = report.point_m - offset_m

        # Noise of the report and spread of the reflecting point.
        noise = np.linalg.inv(limited_information(scene, report))
        covariances[index] = noise + spread_covariance[:size, :size]

    # Velocity of the points against the middle; a path changes by twice of it at most.
    velocity_std_mps = 0.0
    if extent_m.any():
        turning_mps = TURN_RATE_STD_RADPS * SPREAD_PER_LENGTH * extent_m.max()
        velocity_std_mps = np.hypot(INTERFERENCE_STD_MPS, turning_mps)
    return BodyModel(points_m, covariances, 2 * velocity_std_mps)


def _axes(body: Body, velocity_mps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the body as rows, [3, 3], and its extent along each, [3], m."""
    speed_mps = 0.0
    if velocity_mps is not None:
        speed_mps = float(np.hypot(velocity_mps[0], velocity_mps[1]))

    # Unknown heading: round, with the mean of length and width.
    if velocity_mps is None or speed_mps < SLOWEST_HEADING_MPS:
        length_m, width_m, height_m = body.size_m
        diameter_m = float(np.mean([length_m, width_m]))
        return np.eye(3), np.array([diameter_m, diameter_m, height_m])

    # Ahead, to the left, and up.
    x, y = velocity_mps[:2] / speed_mps
    axes = np.array([[x, y, 0], [-y, x, 0], [0, 0, 1.0]])
    return axes, body.size_m


def _bisector(scene: Scene, report: EchoReport) -> np.ndarray:
    """Unit vector [3] from a target halfway between the directions to receiver and transmitters."""
    view = scene.on(report.band)
    receiver_m = view.receiver(report.receiver).position_m
    transmitters_m = np.array(
        [view.transmitters[path.transmitter].position_m for path in report.paths]
    )
    paths = bistatic_geometry(transmitters_m, receiver_m, report.point_m, np.zeros(3), 1.0)

    # The gradient of a path's length is the sum of both directions, away from the stations.
    towards = -paths.range_gradient.sum(axis=0)
    if scene.dimension == 2:
        towards[2] = 0.0
    return towards / max(np.linalg.norm(towards), TINY_M)
