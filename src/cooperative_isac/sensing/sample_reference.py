"""Matching of paths with the samples of an echo, where a correlation with the streams is larger.

With clock offsets each transmitter has streams of its own, as they arrive at the receiver. Where
Doppler shifts leave no symbols to sum, the correlation with all of them has as many values as the
echo for each stream. Both are sufficient for the likelihood: here the echo itself stands in the
place of the correlation, as that with a single stream of ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.waveform.signal import Component


@dataclass(frozen=True)
class SampleReference(StreamReference):
    """Known streams of a frame in the form in which the samples of an echo are matched with them.

    Every symbol is a block, static paths are kept, and num_streams is one in the shapes of
    correlations and waveforms; filters and Gram matrices have all streams.
    """

    @cached_property
    def gram(self) -> np.ndarray:
        """Gram matrix of the streams on each subcarrier; see StreamReference."""
        return self.streams.conj() @ self.streams.swapaxes(1, 2)

    def waveforms(self, filters: np.ndarray) -> np.ndarray:
        """Signals of paths without Doppler shift; see StreamReference.

        Returns [num_paths, num_subcarriers, 1, num_symbols], complex64.
        """
        num_paths, num_subcarriers, _ = filters.shape
        shape = (num_paths, num_subcarriers, self.streams.shape[-1])

        # One matrix product a subcarrier, written in place.
        signals = np.empty(shape, np.complex64)
        np.matmul(filters.transpose(1, 0, 2), self.streams, out=signals.transpose(1, 0, 2))
        return signals[:, :, None]

    def matched_filters(
        self, filters: np.ndarray, doppler_phases: np.ndarray, waveforms: np.ndarray
    ) -> np.ndarray:
        """The conjugate signals of paths; see StreamReference."""
        return waveforms.conj().reshape(len(waveforms), -1)

    def behind_filters(self, filters: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Samples in a beam times the conjugate signals of paths; see StreamReference."""
        signals = self.waveforms(filters)[:, :, 0]
        return np.sum(signals.conj() * values[:, :, 0], axis=1)

    def over_blocks(self, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Correlation of samples with the streams, with given factors; see StreamReference."""
        num_paths, num_subcarriers, _, num_symbols = values.shape
        weighted = values[:, :, 0, :, None] * factors[:, None]

        # One matrix product a subcarrier: the streams times all paths and factors.
        columns = weighted.transpose(1, 2, 0, 3).reshape(num_subcarriers, num_symbols, -1)
        summed = self.streams.conj() @ columns
        summed = summed.reshape(*summed.shape[:2], num_paths, -1).transpose(2, 0, 1, 3)
        return summed.reshape(num_paths, -1, factors.shape[-1])

    def of_streams(self, values: np.ndarray) -> np.ndarray:
        """Samples times each conjugate stream; see StreamReference."""
        return values * self.streams.conj()

    def correlate(self, signal: np.ndarray) -> np.ndarray:
        """The samples of an echo, in the place of a correlation; see StreamReference.

        Returns [num_rx_ant, num_subcarriers, 1, num_symbols], complex64.
        """
        return np.ascontiguousarray(signal, np.complex64)[:, :, None]


class SampleReplicaMaker(ReplicaMaker):
    """Replicas of paths for the samples of an echo; see ReplicaMaker."""

    def waveform_products(self, filters: np.ndarray, doppler_phases: np.ndarray) -> np.ndarray:
        """Inner products of paths' signals and of their derivatives; see ReplicaMaker."""
        reference = self.reference
        num_paths, num_filters = filters.shape[:2]
        num_rows = num_paths * num_filters

        # Signals and their slopes with the location, with the Doppler shift of each path.
        signals = reference.waveforms(filters.reshape(num_rows, *filters.shape[2:]))
        signals = signals.reshape(num_paths, num_filters, -1, reference.num_blocks)
        rows = np.empty((num_paths, num_filters + 1, *signals.shape[2:]), np.complex64)
        np.multiply(signals, doppler_phases.conj()[:, None, None], out=rows[:, :-1])

        # Their slope with the Doppler shift.
        ramp = 2j * np.pi * (reference.block_times_s - reference.middle_s)
        rows[:, -1] = rows[:, 0] * ramp.astype(np.complex64)

        # Sums over the frame.
        flat = rows.reshape(num_paths * (num_filters + 1), -1)
        products = flat.conj() @ flat.T
        shape = (num_paths, num_filters + 1, num_paths, num_filters + 1)
        return products.astype(complex).reshape(shape)


def sample_reference(frame: Component) -> SampleReference:
    """Prepare a frame for matching with the samples of echoes.

    frame: signal that was sent
    """
    return SampleReference(frame, frame.streams, 1)
