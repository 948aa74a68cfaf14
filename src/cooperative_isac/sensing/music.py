"""Angles by MUSIC, then range and velocity by a two-dimensional DFT along each of them (CF section
V-A).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import find_peaks

from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Site
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch, vertex
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width
from cooperative_isac.sensing.search_grid import SearchGrid, cells_along
from cooperative_isac.sensing.surface import likelihood_surface

SPECTRUM_OVERSAMPLING = 32


class MusicSearch(PathSearch):
    """Search along the MUSIC directions of an echo, in place of those of the area."""

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        receiver = finder.receiver
        snapshots = finder.in_band().reshape(receiver.num_ant, -1)
        cosines = music_cosines(snapshots, receiver, finder.scene.grid.wavelength_m)
        directions = arrival_direction(receiver, cosines)
        grid = finder.reference.frame.grid
        super().__init__(finder, cells_along(finder.scene, receiver, grid, directions))

    def strongest(self) -> FoundPath | None:
        """The strongest path along the directions; see PathSearch."""
        return strongest_cell(self.finder, self.cells)


def num_sources(eigenvalues: np.ndarray, num_snapshots: int) -> int:
    """Dimension of the signal subspace by Akaike's criterion (Wax and Kailath 1985).

    It rather finds too many than too few, which costs nothing here: a direction without a target is
    searched in vain.

    eigenvalues: [num_ant], float64, W, of the sample covariance, falling
    """
    size = len(eigenvalues)
    scores = []
    positive = np.maximum(eigenvalues, np.finfo(float).tiny)
    for order in range(size):
        noise = positive[order:]
        flatness = np.log(np.mean(noise)) - np.mean(np.log(noise))
        scores.append(num_snapshots * (size - order) * flatness + order * (2 * size - order))
    return int(np.argmin(scores))


def music_cosines(snapshots: np.ndarray, receiver: Site, wavelength_m: float) -> np.ndarray:
    """Cosines of the arrival angles at the highest peaks of the MUSIC spectrum.

    snapshots: [num_rx_ant, num_snapshots], complex64
    Returns [num_peaks], float64, num_sources at most.
    """
    covariance = snapshots @ snapshots.conj().T / snapshots.shape[1]
    values, vectors = np.linalg.eigh(covariance.astype(complex))
    order = num_sources(values[::-1], snapshots.shape[1])
    count = int(np.ceil(2 / beam_width(receiver, wavelength_m) * SPECTRUM_OVERSAMPLING)) + 1
    cosines = np.linspace(-1, 1, count)
    steering = steering_vectors(
        receiver.elements_m, arrival_direction(receiver, cosines), wavelength_m
    )
    noise = vectors[:, : len(values) - order]
    spectrum = -np.log(np.sum(np.abs(steering.conj() @ noise) ** 2, axis=1))
    peaks, _ = find_peaks(spectrum)
    peaks = peaks[np.argsort(-spectrum[peaks])][:order]
    offsets, _ = vertex(spectrum[peaks - 1], spectrum[peaks], spectrum[peaks + 1])
    return cosines[peaks] + offsets * (cosines[1] - cosines[0])


def strongest_cell(finder: PathFinder, cells: SearchGrid) -> FoundPath | None:
    """The strongest path among cells, its range and Doppler shift interpolated; None if none stands
    out.
    """
    if not len(cells.points_m):
        return None
    surface = likelihood_surface(
        cells, finder.reference, finder.residual, finder.noise_power_w, finder.max_doppler_hz
    )
    if surface.power.max() < finder.threshold:
        return None
    transmitter, cell = np.unravel_index(surface.power.argmax(), surface.power.shape)
    point = cells.points_m[cell]
    origin = finder.receiver.position_m
    outwards = (point - origin) / cells.ranges_m[cell]
    reach = min(cells.range_step_m, cells.ranges_m[cell] / 2)
    offset = finder.sharpen(
        int(transmitter), lambda offsets: point + offsets[:, None] * outwards, reach
    )
    return finder.path_at(int(transmitter), point + offset * outwards)
