"""Static paths that were fitted to an echo and canceled in it, as nuisance of the other paths.

The fit of a static path also takes what other paths have in common with it and with its slopes: in
a strong target, a part far above the noise. The echo is therefore projected on the complement of
their span, and so is the replica of every other path, as for coupled paths (CF eqs. 22-28).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.sensing.correlation import StreamReference

# Share of the largest eigenvalue of a Gram matrix below which a direction is no part of the span:
# above the rounding of single precision.
RANK_TOLERANCE = 1e-5

# Share of a path's energy that counts as outside of the span at least: below, single precision
# rounds too much.
LEAST_REMAINING_SHARE = 1e-3


@dataclass(frozen=True)
class CanceledPaths:
    """Echoes of canceled paths and their slopes, each an arrival times a waveform of unit norm.

    arrivals: [num_slopes, num_rx_ant], complex64
    waveforms: [num_slopes, num_subcarriers, num_symbols], complex64
    """

    arrivals: np.ndarray
    waveforms: np.ndarray

    @cached_property
    def inverse(self) -> np.ndarray:
        """Pseudoinverse of their Gram matrix, [num_slopes, num_slopes], complex128."""
        flat = self.waveforms.reshape(len(self.waveforms), -1)
        wide = self.arrivals.astype(complex)
        gram = (wide.conj() @ wide.T) * (flat.conj() @ flat.T)
        return np.linalg.pinv(gram, rcond=RANK_TOLERANCE, hermitian=True)

    def projected(self, echo: np.ndarray) -> np.ndarray:
        """The part of an echo outside of their span.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        Returns the same shape, complex64.
        """
        # Inner products of the echo with all slopes.
        waveforms = self.waveforms.reshape(len(self.waveforms), -1)
        samples = echo.reshape(len(echo), -1)
        in_beams = self.arrivals.conj() @ samples
        received = np.sum(in_beams * waveforms.conj(), axis=1)

        # Least-squares weights of the slopes, and what they explain.
        weights = (self.inverse @ received).astype(np.complex64)
        weighted = self.arrivals * weights[:, None]
        within = weighted.T @ waveforms
        return (samples - within).reshape(echo.shape)


class CanceledSpan:
    """The span of canceled paths in the correlation with the streams of a frame.

    arrivals: [num_slopes, num_rx_ant], complex64
    waveforms: [num_slopes, num_subcarriers, num_streams, num_blocks], complex64, their correlation
    inverse: [num_slopes, num_slopes], complex128, of the Gram matrix
    """

    def __init__(self, canceled: CanceledPaths, reference: StreamReference):
        self.arrivals = canceled.arrivals
        self.waveforms = reference.correlate(canceled.waveforms)
        self.inverse = canceled.inverse

    def removed(self, products: np.ndarray) -> np.ndarray:
        """Inner products of the parts of paths within the span, [num_paths, num_paths], complex128.

        products: [num_paths, num_slopes], complex, inner products of paths with the slopes
        """
        return products @ self.inverse @ products.conj().T

    def of_paths(self, steering: np.ndarray, matched_filters: np.ndarray) -> WithinSpan:
        """The parts of paths within the span.

        steering: [num_paths, num_rx_ant], complex64, of their arrivals
        matched_filters: [num_paths, num_subcarriers * num_streams * num_blocks], complex64
        """
        filtered = matched_filters @ self.waveforms.reshape(len(self.waveforms), -1).T
        return WithinSpan(self, filtered, (steering.conj() @ self.arrivals.T) * filtered)


@dataclass(frozen=True)
class WithinSpan:
    """Parts of paths within the span of canceled paths, at unit amplitude of each.

    filtered: [num_paths, num_slopes], complex64, waveforms of the slopes behind matched filters
    products: [num_paths, num_slopes], complex64, inner products of paths with the slopes
    """

    span: CanceledSpan
    filtered: np.ndarray
    products: np.ndarray

    @cached_property
    def removed(self) -> np.ndarray:
        """Inner products of the parts, [num_paths, num_paths], complex128."""
        return self.span.removed(self.products)

    def share(self, energy: np.ndarray) -> np.ndarray:
        """Share of each path's energy within the span, [num_paths], float64.

        energy: [num_paths], float32, of whole paths
        """
        share = np.diag(self.removed).real / np.maximum(energy, np.finfo(np.float32).tiny)
        return np.clip(share, 0.0, 1 - LEAST_REMAINING_SHARE)

    def weights(self, amplitude: np.ndarray) -> np.ndarray:
        """Weights of the slopes in each path's part, [num_paths, num_slopes], complex64.

        amplitude: [num_paths], complex128
        """
        of_unit = self.products.conj() @ self.span.inverse.T
        return (amplitude[:, None] * of_unit).astype(np.complex64)
