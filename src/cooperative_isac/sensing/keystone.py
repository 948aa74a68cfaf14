"""Matching of paths that migrate through range cells within a frame.

A path that shortens has on each subcarrier the Doppler shift of that subcarrier's own frequency.
Search and fit take it from there (keystone transform), so that delays are those at the start of the
frame, and no accumulation is lost, however long the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import fft

from cooperative_isac.scene.arrays import phasors
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import Replica, ReplicaMaker


@dataclass(frozen=True)
class KeystoneReference(StreamReference):
    """Known streams of a frame, for paths whose Doppler shifts grow with the frequency.

    Doppler shifts are those at the carrier, and phases have an axis of subcarriers. Static paths,
    which have no Doppler shift, do not migrate; they may be suppressed.
    """

    @cached_property
    def ratios(self) -> np.ndarray:
        """OfdmGrid.frequency_ratios of the frame's grid."""
        return self.frame.grid.frequency_ratios

    @cached_property
    def keystone_times_s(self) -> np.ndarray:
        """Times of the blocks, stretched by each subcarrier's frequency over that of the carrier.

        [num_subcarriers, num_blocks], float64, s.
        """
        return np.multiply.outer(self.ratios, self.block_times_s)

    @cached_property
    def slope_times_s(self) -> np.ndarray:
        """Times by which phases turn with the Doppler shift; see StreamReference.

        [num_subcarriers, num_blocks], float64, s.
        """
        return self.keystone_times_s - self.middle_s

    def doppler_phases(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Phases of Doppler shifts at the blocks' centers; see StreamReference.

        Returns [num_paths, num_subcarriers, num_blocks], complex64.
        """
        return phasors(-doppler_hz[:, None, None] * self.keystone_times_s)

    def block_gain(self, doppler_hz: np.ndarray) -> np.ndarray:
        """Gain of the coherent sum over each block; see StreamReference.

        Returns [..., num_subcarriers, num_blocks], float64.
        """
        return super().block_gain(np.multiply.outer(doppler_hz, self.ratios))

    def matched_filters(
        self, filters: np.ndarray, doppler_phases: np.ndarray, waveforms: np.ndarray
    ) -> np.ndarray:
        """Filters in the correlation that are matched to paths; see StreamReference.

        doppler_phases: [num_paths, num_subcarriers, num_blocks], complex64
        """
        matched = filters.conj()[..., None] * doppler_phases[:, :, None]
        return matched.reshape(len(filters), -1)

    def over_blocks(self, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Sums over the blocks of each stream with given factors; see StreamReference.

        factors: [num_paths, num_subcarriers, num_blocks, num_factors], complex64
        """
        return (values @ factors).reshape(len(values), -1, factors.shape[-1])

    def with_factors(self, factors: np.ndarray) -> np.ndarray:
        """Correlation of each stream with factors over the blocks; see StreamReference.

        factors: [n, num_blocks], or [n, num_subcarriers, num_blocks], complex64
        """
        if factors.ndim == 2:
            return super().with_factors(factors)
        num_subcarriers, num_streams, _ = self.streams.shape
        grams = self.block_grams.reshape(num_subcarriers, self.num_blocks, -1)
        correlated = factors.swapaxes(0, 1) @ grams
        return correlated.reshape(num_subcarriers, -1, num_streams, num_streams)

    def at_shift(self, values: np.ndarray, doppler_phase: np.ndarray) -> np.ndarray:
        """Sums over blocks with the phases of one Doppler shift; see StreamReference.

        doppler_phase: [num_subcarriers, num_blocks], complex64
        """
        return (values @ doppler_phase[..., None]).ravel()

    def behind_filters(
        self, filters: np.ndarray, values: np.ndarray, doppler_hz: np.ndarray
    ) -> np.ndarray:
        """Values in a beam behind the stream weights of paths; see StreamReference."""
        # Without the migration of each path, which is the phase beyond that at the carrier.
        beyond_s = self.keystone_times_s - self.block_times_s
        migration = phasors(-doppler_hz[:, None, None] * beyond_s)
        return np.sum(_over_streams(filters, values) * migration, axis=1)

    def matched_spectrum(
        self, filters: np.ndarray, values: np.ndarray, shifts_hz: np.ndarray
    ) -> np.ndarray:
        """Outputs of the filters matched to paths at trial Doppler shifts; see StreamReference."""
        spectra = self.spectra(_over_streams(filters, values)[:, :, None], shifts_hz)
        return spectra.sum(axis=(1, 2))

    def spectra(self, values: np.ndarray, shifts_hz: np.ndarray) -> np.ndarray:
        """Doppler spectrum of each subcarrier at its own frequency, by chirp-z transforms.

        values: [n, num_subcarriers, num_streams, num_blocks], complex64
        shifts_hz: [num_shifts], float64, Hz, at the carrier; evenly spaced in some order
        Returns [n, num_subcarriers, num_streams, num_shifts], complex64; phases count from the
        start of the frame.
        """
        # Shifts in ascending order, at the frequency of each subcarrier.
        order = np.argsort(shifts_hz)
        ascending_hz = shifts_hz[order]
        spectra = self._chirp_z(values, ascending_hz)
        self._correct_last_block(spectra, values, ascending_hz)

        # Shifts in the given order.
        in_order = np.empty_like(spectra)
        in_order[..., order] = spectra
        return in_order

    def _chirp_z(self, values: np.ndarray, ascending_hz: np.ndarray) -> np.ndarray:
        """Spectra of blocks of equal length, at even distances in time.

        ascending_hz: [num_shifts], float64, Hz, at the carrier; evenly spaced
        Returns the shape of spectra, complex64.
        """
        # Phases of the shifts at the first block.
        ratios = self.ratios[:, None]
        at_first = phasors(-ratios * ascending_hz * self.block_times_s[0])

        # Phase of bin s and block b, of which the product is s b = (s^2 + b^2 - (s - b)^2) / 2.
        block_s = self.block * self.frame.grid.symbol_period_s
        num_bins = len(ascending_hz)
        bins = np.arange(num_bins)
        blocks = np.arange(self.num_blocks)
        step_hz = (ascending_hz[-1] - ascending_hz[0]) / max(num_bins - 1, 1)
        chirp_rates = step_hz * block_s / 2 * ratios
        of_blocks = ratios * ascending_hz[0] * block_s * blocks
        before = phasors(-of_blocks - chirp_rates * blocks**2)
        of_bins = chirp_rates * bins**2
        after = at_first * phasors(-of_bins)

        # Convolution with the chirp of the last term, for differences of both signs.
        length = fft.next_fast_len(num_bins + self.num_blocks - 1)
        lags = np.arange(length)
        lags[num_bins:] -= length
        chirp = fft.fft(phasors(chirp_rates * lags**2), axis=-1)
        spectra = np.empty((*values.shape[:-1], num_bins), np.complex64)
        for one, own in zip(values, spectra):
            turned = one * before[:, None]
            transformed = fft.fft(turned, length) * chirp[:, None]
            convolved = fft.ifft(transformed)
            own[...] = convolved[..., :num_bins] * after[:, None]
        return spectra

    def _correct_last_block(
        self, spectra: np.ndarray, values: np.ndarray, ascending_hz: np.ndarray
    ) -> None:
        """Correct spectra in place for a shorter last block, whose center is earlier.

        ascending_hz: [num_shifts], float64, Hz, at the carrier
        """
        missing = self.block - int(self.block_sizes[-1])
        if not missing:
            return
        early_s = missing / 2 * self.frame.grid.symbol_period_s
        turns = self.ratios[:, None] * ascending_hz
        actual = phasors(-turns * self.block_times_s[-1])
        nominal = phasors(-turns * (self.block_times_s[-1] + early_s))
        spectra += values[..., -1:] * (actual - nominal)[:, None]


class KeystoneReplicaMaker(ReplicaMaker):
    """Replicas of paths whose Doppler shifts grow with the frequency; see ReplicaMaker."""

    reference: KeystoneReference

    def make(self, state: PathState) -> Replica:
        """Replicas of all paths of a state; see ReplicaMaker.

        The Doppler information is that of the times stretched by each subcarrier's frequency.
        """
        replica = super().make(state)
        times_s = self.reference.frame.grid.symbol_times_s
        stretched_s = np.multiply.outer(self.reference.ratios, times_s)
        share = np.var(stretched_s) / np.var(times_s)
        return replace(replica, doppler_share=share * replica.doppler_share)

    def waveform_products(self, filters: np.ndarray, doppler_phases: np.ndarray) -> np.ndarray:
        """Inner products of paths' waveforms and of their derivatives; see ReplicaMaker.

        doppler_phases: [num_paths, num_subcarriers, num_blocks], complex64
        """
        reference = self.reference
        num_paths, num_filters, num_subcarriers, num_streams = filters.shape
        num_blocks = reference.num_blocks
        num_rows = num_paths * (num_filters + 1)
        products = np.zeros((num_rows, num_rows), complex)

        # Subcarrier by subcarrier, to bound the memory.
        for subcarrier in range(num_subcarriers):
            ramp = reference.doppler_ramp[subcarrier].astype(np.complex64)
            phases = doppler_phases[:, subcarrier][:, None, None]
            own = filters[:, :, subcarrier]

            # Waveforms correlated with the streams, with the derivative with the Doppler shift.
            correlated = own @ reference.responses[subcarrier]
            correlated = correlated.reshape(num_paths, num_filters, num_streams, num_blocks)
            waveforms = _with_ramp(correlated * phases.conj(), ramp.conj())

            # The filters that are matched to them.
            matched = _with_ramp(own.conj()[..., None] * phases, ramp)
            products += matched.reshape(num_rows, -1) @ waveforms.reshape(num_rows, -1).T

            # Without those within the span of static streams.
            if reference.static is not None:
                over_frame = waveforms.sum(axis=-1).reshape(num_rows, -1)
                weighted = over_frame @ reference.static.weights[subcarrier].T
                products -= over_frame.conj() @ weighted.T
        return products.reshape(num_paths, num_filters + 1, num_paths, num_filters + 1)

    def _waveforms(self, filters: np.ndarray, phases: np.ndarray) -> np.ndarray:
        """Waveforms correlated with the streams; see ReplicaMaker.

        phases: [num_paths, num_subcarriers, num_blocks], complex64
        """
        waveforms = self.reference.waveforms(filters)
        waveforms *= phases[:, :, None]
        return waveforms


def _over_streams(filters: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in a beam behind the stream weights of paths, subcarrier by subcarrier.

    filters: [num_paths, num_subcarriers, num_streams], complex64
    values: [num_paths, num_subcarriers, num_streams, num_blocks], complex64
    Returns [num_paths, num_subcarriers, num_blocks], complex64.
    """
    return (filters.conj()[:, :, None] @ values)[:, :, 0]


def _with_ramp(values: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Values of paths, followed by their derivative with the Doppler shift.

    values: [num_paths, num_filters, num_streams, num_blocks], complex64
    ramp: [num_blocks], complex64, factor of the derivative of the first filter
    Returns [num_paths, num_filters + 1, num_streams, num_blocks], complex64.
    """
    return np.concatenate([values, values[:, :1] * ramp], axis=1)


def keystone_reference(reference: StreamReference) -> KeystoneReference:
    """The same streams, and suppression of static paths, for paths that migrate."""
    return KeystoneReference(reference.frame, reference.streams, reference.block, reference.static)
