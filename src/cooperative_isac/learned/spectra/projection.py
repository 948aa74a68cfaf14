"""Projection of spectra onto the cells of a plane, from the geometry of the paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.inputs import delay_window
from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import BistaticGeometry, bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site

# Number of features of the place of a cell in a spectrum (Projection.cell_features).
NUM_CELL_FEATURES = 6
# Beams and delays on either side to which a peak leaks, in bins.
LEAK_BINS = 1.0
# Smallest slope of beams that counts, in beams over the longer side of the plane: along the axis
# of an array the beam hardly changes with the place, and a beam would be infinitely wide.
MIN_BEAMS_OVER_PLANE = 2.0
# Distance by which a cell exactly at a site is moved, m: it has no direction of its own.
SITE_OFFSET_M = 1e-3
# Largest difference of phase steps from antenna to antenna of a uniform line, rounding apart.
UNIFORM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Coordinates:
    """Places of the paths over the cells of a plane in a spectrum.

    An echo from anywhere in a cell peaks within the reach of its place.

    beams: [num_tx, num_cells], float64, bins
    delays: [num_tx, num_cells], float64, bins
    beam_reach: [num_cells], float64, bins
    delay_reach: [num_tx, num_cells], float64, bins
    """

    beams: np.ndarray
    delays: np.ndarray
    beam_reach: np.ndarray
    delay_reach: np.ndarray


class Projection(nn.Module):
    """Weighted sums of the latents of one receiver around the place of each cell, path by path.

    coordinates: places of the cells
    across_m: [num_cells, 2], float64, m, from a cell to where an echo one beam further would be,
    shorter where that is far
    shape: (beams, delays) of the latents

    cell_features: [num_tx, num_cells, NUM_CELL_FEATURES], float32, cosines and sines of the place
    of the cell between bins, and its share of the axes
    weights: [num_tx, beams delays, num_cells], float32, sum to 1 in each cell
    beam_offsets: same shape, float32, weights times the beams from the cell to the latent
    """

    delays: Tensor
    across_m: Tensor
    cell_features: Tensor
    weights: Tensor
    beam_offsets: Tensor

    def __init__(self, coordinates: Coordinates, across_m: np.ndarray, shape: tuple[int, int]):
        super().__init__()
        beams = coordinates.beams
        delays = coordinates.delays

        # Offset of a cell from the centers of its bins, and its place along the axes.
        phases = 2 * np.pi * np.stack([beams, delays])
        features = [
            *np.cos(phases),
            *np.sin(phases),
            beams / shape[0] - 0.5,
            delays / shape[1] - 0.5,
        ]

        # Weights of beams times weights of delays. Axes: b beam, d delay, c cell.
        beam_offsets = circular_offsets(beams, shape[0])
        delay_offsets = circular_offsets(delays, shape[1])
        weights = np.einsum(
            "...bc,...dc->...bdc",
            triangular_weights(beam_offsets, coordinates.beam_reach),
            triangular_weights(delay_offsets, coordinates.delay_reach),
        )

        self._add("delays", delays)
        self._add("cell_features", np.stack(features, -1))
        self._add("across_m", across_m)
        self._add("weights", _by_latent(weights))
        self._add("beam_offsets", _by_latent(weights * beam_offsets[..., :, None, :]))

    def _add(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, latents: Tensor, transmitter: int) -> Tensor:
        """Weighted sums of latents around each cell.

        latents: [batch, channels, beams, delays], float32
        Returns [batch, channels, num_cells], float32.
        """
        return latents.flatten(2) @ self.weights[transmitter]

    def beam_moments(self, values: Tensor, transmitter: int) -> Tensor:
        """Weighted sums of values times the beams from cell to latent; shapes as in forward."""
        return values.flatten(2) @ self.beam_offsets[transmitter]


def _by_latent(weights: np.ndarray) -> np.ndarray:
    """Weights [num_tx, beams, delays, num_cells] as [num_tx, beams delays, num_cells]."""
    return weights.reshape(len(weights), -1, weights.shape[-1])


def circular_offsets(coordinates: np.ndarray, size: int) -> np.ndarray:
    """Offsets of the bins 0 ... size - 1 of a Fourier transform from coordinates, modulo size.

    coordinates: [..., num], float64, bins
    Returns [..., size, num], float64, from -size / 2 to size / 2.
    """
    bins = np.arange(size)[:, None]
    return (bins - coordinates[..., None, :] + size / 2) % size - size / 2


def triangular_weights(offsets: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Weights that fall linearly to zero at the reach, and sum to 1 over the bins.

    offsets: [..., size, num], float64, bins
    reach: [..., num], float64, bins
    Returns [..., size, num], float64.
    """
    weights = np.maximum(1 - np.abs(offsets) / reach[..., None, :], 0)
    return weights / weights.sum(-2, keepdims=True)


def projection(
    scene: Scene, receiver: Site, points_m: np.ndarray, corner_m: float, shape: tuple[int, int]
) -> Projection:
    """Projection of one receiver's latents onto the cells of the scene's plane.

    points_m: [num_cells, 3], float64, m in map, middles of the cells
    corner_m: distance from the middle of a cell to its corners, m
    shape: (beams, delays) of the latents
    """
    grid = scene.grid
    first_delay, _ = delay_window(scene)
    paths = _paths_over(scene, receiver, points_m)

    # Beams: all paths share the directions of arrival.
    beams = beam_bins(receiver, paths[0].aoa, grid.wavelength_m)
    slopes = beam_slopes(receiver, paths[0].aoa, paths[0].rx_distance_m, grid.wavelength_m)
    steepness = np.linalg.norm(slopes, axis=1)

    # Delays of each path.
    ranges_m = np.array([path.range_m for path in paths])
    gradients = np.array([np.linalg.norm(path.range_gradient, axis=1) for path in paths])
    delays = ranges_m / grid.range_resolution_m
    delay_slopes = gradients / grid.range_resolution_m

    # Places of the cells, and how far an echo from a corner may be from there.
    coordinates = Coordinates(
        np.tile(beams, (len(paths), 1)),
        (delays - first_delay) % grid.num_subcarriers,
        np.minimum(LEAK_BINS + corner_m * steepness, shape[0] / 2),
        LEAK_BINS + corner_m * delay_slopes,
    )

    # Displacement in the plane by one beam: along the gradient of the beam, by the inverse of its
    # norm.
    min_steepness = MIN_BEAMS_OVER_PLANE / (scene.box.high_m - scene.box.low_m)[:2].max()
    across_m = slopes / np.maximum(steepness, min_steepness)[:, None] ** 2
    return Projection(coordinates, across_m, shape)


def _paths_over(scene: Scene, receiver: Site, points_m: np.ndarray) -> list[BistaticGeometry]:
    """Geometry of the path of each transmitter over points [num_cells, 3], m."""
    # A point at a site has no direction from it: move it a little along all axes.
    for end in (*scene.transmitters, receiver):
        is_at_site = np.linalg.norm(points_m - end.position_m, axis=1) < SITE_OFFSET_M
        points_m = points_m + SITE_OFFSET_M * is_at_site[:, None]
    return [
        bistatic_geometry(
            site.position_m, receiver.position_m, points_m, np.zeros(3), scene.grid.wavelength_m
        )
        for site in scene.transmitters
    ]


def beam_bins(receiver: Site, directions: np.ndarray, wavelength_m: float) -> np.ndarray:
    """Bins of directions in a Fourier transform over the antennas, with zero in the middle.

    The antennas are in the reverse order that networks use (learned.inputs).

    directions: [num, 3], float64, unit vectors
    Returns [num], float64, bins.
    Raises ValueError where the antennas are not a uniform line.
    """
    # Phase step from each antenna to the next, as a complex number of unit length: steering vectors
    # have unit norm.
    steering = steering_vectors(receiver.elements_m[::-1], directions, wavelength_m)
    steps = steering[:, 1:] * steering[:, :-1].conj() * receiver.num_ant

    # The same step between all antennas.
    if steps.size == 0 or np.abs(steps - steps[:, :1]).max() > UNIFORM_TOLERANCE:
        raise ValueError(
            f"the antennas of '{receiver.name}' are not a uniform line; this network needs one at "
            "each receiver, use scheme dvqvae"
        )

    turns = np.angle(steps[:, 0]) / (2 * np.pi)
    return turns * receiver.num_ant + receiver.num_ant // 2


def beam_slopes(
    receiver: Site, directions: np.ndarray, distances_m: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """Derivatives of beam_bins with respect to the place in the plane.

    directions: [num, 3], float64, unit vectors
    distances_m: [num], float64, m, from the receiver
    Returns [num, 2], float64, bins/m.
    """
    # Two neighboring antennas of the uniform line, in reverse order.
    elements_m = receiver.elements_m[1::-1]
    steering = steering_vectors(elements_m, directions, wavelength_m)
    derivatives = steering_derivatives(elements_m, directions, distances_m, wavelength_m)

    # Gradient of each antenna's phase, [num, 2, 3] in rad/m: a = exp(j phase) has j phase' a.
    phase_gradients = (derivatives / steering[..., None]).imag

    # Gradient of the phase step in the plane, in bins of 2 pi / num_ant.
    step_gradients = (phase_gradients[:, 1] - phase_gradients[:, 0])[:, :2]
    return step_gradients / (2 * np.pi) * receiver.num_ant
