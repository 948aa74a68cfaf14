"""Angles by MUSIC, then range and velocity along each by a two-dimensional DFT (CF section V-A)."""

from __future__ import annotations

import numpy as np
from scipy.signal import find_peaks

from cooperative_isac.estimation.model_order import num_sources_aic
from cooperative_isac.estimation.peaks import vertex
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width
from cooperative_isac.sensing.search_grid import SearchGrid, cells_along
from cooperative_isac.sensing.surface import likelihood_surface

# Samples of the MUSIC spectrum per beam width: its peaks are narrower than a beam by about the
# square root of the SNR after integration, and 32 keep a few samples on each at 30 dB.
SPECTRUM_OVERSAMPLING = 32


class MusicSearch(PathSearch):
    """Search along the MUSIC directions of an echo instead of those of the whole area."""

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        # Every subcarrier, stream and Doppler bin of a target is a snapshot of the array.
        receiver = finder.receiver
        snapshots = finder.in_band().reshape(receiver.num_ant, -1)
        cosines = music_cosines(snapshots, receiver, finder.scene.grid.wavelength_m)

        # Cells of the area along these directions.
        directions = arrival_direction(receiver, cosines)
        grid = finder.reference.frame.grid
        super().__init__(finder, cells_along(finder.scene, receiver, grid, directions))

    def strongest(self) -> FoundPath | None:
        """The strongest path along the MUSIC directions, or None (see PathSearch)."""
        return strongest_cell(self.finder, self.cells)


def music_cosines(snapshots: np.ndarray, receiver: Site, wavelength_m: float) -> np.ndarray:
    """Cosines of the arrival angles at the highest peaks of the MUSIC spectrum.

    The number of sources is Akaike's, which rather finds too many than too few: a direction without
    a target is searched in vain, at no other cost.

    snapshots: [num_rx_ant, num_snapshots], complex64, sqrt(W)
    receiver: station with a linear array
    wavelength_m: wavelength of the carrier, m
    Returns [num_peaks], float64, not more than there are sources.
    """
    # Subspaces of the sample covariance.
    num_snapshots = snapshots.shape[1]
    covariance = snapshots @ snapshots.conj().T / num_snapshots
    eigenvalues, eigenvectors = np.linalg.eigh(covariance.astype(complex))
    positive = np.maximum(eigenvalues, np.finfo(float).tiny)
    num_sources = num_sources_aic(positive, num_snapshots)
    noise = eigenvectors[:, : len(eigenvalues) - num_sources]

    # Cosines of the angle of arrival, several within the width of a beam.
    num_beams = 2 / beam_width(receiver, wavelength_m)
    num_cosines = int(np.ceil(num_beams * SPECTRUM_OVERSAMPLING)) + 1
    cosines = np.linspace(-1, 1, num_cosines)

    # Spectrum over them, in logarithms: its peaks are parabolas.
    directions = arrival_direction(receiver, cosines)
    steering = steering_vectors(receiver.elements_m, directions, wavelength_m)
    in_noise = steering.conj() @ noise
    leakage = np.sum(np.abs(in_noise) ** 2, axis=1)
    spectrum = -np.log(leakage)

    # Highest peaks.
    peaks, _ = find_peaks(spectrum)
    by_height = np.argsort(-spectrum[peaks])
    highest = peaks[by_height][:num_sources]

    # Interpolated between samples.
    offsets, _ = vertex(spectrum[highest - 1], spectrum[highest], spectrum[highest + 1])
    spacing = cosines[1] - cosines[0]
    return cosines[highest] + offsets * spacing


def strongest_cell(finder: PathFinder, cells: SearchGrid) -> FoundPath | None:
    """The strongest path among cells, with interpolated range and Doppler shift.

    finder: residual echo
    cells: places that are compared
    Returns None where no cell exceeds the detection threshold.
    """
    if not len(cells.points_m):
        return None

    # Detection of the strongest cell.
    surface = likelihood_surface(
        cells, finder.reference, finder.residual, finder.noise_power_w, finder.max_doppler_hz
    )
    if surface.power.max() < finder.threshold:
        return None
    transmitter, cell = np.unravel_index(surface.power.argmax(), surface.power.shape)

    # Range between cells, along the ray from the receiver.
    point_m = cells.points_m[cell]
    range_m = cells.ranges_m[cell]
    outward = (point_m - finder.receiver.position_m) / range_m
    reach_m = min(cells.range_step_m, range_m / 2)
    offset_m = finder.sharpen(
        int(transmitter), lambda offsets_m: point_m + offsets_m[:, None] * outward, reach_m
    )
    return finder.path_at(int(transmitter), point_m + offset_m * outward)
