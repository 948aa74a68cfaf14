"""Where the cells of a plane lie in the spectra of each receiver: geometry that a decoder need not learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.fronthaul.learned.inputs import delay_window
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site

NUM_PLACES = 6
REACH = 1.5, 2.0  # beams and delays: an echo from the corner of a cell lies that far from its middle
AT_SITE_M = 1e-3  # a cell there has no direction of its own
UNEVEN = 1e-6  # of the phase steps from antenna to antenna


class Projection(nn.Module):
    """Takes latents [batch, channels, beams, delays] of one receiver to cells of the plane.

    beams, delays: coordinates of each path over each cell in the latents, [num_tx, num_cells], in steps. What a
    cell takes is a mean of the latents around it; places [num_tx, num_cells, NUM_PLACES] tell where
    between and in which direction it lies.
    """

    def __init__(self, beams: np.ndarray, delays: np.ndarray, shape: tuple[int, int]):
        super().__init__()
        turns = 2 * np.pi * np.stack([beams, delays])
        places = [*np.cos(turns), *np.sin(turns), beams / shape[0] - 0.5, delays / shape[1] - 0.5]
        shares = np.einsum("...bc,...dc->...bdc", shares_of(beams, shape[0], REACH[0]),
                           shares_of(delays, shape[1], REACH[1]))
        buffers = {"delays": delays, "places": np.stack(places, -1),
                   "shares": shares.reshape(len(beams), -1, beams.shape[1])}
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, latents: Tensor, transmitter: int) -> Tensor:
        """Returns [batch, channels, num_cells]."""
        return latents.flatten(2) @ self.shares[transmitter]


def shares_of(coordinates: np.ndarray, size: int, reach: float) -> np.ndarray:
    """Weights on a circle of places 0 ... size - 1 that fall to zero within a reach of coordinates [..., num].

    Returns [..., size, num], which sum to 1: beams and delays of a Fourier transform go round.
    """
    away = (coordinates[..., None, :] - np.arange(size)[:, None] + size / 2) % size - size / 2
    shares = np.maximum(1 - np.abs(away) / reach, 0)
    return shares / shares.sum(-2, keepdims=True)


def projection(scene: Scene, receiver: Site, points_m: np.ndarray, shape: tuple[int, int]) -> Projection:
    """The projection of one receiver onto points [num_cells, 3], m, of latents of each beam and delay."""
    grid, (first_delay, _) = scene.grid, delay_window(scene)
    beams, delays = [], []
    for end in (*scene.transmitters, receiver):
        points_m = points_m + AT_SITE_M * (np.linalg.norm(points_m - end.position_m, axis=1) < AT_SITE_M)[:, None]
    for site in scene.transmitters:
        paths = bistatic_geometry(site.position_m, receiver.position_m, points_m, np.zeros(3), grid.wavelength_m)
        beams.append(beam_bins(receiver, paths.aoa, grid.wavelength_m))
        delays.append((paths.range_m / grid.range_resolution_m - first_delay) % grid.num_subcarriers)
    return Projection(np.array(beams), np.array(delays), shape)


def beam_bins(receiver: Site, directions: np.ndarray, wavelength_m: float) -> np.ndarray:
    """Where directions [num, 3] lie in a Fourier transform over the antennas with its zero in the middle, [num].

    ValueError where the antennas are not a uniform line.
    """
    steering = steering_vectors(receiver.elements_m, directions, wavelength_m)
    steps = steering[:, 1:] * steering[:, :-1].conj() * receiver.num_ant
    if steps.size == 0 or np.abs(steps - steps[:, :1]).max() > UNEVEN:
        raise ValueError(f"the antennas of '{receiver.name}' are not a uniform line; this network needs one at each "
                         "receiver, use scheme dvqvae")
    return np.angle(steps[:, 0]) / (2 * np.pi) * receiver.num_ant + receiver.num_ant // 2
