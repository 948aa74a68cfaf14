"""Correlation of an echo with the frame's streams: sufficient for the search, at half the size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from cooperative_isac.scene.arrays import phasors
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.waveform.signal import Component

# Cycles by which the largest Doppler shift of a target turns the phase over a block of symbols that
# are summed: the sum loses 2.4 dB then.
CYCLES_PER_BLOCK = 0.4


def block_length(grid: OfdmGrid, max_doppler_hz: float) -> int:
    """Number of symbols whose correlation is summed to one block.

    Over a block the largest Doppler shift turns the phase by CYCLES_PER_BLOCK at most. There are as
    few blocks as the largest such power of two needs, of equal length as far as possible.

    grid: of the frame
    max_doppler_hz: largest Doppler shift of a target, Hz
    """
    # Largest power of two within the limit.
    longest = 1
    while longest * 2 <= grid.num_symbols:
        if 2 * longest * grid.symbol_period_s * max_doppler_hz > CYCLES_PER_BLOCK:
            break
        longest *= 2

    # Equal blocks, rounded up.
    num_blocks = -(-grid.num_symbols // longest)
    return -(-grid.num_symbols // num_blocks)


@dataclass(frozen=True)
class StreamReference:
    """Known streams of a frame in the form in which an echo is correlated with them.

    frame: signal that was sent
    streams: [num_subcarriers, num_streams, num_symbols], complex64
    block: symbols per block; the last block may be shorter, and is padded with zeros
    static: suppression of static paths in the echo, which replicas need, too; None: none
    """

    frame: Component
    streams: np.ndarray
    block: int
    static: StaticNuisance | None = None

    @property
    def num_blocks(self) -> int:
        """Number of blocks, including a shorter last one."""
        return -(-self.streams.shape[-1] // self.block)

    @cached_property
    def block_sizes(self) -> np.ndarray:
        """Number of symbols in each block, [num_blocks], int."""
        starts = np.arange(self.num_blocks) * self.block
        return np.minimum(self.streams.shape[-1] - starts, self.block)

    @cached_property
    def block_times_s(self) -> np.ndarray:
        """Center of each block's symbols, [num_blocks], float64, s."""
        times = self.frame.grid.symbol_times_s
        starts = np.arange(self.num_blocks) * self.block
        return np.add.reduceat(times, starts) / self.block_sizes

    @cached_property
    def middle_s(self) -> float:
        """Center of the frame's symbols, s, the origin of time for Doppler slopes."""
        return float(self.frame.grid.symbol_times_s.mean())

    @cached_property
    def slope_times_s(self) -> np.ndarray:
        """Times by which phases turn with the Doppler shift, from the middle of the frame.

        [num_blocks], float64, s.
        """
        return self.block_times_s - self.middle_s

    @cached_property
    def doppler_ramp(self) -> np.ndarray:
        """Derivative of Doppler phases with the shift over themselves.

        [num_blocks], complex128, s.
        """
        return -2j * np.pi * self.slope_times_s

    def doppler_phases(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Phases exp(-j 2 pi f t) of Doppler shifts at the blocks' centers.

        doppler_hz: [num_paths], float64, Hz
        Returns [num_paths, num_blocks], complex64.
        """
        return phasors(-doppler_hz[:, None] * self.block_times_s)

    @cached_property
    def conjugate_blocks(self) -> np.ndarray:
        """Conjugate streams, [num_subcarriers, num_blocks, block, num_streams], complex64."""
        blocks = self._in_blocks(self.streams.conj())
        return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1))

    @cached_property
    def block_grams(self) -> np.ndarray:
        """Gram matrices of the streams in each block.

        [num_subcarriers, num_blocks * num_streams, num_streams], complex64.
        """
        num_subcarriers, num_streams, _ = self.streams.shape
        blocks = self._in_blocks(self.streams).transpose(0, 2, 1, 3)
        grams = blocks.conj() @ blocks.swapaxes(2, 3)
        return np.ascontiguousarray(grams).reshape(num_subcarriers, -1, num_streams)

    @cached_property
    def responses(self) -> np.ndarray:
        """Correlation of each sent stream with all streams in each block.

        The same values as block_grams, in the order in which correlations of paths are summed.

        [num_subcarriers, num_streams (sent), num_streams (all) * num_blocks], complex64.
        """
        num_subcarriers, num_streams, _ = self.streams.shape
        grams = self.block_grams.reshape(num_subcarriers, -1, num_streams, num_streams)
        by_sent = np.ascontiguousarray(grams.transpose(0, 3, 2, 1))
        return by_sent.reshape(num_subcarriers, num_streams, -1)

    @cached_property
    def gram(self) -> np.ndarray:
        """Gram matrix of the streams on each subcarrier.

        [num_subcarriers, num_streams, num_streams], complex64.
        """
        num_streams = self.streams.shape[1]
        by_block = self.block_grams.reshape(len(self.streams), -1, num_streams, num_streams)
        return by_block.sum(axis=1)

    def block_gain(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Gain of the coherent sum over each block at Doppler shifts (Dirichlet kernel).

        doppler_hz: [...], float64, Hz
        Returns [..., num_blocks], float64.
        """
        period_s = self.frame.grid.symbol_period_s
        phase_per_symbol = 2 * np.pi * period_s * np.asarray(doppler_hz)[..., None]

        # All blocks but the last have one size.
        gains = np.empty((*phase_per_symbol.shape[:-1], self.num_blocks))
        gains[...] = _coherence(phase_per_symbol, self.block)[..., None]
        last = int(self.block_sizes[-1])
        if last != self.block:
            gains[..., -1] = _coherence(phase_per_symbol, last)
        return gains

    def spectrum(self, blocks: np.ndarray, num_bins: int) -> np.ndarray:
        """Doppler spectrum of values at the blocks' centers, by FFT.

        blocks: [..., num_blocks], complex
        num_bins: length of the FFT, num_blocks or more
        Returns [..., num_bins], complex; a shift's phase counts from the first block's center.
        """
        spectrum = fft.fft(blocks, num_bins, axis=-1)
        missing = self.block - int(self.block_sizes[-1])
        if missing:
            # Phase correction, because the center of a shorter last block is earlier.
            period_s = self.frame.grid.symbol_period_s
            shifts_hz = fft.fftfreq(num_bins, self.block * period_s)
            early_s = missing / 2 * period_s
            nominal_s = (self.num_blocks - 1) * self.block * period_s
            nominal = np.exp(-2j * np.pi * shifts_hz * nominal_s)
            correction = nominal * np.expm1(2j * np.pi * shifts_hz * early_s)
            spectrum += blocks[..., -1:] * correction.astype(spectrum.dtype)
        return spectrum

    def without_static(self, correlation: np.ndarray) -> np.ndarray:
        """Suppress static paths in a correlation: that of P x from that of x (static_paths).

        correlation: [..., num_subcarriers, num_streams, num_blocks], complex64, unchanged where
            nothing is suppressed
        Returns the same shape, complex64.
        """
        if self.static is None:
            return correlation

        # Amplitudes of the static streams.
        summed = correlation.sum(axis=-1)
        amplitudes = (self.static.weights @ summed[..., None])[..., 0]
        num_subcarriers, num_streams = amplitudes.shape[-2:]

        # Their correlation, one matrix product a subcarrier.
        columns = amplitudes.reshape(-1, num_subcarriers, num_streams).transpose(1, 2, 0)
        static = self.block_grams @ columns
        static = static.reshape(num_subcarriers, self.num_blocks, num_streams, -1)
        return correlation - static.transpose(3, 0, 2, 1).reshape(correlation.shape)

    def static_share(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Share of a path's energy after the suppression of static paths, equal stream weights.

        doppler_hz: [num_shifts], float64, Hz
        Returns [num_shifts], float64, 1 where nothing is suppressed.
        """
        shifts_hz = np.asarray(doppler_hz, float)
        if self.static is None:
            return np.ones(shifts_hz.shape)

        # Energy within the span of the static streams.
        turned = self._turned(shifts_hz)
        removed = np.einsum(
            "islk,ilm,ismk->s", turned.conj(), self.static.weights, turned, optimize=True
        ).real
        energy = np.trace(self.gram, axis1=1, axis2=2).real.sum()
        return np.clip(1 - removed / energy, 0.0, 1.0)

    def noise_gram(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Covariance of unit noise in the correlation, averaged over Doppler bins.

        doppler_hz: [num_bins], float64, Hz
        Returns [num_subcarriers, num_streams, num_streams], complex64; the Gram matrix where
        nothing is suppressed.
        """
        if self.static is None:
            return self.gram
        turned = self._turned(doppler_hz)
        removed = turned.conj().swapaxes(2, 3) @ (self.static.weights[:, None] @ turned)
        return self.gram - removed.mean(axis=1)

    def _turned(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Correlation of each stream with a Doppler shift with all streams without one.

        doppler_hz: [num_shifts], float64, Hz
        Returns [num_subcarriers, num_shifts, num_streams (all), num_streams (turned)], complex64.
        """
        phases = np.exp(2j * np.pi * doppler_hz[:, None] * self.block_times_s)
        return self.with_factors(phases.astype(np.complex64))

    def with_factors(self, factors: np.ndarray) -> np.ndarray:
        """Correlation of each stream with factors over the blocks with all streams without any.

        factors: [n, num_blocks], complex64
        Returns [num_subcarriers, n, num_streams (all), num_streams (with factors)], complex64.
        """
        num_subcarriers, num_streams, _ = self.streams.shape
        grams = self.block_grams.reshape(num_subcarriers, self.num_blocks, -1)
        return (factors @ grams).reshape(num_subcarriers, -1, num_streams, num_streams)

    def correlate(self, signal: np.ndarray) -> np.ndarray:
        """Correlation with the streams: sums of signal times conjugate stream over each block.

        signal: [num_rx_ant, num_subcarriers, num_symbols], complex64
        Returns [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64.
        """
        blocks = self._in_blocks(signal).transpose(1, 2, 0, 3)
        return np.ascontiguousarray((blocks @ self.conjugate_blocks).transpose(2, 0, 3, 1))

    def waveforms(self, filters: np.ndarray) -> np.ndarray:
        """Waveforms of paths without Doppler shift, correlated with the streams in each block.

        filters: [num_paths, num_subcarriers, num_streams], complex64, stream weights
        Returns [num_paths, num_subcarriers, num_streams, num_blocks], complex64.
        """
        responses = self.responses
        num_paths, num_subcarriers, num_streams = filters.shape

        # One matrix product a subcarrier, written in place.
        waveforms = np.empty((num_paths, num_subcarriers, responses.shape[-1]), np.complex64)
        np.matmul(filters.transpose(1, 0, 2), responses, out=waveforms.transpose(1, 0, 2))
        return waveforms.reshape(num_paths, num_subcarriers, num_streams, -1)

    def matched_filters(
        self, filters: np.ndarray, doppler_phases: np.ndarray, waveforms: np.ndarray
    ) -> np.ndarray:
        """Filters in the correlation that are matched to paths.

        filters: [num_paths, num_subcarriers, num_streams], complex64, stream weights
        doppler_phases: [num_paths, num_blocks], complex64, exp(-j 2 pi f t)
        waveforms: [num_paths, num_subcarriers, num_streams, num_blocks], complex64, of these paths
        Returns [num_paths, num_subcarriers * num_streams * num_blocks], complex64.
        """
        matched = filters.conj()[..., None] * doppler_phases[:, None, None, :]
        return matched.reshape(len(filters), -1)

    def behind_filters(
        self, filters: np.ndarray, values: np.ndarray, doppler_hz: np.ndarray
    ) -> np.ndarray:
        """Values in a beam behind the stream weights of paths, block by block.

        filters: [num_paths, num_subcarriers, num_streams], complex64, stream weights
        values: [num_paths, num_subcarriers, num_streams, num_blocks], complex64, correlation in the
            beam to each path's target
        doppler_hz: [num_paths], float64, Hz, shifts whose migration through range cells is
            compensated, where the reference does that
        Returns [num_paths, num_blocks], complex64.
        """
        num_paths = len(filters)
        by_block = values.reshape(num_paths, -1, self.num_blocks)
        return (filters.conj().reshape(num_paths, 1, -1) @ by_block)[:, 0]

    def matched_spectrum(
        self, filters: np.ndarray, values: np.ndarray, shifts_hz: np.ndarray
    ) -> np.ndarray:
        """Outputs of the filters matched to paths at trial Doppler shifts.

        filters: [num_paths, num_subcarriers, num_streams], complex64, stream weights
        values: [num_paths, num_subcarriers, num_streams, num_blocks], complex64, correlation in the
            beam to each path's target
        shifts_hz: [num_shifts], float64, Hz
        Returns [num_paths, num_shifts], complex64.
        """
        blocks = self.behind_filters(filters, values, np.zeros(len(filters)))
        phases = phasors(-self.block_times_s[:, None] * shifts_hz)
        return blocks @ phases

    def at_shift(self, values: np.ndarray, doppler_phase: np.ndarray) -> np.ndarray:
        """Sums over the blocks of each stream with the phases of one Doppler shift.

        values: [num_subcarriers, num_streams, num_blocks], complex64, correlation in a beam
        doppler_phase: [num_blocks], complex64 (doppler_phases)
        Returns [num_subcarriers * num_streams], complex64.
        """
        return self.of_streams(values).reshape(-1, len(doppler_phase)) @ doppler_phase

    def over_blocks(self, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Sums over the blocks of each stream with given factors.

        values: [num_paths, num_subcarriers, num_streams, num_blocks], complex64, correlation in the
            beam to each path's target
        factors: [num_paths, num_blocks, num_factors], complex64
        Returns [num_paths, num_subcarriers * num_streams, num_factors], complex64.
        """
        return values.reshape(len(values), -1, self.num_blocks) @ factors

    def of_streams(self, values: np.ndarray) -> np.ndarray:
        """Correlation with each stream, of a correlation of this kind.

        values: [..., num_subcarriers, num_streams, num_blocks], complex64
        Returns the same shape, complex64.
        """
        return values

    def _in_blocks(self, values: np.ndarray) -> np.ndarray:
        """Values over symbols, divided into blocks and padded with zeros.

        values: [num_first, num_second, num_symbols]
        Returns [num_first, num_second, num_blocks, block].
        """
        missing = self.num_blocks * self.block - values.shape[-1]
        if missing:
            values = np.pad(values, ((0, 0), (0, 0), (0, missing)))
        return values.reshape(*values.shape[:2], self.num_blocks, self.block)


def _coherence(phase_per_symbol: np.ndarray, num_symbols: int) -> np.ndarray:
    """Mean of the phasor over symbols about their middle, [..., 1] to [...]."""
    offsets = np.arange(num_symbols) - (num_symbols - 1) / 2
    return np.cos(phase_per_symbol * offsets).mean(axis=-1)


def stream_reference(
    frame: Component, max_doppler_hz: float, static: StaticNuisance | None = None
) -> StreamReference:
    """Prepare a frame for the correlation of echoes.

    frame: signal that was sent
    max_doppler_hz: largest Doppler shift of a target, Hz
    static: suppression of static paths in these echoes; None: none
    """
    # block_gain holds for symbols of equal energy: with empty elements each symbol is a block.
    streams = frame.streams
    is_full = np.all(streams != 0)
    block = block_length(frame.grid, max_doppler_hz) if is_full else 1
    return StreamReference(frame, streams, block, static)
