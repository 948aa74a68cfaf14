"""Delays by one-dimensional compressed sensing, then angle and Doppler shift of each (CF section
V-A, [25]).

The echo of a delay is a sum of columns exp(-j 2 pi f tau) W, one for each antenna of a transmitter,
with unknown weights for every receive antenna and Doppler bin: a block-sparse problem with many
snapshots. Blocks are chosen greedily (block orthogonal matching pursuit): the one that holds most
of the residual's energy is the next delay.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from cooperative_isac.scene.file.physics import largest_excess_path
from cooperative_isac.scene.geometry import point_on_ray
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch, vertex
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width
from cooperative_isac.sensing.search_grid import AREA_MARGIN, SearchGrid

DELAY_OVERSAMPLING = 4
ANGLE_OVERSAMPLING = 4
DELAY_CELLS = 0.1
RANK_TOLERANCE = 1e-3
NEAREST_M = 1.0


class DelayDictionary:
    """Blocks of columns exp(-j 2 pi f tau) W of one transmitter over a grid of delays, whitened.

    ranges_m: [num_delays], the bistatic ranges c tau of paths over the scene's area.
    band_hz: [num_bins], Doppler bins that are looked at, Hz, zero alone when None; the noise of
    each counts where static paths were suppressed.
    """

    def __init__(
        self,
        scene: Scene,
        receiver: Site,
        transmitter: int,
        reference: StreamReference,
        band_hz: np.ndarray | None = None,
    ):
        band_hz = np.zeros(1) if band_hz is None else band_hz
        frame, grid = reference.frame, reference.frame.grid
        precoders = frame.precoders[:, frame.antennas[transmitter]]
        shape = len(precoders), frame.group_size, *reference.gram.shape[1:]
        grams = reference.noise_gram(band_hz).reshape(shape).sum(axis=1)
        noise = np.sum(precoders.conj() @ grams.conj() @ precoders.swapaxes(1, 2), axis=0)
        values, vectors = np.linalg.eigh(noise / reference.num_blocks)
        kept = values > RANK_TOLERANCE * values[-1]
        self.columns = np.repeat(
            (vectors[:, kept] / np.sqrt(values[kept])).conj().T @ precoders.conj(),
            frame.group_size,
            axis=0,
        ).astype(np.complex64)
        site = scene.transmitters[transmitter]
        direct = np.linalg.norm(site.position_m - receiver.position_m)
        longest = direct + largest_excess_path(scene.box, site.position_m, receiver.position_m)
        step = grid.range_resolution_m / DELAY_OVERSAMPLING
        self._bins = np.arange(int(direct / step) - 1, int(longest / step) + 2)
        self._length = grid.num_subcarriers * DELAY_OVERSAMPLING
        self.ranges_m, self._noise_power_w = self._bins * step, scene.propagation.noise_power_w

    def energies(self, spectrum: np.ndarray) -> np.ndarray:
        """Energy of each delay's block over what noise has, in noise's standard deviations,
        [num_delays].

        spectrum: [num_rx_ant, num_subcarriers, num_streams, num_bins], complex64, of orthonormal
        Doppler bins.
        """
        num_rx_ant, num_subcarriers, _, num_bins = spectrum.shape
        snapshots = spectrum.transpose(1, 2, 0, 3).reshape(
            num_subcarriers, -1, num_rx_ant * num_bins
        )
        columns = (self.columns @ snapshots).reshape(num_subcarriers, -1)
        # The energy at a delay is a sum over pairs of subcarriers, of which only the distance
        # counts.
        pairs = columns @ columns.conj().T
        distances = (
            np.subtract.outer(np.arange(num_subcarriers), np.arange(num_subcarriers)) % self._length
        )
        sums = [
            np.bincount(distances.ravel(), part.ravel(), self._length)
            for part in (pairs.real, pairs.imag)
        ]
        energy = fft.ifft(sums[0] + 1j * sums[1], norm="forward").real / self._noise_power_w
        unknowns = columns.shape[1]
        return (energy[self._bins % self._length] - unknowns) / np.sqrt(unknowns)


class DelaySearch(PathSearch):
    """Search for the delay whose block holds most energy, then along its ellipse."""

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        super().__init__(finder, cells)
        self._dictionaries = [
            DelayDictionary(finder.scene, finder.receiver, index, finder.reference, finder.band_hz)
            for index in range(len(finder.scene.transmitters))
        ]

    def strongest(self) -> FoundPath:
        """The path at the delay with most energy; see PathSearch."""
        # Transmitter and delay
        spectrum = self.finder.in_band()
        energies = [dictionary.energies(spectrum) for dictionary in self._dictionaries]
        transmitter = int(np.argmax([energy.max() for energy in energies]))
        energy = energies[transmitter]
        best = int(np.clip(energy.argmax(), 1, len(energy) - 2))

        # Range between the delays of the grid
        ranges_m = self._dictionaries[transmitter].ranges_m
        offset, _ = vertex(*energy[best - 1 : best + 2])
        range_m = float(ranges_m[best] + offset * (ranges_m[1] - ranges_m[0]))
        return path_on_ellipse(self.finder, transmitter, range_m)


def path_on_ellipse(finder: PathFinder, transmitter: int, range_m: float) -> FoundPath:
    """The strongest path of a bistatic range over all angles from the area, or the one along the
    direct line.

    On that line, and only there, delay and directions are everywhere the same: its middle stands
    for all of it.
    """
    receiver, area = finder.receiver, finder.scene.box.padded(AREA_MARGIN)
    sender = finder.scene.transmitters[transmitter].position_m
    step = beam_width(receiver, finder.scene.grid.wavelength_m) / ANGLE_OVERSAMPLING

    def on_ellipse(cosines: np.ndarray) -> np.ndarray:
        directions = arrival_direction(receiver, cosines)
        return point_on_ray(sender, receiver.position_m, directions, np.full(len(cosines), range_m))

    cosines = np.arange(-1 + step / 2, 1, step)
    points = on_ellipse(cosines)
    inside = np.all((points >= area.low_m) & (points <= area.high_m), axis=1)
    inside &= np.linalg.norm(points - receiver.position_m, axis=1) > NEAREST_M
    between = finder.path_at(transmitter, (sender + receiver.position_m) / 2)
    if not inside.any():
        return between
    powers, _ = finder.powers(transmitter, points[inside])
    cosine = cosines[inside][powers.argmax()]
    offset = finder.sharpen(transmitter, lambda offsets: on_ellipse(cosine + offsets), step)
    found = finder.path_at(transmitter, on_ellipse(np.array([cosine + offset]))[0])
    return found if found.power > between.power else between
