"""Line of sight of a receiver, matched under every convention in which echoes may come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.gain import friis_amplitude
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.echo_check.known_parts import KnownPart, known_parts
from cooperative_isac.sensing.echo_check.orders import element_orders
from cooperative_isac.waveform.signal import Signal

# Points of a delay profile or Doppler spectrum per resolution cell: a parabola through three of
# them is then exact to 1 % of a cell.
PROFILE_OVERSAMPLING = 8

# Share of the mean that is added to Gram matrices, so that those of equal replicas can be inverted.
GRAM_FLOOR = 1e-6

# Samples below which their median is no measurement of the noise: its standard deviation is 18 %.
LEAST_NOISE_SAMPLES = 64


def line_of_sight(scene: Scene, receiver: Site) -> PathSet:
    """Straight paths in free space from all transmitters that stand elsewhere.

    Amplitude of Friis between isotropic elements, wavelength / (4 pi d), for steering vectors of
    unit norm on both sides, with the phase of the carrier.

    scene: seen on one band
    receiver: receiving station
    Returns paths whose scatterer is the index of the transmitter.
    """
    # Transmitters at another place.
    away_m = np.array([site.position_m for site in scene.transmitters]) - receiver.position_m
    distances_m = np.linalg.norm(away_m, axis=1)
    elsewhere = np.flatnonzero(distances_m > 0)
    distances_m = distances_m[elsewhere]
    directions = away_m[elsewhere] / distances_m[:, None]

    # Delays and amplitudes.
    delays_s = distances_m / SPEED_OF_LIGHT_MPS
    num_tx_ant = np.array([scene.transmitters[index].num_ant for index in elsewhere])
    gain = friis_amplitude(scene.grid.wavelength_m, distances_m)
    gain = gain * np.sqrt(num_tx_ant * receiver.num_ant)
    amplitude = gain * np.exp(-2j * np.pi * scene.grid.carrier_hz * delays_s)
    return PathSet(
        transmitter=elsewhere,
        scatterer=elsewhere,
        delay_s=delays_s,
        doppler_hz=np.zeros(len(elsewhere)),
        amplitude=amplitude,
        aod=-directions,
        aoa=directions,
    )


@dataclass(frozen=True)
class Profiles:
    """Matched power of the line of sight over a common offset of its delays, summed over frames.

    power: [2, 2, num_element_orders, num_delays], float64, in units of the power of the samples;
        first axis: transmit elements stated or mirrored, second: delay stated or of the wrong sign
    delays_s: [num_delays], float64, s, offsets in the order of an FFT
    """

    power: np.ndarray
    delays_s: np.ndarray


class Matcher:
    """Line-of-sight replicas of some frames at one receiver.

    Arrays begin with axes of the hypotheses: transmit elements stated or mirrored, delay stated or
    of the wrong sign, order of the receive elements.

    scene: seen on one band
    receiver: receiving station
    frames: signals that were sent
    """

    def __init__(self, scene: Scene, receiver: Site, frames: Sequence[Signal]):
        reference_only = scene.sensing.symbols == "reference_only"
        wavelength_m = scene.grid.wavelength_m
        self.parts = [known_parts(frame, reference_only) for frame in frames]
        self.receiver = receiver
        self.paths = line_of_sight(scene, receiver)
        self.offsets_hz = scene.grid.subcarrier_offsets_hz
        self.spacing_hz = scene.grid.subcarrier_stride * scene.grid.subcarrier_spacing_hz
        self.num_places = scene.grid.span
        self.places = scene.grid.places - scene.grid.places[0]
        self.max_doppler_hz = 2 * scene.sensing.max_speed_mps / wavelength_m
        self.elements = element_orders(receiver)

        # Receive steering of every order of elements, [num_orders, num_paths, num_rx_ant].
        arrival = steering_vectors(receiver.elements_m, self.paths.aoa, wavelength_m)
        self.arrival = np.stack(
            [arrival.conj() if order is None else arrival[:, order] for _, order in self.elements]
        )

        # Stream weights, stated and with transmit elements mirrored.
        self.gains = [[self._both_gains(scene, part) for part in parts] for parts in self.parts]

        # Phases over subcarriers, stated and with the delay's sign wrong.
        phase = np.exp(-2j * np.pi * self.paths.delay_s[:, None] * self.offsets_hz)
        self.phases = np.stack([phase, phase.conj()])

    def delay_s(self, offset: int) -> float:
        """Delay at an index of the delay profile, s."""
        num_delays = PROFILE_OVERSAMPLING * self.num_places
        return float(np.fft.fftfreq(num_delays)[offset] / self.spacing_hz)

    def gram(self, frame: int) -> np.ndarray:
        """Inner products of replicas, [2, 2, num_element_orders, num_paths, num_paths]."""
        across_antennas = np.einsum("vim,vjm->vij", self.arrival.conj(), self.arrival)
        return _floored(self._transmit_gram(frame)[:, :, None] * across_antennas)

    def per_antenna(
        self, echo: np.ndarray, frame: int, mirrored: int, sign: int, delay_s: float
    ) -> np.ndarray:
        """Amplitude of each path at each antenna by least squares.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64
        frame: index of its frame
        mirrored: hypothesis of the transmit elements, 0 or 1
        sign: hypothesis of the delay, 0 or 1
        delay_s: offset of all delays, s
        Returns [num_paths, num_rx_ant], complex128.
        """
        # Correlation with streams and transmit gains, by subcarrier.
        num_paths = len(self.paths.delay_s)
        correlation = np.zeros((num_paths, len(echo), len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            weights = gains[mirrored].conj()
            with_streams = part.correlated(echo)
            of_part = np.einsum("ink,nmk->imn", weights, with_streams)
            correlation[..., part.subcarriers] += of_part

        # Sum over subcarriers with the phases of the delays.
        offset_phase = np.exp(2j * np.pi * self.offsets_hz * delay_s)
        phases = self.phases[sign].conj() * offset_phase
        in_phase = correlation * phases[:, None]
        matched = in_phase.sum(axis=-1)

        # Least squares over paths.
        gram = self._transmit_gram(frame)[mirrored, sign]
        return np.linalg.solve(_floored(gram), matched)

    def matched(self, echo: np.ndarray, frame: int) -> np.ndarray:
        """Correlation of an echo with the replica of each path, by subcarrier.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64
        frame: index of its frame
        Returns [2, 2, num_element_orders, num_paths, num_subcarriers], complex128.
        """
        num_orders, num_paths, _ = self.arrival.shape
        matched = np.zeros((2, 2, num_orders, num_paths, len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            # Receive beams, transmit gains, delays.
            received = np.einsum(
                "vim,nmk->vink", self.arrival.conj(), part.correlated(echo), optimize=True
            )
            weighted = np.einsum("xink,vink->xvin", gains.conj(), received, optimize=True)
            phases = self.phases.conj()[:, None, :, part.subcarriers]
            matched[..., part.subcarriers] += weighted[:, None] * phases
        return matched

    def over_symbols(
        self, echo: np.ndarray, frame: int, mirrored: int, sign: int, elements: int, delay_s: float
    ) -> np.ndarray:
        """Correlation of an echo with the replica of each path, by symbol.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64
        frame: index of its frame
        mirrored: hypothesis of the transmit elements, 0 or 1
        sign: hypothesis of the delay, 0 or 1
        elements: hypothesis of the receive elements
        delay_s: offset of all delays, s
        Returns [num_paths, num_symbols], complex128.
        """
        matched = np.zeros((len(self.paths.delay_s), echo.shape[2]), complex)
        offset_phase = np.exp(-2j * np.pi * self.offsets_hz * delay_s)
        phases = self.phases[sign] * offset_phase
        beams = self.arrival[elements].conj()
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            # Replica at the first antenna.
            replica = np.einsum("ink,nkt->int", gains[mirrored], part.streams, optimize=True)
            replica *= phases[:, part.subcarriers, None]

            # Samples behind the receive beams, and their products.
            samples = echo[:, part.subcarriers, part.symbols]
            received = np.tensordot(beams, samples, axes=1)
            products = replica.conj() * received
            matched[:, part.symbols] += products.sum(axis=1)
        return matched

    def profiles(self, echoes: Sequence[np.ndarray]) -> Profiles:
        """Power of the line of sight over a delay offset, an amplitude for each path and frame.

        echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, one for every frame
        """
        num_delays = PROFILE_OVERSAMPLING * self.num_places
        powers = []
        for frame, echo in enumerate(echoes):
            # Subcarriers at their places on the comb, with zeros in the gaps between fragments.
            matched = self.matched(echo, frame)
            on_comb = np.zeros((*matched.shape[:-1], self.num_places), complex)
            on_comb[..., self.places] = matched
            over_delay = np.fft.ifft(on_comb, num_delays, axis=-1) * num_delays
            weighted = np.linalg.solve(self.gram(frame), over_delay)
            powers.append(np.einsum("xsviq,xsviq->xsvq", over_delay.conj(), weighted).real)

        delays_s = np.fft.fftfreq(num_delays) * (1 / self.spacing_hz)
        power = sum(powers, np.zeros_like(powers[0]))
        return Profiles(power, delays_s)

    def noise_power(self, echoes: Sequence[np.ndarray]) -> float | None:
        """Robust noise power beside static paths and targets, or None where no samples are left.

        The median of exponential samples over ln 2: interference in less than half of them hardly
        counts.

        echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, one for every frame
        """
        # The first part of a frame: its payload, or the reference symbols where it is not known.
        residuals = [
            parts[0].residual(echo, self.max_doppler_hz) for parts, echo in zip(self.parts, echoes)
        ]
        samples = np.concatenate([residual.ravel() for residual in residuals])
        if len(samples) < LEAST_NOISE_SAMPLES:
            return None
        return float(np.median(np.abs(samples) ** 2) / np.log(2))

    def static_energy(self, echoes: Sequence[np.ndarray]) -> tuple[float, int]:
        """Energy of a static channel in echoes, with the noise in it.

        echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, one for every frame
        Returns the energy, in units of the power of the samples, and its degrees of freedom.
        """
        energy = 0.0
        num_degrees = 0
        for parts, echo in zip(self.parts, echoes):
            for part in parts:
                correlated = part.correlated(echo)
                channel = correlated @ part.inverse
                energy += float(np.einsum("nmk,nmk->", correlated.conj(), channel).real)
                num_degrees += len(echo) * part.rank
        return energy, num_degrees

    @property
    def num_elements(self) -> int:
        """Resource elements with known streams, over all frames and antennas."""
        num_ant = self.arrival.shape[-1]
        return num_ant * sum(int(part.used.sum()) for parts in self.parts for part in parts)

    def _both_gains(self, scene: Scene, part: KnownPart) -> np.ndarray:
        """Stream weights of all paths, [2, num_paths, num_subcarriers, num_streams]."""
        both = []
        for index, direction in zip(self.paths.transmitter, self.paths.aod):
            site = scene.transmitters[index]
            steering = steering_vectors(site.elements_m, direction, scene.grid.wavelength_m)
            both.append(part.gains(int(index), np.stack([steering, steering.conj()])))
        return np.stack(both, axis=1)

    def _transmit_gram(self, frame: int) -> np.ndarray:
        """Inner products of the paths at one antenna, [2, 2, num_paths, num_paths]."""
        num_paths = len(self.paths.delay_s)
        by_subcarrier = np.zeros((2, num_paths, num_paths, len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            by_subcarrier[..., part.subcarriers] += np.einsum(
                "xink,nlk,xjnl->xijn", gains.conj(), part.gram, gains
            )
        return np.einsum("xijn,sin,sjn->xsij", by_subcarrier, self.phases.conj(), self.phases)


def _floored(gram: np.ndarray) -> np.ndarray:
    """Gram matrices [..., n, n] with a diagonal that makes those of equal replicas invertible."""
    size = gram.shape[-1]
    floor = GRAM_FLOOR * np.trace(gram, axis1=-2, axis2=-1).real / size
    return gram + floor[..., None, None] * np.eye(size)
