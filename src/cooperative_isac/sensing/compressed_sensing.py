"""Delays by one-dimensional compressed sensing, then angle and Doppler shift of each (CF [25]).

The echo of a delay is a sum of columns exp(-j 2 pi f tau) W, one for each antenna of a transmitter,
with unknown weights for every receive antenna and Doppler bin: a block-sparse problem with many
snapshots. Blocks are chosen greedily (block orthogonal matching pursuit): the one that holds most
of the residual's energy is the next delay. Newtonized, every new path is followed by a refinement
of all paths off the grid: Newton steps of their joint likelihood in delay, angle and Doppler shift
(Mamandipoor, Ramasamy, Madhow, IEEE Trans. SP 64(19), 2016).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from cooperative_isac.scene.file.physics import largest_excess_path
from cooperative_isac.scene.geometry import point_on_ray
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch, vertex
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width
from cooperative_isac.sensing.search_grid import AREA_MARGIN, NEAREST_M, SearchGrid

# Delays and angles of the search per resolution cell: 4 lose at most 0.2 dB between two of them.
DELAY_OVERSAMPLING = 4
ANGLE_OVERSAMPLING = 4

# Standard deviation of the range of a path in resolution cells, for the fusion: of the maximum
# between delays of the grid, found from three of them.
DELAY_CELLS = 0.1

# Eigenvalues of the dictionary's noise below this share of the largest are no column: precoders
# leave some directions without power.
COLUMN_TOLERANCE = 1e-3


class DelayDictionary:
    """Whitened blocks of columns exp(-j 2 pi f tau) W of one transmitter over a grid of delays.

    scene: seen on one band
    receiver: station whose echo it is
    transmitter: index of the transmitting site
    reference: known streams of the frame
    band_hz: [num_bins], float64, Hz, Doppler bins of the search, whose noise counts where static
        paths were suppressed; zero alone if None
    ranges_m: [num_delays], float64, m, bistatic ranges c tau of paths over the scene's area
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
        frame = reference.frame
        grid = frame.grid

        # Covariance of the noise behind the precoders, summed over subcarriers.
        precoders = frame.precoders[:, frame.antennas[transmitter]]
        shape = (len(precoders), frame.group_size, *reference.gram.shape[1:])
        grams = reference.noise_gram(band_hz).reshape(shape).sum(axis=1)
        by_group = precoders.conj() @ grams.conj() @ precoders.swapaxes(1, 2)
        noise = np.sum(by_group, axis=0)

        # Columns of each group of subcarriers, whitened by it.
        values, vectors = np.linalg.eigh(noise / reference.num_blocks)
        kept = values > COLUMN_TOLERANCE * values[-1]
        whitener = (vectors[:, kept] / np.sqrt(values[kept])).conj().T
        columns = whitener @ precoders.conj()
        self.columns = np.repeat(columns, frame.group_size, axis=0).astype(np.complex64)

        # Delays from the direct line to the longest path over the area, and one more at both ends,
        # so that a peak at either end has two neighbors.
        site = scene.transmitters[transmitter]
        direct_m = np.linalg.norm(site.position_m - receiver.position_m)
        longest_m = direct_m + largest_excess_path(scene.box, site.position_m, receiver.position_m)
        step_m = grid.range_resolution_m / DELAY_OVERSAMPLING
        first = int(direct_m / step_m) - 1
        last = int(longest_m / step_m) + 1
        self._bins = np.arange(first, last + 1)
        self._length = grid.span * DELAY_OVERSAMPLING
        self._distances = np.subtract.outer(grid.places, grid.places) % self._length
        self.ranges_m = self._bins * step_m
        self._noise_power_w = scene.propagation.noise_power_w

    def energies(self, spectrum: np.ndarray) -> np.ndarray:
        """Energy of the echo in the block of each delay, in excess of the mean under noise.

        spectrum: [num_rx_ant, num_subcarriers, num_streams, num_bins], complex64, orthonormal
            Doppler bins of the correlation with the streams
        Returns [num_delays], float64, in standard deviations of the energy under noise.
        """
        # Projections on the columns; antennas and Doppler bins are snapshots.
        num_rx_ant, num_subcarriers, _, num_bins = spectrum.shape
        snapshots = spectrum.transpose(1, 2, 0, 3)
        snapshots = snapshots.reshape(num_subcarriers, -1, num_rx_ant * num_bins)
        projections = (self.columns @ snapshots).reshape(num_subcarriers, -1)

        # The energy at a delay is a sum over pairs of subcarriers that depends on their distance
        # alone: sums over equal distances first, then a Fourier transform.
        pairs = projections @ projections.conj().T
        distances = self._distances.ravel()
        real = np.bincount(distances, pairs.real.ravel(), self._length)
        imaginary = np.bincount(distances, pairs.imag.ravel(), self._length)
        sums = real + 1j * imaginary
        energies = fft.ifft(sums, norm="forward").real / self._noise_power_w

        # Under noise alone it is a chi-square variable of twice as many degrees as unknowns.
        num_unknowns = projections.shape[1]
        energy = energies[self._bins % self._length]
        return (energy - num_unknowns) / np.sqrt(num_unknowns)


class DelaySearch(PathSearch):
    """Search for the delay whose block holds the most energy, then along its ellipse."""

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        super().__init__(finder, cells)
        self._dictionaries = [
            DelayDictionary(finder.scene, finder.receiver, index, finder.reference, finder.band_hz)
            for index in range(len(finder.scene.transmitters))
        ]

    @property
    def refines(self) -> bool:
        """True for Newtonized matching pursuit; see PathSearch."""
        return self.finder.scene.sensing.recovery == "newtonized_omp"

    def strongest(self) -> FoundPath:
        """The path at the delay of the most energy (see PathSearch)."""
        # Transmitter and delay of the block with the most energy.
        spectrum = self.finder.in_band()
        energies = [dictionary.energies(spectrum) for dictionary in self._dictionaries]
        transmitter = int(np.argmax([energy.max() for energy in energies]))
        energy = energies[transmitter]
        best = int(np.clip(energy.argmax(), 1, len(energy) - 2))

        # Range between the delays of the grid.
        ranges_m = self._dictionaries[transmitter].ranges_m
        offset, _ = vertex(*energy[best - 1 : best + 2])
        step_m = ranges_m[1] - ranges_m[0]
        range_m = float(ranges_m[best] + offset * step_m)
        return path_on_ellipse(self.finder, transmitter, range_m)


def path_on_ellipse(finder: PathFinder, transmitter: int, range_m: float) -> FoundPath:
    """The strongest path of a bistatic range over all angles of arrival from the area.

    A path along the direct line between the stations has the same delay and directions at every
    point of it: the middle stands for all of them, and is compared with the ellipse.

    finder: residual echo
    transmitter: index of the transmitting site
    range_m: bistatic range, m
    """
    receiver = finder.receiver
    area = finder.scene.box.padded(AREA_MARGIN)
    transmitter_m = finder.scene.transmitters[transmitter].position_m
    step = beam_width(receiver, finder.scene.grid.wavelength_m) / ANGLE_OVERSAMPLING

    def on_ellipse(cosines: np.ndarray) -> np.ndarray:
        """Points of the ellipse by the cosine of their angle of arrival."""
        directions = arrival_direction(receiver, cosines)
        ranges_m = np.full(len(cosines), range_m)
        return point_on_ray(transmitter_m, receiver.position_m, directions, ranges_m)

    # Points of the ellipse within the area.
    cosines = np.arange(-1 + step / 2, 1, step)
    points = on_ellipse(cosines)
    inside = np.all((points >= area.low_m) & (points <= area.high_m), axis=1)
    inside &= np.linalg.norm(points - receiver.position_m, axis=1) > NEAREST_M
    between = finder.path_at(transmitter, (transmitter_m + receiver.position_m) / 2)
    if not inside.any():
        return between

    # The strongest of them, refined between angles.
    powers, _ = finder.powers(transmitter, points[inside])
    cosine = cosines[inside][powers.argmax()]
    offset = finder.sharpen(transmitter, lambda offsets: on_ellipse(cosine + offsets), step)
    found = finder.path_at(transmitter, on_ellipse(np.array([cosine + offset]))[0])
    return found if found.power > between.power else between
