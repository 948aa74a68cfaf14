"""Angle, range and range rate of a path: what the schemes of CF section V-A send of each target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry, point_on_ray
from cooperative_isac.scene.model import Scene, Site

IN_PLANE = 1e-6
NEAREST_M = 1.0
INTERPOLATED_CELLS = 0.05
BIN_CELLS = math.hypot(INTERPOLATED_CELLS, 1 / math.sqrt(12))


@dataclass(frozen=True)
class PathParameters:
    """One path transmitter -> target -> receiver in a plane.

    angle_rad: of arrival, from the receiver's array axis (CF Fig. 2); range_m: bistatic, d of CF
    eq. 7;
    range_rate_mps: its derivative, negative when the path shortens.
    """

    transmitter: int
    angle_rad: float
    range_m: float
    range_rate_mps: float


@dataclass(frozen=True)
class Accuracy:
    """Standard deviations of a path's parameters; that of the angle as its cosine's."""

    cosine: float
    range_m: float
    range_rate_mps: float


def check_plane(scene: Scene, scheme: str) -> None:
    """ValueError unless every receiver is a linear array in the plane of a two-dimensional
    scene.
    """
    for site in scene.receivers:
        if scene.dimension != 2 or site.kind != "ula" or abs(site.axis[2]) > IN_PLANE:
            raise ValueError(
                f"scheme '{scheme}' measures angles in a plane, with linear arrays; scene "
                f"'{scene.name}' has dimension {scene.dimension} and receiver '{site.name}' a "
                f"{site.kind} array: use scheme local_ml, or a plane with arrays of kind ula"
            )


def arrival_direction(site: Site, cosine: np.ndarray) -> np.ndarray:
    """Unit vectors [..., 3] of arrival angles with cosines [...], on the side that a linear array
    faces.
    """
    cosine = np.clip(cosine, -1, 1)
    return cosine[..., None] * site.axis + np.sqrt(1 - cosine**2)[..., None] * site.boresight


def parameters_of(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray, doppler_hz: float
) -> PathParameters:
    """Parameters of the path over a point [3], m."""
    site = scene.transmitters[transmitter]
    path = bistatic_geometry(site.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)
    angle = np.arccos(np.clip(path.aoa @ receiver.axis, -1, 1))
    rate = -float(doppler_hz) * scene.grid.wavelength_m
    return PathParameters(transmitter, float(angle), float(path.range_m), rate)


def location_of(scene: Scene, receiver: Site, parameters: PathParameters) -> np.ndarray:
    """Where a path's angle and range put the target, [3], m; not nearer to the receiver than
    NEAREST_M.
    """
    transmitter = scene.transmitters[parameters.transmitter]
    direction = arrival_direction(receiver, np.cos(np.array(parameters.angle_rad)))
    point = point_on_ray(
        transmitter.position_m, receiver.position_m, direction, np.array(parameters.range_m)
    )
    too_near = np.linalg.norm(point - receiver.position_m) < NEAREST_M
    return receiver.position_m + NEAREST_M * direction if too_near else point


def beam_width(receiver: Site, wavelength_m: float) -> float:
    """Wavelength over aperture of a linear array: one bin of its spatial DFT, as a cosine."""
    places = np.sort(receiver.elements_m @ receiver.axis)
    return wavelength_m / (places[-1] - places[0] + np.diff(places).min(initial=wavelength_m / 2))


def accuracy_of(scene: Scene, receiver: Site, range_cells: float, rate_cells: float) -> Accuracy:
    """Range and range rate known to shares of a resolution cell, beside an interpolated angle."""
    grid = scene.grid
    return Accuracy(
        INTERPOLATED_CELLS * beam_width(receiver, grid.wavelength_m),
        range_cells * grid.range_resolution_m,
        rate_cells * grid.doppler_resolution_hz * grid.wavelength_m,
    )


def on_bins(scene: Scene, parameters: PathParameters) -> PathParameters:
    """The parameters with range and range rate at the nearest bins of the frame's two-dimensional
    DFT.
    """
    grid = scene.grid
    steps = grid.range_resolution_m, grid.doppler_resolution_hz * grid.wavelength_m
    range_m, rate_mps = (
        round(value / step) * step
        for value, step in zip((parameters.range_m, parameters.range_rate_mps), steps)
    )
    return replace(parameters, range_m=range_m, range_rate_mps=rate_mps)


def location_slopes(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray
) -> np.ndarray:
    """Derivatives of the cosine of arrival and of the range with the location, [2, 2], 1/m and
    1.
    """
    site = scene.transmitters[transmitter]
    path = bistatic_geometry(site.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)
    across = receiver.axis - (receiver.axis @ path.aoa) * path.aoa
    return np.stack([across / path.rx_distance_m, path.range_gradient])[:, :2]


def location_information(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray, accuracy: Accuracy
) -> np.ndarray:
    """Information about the location that a cosine and a range of an accuracy carry, [2, 2],
    1/m^2.
    """
    deviations = np.array([[accuracy.cosine], [accuracy.range_m]])
    weighted = location_slopes(scene, receiver, transmitter, point_m) / deviations
    return weighted.T @ weighted
