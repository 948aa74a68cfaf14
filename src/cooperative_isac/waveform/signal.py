"""One frame of transmitted symbols, and the signal it sends in a direction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cooperative_isac.scene.model import OfdmGrid, Scene, Waveform
from cooperative_isac.waveform.qam import constellation


@dataclass(frozen=True)
class Signal:
    """All that is transmitted in one frame.

    indices: [num_subcarriers, num_streams, num_symbols], uint8, QAM labels;
    precoders: [num_groups, num_tx_ant, num_streams], complex64, sqrt(W), antennas of all
    transmitters in a row;
    antennas: each transmitter's slice of the antenna axis;
    reference: the public reference symbols that replace the payload on their comb, or None.
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
        """Data symbols s of CF eq. 3, [num_subcarriers, num_streams, num_symbols], complex64, unit
        power.

        Zero where reference symbols take their place.
        """
        streams = constellation(self.modulation_order)[self.indices]
        if self.reference is not None:
            streams[self.reference_elements] = 0
        return streams

    @property
    def reference_elements(self) -> tuple[slice, slice, slice]:
        """Where the reference symbols lie among [num_subcarriers, any, num_symbols]."""
        over_subcarriers, over_symbols = self.reference_strides
        return slice(None, None, over_subcarriers), slice(None), slice(None, None, over_symbols)

    @property
    def payload_share(self) -> float:
        """Share of the resource elements that carry payload."""
        if self.reference is None:
            return 1.0
        taken, grid = self.reference.grid, self.grid
        return 1 - taken.num_subcarriers * taken.num_symbols / (
            grid.num_subcarriers * grid.num_symbols
        )

    def stream_gains(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """What each stream weighs in given directions: a^T W, [num_groups, num_directions,
        num_streams].

        steering: [num_directions, num_ant], the transmitter's steering vectors (or their
        derivatives).
        """
        return (
            steering.astype(np.complex64, copy=False)
            @ self.precoders[:, self.antennas[transmitter]]
        )

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Signal a^T x in given directions (a^H x of CF eq. 6), [num_subcarriers, num_directions,
        num_symbols], sqrt(W).

        steering: [num_directions, num_ant].
        """
        gains = np.repeat(self.stream_gains(transmitter, steering), self.group_size, axis=0)
        signal = gains @ self.streams
        if self.reference is not None:
            signal[self.reference_elements] = self.reference.toward(transmitter, steering)
        return signal


def antenna_slices(scene: Scene) -> tuple[slice, ...]:
    """Each transmitter's place in the row of all transmit antennas."""
    ends = np.cumsum([site.num_ant for site in scene.transmitters])
    return tuple(
        slice(int(end - site.num_ant), int(end)) for end, site in zip(ends, scene.transmitters)
    )


def draw_symbols(
    waveform: Waveform, num_streams: int, generator: np.random.Generator
) -> np.ndarray:
    """Random payload, [num_subcarriers, num_streams, num_symbols], uint8 QAM labels."""
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


def with_reference(scene: Scene, frame: Signal) -> Signal:
    """The frame with its public reference symbols, where the scene's waveform has a comb of
    them.
    """
    strides = scene.waveform.reference_subcarrier_stride, scene.waveform.reference_symbol_stride
    if not all(strides):
        return frame
    return replace(frame, reference=reference_frame(scene, frame.number), reference_strides=strides)


def reference_frame(scene: Scene, number: int) -> Signal:
    """The reference symbols of frame `number`: public, a function of the number alone, so they need
    no downlink.

    Each transmitter sends as many QPSK streams as there are users through random phases on its own
    antennas, so that it lights the whole area.
    """
    generator = np.random.default_rng([0x15AC, number])
    waveform, antennas = scene.waveform, antenna_slices(scene)
    strides = waveform.reference_subcarrier_stride, waveform.reference_symbol_stride
    grid = comb(waveform.grid, *strides)
    num_streams = len(scene.transmitters) * scene.users.num_users
    num_groups = grid.num_subcarriers
    precoders = np.zeros((num_groups, antennas[-1].stop, num_streams), np.complex64)
    for index, part in enumerate(antennas):
        own = slice(index * scene.users.num_users, (index + 1) * scene.users.num_users)
        shape = (num_groups, part.stop - part.start, scene.users.num_users)
        amplitude = np.sqrt(
            waveform.power_w / waveform.grid.num_subcarriers / (shape[1] * shape[2])
        )
        precoders[:, part, own] = amplitude * np.exp(2j * np.pi * generator.random(shape))
    indices = generator.integers(
        4, size=(grid.num_subcarriers, num_streams, grid.num_symbols), dtype=np.uint8
    )
    return Signal(number, grid, 4, indices, precoders, antennas)
