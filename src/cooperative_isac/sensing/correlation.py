"""An echo correlated with the frame's streams: all that the location search needs, at half the size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.model import OfdmGrid
from cooperative_isac.sensing.static_paths import StaticNuisance
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

    streams: [num_subcarriers, num_streams, num_symbols], complex64; block: symbols per block;
    static: the static paths that were taken out of the echo, and so have to be taken out of replicas, too.
    """

    frame: TransmitFrame
    streams: np.ndarray
    block: int
    static: StaticNuisance | None = None

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

    def without_static(self, correlation: np.ndarray) -> np.ndarray:
        """Correlation of P x from that of x (sensing.static_paths); unchanged where nothing is suppressed.

        correlation: [..., num_subcarriers, num_streams, num_blocks], complex64
        Returns the same shape, complex64.
        """
        if self.static is None:
            return correlation
        coefficients = (self.static.weights @ correlation.sum(axis=-1)[..., None])[..., 0]
        num_subcarriers, num_streams = coefficients.shape[-2:]

        # Sum over streams of the block Gram matrices times the coefficients, one matrix product a subcarrier.
        columns = coefficients.reshape(-1, num_subcarriers, num_streams).transpose(1, 2, 0)
        removed = (self.block_grams @ columns).reshape(num_subcarriers, self.num_blocks, num_streams, -1)
        return correlation - removed.transpose(3, 0, 2, 1).reshape(correlation.shape)

    def static_share(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Share of a path's energy that the suppression of static paths leaves, for weights that favor no stream.

        doppler_hz: [num_shifts], float64, Hz
        Returns [num_shifts], float64, 1 where nothing is suppressed.
        """
        shifts = np.asarray(doppler_hz, float)
        if self.static is None:
            return np.ones(shifts.shape)
        turned = self._turned(shifts)
        removed = np.einsum("islk,ilm,ismk->s", turned.conj(), self.static.weights, turned, optimize=True).real
        energy = np.trace(self.gram, axis1=1, axis2=2).real.sum()
        return np.clip(1 - removed / energy, 0.0, 1.0)

    def noise_gram(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Covariance of noise of unit power in the streams' correlation, the mean over Doppler bins.

        doppler_hz: [num_bins], float64, Hz
        Returns [num_subcarriers, num_streams, num_streams], complex64; the Gram matrix where nothing is suppressed.
        """
        if self.static is None:
            return self.gram
        turned = self._turned(doppler_hz)
        removed = turned.conj().swapaxes(2, 3) @ (self.static.weights[:, None] @ turned)
        return self.gram - removed.mean(axis=1)

    def _turned(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Correlation of each stream, turned by Doppler shifts, with all streams.

        Returns [num_subcarriers, num_shifts, num_streams (all), num_streams (turned)], complex64.
        """
        num_subcarriers, num_streams, _ = self.streams.shape
        grams = self.block_grams.reshape(num_subcarriers, self.num_blocks, -1)
        phases = np.exp(2j * np.pi * doppler_hz[:, None] * self.block_times_s).astype(np.complex64)
        return (phases @ grams).reshape(num_subcarriers, -1, num_streams, num_streams)

    def correlate(self, signal: np.ndarray) -> np.ndarray:
        """Sum of signal times conjugate stream over each block.

        signal: [num_rx_ant, num_subcarriers, num_symbols], complex64.
        Returns [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64.
        """
        blocks = signal.reshape(*signal.shape[:2], self.num_blocks, self.block).transpose(1, 2, 0, 3)
        return np.ascontiguousarray((blocks @ self.conjugate_blocks).transpose(2, 0, 3, 1))


def stream_reference(frame: TransmitFrame, max_doppler_hz: float,
                     static: StaticNuisance | None = None) -> StreamReference:
    """Prepare a frame for correlation with an echo whose static paths were suppressed, where `static` is given.

    Doppler shifts stay within max_doppler_hz.
    """
    return StreamReference(frame, frame.streams, block_length(frame.grid, max_doppler_hz), static)
