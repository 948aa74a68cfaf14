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

from cooperative_isac.scene.arrays import phasors, steering_with_slopes
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.replica import ReplicaMaker, rays
from cooperative_isac.waveform.signal import Component


@dataclass(frozen=True)
class SampleReference(StreamReference):
    """Known streams of a frame in the form in which the samples of an echo are matched with them.

    Every symbol is a block, static paths are kept, and num_streams is one in the shapes of
    correlations and waveforms; filters and Gram matrices have all streams.
    """

    @cached_property
    def conjugate_streams(self) -> np.ndarray:
        """Conjugate streams, [num_subcarriers, num_streams, num_symbols], complex64."""
        return self.streams.conj()

    @cached_property
    def gram(self) -> np.ndarray:
        """Gram matrix of the streams on each subcarrier; see StreamReference."""
        return self.conjugate_streams @ self.streams.swapaxes(1, 2)

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

    def behind_filters(
        self, filters: np.ndarray, values: np.ndarray, doppler_hz: np.ndarray
    ) -> np.ndarray:
        """Samples in a beam times the conjugate signals of paths; see StreamReference."""
        signals = self.waveforms(filters)[:, :, 0]
        return np.sum(signals.conj() * values[:, :, 0], axis=1)

    def over_blocks(self, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Correlation of samples with the streams, with given factors; see StreamReference."""
        num_paths, num_subcarriers, _, num_symbols = values.shape
        num_factors = factors.shape[-1]

        # Samples times factors, subcarrier by subcarrier.
        samples = np.ascontiguousarray(values[:, :, 0].transpose(1, 2, 0))
        columns = samples[..., None] * factors.swapaxes(0, 1)
        columns = columns.reshape(num_subcarriers, num_symbols, -1)

        # One matrix product a subcarrier: the streams times all paths and factors.
        summed = self.conjugate_streams @ columns
        summed = summed.reshape(*summed.shape[:2], num_paths, num_factors)
        return summed.transpose(2, 0, 1, 3).reshape(num_paths, -1, num_factors)

    def of_streams(self, values: np.ndarray) -> np.ndarray:
        """Samples times each conjugate stream; see StreamReference."""
        return values * self.conjugate_streams

    def correlate(self, signal: np.ndarray) -> np.ndarray:
        """The samples of an echo, in the place of a correlation; see StreamReference.

        Returns [num_rx_ant, num_subcarriers, 1, num_symbols], complex64.
        """
        return np.ascontiguousarray(signal, np.complex64)[:, :, None]


class SampleReplicaMaker(ReplicaMaker):
    """Replicas of paths for the samples of an echo; see ReplicaMaker."""

    def _filters(
        self, transmitter: np.ndarray, points_m: np.ndarray, num_slopes: int
    ) -> np.ndarray:
        """Stream weights of paths and their slopes, zero in other transmitters' streams."""
        frame = self.reference.frame
        num_paths = len(points_m)
        num_subcarriers, num_streams, _ = self.reference.streams.shape
        departures, sent_m = rays(self.transmitters_m[transmitter], points_m)
        arrivals, received_m = rays(self.receiver.position_m, points_m)

        # Delay phases and, by the product rule, their slopes over themselves.
        offsets_hz = frame.grid.subcarrier_offsets_hz
        delays_s = (sent_m + received_m) / SPEED_OF_LIGHT_MPS
        phases = phasors(-delays_s[:, None] * offsets_hz)[:, None]
        range_slopes = (departures + arrivals)[:, :num_slopes, None]
        phase_slopes = range_slopes * (-2j * np.pi / SPEED_OF_LIGHT_MPS * offsets_hz)
        phase_slopes = phase_slopes.astype(np.complex64)

        # Gains a^T W and their slopes, of the streams that each transmitter sends.
        filters = np.zeros((num_paths, 1 + num_slopes, num_streams, num_subcarriers), np.complex64)
        for index in np.unique(transmitter).tolist():
            chosen = np.flatnonzero(transmitter == index)
            site = self.scene.transmitters[index]
            steering = steering_with_slopes(
                site.elements_m,
                departures[chosen],
                sent_m[chosen],
                self.scene.grid.wavelength_m,
                num_slopes,
            )
            own = frame.streams_of(index)
            precoders = frame.precoders[:, frame.antennas[index], own].transpose(1, 2, 0)
            by_group = steering.reshape(-1, site.num_ant) @ precoders.reshape(site.num_ant, -1)
            gains = np.repeat(by_group, frame.group_size, axis=1)
            gains = gains.reshape(len(chosen), 1 + num_slopes, -1, num_subcarriers)
            gains[:, 1:] += phase_slopes[chosen, :, None] * gains[:, :1]
            filters[chosen, :, own] = gains * phases[chosen, None]
        return np.ascontiguousarray(filters.swapaxes(2, 3))

    def waveform_products(self, filters: np.ndarray, doppler_phases: np.ndarray) -> np.ndarray:
        """Inner products of paths' signals and of their derivatives; see ReplicaMaker."""
        reference = self.reference
        num_paths, num_filters = filters.shape[:2]
        num_derivatives = num_filters + 1

        # Signals of the filters: of each path itself, and of its slopes with the location.
        in_rows = filters.reshape(-1, *filters.shape[2:])
        signals = reference.waveforms(in_rows)
        signals = signals.reshape(num_paths, num_filters, -1, reference.num_blocks)

        # The same with the Doppler shift of each path.
        turns = doppler_phases.conj()[:, None, None]
        derivatives = np.empty((num_paths, num_derivatives, *signals.shape[2:]), np.complex64)
        np.multiply(signals, turns, out=derivatives[:, :-1])

        # Slope of each path with the Doppler shift: a ramp over time.
        since_middle_s = reference.block_times_s - reference.middle_s
        ramp = 2j * np.pi * since_middle_s
        derivatives[:, -1] = derivatives[:, 0] * ramp.astype(np.complex64)

        # Inner products over the frame.
        flat = derivatives.reshape(num_paths * num_derivatives, -1)
        products = flat.conj() @ flat.T
        products = products.astype(complex)
        return products.reshape(num_paths, num_derivatives, num_paths, num_derivatives)


def sample_reference(frame: Component) -> SampleReference:
    """Prepare a frame for matching with the samples of echoes.

    frame: signal that was sent
    """
    return SampleReference(frame, frame.streams, 1)
