"""Line of sight of a receiver, matched under every convention in which echoes may come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from cooperative_isac.channel.gain import friis_amplitude
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.waveform.signal import Signal

OVERSAMPLING = 8  # points of the delay profile per cell: a parabola is then exact to 1 % of it
# Share of the mean that is added to Gram matrices, so that those of equal replicas can be inverted.
GRAM_FLOOR = 1e-6
MIRRORED = "mirrored (phase of the wrong sign, or reverse order)"
ONE_WAY_MIRRORS = ("mirrored left to right", "mirrored top to bottom")


def line_of_sight(scene: Scene, receiver: Site) -> PathSet:
    """Straight paths in free space from all transmitters that stand elsewhere.

    Amplitude of Friis between isotropic elements, wavelength / (4 pi d), for steering vectors of
    unit norm on both sides, with the phase of the carrier. scatterer: the transmitter's index.
    """
    away = np.array([site.position_m for site in scene.transmitters]) - receiver.position_m
    distances = np.linalg.norm(away, axis=1)
    there = np.flatnonzero(distances > 0)
    directions = away[there] / distances[there, None]
    delays = distances[there] / SPEED_OF_LIGHT_MPS
    num_ant = np.array([scene.transmitters[index].num_ant for index in there])

    gain = friis_amplitude(scene.grid.wavelength_m, distances[there])
    gain = gain * np.sqrt(num_ant * receiver.num_ant)
    amplitude = gain * np.exp(-2j * np.pi * scene.grid.carrier_hz * delays)
    return PathSet(there, there, delays, np.zeros(len(there)), amplitude, -directions, directions)


@dataclass(frozen=True)
class Order:
    """One way in which samples may be put down. conjugated: re - j im instead of re + j im.

    subcarriers [num_subcarriers], symbols [num_symbols]: place in the message of each one of the
    frame; the names are empty for the stated order.
    """

    conjugated: bool
    subcarriers_name: str
    subcarriers: np.ndarray
    symbols_name: str
    symbols: np.ndarray

    @property
    def num_faults(self) -> int:
        """In how many respects it differs from the stated order."""
        return self.conjugated + bool(self.subcarriers_name) + bool(self.symbols_name)

    def restored(self, echo: np.ndarray) -> np.ndarray:
        """An echo [num_rx_ant, num_subcarriers, num_symbols] put into the stated order."""
        ordered = echo[:, self.subcarriers[:, None], self.symbols]
        return ordered.conj() if self.conjugated else ordered


def sample_orders(num_subcarriers: int, num_symbols: int) -> tuple[Order, ...]:
    """Orders of samples that occur in practice, the stated one first."""
    subcarriers = _distinct(
        {
            "": np.arange(num_subcarriers),
            "in reverse order": np.arange(num_subcarriers)[::-1],
            "mirrored about the middle one": np.roll(np.arange(num_subcarriers)[::-1], 1),
            "with their halves swapped (fftshift)": np.roll(
                np.arange(num_subcarriers), num_subcarriers // 2
            ),
            "in reverse order with their halves swapped": np.roll(
                np.arange(num_subcarriers)[::-1], num_subcarriers // 2
            ),
            "shifted up by one": np.roll(np.arange(num_subcarriers), -1),
            "shifted down by one": np.roll(np.arange(num_subcarriers), 1),
        }
    )
    symbols = _distinct(
        {
            "": np.arange(num_symbols),
            "in reverse order": np.arange(num_symbols)[::-1],
            "one too late": np.roll(np.arange(num_symbols), -1),
            "one too early": np.roll(np.arange(num_symbols), 1),
        }
    )
    return tuple(
        Order(conjugated, *over_subcarriers, *over_symbols)
        for conjugated, over_subcarriers, over_symbols in product(
            (False, True), subcarriers, symbols
        )
    )


def element_orders(site: Site) -> tuple[tuple[str, np.ndarray | None], ...]:
    """Orders of the receive elements that occur in practice, the stated one first.

    Returns names and, for each place in the message, the element that stands there [num_ant]; None:
    the stated elements with the mirrored phase, which is the reverse order of a uniform array.
    """
    stated = np.arange(site.num_ant)
    local = np.round(site.elements_m @ site.rotation, 9)
    num_vertical = len(np.unique(local[:, 2]))
    num_horizontal = len(np.unique(local[:, 1]))
    orders = {"": stated}
    if site.kind == "planar" and num_vertical * num_horizontal == site.num_ant:
        grid = stated.reshape(num_horizontal, num_vertical)
        for transposed, sideways, upright in product((False, True), repeat=3):
            turned = grid[:: -1 if sideways else 1, :: -1 if upright else 1]
            flips = {
                (True, False): ONE_WAY_MIRRORS[0],
                (False, True): ONE_WAY_MIRRORS[1],
                (True, True): MIRRORED,
            }.get((sideways, upright), "")
            turning = "transposed, y running fastest instead of z" if transposed else ""
            name = "; ".join(filter(None, (turning, flips)))
            orders[name] = (turned.T if transposed else turned).ravel()
        return tuple(_distinct(orders))
    return (("", stated), (MIRRORED, None)) if site.num_ant > 1 else (("", stated),)


def _distinct(orders: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    kept: dict[bytes, tuple[str, np.ndarray]] = {}
    for name, order in orders.items():
        kept.setdefault(np.ascontiguousarray(order).tobytes(), (name, order))
    return list(kept.values())


@dataclass(frozen=True)
class KnownPart:
    """Resource elements of a frame with known streams: its payload, or its reference symbols.

    streams: [num_subcarriers, num_streams, num_symbols], complex64; gram: [num_subcarriers,
    num_streams, num_streams]; subcarriers, symbols: slices of the whole frame; used:
    [num_subcarriers, num_symbols], bool.
    """

    frame: Signal
    streams: np.ndarray
    gram: np.ndarray
    subcarriers: slice
    symbols: slice
    used: np.ndarray

    @cached_property
    def inverse(self) -> np.ndarray:
        """Pseudo-inverse of the Gram matrices."""
        return np.linalg.pinv(self.gram, rcond=1e-5, hermitian=True)

    @cached_property
    def rank(self) -> int:
        """Independent streams, summed over the subcarriers."""
        smallest = 1e-4 * self.streams.shape[2]
        return int(np.linalg.matrix_rank(self.gram, tol=smallest, hermitian=True).sum())

    def correlated(self, echo: np.ndarray) -> np.ndarray:
        """Echo times the streams' conjugates, [num_subcarriers, num_rx_ant, num_streams].

        echo: [num_rx_ant, num_subcarriers, num_symbols], of the whole frame
        """
        part = echo[:, self.subcarriers, self.symbols]
        return part.transpose(1, 0, 2) @ self.streams.conj().swapaxes(1, 2)

    def residual(self, echo: np.ndarray, max_doppler_hz: float) -> np.ndarray:
        """What neither static paths nor targets explain of an echo, as samples of unit noise gain.

        Least squares over symbols for each antenna and subcarrier, on the streams and on the
        streams turned by Doppler shifts up to max_doppler_hz, as far as half of the symbols go.
        Each residual is divided by the share of noise that is left in it.
        """
        num_streams = self.streams.shape[1]
        fullest = self.used.sum(axis=1) == self.used.sum(axis=1).max()
        num_symbols = int(self.used[fullest].sum(axis=1)[0])

        # Doppler shifts of whole turns in the frame, one more than targets have
        times = self.frame.grid.symbol_times_s / (
            self.frame.grid.num_symbols * self.frame.grid.symbol_period_s
        )
        length_s = self.frame.grid.num_symbols * self.frame.grid.symbol_period_s
        highest = min(
            int(np.ceil(max_doppler_hz * length_s)) + 1, (num_symbols // (2 * num_streams) - 1) // 2
        )
        shifts = np.arange(-highest, highest + 1) if highest > 0 else np.zeros(1)
        turns = np.exp(2j * np.pi * shifts[:, None] * times)
        basis = (self.streams[fullest][:, :, None] * turns).reshape(
            int(fullest.sum()), -1, len(times)
        )

        # Projection out of that span
        inverse = np.linalg.pinv(basis @ basis.conj().swapaxes(1, 2), rcond=1e-5, hermitian=True)
        leverage = np.einsum("nkt,nkl,nlt->nt", basis.conj(), inverse, basis, optimize=True).real
        part = echo[:, self.subcarriers, self.symbols][:, fullest].transpose(1, 0, 2)
        left = part - part @ basis.conj().swapaxes(1, 2) @ inverse @ basis
        free = self.used[fullest] & (leverage < 0.9)
        left /= np.sqrt(np.maximum(1 - leverage, 0.1))[:, None]
        return left.transpose(0, 2, 1)[free]

    def gains(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Stream weights in directions, [num_directions, num_subcarriers, num_streams].

        steering: [num_directions, num_ant], the transmitter's steering vectors
        """
        gains = self.frame.stream_gains(transmitter, steering)
        return np.repeat(gains, self.frame.group_size, axis=0).swapaxes(0, 1)


def known_parts(frame: Signal, reference_only: bool = False) -> tuple[KnownPart, ...]:
    """Known parts of a frame: payload, unless only the reference is known, and reference."""
    parts = []
    whole = slice(None)
    if not reference_only:
        used = np.ones((frame.grid.num_subcarriers, frame.grid.num_symbols), bool)
        if frame.reference is not None:
            used[frame.reference_elements[0], frame.reference_elements[2]] = False
        parts.append(_known_part(frame, whole, whole, used))
    if frame.reference is not None:
        grid = frame.reference.grid
        used = np.ones((grid.num_subcarriers, grid.num_symbols), bool)
        subcarriers, _, symbols = frame.reference_elements
        parts.append(_known_part(frame.reference, subcarriers, symbols, used))
    return tuple(parts)


def _known_part(frame: Signal, subcarriers: slice, symbols: slice, used: np.ndarray) -> KnownPart:
    streams = frame.streams
    gram = streams @ streams.conj().swapaxes(1, 2)
    return KnownPart(frame, streams, gram, subcarriers, symbols, used)


@dataclass(frozen=True)
class Profiles:
    """Matched power of the line of sight over a common delay offset, summed over frames.

    power: [2, 2, num_element_orders, num_delays], axes: transmit elements stated or mirrored, delay
    stated or of the wrong sign; in units of the power of the samples.
    """

    power: np.ndarray
    delays_s: np.ndarray


class Matcher:
    """Line-of-sight replicas of some frames at one receiver."""

    def __init__(self, scene: Scene, receiver: Site, frames: Sequence[Signal]):
        only = scene.sensing.symbols == "reference_only"
        self.parts = [known_parts(frame, only) for frame in frames]
        self.receiver = receiver
        self.paths = line_of_sight(scene, receiver)
        self.offsets_hz = scene.grid.subcarrier_offsets_hz
        self.max_doppler_hz = 2 * scene.sensing.max_speed_mps / scene.grid.wavelength_m
        self.elements = element_orders(receiver)
        wavelength = scene.grid.wavelength_m

        # Receive steering of every order of elements, [num_orders, num_paths, num_rx_ant]
        arrival = steering_vectors(receiver.elements_m, self.paths.aoa, wavelength)
        self.arrival = np.stack(
            [arrival.conj() if order is None else arrival[:, order] for _, order in self.elements]
        )

        # Stream weights, stated and with transmit elements mirrored
        self.gains = [[self._both_gains(scene, part) for part in parts] for parts in self.parts]

        # Phases over subcarriers, stated and with the delay's sign wrong
        phase = np.exp(-2j * np.pi * self.paths.delay_s[:, None] * self.offsets_hz)
        self.phases = np.stack([phase, phase.conj()])

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
        over = np.zeros((2, num_paths, num_paths, len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            over[..., part.subcarriers] += np.einsum(
                "xink,nlk,xjnl->xijn", gains.conj(), part.gram, gains
            )
        return np.einsum("xijn,sin,sjn->xsij", over, self.phases.conj(), self.phases)

    def gram(self, frame: int) -> np.ndarray:
        """Inner products of replicas, [2, 2, num_element_orders, num_paths, num_paths]."""
        across = np.einsum("vim,vjm->vij", self.arrival.conj(), self.arrival)
        return _floored(self._transmit_gram(frame)[:, :, None] * across)

    def per_antenna(
        self, echo: np.ndarray, frame: int, mirrored: int, sign: int, delay_s: float
    ) -> np.ndarray:
        """Amplitude of each path at each antenna by least squares, [num_paths, num_rx_ant].

        mirrored, sign: of the transmit elements and of the delay; delay_s: on top of the paths' own
        """
        behind = np.zeros((len(self.paths.delay_s), len(echo), len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            correlated = part.correlated(echo)
            behind[..., part.subcarriers] += np.einsum(
                "ink,nmk->imn", gains[mirrored].conj(), correlated
            )
        late = np.exp(2j * np.pi * self.offsets_hz * delay_s)
        matched = (behind * (self.phases[sign].conj() * late)[:, None]).sum(axis=-1)
        return np.linalg.solve(_floored(self._transmit_gram(frame)[mirrored, sign]), matched)

    def matched(self, echo: np.ndarray, frame: int) -> np.ndarray:
        """Echo behind each path's replica, by subcarrier.

        Returns [2, 2, num_element_orders, num_paths, num_subcarriers].
        """
        found = np.zeros((2, 2, *self.arrival.shape[:2], len(self.offsets_hz)), complex)
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            behind = np.einsum(
                "vim,nmk->vink", self.arrival.conj(), part.correlated(echo), optimize=True
            )
            weighted = np.einsum("xink,vink->xvin", gains.conj(), behind, optimize=True)
            over = self.phases.conj()[:, None, :, part.subcarriers]
            found[..., part.subcarriers] += weighted[:, None] * over
        return found

    def over_symbols(
        self, echo: np.ndarray, frame: int, mirrored: int, sign: int, elements: int, delay_s: float
    ) -> np.ndarray:
        """Echo behind each path's replica, by symbol, [num_paths, num_symbols].

        mirrored, sign, elements: the hypothesis; delay_s: on top of the paths' own
        """
        found = np.zeros((len(self.paths.delay_s), echo.shape[2]), complex)
        late = np.exp(-2j * np.pi * self.offsets_hz * delay_s)
        phases = self.phases[sign] * late
        for part, gains in zip(self.parts[frame], self.gains[frame]):
            replica = np.einsum("ink,nkt->int", gains[mirrored], part.streams, optimize=True)
            replica *= phases[:, part.subcarriers, None]
            samples = echo[:, part.subcarriers, part.symbols]
            behind = np.tensordot(self.arrival[elements].conj(), samples, axes=1)
            found[:, part.symbols] += (replica.conj() * behind).sum(axis=1)
        return found

    def profiles(self, echoes: Sequence[np.ndarray]) -> Profiles:
        """Power that the line of sight explains jointly, an amplitude for each path and frame."""
        num_delays = OVERSAMPLING * len(self.offsets_hz)
        powers = []
        for frame, echo in enumerate(echoes):
            over_delay = np.fft.ifft(self.matched(echo, frame), num_delays, axis=-1) * num_delays
            weighted = np.linalg.solve(self.gram(frame), over_delay)
            powers.append(np.einsum("xsviq,xsviq->xsvq", over_delay.conj(), weighted).real)
        period_s = 1 / (self.offsets_hz[1] - self.offsets_hz[0])
        delays = np.fft.fftfreq(num_delays) * period_s
        return Profiles(sum(powers, np.zeros_like(powers[0])), delays)

    def noise_power(self, echoes: Sequence[np.ndarray]) -> float | None:
        """Robust power of what neither static paths nor targets explain; None where nothing is.

        The median of exponential samples over ln 2: interference in less than half of them hardly
        counts.
        """
        left = [
            parts[0].residual(echo, self.max_doppler_hz) for parts, echo in zip(self.parts, echoes)
        ]
        samples = np.concatenate([part.ravel() for part in left])
        return float(np.median(np.abs(samples) ** 2) / np.log(2)) if len(samples) >= 64 else None

    def static_energy(self, echoes: Sequence[np.ndarray]) -> tuple[float, int]:
        """Energy that a static channel explains, noise included, and the noise samples in it."""
        energy = 0.0
        freedom = 0
        for parts, echo in zip(self.parts, echoes):
            for part in parts:
                correlated = part.correlated(echo)
                energy += float(
                    np.einsum("nmk,nmk->", correlated.conj(), correlated @ part.inverse).real
                )
                freedom += len(echo) * part.rank
        return energy, freedom

    @property
    def num_elements(self) -> int:
        """Resource elements with known streams, over all frames and antennas."""
        return self.arrival.shape[-1] * sum(
            int(part.used.sum()) for parts in self.parts for part in parts
        )


def _floored(gram: np.ndarray) -> np.ndarray:
    """Gram matrices [..., n, n] that can be inverted where replicas are alike."""
    size = gram.shape[-1]
    floor = GRAM_FLOOR * np.trace(gram, axis1=-2, axis2=-1).real / size
    return gram + floor[..., None, None] * np.eye(size)
