"""Single paths as measurements of range, direction and Doppler shift, and states that fit them.

Over the large errors of weak paths the ridge of constant range is curved: locations with Gaussian
errors would contradict each other. Range and direction cosines have Gaussian errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fusion.reports import Links
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.information import doppler_information

# Gauss-Newton steps: locations start some standard deviations off.
STEPS = 5
# Longest step of a location, m, about the curvature of ranges in a box of some ten meters.
MOST_STEP_M = 15.0
# Error of a location beside its noise, m: it is quantized.
BLUR_M = 0.05
# Least information about a direction cosine: an array with elements along one line has none across.
LEAST_INFORMATION = 1e-6


@dataclass(frozen=True)
class PathMeasurements:
    """Single paths.

    links: that `link` counts
    link: [n], int
    point_m: [n, 3], float64, m, in map
    doppler_hz: [n], float64, Hz
    power: [n], float64, matched-filter power in noise variances
    """

    links: Links
    link: np.ndarray
    point_m: np.ndarray
    doppler_hz: np.ndarray
    power: np.ndarray

    def geometry(
        self, rows: np.ndarray, points_m: np.ndarray, velocities_mps: np.ndarray
    ) -> BistaticGeometry:
        """Geometry of some paths by way of points, [m, 3]."""
        link = self.link[rows]
        return bistatic_geometry(
            self.links.transmitters_m[link],
            self.links.receivers_m[link],
            points_m,
            velocities_mps,
            self.links.wavelength_m[link],
        )

    def values(self, scene: Scene) -> np.ndarray:
        """Range, direction cosines and Doppler shift of each path, [n, D + 1], float64."""
        every = np.arange(len(self.link))
        at_rest = np.zeros_like(self.point_m)
        geometry = self.geometry(every, self.point_m, at_rest)
        axes = _axes(scene, self.links)[0][self.link]
        cosines = np.einsum("nki,ni->nk", axes, geometry.aoa)
        return np.column_stack([geometry.range_m, cosines, self.doppler_hz])

    def weights(self, scene: Scene) -> np.ndarray:
        """Fisher information of those, amplitudes unknown, [n, D + 1], float64."""
        grid = scene.grid
        spreads_m2 = _axes(scene, self.links)[1][self.link]
        by_range = (2 * np.pi / SPEED_OF_LIGHT_MPS) ** 2 * np.var(grid.subcarrier_offsets_hz)
        by_cosine = (2 * np.pi / grid.wavelength_m) ** 2 * spreads_m2
        power = self.power[:, None]
        shifts = doppler_information(grid, self.power)
        ranges = np.full(power.shape, by_range)
        whole = np.column_stack([2 * power * ranges, 2 * power * by_cosine, shifts])
        return np.maximum(whole, LEAST_INFORMATION)

    def beam_widths(self, scene: Scene) -> np.ndarray:
        """Width of the receiver's beam in each direction cosine, [n, D - 1], float64."""
        apertures_m = np.sqrt(12 * _axes(scene, self.links)[1][self.link])
        return scene.grid.wavelength_m / np.maximum(apertures_m, scene.grid.wavelength_m / 2)

    def blurred_weights(self, scene: Scene) -> np.ndarray:
        """The same of paths with quantized locations."""
        weights = self.weights(scene)
        receivers_m = self.links.receivers_m[self.link]
        distance = np.linalg.norm(self.point_m - receivers_m, axis=1)
        blur = np.zeros_like(weights)
        blur[:, 0] = 2 * BLUR_M
        blur[:, 1:-1] = BLUR_M / np.maximum(distance, 1.0)[:, None]
        return weights / (1 + weights * blur**2)

    def log_blur(self, scene: Scene) -> np.ndarray:
        """Logarithm of the density of a path at its mean, over that without blur, [n]."""
        return np.log(self.blurred_weights(scene) / self.weights(scene)).sum(axis=1) / 2

    def location_information(self, scene: Scene) -> np.ndarray:
        """Information of each path's location, [n, D, D], 1/m^2."""
        every = np.arange(len(self.link))
        at_rest = np.zeros_like(self.point_m)
        slopes = _slopes(scene, self, every, self.point_m, at_rest)[1]
        located = slopes[:, :-1, : scene.dimension]
        weights = self.blurred_weights(scene)[:, :-1]
        return np.einsum("nk,nki,nkj->nij", weights, located, located)


@dataclass(frozen=True)
class Solutions:
    """States of c targets that fit their paths.

    position_m, velocity_mps: [c, 3], float64
    normal: [c, 2 D, 2 D], float64, information of location and velocity with the prior
    misfit: [c], float64, sum of normalized squared errors, the prior of the velocity included
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    normal: np.ndarray
    misfit: np.ndarray


def velocity_deviation_mps(scene: Scene) -> float:
    """Standard deviation of targets' velocities along each axis: the scene's maximum speed is that
    of all axes together.
    """
    return scene.sensing.max_speed_mps / float(np.sqrt(scene.dimension))


def solve(scene: Scene, paths: PathMeasurements, rows: np.ndarray, group: np.ndarray) -> Solutions:
    """Locations and velocities by Gauss-Newton, each over the paths of one group.

    rows: [m], int, paths
    group: [m], int, group of each, rising from 0 without a gap
    """
    size = scene.dimension
    count = int(group[-1]) + 1
    starts = np.searchsorted(group, np.arange(count))
    measured = paths.values(scene)[rows]
    weights = paths.blurred_weights(scene)[rows]
    prior = np.diag(np.repeat([0.0, velocity_deviation_mps(scene) ** -2.0], size))

    # Start: mean of the locations, weighted by their information.
    information = paths.location_information(scene)[rows]
    weighted = np.einsum("nij,nj->ni", information, paths.point_m[rows][:, :size])
    normal = np.add.reduceat(information, starts)
    state = np.zeros((count, 2 * size))
    state[:, :size] = _solved(normal, np.add.reduceat(weighted, starts))

    def equations(state: np.ndarray) -> tuple[np.ndarray, np.ndarray, Solutions]:
        """Normal equations about states, and these as solutions."""
        position_m = np.tile([0.0, 0.0, scene.plane_height_m], (count, 1))
        position_m[:, :size] = state[:, :size]
        velocity_mps = np.zeros((count, 3))
        velocity_mps[:, :size] = state[:, size:]
        predicted, slopes = _slopes(scene, paths, rows, position_m[group], velocity_mps[group])
        errors = measured - predicted

        scaled = weights[..., None] * slopes
        normal = prior + np.add.reduceat(scaled.swapaxes(1, 2) @ slopes, starts)
        right = np.add.reduceat(np.einsum("nki,nk->ni", scaled, errors), starts) - state @ prior
        misfit = np.add.reduceat(np.sum(weights * errors**2, axis=1), starts)
        misfit = misfit + np.einsum("ci,ij,cj->c", state, prior, state)
        return normal, right, Solutions(position_m, velocity_mps, normal, misfit)

    # Steps no longer than the curvature of ranges allows.
    for _ in range(STEPS):
        normal, right, _ = equations(state)
        steps = _solved(normal, right)
        length = np.linalg.norm(steps[:, :size], axis=1, keepdims=True)
        state = state + steps * np.minimum(1.0, MOST_STEP_M / np.maximum(length, MOST_STEP_M))
    return equations(state)[2]


def _slopes(
    scene: Scene,
    paths: PathMeasurements,
    rows: np.ndarray,
    points_m: np.ndarray,
    velocities_mps: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Values of paths by way of targets [m, D + 1], and their slopes [m, D + 1, 2 D] with the
    state.
    """
    size = scene.dimension
    link = paths.link[rows]
    axes = _axes(scene, paths.links)[0][link]
    wavelength_m = paths.links.wavelength_m[link]
    geometry = paths.geometry(rows, points_m, velocities_mps)
    cosines = np.einsum("nki,ni->nk", axes, geometry.aoa)
    values = np.column_stack([geometry.range_m, cosines, geometry.doppler_hz])

    slopes = np.zeros((len(rows), size + 1, 2 * size))
    slopes[:, 0, :size] = geometry.range_gradient[:, :size]
    across = axes - cosines[..., None] * geometry.aoa[:, None]
    slopes[:, 1:-1, :size] = (across / geometry.rx_distance_m[:, None, None])[..., :size]
    with_location = geometry.doppler_location_gradient(velocities_mps, wavelength_m)
    slopes[:, -1, :size] = with_location[:, :size]
    slopes[:, -1, size:] = -geometry.range_gradient[:, :size] / wavelength_m[:, None]
    return values, slopes


def _axes(scene: Scene, links: Links) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the receiving arrays of all links, [num_links, D - 1, 3], and the mean squared
    offsets of their elements along those, [num_links, D - 1], m^2.
    """
    size = scene.dimension
    axes = np.empty((len(links.names), size - 1, 3))
    spreads_m2 = np.empty((len(links.names), size - 1))
    for number, name in enumerate(links.names):
        site = scene.receiver(name.rx)
        offsets = site.elements_m - site.elements_m.mean(axis=0)
        values, vectors = np.linalg.eigh(offsets.T @ offsets / len(offsets))
        axes[number] = vectors.T[::-1][: size - 1]
        spreads_m2[number] = values[::-1][: size - 1]
    return axes, spreads_m2


def _solved(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solutions of linear equations, [c, n]."""
    return np.linalg.solve(matrices, right[..., None])[..., 0]
