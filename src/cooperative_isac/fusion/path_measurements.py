"""Single paths as measurements of range, direction and Doppler shift, and states that fit them.

Over the large errors of weak paths the ridge of constant range is curved: locations with Gaussian
errors would contradict each other. Range and direction cosines have Gaussian errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.fusion.reports import Links
from cooperative_isac.fusion.station_position import element_moments_m2
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.sensing.information import doppler_information
from cooperative_isac.sensing.search_grid import NEAREST_M

# Gauss-Newton steps: locations start some standard deviations off.
STEPS = 5
# Longest step of a location, m, about the curvature of ranges in a box of some ten meters.
MOST_STEP_M = 15.0
# Error of a location beside its noise, m: it is quantized.
BLUR_M = 0.05
# Excess of the variance of a value, times the height of the likelihood: the main lobe of a uniform
# spectrum or aperture, h sinc^2, is h (1 - x + 0.4 x^2) over x = (pi d)^2 / 3, so that its second
# moment has the factor 1 + 3 * 0.4 / h. ...
LOBE_EXCESS = 1.2
# ... In the product of several main lobes each of the others adds 1 / (2 h).
LOBE_EXCESS_OF_OTHERS = 0.5
# Least information about a direction cosine: an array with elements along one line has none across.
LEAST_INFORMATION = 1e-6
# Information of a location along each axis without measurements, 1/m^2: a deviation of a kilometer.
# On the line between its stations a path does not measure the range, and its own is singular.
LEAST_LOCATION_INFORMATION = 1e-6


@dataclass(frozen=True)
class PathMeasurements:
    """Single paths in one frame of a scene.

    scene: with one band
    links: that `link` counts
    link: [n], int
    point_m: [n, 3], float64, m, in map
    doppler_hz: [n], float64, Hz
    power: [n], float64, matched-filter power in noise variances
    height: [n], float64, of the log-likelihood of a target's path at its peak, over that elsewhere
    (path_evidence.peak_height)
    """

    scene: Scene
    links: Links
    link: np.ndarray
    point_m: np.ndarray
    doppler_hz: np.ndarray
    power: np.ndarray
    height: np.ndarray

    @cached_property
    def arrays(self) -> ReceiveArrays:
        """Receiving arrays of all links."""
        return receive_arrays(self.scene, self.links)

    @cached_property
    def values(self) -> np.ndarray:
        """Range, direction cosines and Doppler shift of each path, [n, D + 1], float64."""
        every = np.arange(len(self.link))
        at_rest = np.zeros_like(self.point_m)
        geometry = self.geometry(every, self.point_m, at_rest)
        cosines = np.einsum("nki,ni->nk", self.arrays.axes[self.link], geometry.aoa)
        return np.column_stack([geometry.range_m, cosines, self.doppler_hz])

    @cached_property
    def weights(self) -> np.ndarray:
        """Inverse variances of the values, amplitudes unknown, [n, D + 1], float64.

        Those of the likelihood about its peak: the Fisher information, less what the shape of the
        main lobe takes from it.
        """
        # Per unit of twice the SNR: mean square bandwidth and mean square extent of the array.
        grid = self.scene.grid
        bandwidth_hz2 = np.var(grid.subcarrier_offsets_hz)
        extent_m2 = self.arrays.spreads_m2[self.link]
        by_range = (2 * np.pi / SPEED_OF_LIGHT_MPS) ** 2 * bandwidth_hz2
        by_cosine = (2 * np.pi / grid.wavelength_m) ** 2 * extent_m2

        # Information: the curvature at the peak.
        height = self.height[:, None]
        ranges = 2 * height * by_range
        cosines = 2 * height * by_cosine
        shifts = doppler_information(grid, self.height)
        information = np.column_stack([ranges, cosines, shifts])

        # Main lobes are wider than parabolas.
        num_others = information.shape[1] - 1
        widening = 1 + (LOBE_EXCESS + LOBE_EXCESS_OF_OTHERS * num_others) / height
        return np.maximum(information / widening, LEAST_INFORMATION)

    @cached_property
    def blurred_weights(self) -> np.ndarray:
        """Inverse variances of the values of quantized locations, [n, D + 1], float64."""
        receivers_m = self.links.receivers_m[self.link]
        distance_m = np.linalg.norm(self.point_m - receivers_m, axis=1)

        # Standard deviations: the error of a location lengthens a path at both of its ends.
        blur = np.zeros_like(self.weights)
        blur[:, 0] = 2 * BLUR_M
        blur[:, 1:-1] = BLUR_M / np.maximum(distance_m, NEAREST_M)[:, None]

        # Variances add: 1 / (1 / w + b^2), which holds for a weight of zero.
        excess = self.weights * blur**2
        return self.weights / (1 + excess)

    def geometry(
        self, rows: np.ndarray, points_m: np.ndarray, velocities_mps: np.ndarray
    ) -> BistaticGeometry:
        """Geometry of targets at points on the links of some paths.

        rows: [m], int, paths
        points_m: [m, 3], float64, m, map
        velocities_mps: [m, 3], float64, m/s, map
        """
        link = self.link[rows]
        return bistatic_geometry(
            self.links.transmitters_m[link],
            self.links.receivers_m[link],
            points_m,
            velocities_mps,
            self.links.wavelength_m[link],
        )

    def beam_widths(self) -> np.ndarray:
        """Width of the receiver's beam in each direction cosine, [n, D - 1], float64."""
        # Variance of elements that are uniform over an aperture L: L^2 / 12.
        apertures_m = np.sqrt(12 * self.arrays.spreads_m2[self.link])
        wavelength_m = self.scene.grid.wavelength_m
        return wavelength_m / np.maximum(apertures_m, wavelength_m / 2)

    def log_blur(self) -> np.ndarray:
        """Logarithm of the density of a path at its mean, over that without blur, [n]."""
        return np.log(self.blurred_weights / self.weights).sum(axis=1) / 2

    def location_information(self) -> np.ndarray:
        """Information of each path's location, [n, D, D], 1/m^2."""
        every = np.arange(len(self.link))
        at_rest = np.zeros_like(self.point_m)
        _, slopes = _linearized(self, every, self.point_m, at_rest)

        # Range and cosines only: the Doppler shift depends on the velocity, too.
        by_location = slopes[:, :-1, : self.scene.dimension]
        weights = self.blurred_weights[:, :-1]
        measured = np.einsum("nk,nki,nkj->nij", weights, by_location, by_location)
        return measured + LEAST_LOCATION_INFORMATION * np.eye(self.scene.dimension)


@dataclass(frozen=True)
class ReceiveArrays:
    """Receiving arrays of all links, along their principal axes, the longest first.

    axes: [num_links, D - 1, 3], float64, unit vectors, map
    spreads_m2: [num_links, D - 1], float64, m^2, mean squared offset of the elements along each
    """

    axes: np.ndarray
    spreads_m2: np.ndarray


def receive_arrays(scene: Scene, links: Links) -> ReceiveArrays:
    """Principal axes of the receiving arrays of all links.

    scene: with one band
    links: of the scene
    """
    num_axes = scene.dimension - 1
    axes = np.empty((len(links.names), num_axes, 3))
    spreads_m2 = np.empty((len(links.names), num_axes))
    for number, name in enumerate(links.names):
        # Eigenvalues ascend: the last ones are of the longest axes.
        moments_m2 = element_moments_m2(scene.receiver(name.rx).elements_m)
        eigenvalues, eigenvectors = np.linalg.eigh(moments_m2)
        axes[number] = eigenvectors.T[::-1][:num_axes]
        spreads_m2[number] = eigenvalues[::-1][:num_axes]
    return ReceiveArrays(axes, spreads_m2)


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

    def state(self, index: int, dimension: int) -> np.ndarray:
        """Location and velocity of one target along the axes of a scene, [2 D], float64."""
        return np.concatenate(
            [self.position_m[index, :dimension], self.velocity_mps[index, :dimension]]
        )


def solve(paths: PathMeasurements, rows: np.ndarray, group: np.ndarray) -> Solutions:
    """Locations and velocities by Gauss-Newton, each over the paths of one group.

    paths: of one frame
    rows: [m], int, paths that are used
    group: [m], int, group of each, ascending from 0 without a gap
    """
    size = paths.scene.dimension
    problem = _LeastSquares(paths, rows, group)
    state = problem.start()
    for _ in range(STEPS):
        equations = problem.linearized(state)
        steps = _solved(equations.normal, equations.right)

        # Steps no longer than the curvature of ranges allows.
        length_m = np.linalg.norm(steps[:, :size], axis=1, keepdims=True)
        shortening = np.minimum(1.0, MOST_STEP_M / np.maximum(length_m, MOST_STEP_M))
        state = state + steps * shortening

    equations = problem.linearized(state)
    position_m, velocity_mps = problem.in_space(state)
    return Solutions(position_m, velocity_mps, equations.normal, equations.misfit)


@dataclass(frozen=True)
class _NormalEquations:
    """Linear equations N x = r of the Gauss-Newton steps x of c states.

    normal: N, [c, 2 D, 2 D], float64, information with the prior
    right: r, [c, 2 D], float64, gradient of the log-likelihood
    misfit: [c], float64, sum of normalized squared errors with the prior
    """

    normal: np.ndarray
    right: np.ndarray
    misfit: np.ndarray


class _LeastSquares:
    """Weighted least squares of groups of paths, with a prior of the velocities.

    States are [num_groups, 2 D], location (m) and velocity (m/s).

    paths: of one frame
    rows: [m], int, paths that are used
    group: [m], int, group of each, ascending from 0 without a gap
    """

    def __init__(self, paths: PathMeasurements, rows: np.ndarray, group: np.ndarray):
        self.paths = paths
        self.rows = rows
        self.group = group
        sizes = np.bincount(group)
        self.num_groups = len(sizes)
        self.first_rows = np.cumsum(sizes) - sizes
        self.longer_groups = [np.flatnonzero(sizes > place) for place in range(1, sizes.max())]
        self.measured = paths.values[rows]
        self.weights = paths.blurred_weights[rows]

        # Prior information: none of the location, that of the scene's targets of the velocity.
        scene = paths.scene
        velocity_information = scene.velocity_stds_mps**-2.0
        self.prior = np.diag(np.concatenate([np.zeros(scene.dimension), velocity_information]))

        # With the least information of the location, steps are finite along every axis.
        self.least = np.diag(np.repeat([LEAST_LOCATION_INFORMATION, 0.0], scene.dimension))

    def start(self) -> np.ndarray:
        """Mean of the locations of each group, weighted by their information, at rest."""
        size = self.paths.scene.dimension
        points_m = self.paths.point_m[self.rows][:, :size]
        information = self.paths.location_information()[self.rows]
        weighted_points = np.einsum("nij,nj->ni", information, points_m)

        states = np.zeros((self.num_groups, 2 * size))
        states[:, :size] = _solved(self._group_sums(information), self._group_sums(weighted_points))
        return states

    def linearized(self, states: np.ndarray) -> _NormalEquations:
        """Normal equations of the steps from states."""
        # Errors of the measurements.
        position_m, velocity_mps = self.in_space(states)
        predicted, slopes = _linearized(
            self.paths, self.rows, position_m[self.group], velocity_mps[self.group]
        )
        errors = self.measured - predicted

        # Information and gradient, summed over the paths of each group, with the prior.
        weighted_slopes = self.weights[..., None] * slopes
        information = weighted_slopes.swapaxes(1, 2) @ slopes
        gradient = np.einsum("nki,nk->ni", weighted_slopes, errors)
        normal = self.prior + self.least + self._group_sums(information)
        right = self._group_sums(gradient) - states @ self.prior

        # Misfit, with that of the prior.
        squared_errors = np.sum(self.weights * errors**2, axis=1)
        prior_misfit = np.einsum("ci,ij,cj->c", states, self.prior, states)
        misfit = self._group_sums(squared_errors) + prior_misfit
        return _NormalEquations(normal, right, misfit)

    def in_space(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions, m, and velocities, m/s, of states, each [num_groups, 3]."""
        scene = self.paths.scene
        size = scene.dimension
        position_m = np.tile([0.0, 0.0, scene.plane_height_m], (len(states), 1))
        position_m[:, :size] = states[:, :size]
        velocity_mps = np.zeros((len(states), 3))
        velocity_mps[:, :size] = states[:, size:]
        return position_m, velocity_mps

    def _group_sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over the paths of each group, [num_groups, ...], of values [m, ...]."""
        # The second paths of all groups that have one, the third ones and so on: np.add.reduceat
        # takes several times as long for so few paths.
        first = values[self.first_rows]
        others = np.zeros_like(first)
        for place, groups in enumerate(self.longer_groups, start=1):
            others[groups] += values[self.first_rows[groups] + place]
        return first + others


def _linearized(
    paths: PathMeasurements, rows: np.ndarray, points_m: np.ndarray, velocities_mps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Range, direction cosines and Doppler shift of targets on the links of some paths.

    rows: [m], int, paths
    points_m: [m, 3], float64, m, map, locations of the targets
    velocities_mps: [m, 3], float64, m/s, map
    Returns the values [m, D + 1], and their derivatives [m, D + 1, 2 D] with location and velocity.
    """
    size = paths.scene.dimension
    link = paths.link[rows]
    wavelength_m = paths.links.wavelength_m[link]
    geometry = paths.geometry(rows, points_m, velocities_mps)

    # Values.
    axes = paths.arrays.axes[link]
    cosines = np.einsum("nki,ni->nk", axes, geometry.aoa)
    values = np.column_stack([geometry.range_m, cosines, geometry.doppler_hz])

    # Range with the location.
    slopes = np.zeros((len(rows), size + 1, 2 * size))
    slopes[:, 0, :size] = geometry.range_gradient[:, :size]

    # Cosines with the location: components of the axes across the line of sight, over its length.
    across = axes - cosines[..., None] * geometry.aoa[:, None]
    cosine_gradients = across / geometry.rx_distance_m[:, None, None]
    slopes[:, 1:-1, :size] = cosine_gradients[..., :size]

    # Doppler shift with location and velocity.
    location_gradient = geometry.doppler_location_gradient(velocities_mps, wavelength_m)
    velocity_gradient = -geometry.range_gradient / wavelength_m[:, None]
    slopes[:, -1, :size] = location_gradient[:, :size]
    slopes[:, -1, size:] = velocity_gradient[:, :size]
    return values, slopes


def _solved(matrices: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solutions of linear equations, [c, n]."""
    return np.linalg.solve(matrices, right[..., None])[..., 0]
