"""Where the cells of a plane lie in the spectra of each receiver: geometry that a decoder need not
learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.inputs import delay_window
from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site

NUM_CELL_FEATURES = 6
LEAK = 1.0  # beams and delays that a peak leaks to on either side
LEAST_BEAMS = 2.0  # over the plane: along the array hardly anything turns
AT_SITE_M = 1e-3  # a cell there has no direction of its own
UNEVEN = 1e-6  # of the phase steps from antenna to antenna


@dataclass(frozen=True)
class Coordinates:
    """Where the paths over the cells of a plane lie in a spectrum, in steps of its beams and
    delays.

    beams, delays: [num_tx, num_cells]; beam_reach [num_cells], delay_reach [num_tx, num_cells]:
    within which an echo from anywhere in the cell is seen.
    """

    beams: np.ndarray
    delays: np.ndarray
    beam_reach: np.ndarray
    delay_reach: np.ndarray


class Projection(nn.Module):
    """Takes latents [batch, channels, beams, delays] of one receiver to cells of the plane, one
    path at a time.

    coordinates: of each transmitter's path. What a cell takes is a mean of the latents around it;
    places [num_tx, num_cells, NUM_PLACES] tell where between and in which direction it lies.
    across_m: from a cell to where an echo one beam further would be, less where that is far,
    [num_cells, 2].
    """

    delays: Tensor
    places: Tensor
    across_m: Tensor
    shares: Tensor
    beamwards: Tensor

    def __init__(self, coordinates: Coordinates, across_m: np.ndarray, shape: tuple[int, int]):
        super().__init__()
        beams, delays = coordinates.beams, coordinates.delays
        turns = 2 * np.pi * np.stack([beams, delays])
        places = [*np.cos(turns), *np.sin(turns), beams / shape[0] - 0.5, delays / shape[1] - 0.5]
        beams_away, delays_away = away(beams, shape[0]), away(delays, shape[1])
        shares = np.einsum(
            "...bc,...dc->...bdc",
            triangular_weights(beams_away, coordinates.beam_reach),
            triangular_weights(delays_away, coordinates.delay_reach),
        )
        buffers = {
            "delays": delays,
            "places": np.stack(places, -1),
            "across_m": across_m,
            "shares": _flat(shares),
            "beamwards": _flat(shares * beams_away[..., :, None, :]),
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, latents: Tensor, transmitter: int) -> Tensor:
        """Returns [batch, channels, num_cells]."""
        return latents.flatten(2) @ self.shares[transmitter]

    def beams_beyond(self, weights: Tensor, transmitter: int) -> Tensor:
        """The same of weights times how many beams beyond the cell's each latent's beam is."""
        return weights.flatten(2) @ self.beamwards[transmitter]


def _flat(shares: np.ndarray) -> np.ndarray:
    return shares.reshape(len(shares), -1, shares.shape[-1])


def away(coordinates: np.ndarray, size: int) -> np.ndarray:
    """How far beyond coordinates [..., num] places 0 ... size - 1 lie, [..., size, num]: beams and
    delays of a Fourier transform go round.
    """
    return (np.arange(size)[:, None] - coordinates[..., None, :] + size / 2) % size - size / 2


def triangular_weights(distances: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Weights that fall to zero within a reach [..., num] of distances [..., size, num], and sum to
    1.
    """
    shares = np.maximum(1 - np.abs(distances) / reach[..., None, :], 0)
    return shares / shares.sum(-2, keepdims=True)


def projection(
    scene: Scene, receiver: Site, points_m: np.ndarray, corner_m: float, shape: tuple[int, int]
) -> Projection:
    """The projection of one receiver onto cells, of latents of each beam and delay.

    points_m: middles of the cells, [num_cells, 3], m; corner_m: how far a cell extends from there.
    """
    grid, (first_delay, _) = scene.grid, delay_window(scene)
    for end in (*scene.transmitters, receiver):
        points_m = (
            points_m
            + AT_SITE_M * (np.linalg.norm(points_m - end.position_m, axis=1) < AT_SITE_M)[:, None]
        )
    paths = [
        bistatic_geometry(
            site.position_m, receiver.position_m, points_m, np.zeros(3), grid.wavelength_m
        )
        for site in scene.transmitters
    ]
    beams = beam_bins(receiver, paths[0].aoa, grid.wavelength_m)
    slopes = beam_slopes(receiver, paths[0].aoa, paths[0].rx_distance_m, grid.wavelength_m)
    steepness = np.linalg.norm(slopes, axis=1)
    delays, longer = (
        np.array(
            [(path.range_m, np.linalg.norm(path.range_gradient, axis=1)) for path in paths]
        ).swapaxes(0, 1)
        / grid.range_resolution_m
    )
    coordinates = Coordinates(
        np.tile(beams, (len(paths), 1)),
        (delays - first_delay) % grid.num_subcarriers,
        np.minimum(LEAK + corner_m * steepness, shape[0] / 2),
        LEAK + corner_m * longer,
    )
    least = LEAST_BEAMS / (scene.box.high_m - scene.box.low_m)[:2].max()
    return Projection(coordinates, slopes / np.maximum(steepness, least)[:, None] ** 2, shape)


def beam_bins(receiver: Site, directions: np.ndarray, wavelength_m: float) -> np.ndarray:
    """Where directions [num, 3] lie in a Fourier transform over the antennas in the networks'
    reverse order (learned.inputs) with its zero in the middle, [num].

    ValueError where the antennas are not a uniform line.
    """
    steering = steering_vectors(receiver.elements_m[::-1], directions, wavelength_m)
    steps = steering[:, 1:] * steering[:, :-1].conj() * receiver.num_ant
    if steps.size == 0 or np.abs(steps - steps[:, :1]).max() > UNEVEN:
        raise ValueError(
            f"the antennas of '{receiver.name}' are not a uniform line; this network needs one at "
            "each receiver, use scheme dvqvae"
        )
    return np.angle(steps[:, 0]) / (2 * np.pi) * receiver.num_ant + receiver.num_ant // 2


def beam_slopes(
    receiver: Site, directions: np.ndarray, distances_m: np.ndarray, wavelength_m: float
) -> np.ndarray:
    """How beam_bins change with the place in the plane, [num, 2], 1/m; distances_m: [num], from the
    receiver.
    """
    first = receiver.elements_m[1::-1]
    steering = steering_vectors(first, directions, wavelength_m)
    turns = (
        steering_derivatives(first, directions, distances_m, wavelength_m) / steering[..., None]
    ).imag
    return (turns[:, 1] - turns[:, 0])[:, :2] / (2 * np.pi) * receiver.num_ant
