"""The transmitted symbols of one frame, and the signal that they send in a direction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cooperative_isac.scene.band import OfdmGrid, Waveform
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.qam import constellation

# First part of the seed of the reference symbols. They are public, so that it is a constant of the
# product and no secret of a scene; every station derives the same symbols from it.
REFERENCE_SEED = 0x15AC
REFERENCE_ORDER = 4  # QPSK: symbols of one power sound every resource element alike


@dataclass(frozen=True)
class Signal:
    """The transmitted signal of all transmitters on one band in one frame.

    indices: [num_subcarriers, num_streams, num_symbols], uint8, QAM labels
    precoders: [num_groups, num_tx_ant, num_streams], complex64, sqrt(W), antennas of all
    transmitters in a row
    antennas: each transmitter's slice of the antenna axis
    reference: the public reference symbols that replace the payload on their comb, or None
    reference_strides: of that comb, over subcarriers and over symbols
    """

    number: int
    grid: OfdmGrid
    modulation_order: int
    indices: np.ndarray
    precoders: np.ndarray
    antennas: tuple[slice, ...]
    reference: Signal | None = None
    reference_strides: tuple[int, int] = (0, 0)

    @property
    def group_size(self) -> int:
        """Neighboring subcarriers that share one precoder."""
        return self.grid.num_subcarriers // len(self.precoders)

    @cached_property
    def streams(self) -> np.ndarray:
        """Data symbols s of CF eq. (3), zero on the elements of reference symbols.

        Returns [num_subcarriers, num_streams, num_symbols], complex64, unit power.
        """
        streams = constellation(self.modulation_order)[self.indices]
        if self.reference is not None:
            streams[self.reference_elements] = 0
        return streams

    @property
    def reference_elements(self) -> tuple[slice, slice, slice]:
        """Index of the reference symbols into arrays [num_subcarriers, any, num_symbols]."""
        over_subcarriers, over_symbols = self.reference_strides
        return slice(None, None, over_subcarriers), slice(None), slice(None, None, over_symbols)

    @property
    def payload_share(self) -> float:
        """Share of the resource elements that carry payload."""
        if self.reference is None:
            return 1.0
        taken = self.reference.grid.num_subcarriers * self.reference.grid.num_symbols
        return 1 - taken / (self.grid.num_subcarriers * self.grid.num_symbols)

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
        # Payload: each group's gains hold for all of its subcarriers.
        gains = np.repeat(self.stream_gains(transmitter, steering), self.group_size, axis=0)
        signal = gains @ self.streams

        # Reference symbols replace the payload on their comb.
        if self.reference is not None:
            signal[self.reference_elements] = self.reference.toward(transmitter, steering)
        return signal


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
    """The signal with public reference symbols, if the scene's waveform has a comb of them."""
    waveform = scene.waveform
    strides = (waveform.reference_subcarrier_stride, waveform.reference_symbol_stride)
    if not all(strides):
        return signal
    reference = reference_signal(scene, signal.number)
    return replace(signal, reference=reference, reference_strides=strides)


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
        power_w = waveform.power_w / waveform.grid.num_subcarriers / (num_ant * num_users)
        phases = np.exp(2j * np.pi * generator.random((num_groups, num_ant, num_users)))
        precoders[:, part, own_streams] = np.sqrt(power_w) * phases

    shape = (grid.num_subcarriers, num_streams, grid.num_symbols)
    indices = generator.integers(REFERENCE_ORDER, size=shape, dtype=np.uint8)
    return Signal(number, grid, REFERENCE_ORDER, indices, precoders, antennas)
