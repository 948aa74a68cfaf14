"""Parts of a frame with known streams, and least squares on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.waveform.signal import Component, Signal, whole_signal

# Singular values of Gram matrices below this share of the largest one count as zero: above the
# rounding of single precision.
PSEUDO_INVERSE_CUTOFF = 1e-5

# Eigenvalue of a Gram matrix per symbol, from which a stream counts as independent of the others.
RANK_CUTOFF = 1e-4

# Share of the noise power that least squares must leave in a sample, so that it is used: the
# residuals of others are mostly rounding.
LEAST_NOISE_SHARE = 0.1


@dataclass(frozen=True)
class KnownPart:
    """Resource elements of a frame with known streams: its payload, or its reference symbols.

    frame: signal of these elements
    streams: [num_subcarriers, num_streams, num_symbols], complex64
    gram: [num_subcarriers, num_streams, num_streams], complex64, inner products of the streams
    subcarriers: slice of those of the whole frame
    symbols: slice of those of the whole frame
    used: [num_subcarriers, num_symbols], bool, elements that belong to this part
    """

    frame: Component
    streams: np.ndarray
    gram: np.ndarray
    subcarriers: slice
    symbols: slice
    used: np.ndarray

    @cached_property
    def inverse(self) -> np.ndarray:
        """Pseudo-inverse of the Gram matrices."""
        return np.linalg.pinv(self.gram, rcond=PSEUDO_INVERSE_CUTOFF, hermitian=True)

    @cached_property
    def rank(self) -> int:
        """Number of independent streams, summed over the subcarriers."""
        smallest = RANK_CUTOFF * self.streams.shape[2]
        return int(np.linalg.matrix_rank(self.gram, tol=smallest, hermitian=True).sum())

    def correlated(self, echo: np.ndarray) -> np.ndarray:
        """Correlation of an echo with the streams, over symbols.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, of the whole frame
        Returns [num_subcarriers, num_rx_ant, num_streams], complex64.
        """
        part = echo[:, self.subcarriers, self.symbols]
        return part.transpose(1, 0, 2) @ self.streams.conj().swapaxes(1, 2)

    def residual(self, echo: np.ndarray, max_doppler_hz: float) -> np.ndarray:
        """Samples of an echo without its static paths and targets, of unit noise gain.

        Least squares over symbols for each antenna and subcarrier, on the streams and on the
        streams with Doppler shifts up to max_doppler_hz, as long as half of the symbols are left.
        Each residual is divided by the share of noise that is left in it.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, of the whole frame
        max_doppler_hz: largest Doppler shift of a target, Hz
        Returns [num_samples, num_rx_ant], complex64.
        """
        # Subcarriers with the most symbols.
        num_used = self.used.sum(axis=1)
        fullest = num_used == num_used.max()
        num_symbols = int(num_used[fullest][0])

        # Doppler shifts of whole cycles in the frame: up to one more than targets have, but for all
        # 2 highest + 1 shifts of each stream together at most half as many unknowns as symbols.
        grid = self.frame.grid
        num_streams = self.streams.shape[1]
        duration_s = grid.num_symbols * grid.symbol_period_s
        needed = int(np.ceil(max_doppler_hz * duration_s)) + 1
        affordable = (num_symbols // (2 * num_streams) - 1) // 2
        highest = min(needed, affordable)
        cycles = np.arange(-highest, highest + 1) if highest > 0 else np.zeros(1)

        # Streams with these shifts, [num_fullest, num_streams num_shifts, num_symbols].
        frame_shares = grid.symbol_times_s / duration_s
        phases = np.exp(2j * np.pi * cycles[:, None] * frame_shares)
        basis = self.streams[fullest][:, :, None] * phases
        basis = basis.reshape(int(fullest.sum()), -1, len(frame_shares))

        # Projection out of their span, and the leverage of each sample on it.
        adjoint = basis.conj().swapaxes(1, 2)
        gram = basis @ adjoint
        inverse = np.linalg.pinv(gram, rcond=PSEUDO_INVERSE_CUTOFF, hermitian=True)
        leverage = np.einsum("nkt,nkl,nlt->nt", basis.conj(), inverse, basis, optimize=True).real
        samples = echo[:, self.subcarriers, self.symbols][:, fullest]
        samples = samples.transpose(1, 0, 2)
        residual = samples - samples @ adjoint @ inverse @ basis

        # Unit noise gain: a residual retains the share 1 - leverage of the noise power.
        usable = self.used[fullest] & (leverage < 1 - LEAST_NOISE_SHARE)
        noise_share = np.maximum(1 - leverage, LEAST_NOISE_SHARE)
        residual /= np.sqrt(noise_share)[:, None]
        return residual.transpose(0, 2, 1)[usable]

    def gains(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Stream weights in directions.

        transmitter: index of the transmitting site
        steering: [num_directions, num_ant], complex128, its steering vectors
        Returns [num_directions, num_subcarriers, num_streams], complex.
        """
        gains = self.frame.stream_gains(transmitter, steering)
        return np.repeat(gains, self.frame.group_size, axis=0).swapaxes(0, 1)


def known_parts(frame: Signal, reference_only: bool = False) -> tuple[KnownPart, ...]:
    """Known parts of a frame: payload, and reference symbols where it has some.

    frame: signal that was sent
    reference_only: only the reference symbols are known
    """
    # Payload and code words, which share their elements.
    whole = slice(None)
    if frame.is_superimposed and not reference_only:
        return (_known_part(whole_signal(frame), whole, whole),)

    # Payload, without the elements of reference symbols.
    parts = []
    if not reference_only and frame.has_data:
        parts.append(_known_part(frame, whole, whole))

    # Reference symbols, on a comb of the frame or on single elements.
    if frame.reference is not None:
        parts.append(_known_part(frame.reference, *frame.reference_elements))
    return tuple(parts)


def _known_part(frame: Component, subcarriers: slice, symbols: slice) -> KnownPart:
    """Part with the Gram matrices of its streams."""
    streams = frame.streams
    gram = streams @ streams.conj().swapaxes(1, 2)
    return KnownPart(frame, streams, gram, subcarriers, symbols, frame.elements)
