"""The transmitted symbols of one frame, and the signal that they send in a direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from cooperative_isac.scene.band import OfdmGrid, Waveform
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.slot_layout import word_length
from cooperative_isac.waveform.antenna_turns import antenna_of_symbols, streams_of_antennas
from cooperative_isac.waveform.qam import constellation
from cooperative_isac.waveform.slot_signals import mapped_symbols

# First part of the seed of the reference symbols. They are public, so that it is a constant of the
# product and no secret of a scene; every station derives the same symbols from it.
REFERENCE_SEED = 0x15AC
REFERENCE_ORDER = 4  # QPSK: symbols of one power sound every resource element alike


class Transmission(Protocol):
    """The transmitted signal of one frame: a Signal, or a part of one."""

    @property
    def grid(self) -> OfdmGrid:
        """The resource elements of the frame."""

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Transmitted signal in given directions, as Component.toward."""


@dataclass(frozen=True)
class Component(ABC):
    """Streams of symbols on some resource elements of a grid, through precoders.

    precoders: [num_groups, num_tx_ant, num_streams], complex64, sqrt(W), antennas of all
    transmitters in a row
    antennas: each transmitter's slice of the antenna axis
    """

    number: int
    grid: OfdmGrid
    precoders: np.ndarray
    antennas: tuple[slice, ...]

    @property
    @abstractmethod
    def streams(self) -> np.ndarray:
        """Symbols, [num_subcarriers, num_streams, num_symbols], complex64, zero on elements of
        other components.
        """

    @property
    @abstractmethod
    def elements(self) -> np.ndarray:
        """Resource elements of the component, [num_subcarriers, num_symbols], bool."""

    @property
    def group_size(self) -> int:
        """Neighboring subcarriers that share one precoder."""
        return self.grid.num_subcarriers // len(self.precoders)

    def stream_gains(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Weight a^T W of each stream in given directions.

        transmitter: index
        steering: [num_directions, num_ant], complex, the transmitter's steering vectors (or their
        derivatives)
        Returns [num_groups, num_directions, num_streams], complex64, sqrt(W).
        """
        precoders = self.precoders[:, self.antennas[transmitter]]
        return steering.astype(np.complex64, copy=False) @ precoders

    def streams_of(self, transmitter: int) -> slice:
        """The streams of which a transmitter sends any; it has weight zero in all others.

        transmitter: index
        """
        return slice(None)

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Transmitted signal a^T x in given directions.

        transmitter: index
        steering: [num_directions, num_ant], complex, the transmitter's steering vectors (or their
        derivatives)
        Returns [num_subcarriers, num_directions, num_symbols], complex64, sqrt(W).
        Source: a^H x of CF eq. (6), signs as in scene.arrays.
        """
        # Each group's gains hold for all of its subcarriers.
        gains = np.repeat(self.stream_gains(transmitter, steering), self.group_size, axis=0)
        return gains @ self.streams


@dataclass(frozen=True)
class KnownStreams(Component):
    """A component whose symbols are given.

    symbols: [num_subcarriers, num_streams, num_symbols], complex64, zero on other elements
    mask: [num_subcarriers, num_symbols], bool, elements of the component
    stream_slices: each transmitter's slice of the stream axis; None: all transmitters send all
    """

    symbols: np.ndarray
    mask: np.ndarray
    stream_slices: tuple[slice, ...] | None = None

    @property
    def streams(self) -> np.ndarray:
        """The symbols."""
        return self.symbols

    @property
    def elements(self) -> np.ndarray:
        """The mask."""
        return self.mask

    def streams_of(self, transmitter: int) -> slice:
        """The streams that a transmitter sends; see Component."""
        return slice(None) if self.stream_slices is None else self.stream_slices[transmitter]


@dataclass(frozen=True)
class Signal(Component):
    """The transmitted signal of all transmitters on one band in one frame.

    The component itself is the payload; reference symbols are another one beside it.

    indices: [num_subcarriers, num_streams, num_symbols], uint8, QAM labels of the payload
    reference: the public reference symbols that replace the payload on their comb, or None
    reference_strides: of that comb, over subcarriers and over symbols
    has_data: whether elements without reference symbols carry payload; False: they are empty
    is_superimposed: reference symbols are beside the payload on the same elements (code words)
    """

    modulation_order: int
    indices: np.ndarray
    reference: Component | None = None
    reference_strides: tuple[int, int] = (0, 0)
    has_data: bool = True
    is_superimposed: bool = False

    @cached_property
    def elements(self) -> np.ndarray:
        """Resource elements that carry payload, [num_subcarriers, num_symbols], bool."""
        shape = (self.grid.num_subcarriers, self.grid.num_symbols)
        elements = np.full(shape, self.has_data)
        if self.reference is not None and not self.is_superimposed:
            elements[self.reference_elements] &= ~self.reference.elements
        return elements

    @cached_property
    def streams(self) -> np.ndarray:
        """Data symbols s of CF eq. (3), zero on the elements of reference symbols.

        Returns [num_subcarriers, num_streams, num_symbols], complex64, unit power.
        """
        streams = constellation(self.modulation_order)[self.indices]

        # All streams of an element at once: a view with the axis of streams last.
        streams.swapaxes(1, 2)[~self.elements] = 0
        return streams

    @property
    def reference_elements(self) -> tuple[slice, slice]:
        """Index of the reference symbols' grid into arrays [num_subcarriers, num_symbols]."""
        over_subcarriers, over_symbols = self.reference_strides
        return slice(None, None, over_subcarriers), slice(None, None, over_symbols)

    @property
    def payload_share(self) -> float:
        """Share of the resource elements that carry payload."""
        return float(self.elements.mean())

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Transmitted signal a^T x of all components in given directions; see Component."""
        signal = super().toward(transmitter, steering)

        # Reference symbols are a signal on a coarser grid.
        if self.reference is not None:
            subcarriers, symbols = self.reference_elements
            signal[subcarriers, :, symbols] += self.reference.toward(transmitter, steering)
        return signal


def whole_signal(signal: Signal) -> Component:
    """Payload and reference symbols of a signal as one component, for a receiver that has both.

    The streams of the reference symbols come after those of the payload.
    """
    reference = signal.reference
    if reference is None:
        return signal
    grid = signal.grid
    subcarriers, symbols = signal.reference_elements

    # Streams side by side, the reference symbols on their elements.
    num_payload = signal.streams.shape[1]
    shape = (grid.num_subcarriers, num_payload + reference.streams.shape[1], grid.num_symbols)
    streams = np.zeros(shape, np.complex64)
    streams[:, :num_payload] = signal.streams
    streams[subcarriers, num_payload:, symbols] = reference.streams
    mask = signal.elements.copy()
    mask[subcarriers, symbols] |= reference.elements

    # Precoders of each subcarrier, unless both have the same groups.
    payload_precoders = signal.precoders
    reference_precoders = reference.precoders
    if len(payload_precoders) != len(reference_precoders):
        payload_precoders = np.repeat(payload_precoders, signal.group_size, axis=0)
        repeats = grid.num_subcarriers // len(reference_precoders)
        reference_precoders = np.repeat(reference_precoders, repeats, axis=0)
    precoders = np.concatenate([payload_precoders, reference_precoders], axis=2)
    return KnownStreams(signal.number, grid, precoders, signal.antennas, streams, mask)


def antenna_slices(scene: Scene) -> tuple[slice, ...]:
    """Each transmitter's slice of the axis of all transmit antennas."""
    slices = []
    begin = 0
    for site in scene.transmitters:
        end = begin + site.num_ant
        slices.append(slice(begin, end))
        begin = end
    return tuple(slices)


def draw_symbols(
    waveform: Waveform, num_streams: int, generator: np.random.Generator
) -> np.ndarray:
    """Random payload of one frame.

    Returns [num_subcarriers, num_streams, num_symbols], uint8, QAM labels.
    """
    shape = (waveform.grid.num_subcarriers, num_streams, waveform.grid.num_symbols)
    return generator.integers(waveform.modulation_order, size=shape, dtype=np.uint8)


def comb(grid: OfdmGrid, subcarrier_stride: int, symbol_stride: int) -> OfdmGrid:
    """The grid of every n-th subcarrier and every m-th symbol of a grid."""
    return replace(
        grid,
        num_subcarriers=grid.num_subcarriers // subcarrier_stride,
        num_symbols=grid.num_symbols // symbol_stride,
        subcarrier_stride=grid.subcarrier_stride * subcarrier_stride,
        symbol_stride=grid.symbol_stride * symbol_stride,
    )


def with_reference(scene: Scene, signal: Signal) -> Signal:
    """The signal with the public reference symbols of the scene's waveform, if it has some."""
    waveform = scene.waveform
    if not waveform.has_reference:
        return signal
    if waveform.reference_signals:
        reference = mapped_reference(scene, signal.number)
    else:
        reference = reference_signal(scene, signal.number)
    return replace(
        signal,
        reference=reference,
        reference_strides=waveform.reference_strides,
        has_data=waveform.has_data,
        is_superimposed=waveform.is_superimposed,
    )


def reference_signal(scene: Scene, number: int) -> Signal:
    """The reference symbols of frame `number`.

    They are a function of the number alone, so that every station has them without a downlink.
    Each transmitter sends as many QPSK streams as there are users, through random phases on its
    own antennas, so that its power covers all directions.
    """
    waveform = scene.waveform
    antennas = antenna_slices(scene)
    num_users = scene.users.num_users
    generator = np.random.default_rng([REFERENCE_SEED, number])

    # The resource elements of the comb, and the streams of all transmitters.
    grid = comb(
        waveform.grid, waveform.reference_subcarrier_stride, waveform.reference_symbol_stride
    )
    num_groups = grid.num_subcarriers
    num_streams = len(scene.transmitters) * num_users

    # Random phases: a block of the transmitter's antennas times its streams, zeros elsewhere.
    precoders = np.zeros((num_groups, antennas[-1].stop, num_streams), np.complex64)
    for index, part in enumerate(antennas):
        own_streams = slice(index * num_users, (index + 1) * num_users)
        num_ant = part.stop - part.start

        # Power of each antenna and stream, in one subcarrier.
        power_w = waveform.power_w / waveform.grid.num_subcarriers / (num_ant * num_users)
        phases = np.exp(2j * np.pi * generator.random((num_groups, num_ant, num_users)))
        precoders[:, part, own_streams] = np.sqrt(power_w) * phases

    # Random QPSK symbols.
    shape = (grid.num_subcarriers, num_streams, grid.num_symbols)
    indices = generator.integers(REFERENCE_ORDER, size=shape, dtype=np.uint8)
    return Signal(
        number=number,
        grid=grid,
        precoders=precoders,
        antennas=antennas,
        modulation_order=REFERENCE_ORDER,
        indices=indices,
    )


def mapped_reference(scene: Scene, number: int) -> KnownStreams:
    """The reference signals of frame `number` as NR maps them (scene.slot_layout), or code words.

    Each transmitter sends sequences of its own, on the same elements as the others: code division.
    They are one stream through a precoder by the waveform's `reference_beams`, or one of each
    antenna that is zero in the turns of the others.
    """
    waveform = scene.waveform
    antennas = antenna_slices(scene)
    num_transmitters = len(scene.transmitters)
    num_groups = waveform.grid.num_subcarriers // waveform.group_size
    generator = np.random.default_rng([REFERENCE_SEED, number])

    # Sequences on the elements of the standard, one stream for each transmitter.
    names = waveform.reference_signals
    symbols, mask = mapped_symbols(waveform.grid, names, num_transmitters)
    slices = tuple(slice(index, index + 1) for index in range(num_transmitters))
    if waveform.splices_in_time:
        # One for each antenna.
        length = word_length(names, num_transmitters)
        streams = []
        for index, part in enumerate(antennas):
            num_ant = part.stop - part.start
            antenna = antenna_of_symbols(mask, length, num_ant, generator)
            streams.append(streams_of_antennas(symbols[:, index], antenna, num_ant))
        symbols = np.concatenate(streams, axis=1)
        slices = antennas

    # Precoders of each transmitter for each group of subcarriers, at its power limit.
    amplitude = np.sqrt(waveform.reference_power_w / waveform.grid.num_subcarriers)
    precoders = np.zeros((num_groups, antennas[-1].stop, symbols.shape[1]), np.complex64)
    for part, own in zip(antennas, slices, strict=True):
        num_ant = part.stop - part.start
        precoders[:, part, own] = amplitude * _beams(waveform, num_groups, num_ant, generator)

    return KnownStreams(number, waveform.grid, precoders, antennas, symbols, mask, slices)


def _beams(
    waveform: Waveform, num_groups: int, num_ant: int, generator: np.random.Generator
) -> np.ndarray:
    """Weights of a transmitter's antennas in its streams of reference signals.

    Returns [num_groups, num_ant, num_streams], complex128, of unit power.
    """
    if waveform.splices_in_time:
        # A stream of each antenna.
        return np.tile(np.eye(num_ant), (num_groups, 1, 1))
    if waveform.reference_beams == "antennas":
        # One antenna after another, from group to group.
        return np.eye(num_ant)[np.arange(num_groups) % num_ant][..., None]

    # All antennas with random phases, anew in each group.
    phases = 2 * np.pi * generator.random((num_groups, num_ant))
    return np.exp(1j * phases)[..., None] / np.sqrt(num_ant)
