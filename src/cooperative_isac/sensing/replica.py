"""Replicas of paths in the stream correlation: waveforms, matched filters, and their slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.arrays import phasors, steering_with_slopes
from cooperative_isac.scene.geometry import LEAST_DISTANCE_M, SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.canceled_paths import CanceledSpan
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.sensing.whitening import Whitening

# Power of a residue over the mean power that changes of a learned background leave, at most: single
# static paths change more than the mean.
RESIDUE_MARGIN = 10.0

# Share of a path's energy and of its Doppler information that is left at least in a computation,
# after static paths or other paths were removed: below, single precision rounds too much.
LEAST_REMAINING_SHARE = 1e-3


@dataclass(frozen=True)
class Replica:
    """All paths of a state at unit amplitude, in D dimensions.

    receive: [num_targets, 1 + D, num_rx_ant], complex64, receive steering and its location slopes
    filters: [num_paths, 1 + D, num_subcarriers, num_streams], complex64, stream weights and their
        location slopes
    gram: [num_paths, 1 + D, 1 + D], complex64, inner products of the filters over the frame, static
        paths suppressed
    doppler_phases: [num_paths, num_blocks], complex64, exp(-j 2 pi f t) at the blocks' centers
    waveforms: [num_paths, num_subcarriers, num_streams, num_blocks], complex64, correlation of each
        path with the streams
    doppler_share: [num_paths], float64, Doppler information over that without the suppression of
        static paths, at the same SNR
    """

    receive: np.ndarray
    filters: np.ndarray
    gram: np.ndarray
    doppler_phases: np.ndarray
    waveforms: np.ndarray
    doppler_share: np.ndarray


class ReplicaMaker:
    """Replicas of paths for one receiver and one known frame.

    scene: seen on one band
    receiver: receiving station
    reference: known streams of the frame
    canceled: static paths that were canceled in the echo; None: none
    whitening: that the echo has passed; None: none
    """

    def __init__(
        self,
        scene: Scene,
        receiver: Site,
        reference: StreamReference,
        canceled: CanceledSpan | None = None,
        whitening: Whitening | None = None,
    ):
        self.canceled = canceled
        self.whitening = whitening
        self.scene = scene
        self.receiver = receiver
        self.reference = reference
        self.dimension = scene.dimension
        frame = reference.frame
        num_streams = frame.precoders.shape[-1]

        # Positions of the transmitters, [num_tx, 3], m.
        self.transmitters_m = np.array([site.position_m for site in scene.transmitters])

        # Precoders of each transmitter, all groups of subcarriers side by side,
        # [num_tx_ant, num_groups * num_streams].
        self._precoders = []
        for antennas in frame.antennas:
            by_antenna = np.ascontiguousarray(frame.precoders[:, antennas].transpose(1, 0, 2))
            self._precoders.append(by_antenna.reshape(len(by_antenna), -1))

        # Column of a precoder, and offset from the carrier, of each subcarrier and stream,
        # [num_subcarriers * num_streams].
        groups = np.arange(frame.grid.num_subcarriers) // frame.group_size
        self._columns = (groups[:, None] * num_streams + np.arange(num_streams)).ravel()
        self._offsets_hz = np.repeat(frame.grid.subcarrier_offsets_hz, num_streams)

    def make(self, state: PathState) -> Replica:
        """Replicas of all paths of a state."""
        reference = self.reference

        # Stream weights of every path.
        points_m = state.points_m[state.owner]
        filters = self._filters(state.transmitter, points_m, self.dimension)

        # Doppler phase at each block's center, and the gain of the sum over a block.
        doppler_phases = reference.doppler_phases(state.doppler_hz)
        gains = reference.block_gain(state.doppler_hz).astype(np.float32)

        # Waveforms in the correlation.
        waveforms = self._waveforms(filters[:, 0], doppler_phases.conj() * gains)
        waveforms = reference.without_static(waveforms)

        # Inner products of the filters.
        gram = self._gram(filters)
        doppler_share = np.ones(state.num_paths)
        if reference.static is not None:
            gram, doppler_share = self._without_static(
                reference.static, filters, doppler_phases, gram
            )

        return Replica(
            receive=self._receive(state.points_m, self.dimension),
            filters=filters,
            gram=gram,
            doppler_phases=doppler_phases,
            waveforms=waveforms,
            doppler_share=doppler_share,
        )

    def filters_at(
        self, transmitter: int | np.ndarray, points_m: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Stream weights of paths over points, and their energies.

        The energies are those before the suppression of static paths
        (StreamReference.static_share).

        transmitter: index of the transmitting site of all paths, or [num_points], int, of each
        points_m: [num_points, 3], float64, m, map
        Returns [num_points, num_subcarriers, num_streams], complex64, and [num_points], float32.
        """
        transmitters = np.broadcast_to(transmitter, len(points_m))
        filters = self._filters(transmitters, points_m, 0)
        return filters[:, 0], self._gram(filters)[:, 0, 0].real

    def waveform_products(self, filters: np.ndarray, doppler_phases: np.ndarray) -> np.ndarray:
        """Inner products of paths' waveforms and of their derivatives over the frame.

        The entries of a path are its waveform at unit amplitude, the derivatives with each axis of
        the location, and that with the Doppler shift; static paths are suppressed.

        filters: [num_paths, 1 + D, num_subcarriers, num_streams], complex64 (Replica)
        doppler_phases: [num_paths, num_blocks], complex64 (Replica)
        Returns [num_paths, 2 + D, num_paths, 2 + D], complex128.
        """
        reference = self.reference
        num_paths, num_filters = filters.shape[:2]
        num_rows = num_paths * num_filters
        num_blocks = reference.num_blocks

        # Filters correlated with the streams, block by block.
        in_rows = filters.reshape(num_rows, *filters.shape[2:])
        correlated = reference.waveforms(in_rows)
        correlated = correlated.reshape(num_rows, -1, num_blocks)

        # Products of filters within each block, all pairs of paths: that of the conjugate filter
        # first, [num_paths, num_paths, num_filters^2, num_blocks].
        by_block = filters.reshape(num_rows, -1).conj() @ correlated
        by_block = by_block.reshape(num_paths, num_filters, num_paths, num_filters, num_blocks)
        by_block = by_block.transpose(2, 0, 3, 1, 4)
        by_block = by_block.reshape(num_paths, num_paths, -1, num_blocks)

        # Phases between both Doppler shifts; each derivative with a shift is a ramp over time, so
        # that there are phases without, with one and with two ramps.
        since_middle_s = reference.block_times_s - reference.middle_s
        ramp = 2j * np.pi * since_middle_s
        turned = (doppler_phases[:, None] * doppler_phases[None].conj()).astype(complex)
        once = turned * ramp
        twice = turned * np.abs(ramp) ** 2
        ramped = np.stack([turned, once, twice], axis=-1)

        # Sums over blocks.
        sums = by_block @ ramped.astype(np.complex64)
        sums = sums.reshape(num_paths, num_paths, num_filters, num_filters, 3)
        sums = sums.transpose(0, 2, 1, 3, 4)

        # Waveforms and slopes with the location, then the derivative with the shift as the last
        # entry of each path; the conjugate of a ramp, which is imaginary, is its negative.
        products = np.empty((num_paths, num_filters + 1, num_paths, num_filters + 1), complex)
        products[:, :-1, :, :-1] = sums[..., 0]
        products[:, :-1, :, -1] = sums[:, :, :, 0, 1]
        products[:, -1, :, :-1] = -sums[:, 0, :, :, 1]
        products[:, -1, :, -1] = sums[:, 0, :, 0, 2]
        if reference.static is None:
            return products

        # Without those within the span of static streams.
        removed = self._static_products(reference.static, correlated, doppler_phases, ramp)
        return products - removed.reshape(products.shape)

    def _static_products(
        self,
        static: StaticNuisance,
        correlated: np.ndarray,
        doppler_phases: np.ndarray,
        ramp: np.ndarray,
    ) -> np.ndarray:
        """Inner products of waveforms and derivatives within the span of static streams.

        static: suppression of static paths
        correlated: [num_paths (1 + D), num_subcarriers num_streams, num_blocks], complex64, the
            filters correlated with the streams in each block
        doppler_phases: [num_paths, num_blocks], complex64 (Replica)
        ramp: [num_blocks], complex128, factor over time of the derivative with the Doppler shift
        Returns [num_paths (2 + D), num_paths (2 + D)], complex64.
        """
        num_paths = len(doppler_phases)
        num_filters = len(correlated) // num_paths
        num_streams = self.reference.streams.shape[1]

        # Correlation of each waveform with the streams over the whole frame.
        phases = doppler_phases.conj()
        of_rows = np.repeat(phases, num_filters, axis=0)
        over_frame = (correlated @ of_rows[..., None])[..., 0]
        projected = np.empty((num_paths, num_filters + 1, correlated.shape[1]), np.complex64)
        projected[:, :-1] = over_frame.reshape(num_paths, num_filters, -1)

        # That of each derivative with the Doppler shift.
        sloped = phases * ramp.astype(np.complex64)
        of_waveforms = correlated[::num_filters]
        projected[:, -1] = (of_waveforms @ sloped[..., None])[..., 0]

        # Inner products, weighted by the suppression of static paths.
        flat = projected.reshape(num_paths * (num_filters + 1), -1)
        by_stream = flat.reshape(len(flat), -1, num_streams, 1)
        weighted = static.weights @ by_stream
        return flat.conj() @ weighted.reshape(flat.shape).T

    def canceled_products(self, replica: Replica, owner: np.ndarray) -> np.ndarray:
        """Inner products of paths and their derivatives with the slopes of canceled paths.

        replica: of the paths
        owner: [num_paths], int, target of each
        Returns [num_paths, 2 + D, num_slopes], complex128, in the order of waveform_products.
        """
        span = self.canceled
        assert span is not None  # asked for where paths were canceled
        num_paths, num_filters = replica.filters.shape[:2]
        num_slopes = len(span.arrivals)

        # Waveforms, their location slopes, and the slope with the Doppler shift.
        rows = replica.filters.reshape(num_paths * num_filters, -1).conj()
        by_block = rows @ span.waveforms.reshape(num_slopes, rows.shape[1], -1)
        by_block = by_block.reshape(num_slopes, num_paths, num_filters, -1)
        phases = replica.doppler_phases.astype(complex)
        waveforms = np.einsum("kpfb,pb->pfk", by_block, phases)
        ramped_phases = phases * self.reference.doppler_ramp
        ramped = np.einsum("kpb,pb->pk", by_block[:, :, 0], ramped_phases)

        # Product rule with the arrivals.
        arrivals = replica.receive[owner].conj() @ span.arrivals.T
        products = np.empty((num_paths, num_filters + 1, num_slopes), complex)
        products[:, :-1] = arrivals[:, :1] * waveforms
        products[:, 1:-1] += arrivals[:, 1:] * waveforms[:, :1]
        products[:, -1] = arrivals[:, 0] * ramped
        return products

    def receive_at(self, points_m: np.ndarray) -> np.ndarray:
        """Receive steering to points.

        points_m: [..., 3], float64, m, map
        Returns [..., num_rx_ant], complex64.
        """
        steering = self._receive(points_m.reshape(-1, 3), 0)
        return steering.reshape(*points_m.shape[:-1], -1)

    def is_residue(
        self, transmitter: int, point_m: np.ndarray, doppler_hz: float, power: float
    ) -> bool:
        """True where a path is a residue of a learned background, and no target.

        A static path whose amplitude changes by a share leaves that share of its response, without
        a Doppler shift.

        transmitter: index of the transmitting site
        point_m: [3], float64, m, map
        doppler_hz: Doppler shift, Hz
        power: coherent SNR, linear
        """
        static = self.reference.static
        frame = self.reference.frame
        if (
            static is None
            or static.mean is None
            or static.left_share == 0
            or abs(doppler_hz) > frame.grid.doppler_resolution_hz
        ):
            return False

        # Matched-filter power of the background at the same place.
        in_beam = np.tensordot(self.receive_at(point_m).conj(), static.mean, axes=1)
        filters, energy = self.filters_at(transmitter, point_m[None])
        matched = np.vdot(filters[0], (self.reference.gram @ in_beam[..., None])[..., 0])
        background = np.abs(matched) ** 2 / (energy[0] * self.scene.propagation.noise_power_w)

        return bool(power < RESIDUE_MARGIN * static.left_share * background)

    def _receive(self, points_m: np.ndarray, num_slopes: int) -> np.ndarray:
        """Receive steering to points behind the whitening, and its location slopes.

        Returns [num_points, 1 + num_slopes, num_rx_ant], complex64.
        """
        directions, distances_m = rays(self.receiver.position_m, points_m)
        steering = steering_with_slopes(
            self.receiver.elements_m,
            directions,
            distances_m,
            self.scene.grid.wavelength_m,
            num_slopes,
        )
        return steering if self.whitening is None else self.whitening.of_steering(steering)

    def _waveforms(self, filters: np.ndarray, phases: np.ndarray) -> np.ndarray:
        """Waveforms correlated with the streams, with a constant Doppler phase in each block.

        filters: [num_paths, num_subcarriers, num_streams], complex64
        phases: [num_paths, num_blocks], complex64
        Returns [num_paths, num_subcarriers, num_streams, num_blocks], complex64.
        """
        waveforms = self.reference.waveforms(filters)
        waveforms *= phases[:, None, None, :]
        return waveforms

    def _filters(
        self, transmitter: np.ndarray, points_m: np.ndarray, num_slopes: int
    ) -> np.ndarray:
        """Stream weights a^T W exp(-j 2 pi f tau) of paths, and their location slopes.

        transmitter: [num_paths], int, indices of the transmitting sites
        points_m: [num_paths, 3], float64, m, map
        num_slopes: number of axes with slopes
        Returns [num_paths, 1 + num_slopes, num_subcarriers, num_streams], complex64.
        """
        # Unit vectors and distances from both sites to the points.
        num_paths = len(points_m)
        num_subcarriers, num_streams, _ = self.reference.streams.shape
        departures, sent_m = rays(self.transmitters_m[transmitter], points_m)
        arrivals, received_m = rays(self.receiver.position_m, points_m)

        # Gains a^T W and their slopes: per group of subcarriers that shares a precoder, then per
        # subcarrier and stream.
        gains = np.empty((num_paths, 1 + num_slopes, len(self._columns)), np.complex64)
        for index in sorted({*transmitter.tolist()}):
            chosen = np.flatnonzero(transmitter == index)
            site = self.scene.transmitters[index]
            steering = steering_with_slopes(
                site.elements_m,
                departures[chosen],
                sent_m[chosen],
                self.scene.grid.wavelength_m,
                num_slopes,
            )
            by_group = steering.reshape(-1, site.num_ant) @ self._precoders[index]
            by_group = by_group.reshape(*steering.shape[:2], -1)
            gains[chosen] = by_group[..., self._columns]

        # Product rule: a slope of the delay phase adds j times itself times the gains.
        if num_slopes:
            range_slopes = (departures + arrivals)[:, :num_slopes, None]
            phase_slopes = range_slopes * (-2 * np.pi / SPEED_OF_LIGHT_MPS * self._offsets_hz)
            gains[:, 1:] += phase_slopes.astype(np.float32) * (1j * gains[:, :1])

        # Delay phase.
        delays_s = (sent_m + received_m) / SPEED_OF_LIGHT_MPS
        gains *= phasors(-delays_s[:, None] * self._offsets_hz)[:, None]
        return gains.reshape(num_paths, 1 + num_slopes, num_subcarriers, num_streams)

    def _gram(self, filters: np.ndarray) -> np.ndarray:
        """Inner products of each path's filters over the frame.

        filters: [num_paths, num_filters, num_subcarriers, num_streams], complex64
        Returns [num_paths, num_filters, num_filters], complex64.
        """
        num_paths, num_filters, num_subcarriers, num_streams = filters.shape

        # Filters weighted with the streams' Gram matrix, one matrix product a subcarrier.
        rows = filters.reshape(-1, num_subcarriers, num_streams)
        weighted = np.empty(rows.shape, np.complex64)
        np.matmul(
            rows.transpose(1, 0, 2),
            self.reference.gram.swapaxes(1, 2),
            out=weighted.transpose(1, 0, 2),
        )

        flat = filters.reshape(num_paths, num_filters, num_subcarriers * num_streams)
        return flat.conj() @ weighted.reshape(flat.shape).swapaxes(1, 2)

    def _without_static(
        self,
        static: StaticNuisance,
        filters: np.ndarray,
        doppler_phases: np.ndarray,
        gram: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inner products of the filters after the suppression of static paths.

        static: suppression of static paths
        filters: [num_paths, 1 + D, num_subcarriers, num_streams], complex64
        doppler_phases: [num_paths, num_blocks], complex64
        gram: [num_paths, 1 + D, 1 + D], complex64, inner products before
        Returns inner products [num_paths, 1 + D, 1 + D], complex64, and the shares of the Doppler
        information [num_paths], float64 (Replica.doppler_share).
        """
        reference = self.reference
        num_paths, num_filters, num_subcarriers, num_streams = filters.shape
        times_s = reference.slope_times_s

        # Streams with each path's Doppler shift, and with its slope, correlated with all streams.
        # The factor 2 pi j of a slope is left out, because it cancels in the share.
        phases = doppler_phases.conj()
        turned = reference.with_factors(phases)
        sloped = reference.with_factors(phases * times_s.astype(np.float32))

        # Correlation of each waveform with the streams over the whole frame: its filters, then its
        # Doppler slope.
        projected = np.empty(
            (num_paths, num_filters + 1, num_subcarriers, num_streams), np.complex64
        )
        projected[:, :-1] = np.einsum("iplk,pdik->pdil", turned, filters, optimize=True)
        projected[:, -1] = np.einsum("iplk,pik->pil", sloped, filters[:, 0], optimize=True)

        # Their inner products within the span of the streams.
        weighted = (static.weights @ projected[..., None])[..., 0]
        flat = projected.reshape(num_paths, num_filters + 1, -1)
        removed = flat.conj() @ weighted.reshape(flat.shape).swapaxes(1, 2)

        # Energy beside that span.
        full_energy = gram[:, 0, 0].real
        remaining = full_energy - removed[:, 0, 0].real
        energy = np.maximum(remaining, LEAST_REMAINING_SHARE * full_energy)
        suppressed = gram - removed[:, :-1, :-1]
        suppressed[:, 0, 0] = energy

        # Doppler information with an unknown amplitude (Schur complement), over that without
        # suppression. Times count from the middle of the frame, where waveform and slope have no
        # inner product before the suppression.
        spread = np.average(times_s**2, axis=-1, weights=reference.block_sizes).mean()
        slope_energy = full_energy * spread - removed[:, -1, -1].real
        squared_cross = np.abs(removed[:, 0, -1]) ** 2
        doppler_share = (slope_energy * energy - squared_cross) / (energy**2 * spread)
        return suppressed, np.maximum(doppler_share, LEAST_REMAINING_SHARE)


def rays(origins_m: np.ndarray, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors from origins to points, and their distances.

    origins_m: [3] or [num_points, 3], float64, m
    points_m: [num_points, 3], float64, m
    Returns [num_points, 3] and [num_points], float64, m; at the origin a zero vector and
    LEAST_DISTANCE_M.
    """
    away_m = points_m - origins_m
    distances_m = np.sqrt(np.einsum("ij,ij->i", away_m, away_m))
    distances_m = np.maximum(distances_m, LEAST_DISTANCE_M)
    return away_m / distances_m[:, None], distances_m
