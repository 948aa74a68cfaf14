"""Successive interference cancellation of the paths of one echo, strongest first (CLEAN)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import fft

from cooperative_isac.estimation.peaks import vertex
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.joint_fit import JointFit, subtract_paths
from cooperative_isac.sensing.path_state import NO_PATHS, single_path
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.search_grid import AREA_MARGIN, NEAREST_M, SearchGrid
from cooperative_isac.sensing.surface import static_weights

# Doppler bins per resolution cell when a single path is refined: with 8 the parabola through three
# of them is within a thousandth of a cell of the peak.
FINE_DOPPLER_OVERSAMPLING = 8

# Power of the first path over the weakest that is still looked for: what its cancellation leaves is
# about 25 dB below it.
DYNAMIC_RANGE = 300.0

# Steps of the refinement of all paths at most, and the gain of log-likelihood that is not worth
# another one: a hundredth of what noise gives to one parameter.
REFINING_STEPS = 8
NEGLIGIBLE_GAIN = 0.01

# Samples of the power along a line on which a path is refined: an odd number, so that the start is
# one of them, at most an eighth of a beam or a quarter of a step of the grid from each other.
LINE_SAMPLES = 9


@dataclass(frozen=True)
class FoundPath:
    """Detected path.

    transmitter: index of the transmitting site
    point_m: [3], float64, m, reflecting point in map
    doppler_hz: Doppler shift, Hz
    power: matched-filter power over the noise, the coherent SNR as a ratio
    """

    transmitter: int
    point_m: np.ndarray
    doppler_hz: float
    power: float


class PathFinder:
    """Periodogram of one echo, from which detected paths are canceled.

    Symbols are removed stream by stream beforehand; precoders and directions are matched when a
    point is tried.

    scene: seen on one band
    receiver: station whose echo it is
    reference: known streams of the frame
    residual: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64, correlation of the
        echo with the streams (StreamReference.correlate) without the canceled paths
    max_doppler_hz: largest Doppler shift of a target, Hz
    threshold: power that noise alone exceeds anywhere with the scene's false-alarm probability
    """

    def __init__(
        self,
        scene: Scene,
        receiver: Site,
        reference: StreamReference,
        correlation: np.ndarray,
        max_doppler_hz: float,
        threshold: float,
    ):
        self.scene = scene
        self.receiver = receiver
        self.reference = reference
        self.residual = correlation
        self.max_doppler_hz = max_doppler_hz
        self.threshold = threshold
        self.noise_power_w = scene.propagation.noise_power_w
        self._maker = ReplicaMaker(scene, receiver, reference)
        self._joint = JointFit(self._maker, correlation, self.noise_power_w)
        self._state = NO_PATHS

    def in_band(self) -> np.ndarray:
        """Orthonormal Doppler bins of the residual within the Doppler shifts of targets.

        Returns [num_rx_ant, num_subcarriers, num_streams, num_bins], complex64.
        """
        shifts_hz = self._shifts_hz(self.reference.num_blocks)
        spectrum = fft.fft(self.residual, axis=3, norm="ortho")
        return spectrum[..., np.abs(shifts_hz) <= self.max_doppler_hz]

    @property
    def band_hz(self) -> np.ndarray:
        """Doppler shifts of the bins of in_band, [num_bins], float64, Hz."""
        shifts_hz = self._shifts_hz(self.reference.num_blocks)
        return shifts_hz[np.abs(shifts_hz) <= self.max_doppler_hz]

    def powers(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest matched-filter power over Doppler shifts at points, and its shift.

        In noise alone the power of a bin is exponential with mean one.

        transmitter: index of the transmitting site
        points_m: [num_points, 3], float64, m
        Returns power [num_points] and Doppler shift [num_points], Hz, float64, interpolated between
        bins.
        """
        # Matched filter over antennas and subcarriers, then the spectrum over blocks of symbols.
        filtered, energy = self._filtered(transmitter, points_m)
        bins, shifts_hz, weights = self._near
        num_bins = self.reference.num_blocks * FINE_DOPPLER_OVERSAMPLING
        spectrum = self.reference.spectrum(filtered, num_bins)[:, bins]

        # Power over that of noise, corrected for the suppression of static paths.
        squared = spectrum.real**2 + spectrum.imag**2
        noise_w = energy[:, None] * self.noise_power_w
        power = weights * squared / noise_w

        # Peak of the parabola through the highest bin and its neighbors.
        highest = power.argmax(axis=1)
        best = np.clip(highest, 1, len(bins) - 2)
        neighbors = best[:, None] + [-1, 0, 1]
        before, middle, after = np.take_along_axis(power, neighbors, axis=1).T
        offset, peak = vertex(before, middle, after)

        # Doppler shift of the peak, between bins.
        bin_hz = shifts_hz[1] - shifts_hz[0]
        return peak, shifts_hz[best] + offset * bin_hz

    def sharpen(
        self, transmitter: int, line: Callable[[np.ndarray], np.ndarray], reach: float
    ) -> float:
        """Offset at which the power along a line peaks.

        transmitter: index of the transmitting site
        line: points [num, 3], m, of the line at offsets [num]
        reach: largest offset to both sides
        """
        # Power along the line.
        offsets = np.linspace(-reach, reach, LINE_SAMPLES)
        power, _ = self.powers(transmitter, line(offsets))

        # Highest sample that has neighbors on both sides.
        last = LINE_SAMPLES - 1
        best = int(np.clip(power.argmax(), 1, last - 1))

        # Peak of the parabola through all three.
        before, highest, after = power[best - 1 : best + 2]
        offset, _ = vertex(before, highest, after)
        spacing = offsets[1] - offsets[0]
        return float(offsets[best] + offset * spacing)

    def path_at(self, transmitter: int, point_m: np.ndarray) -> FoundPath:
        """The path over a point at its strongest Doppler shift.

        transmitter: index of the transmitting site
        point_m: [3], float64, m
        """
        power, doppler_hz = self.powers(transmitter, point_m[None])
        return FoundPath(transmitter, point_m, float(doppler_hz[0]), float(power[0]))

    def is_residue(self, path: FoundPath) -> bool:
        """Test for a path that is the residue of a learned background (sensing.replica)."""
        return self._maker.is_residue(path.transmitter, path.point_m, path.doppler_hz, path.power)

    def remove(self, path: FoundPath) -> None:
        """Cancel a path: the amplitudes of all canceled paths are fitted together anew."""
        canceled = single_path(path.point_m, path.transmitter, path.doppler_hz)
        self._state = self._state.with_target(canceled)
        self.residual = subtract_paths(self._joint.correlation, self._joint.match(self._state))

    def refine(self) -> None:
        """Move all canceled paths off the grid, to the peak of their joint likelihood.

        Those that would leave the area, or the Doppler shifts of targets, stay where they are.
        """
        # Delays, angles and Doppler shifts of all paths, with free amplitudes.
        before = self._state
        fit = self._joint.fisher_scoring(self._joint.match(before), REFINING_STEPS, NEGLIGIBLE_GAIN)
        points_m = fit.state.points_m
        doppler_hz = fit.state.doppler_hz

        # Paths that stay within the search; each is the only one of its target.
        area = self.scene.box.padded(AREA_MARGIN)
        away_m = points_m - self.receiver.position_m
        stays = np.all((points_m >= area.low_m) & (points_m <= area.high_m), axis=1)
        stays &= away_m @ self.receiver.boresight > 0
        stays &= np.linalg.norm(away_m, axis=1) > NEAREST_M
        stays &= np.abs(doppler_hz) <= self.max_doppler_hz

        self._state = replace(
            before,
            points_m=np.where(stays[:, None], points_m, before.points_m),
            doppler_hz=np.where(stays, doppler_hz, before.doppler_hz),
        )
        self.residual = subtract_paths(self._joint.correlation, self._joint.match(self._state))

    def refined(self, path: FoundPath, index: int) -> FoundPath:
        """A path where the last refinement moved it.

        index: among all canceled paths
        """
        point_m = self._state.points_m[index]
        return replace(path, point_m=point_m, doppler_hz=float(self._state.doppler_hz[index]))

    def _shifts_hz(self, num_bins: int) -> np.ndarray:
        """Doppler shifts of the bins of a spectrum over blocks, in the order of the FFT, Hz."""
        block_period_s = self.reference.block * self.reference.frame.grid.symbol_period_s
        return fft.fftfreq(num_bins, block_period_s)

    @cached_property
    def _near(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bins of the fine spectrum within the Doppler shifts of targets, ascending.

        Returns indices, Doppler shifts in Hz, and the factors by which power is corrected for the
        suppression of static paths (sensing.surface).
        """
        # One bin more at both ends, for the parabola through a peak and its neighbors.
        shifts_hz = self._shifts_hz(self.reference.num_blocks * FINE_DOPPLER_OVERSAMPLING)
        bin_hz = shifts_hz[1]
        limit_hz = self.max_doppler_hz + bin_hz
        near = np.flatnonzero(np.abs(shifts_hz) <= limit_hz)

        # Ascending shifts; those of a Fourier transform begin with zero.
        near = near[np.argsort(shifts_hz[near])]
        near_hz = shifts_hz[near]
        return near, near_hz, static_weights(self.reference, near_hz)

    def _filtered(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output of the matched filters over antennas and subcarriers, block by block.

        Returns [num_points, num_blocks], complex64, and the filters' energies [num_points].
        """
        # Receive beams toward the points.
        away_m = points_m - self.receiver.position_m
        directions = away_m / np.linalg.norm(away_m, axis=1)[:, None]
        steering = steering_vectors(
            self.receiver.elements_m, directions, self.scene.grid.wavelength_m
        )
        beams = steering.conj().astype(np.complex64)
        received = beams @ self.residual.reshape(len(self.residual), -1)

        # Delays and transmit gains over subcarriers and streams.
        filters, energy = self._maker.filters_at(transmitter, points_m)
        filters = filters.conj().reshape(len(points_m), 1, -1)
        by_block = received.reshape(len(points_m), -1, self.reference.num_blocks)
        return (filters @ by_block)[:, 0], energy


class PathSearch(ABC):
    """Search for the strongest path that is left in one echo.

    finder: the echo, from which detected paths are canceled
    cells: places and directions of the scene's area
    """

    def __init__(self, finder: PathFinder, cells: SearchGrid):
        self.finder = finder
        self.cells = cells

    @property
    def refines(self) -> bool:
        """True where all paths found so far are refined together with each new one."""
        return False

    @abstractmethod
    def strongest(self) -> FoundPath | None:
        """The strongest path of the residual, or None where none exceeds the threshold."""


def cancel_paths(search: PathSearch, most: int) -> list[FoundPath]:
    """Paths in the order of detection, each canceled before the next is searched for.

    It ends at a path below the threshold, or one far below the first.

    search: of the echo
    most: number of paths at most
    """
    finder = search.finder
    found: list[FoundPath] = []
    indices: list[int] = []
    # Residues of a learned background are canceled without being counted, but not without end.
    for index in range(2 * most):
        if len(found) == most:
            break

        # The strongest path of the residual.
        path = search.strongest()
        if path is None or path.power < finder.threshold:
            break
        if found and path.power * DYNAMIC_RANGE < found[0].power:
            break

        # Its cancellation.
        if not finder.is_residue(path):
            found.append(path)
            indices.append(index)
        finder.remove(path)
        if search.refines:
            finder.refine()
    if search.refines:
        return [finder.refined(path, index) for path, index in zip(found, indices, strict=True)]
    return found
