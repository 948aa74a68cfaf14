"""An echo correlated with the frame's streams: all that the location search needs, at half the size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.model import OfdmGrid
from cooperative_isac.waveform.frame import TransmitFrame

CYCLES_PER_BLOCK = 0.4


def block_length(grid: OfdmGrid, max_doppler_hz: float) -> int:
    """Largest power of two of symbols over which the strongest Doppler turns CYCLES_PER_BLOCK of a cycle at most."""
    length = 1
    while length * 2 <= grid.num_symbols and 2 * length * grid.symbol_period_s * max_doppler_hz <= CYCLES_PER_BLOCK:
        length *= 2
    return length


@dataclass(frozen=True)
class StreamReference:
    """A known frame as the receiver correlates with it.

    streams: [num_subcarriers, num_streams, num_symbols], complex64; block: symbols per block.
    """

    frame: TransmitFrame
    streams: np.ndarray
    block: int

    @property
    def num_blocks(self) -> int:
        return self.streams.shape[-1] // self.block

    @cached_property
    def block_times_s(self) -> np.ndarray:
        """Centre of each block, [num_blocks], s."""
        return self.frame.grid.symbol_times_s.reshape(self.num_blocks, self.block).mean(axis=1)

    @cached_property
    def conjugate_blocks(self) -> np.ndarray:
        """Conjugate streams, [num_subcarriers, num_blocks, block, num_streams]."""
        shape = (*self.streams.shape[:2], self.num_blocks, self.block)
        return np.ascontiguousarray(self.streams.conj().reshape(shape).transpose(0, 2, 3, 1))

    @cached_property
    def block_grams(self) -> np.ndarray:
        """Gram matrix of the streams in each block, [num_subcarriers, num_blocks * num_streams, num_streams]."""
        shape = (*self.streams.shape[:2], self.num_blocks, self.block)
        blocks = self.streams.reshape(shape).transpose(0, 2, 1, 3)
        grams = blocks.conj() @ blocks.swapaxes(2, 3)
        return np.ascontiguousarray(grams).reshape(shape[0], -1, shape[1])

    @cached_property
    def gram(self) -> np.ndarray:
        """Gram matrix of the streams on each subcarrier, [num_subcarriers, num_streams, num_streams]."""
        num_streams = self.streams.shape[1]
        return self.block_grams.reshape(len(self.streams), -1, num_streams, num_streams).sum(axis=1)

    def block_gain(self, doppler_hz: np.ndarray) -> np.ndarray:
        """What Doppler shifts leave of the coherent sum within a block (Dirichlet kernel), same shape."""
        offsets = np.arange(self.block) - (self.block - 1) / 2
        turns = 2 * np.pi * self.frame.grid.symbol_period_s * np.asarray(doppler_hz)[..., None] * offsets
        return np.cos(turns).mean(axis=-1)

    def correlate(self, signal: np.ndarray) -> np.ndarray:
        """Sum of signal times conjugate stream over each block.

        signal: [num_rx_ant, num_subcarriers, num_symbols], complex64.
        Returns [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64.
        """
        blocks = signal.reshape(*signal.shape[:2], self.num_blocks, self.block).transpose(1, 2, 0, 3)
        return np.ascontiguousarray((blocks @ self.conjugate_blocks).transpose(2, 0, 3, 1))


def stream_reference(frame: TransmitFrame, max_doppler_hz: float) -> StreamReference:
    """Prepare a frame for correlation; Doppler shifts stay within max_doppler_hz."""
    return StreamReference(frame, frame.streams, block_length(frame.grid, max_doppler_hz))
