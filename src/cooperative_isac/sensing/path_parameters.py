"""Angle, range and range rate of a path: the report of the schemes of CF section V-A."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.geometry import bistatic_geometry, point_on_ray
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.search_grid import NEAREST_M

# Vertical part of the axis of an array up to which it counts as in the plane: rounding.
IN_PLANE = 1e-6

# Kinds of arrays whose elements are on a line, at multiples of a spacing.
LINEAR_KINDS = ("ula", "nested", "coprime")

# Standard deviation of an interpolated peak in resolution cells, and of one that is rounded to the
# bins of a DFT besides.
INTERPOLATED_CELLS = 0.05
BIN_CELLS = math.hypot(INTERPOLATED_CELLS, 1 / math.sqrt(12))


@dataclass(frozen=True)
class PathParameters:
    """One path from a transmitter over a target to a receiver, in a plane.

    transmitter: index of the transmitting site
    angle_rad: angle of arrival from the axis of the receiver's array (CF Fig. 2)
    range_m: bistatic range, d of CF eq. (7)
    range_rate_mps: its derivative, negative when the path shortens
    """

    transmitter: int
    angle_rad: float
    range_m: float
    range_rate_mps: float


@dataclass(frozen=True)
class Accuracy:
    """Standard deviations of the parameters of a path.

    cosine: of the angle of arrival's cosine
    range_m: of the bistatic range, m
    range_rate_mps: of the range rate, m/s
    """

    cosine: float
    range_m: float
    range_rate_mps: float


def check_plane(scene: Scene, scheme: str) -> None:
    """Check of a scene for schemes that measure angles in a plane.

    scene: seen on one band
    scheme: name in the error
    Raises ValueError unless the scene is a plane and every receiver has a linear array in it.
    """
    for site in scene.receivers:
        is_linear = site.kind in LINEAR_KINDS
        if scene.dimension != 2 or not is_linear or abs(site.axis[2]) > IN_PLANE:
            raise ValueError(
                f"scheme '{scheme}' measures angles in a plane, with linear arrays; scene "
                f"'{scene.name}' has dimension {scene.dimension} and receiver '{site.name}' a "
                f"{site.kind} array: use scheme local_ml, or a plane with arrays of kind ula, "
                "nested or coprime"
            )


def arrival_direction(site: Site, cosine: np.ndarray) -> np.ndarray:
    """Unit vectors toward angles of arrival, on the side that a linear array faces.

    site: station with a linear array
    cosine: [...], float64, cosines of the angles from the array axis
    Returns [..., 3], float64.
    """
    cosine = np.clip(cosine, -1, 1)
    sine = np.sqrt(1 - cosine**2)
    return cosine[..., None] * site.axis + sine[..., None] * site.boresight


def parameters_of(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray, doppler_hz: float
) -> PathParameters:
    """Parameters of the path over a point.

    scene: seen on one band
    receiver: receiving station
    transmitter: index of the transmitting site
    point_m: [3], float64, m
    doppler_hz: Doppler shift of the path, Hz
    """
    site = scene.transmitters[transmitter]
    path = bistatic_geometry(site.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)
    cosine = np.clip(path.aoa @ receiver.axis, -1, 1)
    angle = np.arccos(cosine)
    rate = -float(doppler_hz) * scene.grid.wavelength_m
    return PathParameters(transmitter, float(angle), float(path.range_m), rate)


def location_of(scene: Scene, receiver: Site, parameters: PathParameters) -> np.ndarray:
    """Location of the target by the angle and range of a path, [3], float64, m.

    It is at least NEAREST_M from the receiver.
    """
    transmitter = scene.transmitters[parameters.transmitter]
    direction = arrival_direction(receiver, np.cos(np.array(parameters.angle_rad)))
    point_m = point_on_ray(
        transmitter.position_m, receiver.position_m, direction, np.array(parameters.range_m)
    )
    is_too_near = np.linalg.norm(point_m - receiver.position_m) < NEAREST_M
    return receiver.position_m + NEAREST_M * direction if is_too_near else point_m


def beam_width(receiver: Site, wavelength_m: float) -> float:
    """Wavelength over aperture of a linear array: one bin of its spatial DFT, as a cosine."""
    places_m = np.sort(receiver.elements_m @ receiver.axis)
    spacing_m = np.diff(places_m).min(initial=wavelength_m / 2)
    aperture_m = places_m[-1] - places_m[0] + spacing_m
    return wavelength_m / aperture_m


def accuracy_of(scene: Scene, receiver: Site, range_cells: float, rate_cells: float) -> Accuracy:
    """Accuracy with range and range rate to shares of a resolution cell, and interpolated angle."""
    grid = scene.grid
    return Accuracy(
        INTERPOLATED_CELLS * beam_width(receiver, grid.wavelength_m),
        range_cells * grid.range_resolution_m,
        rate_cells * grid.doppler_resolution_hz * grid.wavelength_m,
    )


def on_bins(scene: Scene, parameters: PathParameters) -> PathParameters:
    """Parameters with range and range rate rounded to bins of the frame's two-dimensional DFT."""
    grid = scene.grid
    range_step_m = grid.range_resolution_m
    rate_step_mps = grid.doppler_resolution_hz * grid.wavelength_m
    return replace(
        parameters,
        range_m=round(parameters.range_m / range_step_m) * range_step_m,
        range_rate_mps=round(parameters.range_rate_mps / rate_step_mps) * rate_step_mps,
    )


def location_slopes(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray
) -> np.ndarray:
    """Derivatives of the cosine of arrival and of the range with the location in a plane.

    scene: seen on one band
    receiver: receiving station
    transmitter: index of the transmitting site
    point_m: [3], float64, m, map
    Returns [2, 2], float64, 1/m (cosine) and without unit (range).
    """
    site = scene.transmitters[transmitter]
    path = bistatic_geometry(site.position_m, receiver.position_m, point_m, np.zeros(3), 1.0)

    # The direction turns with the component of the array's axis across it.
    cosine = receiver.axis @ path.aoa
    across = receiver.axis - cosine * path.aoa
    cosine_gradient = across / path.rx_distance_m
    slopes = np.stack([cosine_gradient, path.range_gradient])
    return slopes[:, :2]


def location_information(
    scene: Scene, receiver: Site, transmitter: int, point_m: np.ndarray, accuracy: Accuracy
) -> np.ndarray:
    """Fisher information of the location by a cosine of arrival and a range.

    scene: seen on one band
    receiver: receiving station
    transmitter: index of the transmitting site
    point_m: [3], float64, m, map
    accuracy: standard deviations of both
    Returns [2, 2], float64, 1/m^2.
    """
    deviations = np.array([[accuracy.cosine], [accuracy.range_m]])
    weighted = location_slopes(scene, receiver, transmitter, point_m) / deviations
    return weighted.T @ weighted
