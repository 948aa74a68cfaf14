"""What the paths of a state look like in the stream correlation: echoes, and matched filters with
slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StaticNuisance, StreamReference
from cooperative_isac.sensing.path_state import PathState

RESIDUE_MARGIN = (
    10.0  # of the mean share that changes of static paths leave of them, for a single one
)
# Of a path's energy and Doppler information: the least that the suppression of static paths is said
# to leave.
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Replica:
    """All paths of a state at unit amplitude; D the scene's dimension.

    receive: [num_targets, 1 + D, num_rx_ant], receive steering and its location derivatives;
    filters: [num_paths, 1 + D, num_subcarriers, num_streams], stream weights and their location
    derivatives;
    gram: [num_paths, 1 + D, 1 + D], the filters' inner products over the frame, static paths
    suppressed;
    turns: [num_paths, num_blocks], exp(-j 2 pi f t) at the blocks' centers;
    own: [num_paths, num_subcarriers, num_streams, num_blocks], the waveform correlated with the
    streams;
    doppler_share: [num_paths], Doppler information per SNR over what it is without the suppression
    of static paths.
    """

    receive: np.ndarray
    filters: np.ndarray
    gram: np.ndarray
    turns: np.ndarray
    own: np.ndarray
    doppler_share: np.ndarray


class ReplicaMaker:
    """Makes replicas for one receiver and one known frame."""

    def __init__(self, scene: Scene, receiver: Site, reference: StreamReference):
        self.scene, self.receiver, self.reference = scene, receiver, reference
        self.dimension = scene.dimension

    def make(self, state: PathState) -> Replica:
        """The replica of every path of a state."""
        reference = self.reference
        filters = np.empty(
            (state.num_paths, 1 + self.dimension, *reference.streams.shape[:2]), np.complex64
        )
        for index in np.unique(state.transmitter):
            chosen = state.transmitter == index
            filters[chosen] = self._filters(int(index), state.points_m[state.owner[chosen]])
        turns = np.exp(-2j * np.pi * state.doppler_hz[:, None] * reference.block_times_s).astype(
            np.complex64
        )
        own = self._own(filters[:, 0], turns.conj() * reference.block_gain(state.doppler_hz))
        own = reference.without_static(own)
        gram = self._gram(filters)
        doppler_share = np.ones(state.num_paths)
        if reference.static is not None:
            suppressed, doppler_share = self._without_static(reference.static, filters, turns, gram)
            gram = suppressed
        return Replica(
            self._with_slopes(self.receiver, state.points_m),
            filters,
            gram,
            turns,
            own,
            doppler_share,
        )

    def filters_at(self, transmitter: int, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stream weights of a transmitter's paths at points, [num_points, num_subcarriers,
        num_streams], and their energies, static paths not yet suppressed
        (StreamReference.static_share).
        """
        filters = self._filters(transmitter, points_m)[:, :1]
        return filters[:, 0], self._gram(filters)[:, 0, 0].real

    def receive_at(self, point_m: np.ndarray) -> np.ndarray:
        """Receive steering [num_rx_ant], complex64, to a point [3], m, in map."""
        return self._with_slopes(self.receiver, point_m[None])[0, 0]

    def is_residue(
        self, transmitter: int, point_m: np.ndarray, doppler_hz: float, power: float
    ) -> bool:
        """Whether a path without Doppler shift is what small changes of a learned background leave,
        and no target.

        A static path that changes by a share of its amplitude leaves that share of its own response
        everywhere.

        point_m: [3], m; power: its coherent SNR
        """
        static, frame = self.reference.static, self.reference.frame
        if (
            static is None
            or static.mean is None
            or static.left_share == 0
            or abs(doppler_hz) > frame.grid.doppler_resolution_hz
        ):
            return False

        # The background's response at the same place.
        behind = np.tensordot(self.receive_at(point_m).conj(), static.mean, axes=1)
        filters, energy = self.filters_at(transmitter, point_m[None])
        matched = np.vdot(filters[0], (self.reference.gram @ behind[..., None])[..., 0])
        background = np.abs(matched) ** 2 / (energy[0] * self.scene.propagation.noise_power_w)

        return bool(power < RESIDUE_MARGIN * static.left_share * background)

    def _own(self, filters: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Waveforms correlated with the streams, with the Doppler turn held over each block."""
        num_paths, num_subcarriers, num_streams = filters.shape
        own = self.reference.block_grams @ np.ascontiguousarray(filters.transpose(1, 2, 0))
        own = own.reshape(num_subcarriers, -1, num_streams, num_paths).transpose(3, 0, 2, 1)
        return own * turns[:, None, None, :].astype(np.complex64)

    def _filters(self, index: int, points_m: np.ndarray) -> np.ndarray:
        """Stream weights a^H W exp(-j 2 pi f tau) and their derivatives with location, with the
        mean delay slope out.
        """
        frame, site = self.reference.frame, self.scene.transmitters[index]
        basis = self._with_slopes(site, points_m)
        gains = frame.stream_gains(index, basis.reshape(-1, site.num_ant))
        gains = np.repeat(gains, frame.group_size, axis=0)
        gains = gains.reshape(len(gains), *basis.shape[:2], -1).transpose(1, 2, 0, 3)
        path = bistatic_geometry(
            site.position_m, self.receiver.position_m, points_m, np.zeros(3), 1.0
        )
        offsets = frame.grid.subcarrier_offsets_hz
        slope = path.range_gradient[:, : self.dimension, None] * (
            -2j * np.pi / SPEED_OF_LIGHT_MPS * offsets
        )
        gains[:, 1:] += slope[..., None].astype(np.complex64) * gains[:, :1]
        phases = np.exp(-2j * np.pi * path.delay_s[:, None] * offsets).astype(np.complex64)
        return gains * phases[:, None, :, None]

    def _gram(self, filters: np.ndarray) -> np.ndarray:
        weighted = (filters[..., None, :] @ self.reference.gram.swapaxes(1, 2))[..., 0, :]
        flat = filters.reshape(*filters.shape[:2], -1)
        return flat.conj() @ weighted.reshape(flat.shape).swapaxes(1, 2)

    def _without_static(
        self, static: StaticNuisance, filters: np.ndarray, turns: np.ndarray, gram: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inner products of the filters after the suppression of static paths, and
        `Replica.doppler_share`.

        gram: [num_paths, 1 + D, 1 + D], inner products before
        Returns [num_paths, 1 + D, 1 + D] and [num_paths].
        """
        reference = self.reference
        num_paths, num_slopes, num_subcarriers, num_streams = filters.shape
        times = reference.block_times_s - reference.middle_s

        # Correlation of each waveform with the streams over the whole frame: its filters, then its
        # Doppler slope.
        grams = reference.block_grams.reshape(num_subcarriers, reference.num_blocks, -1)
        phases = turns.conj()
        turned = (phases @ grams).reshape(num_subcarriers, num_paths, num_streams, num_streams)
        sloped = ((phases * times.astype(np.float32)) @ grams).reshape(turned.shape)
        projected = np.empty(
            (num_paths, num_slopes + 1, num_subcarriers, num_streams), np.complex64
        )
        projected[:, :-1] = np.einsum("iplk,pdik->pdil", turned, filters, optimize=True)
        projected[:, -1] = np.einsum("iplk,pik->pil", sloped, filters[:, 0], optimize=True)

        # Their inner products within the span of the streams.
        weighted = (static.weights @ projected[..., None])[..., 0]
        flat = projected.reshape(num_paths, num_slopes + 1, -1)
        removed = flat.conj() @ weighted.reshape(flat.shape).swapaxes(1, 2)

        # Doppler information with an unknown amplitude (Schur complement), over what it is without
        # suppression.
        whole = gram[:, 0, 0].real
        spread = np.average(times**2, weights=reference.block_sizes)
        energy = np.maximum(whole - removed[:, 0, 0].real, LEAST_SHARE * whole)
        slope_energy = whole * spread - removed[:, -1, -1].real
        crossed = np.abs(removed[:, 0, -1]) ** 2
        doppler_share = (slope_energy * energy - crossed) / (energy**2 * spread)

        suppressed = gram - removed[:, :-1, :-1]
        suppressed[:, 0, 0] = energy
        return suppressed, np.maximum(doppler_share, LEAST_SHARE)

    def _with_slopes(self, site: Site, points_m: np.ndarray) -> np.ndarray:
        """Steering to points and its location derivatives, [num_points, 1 + D, num_ant],
        complex64.
        """
        away = points_m - site.position_m
        distances = np.linalg.norm(away, axis=1)
        directions, wavelength = away / distances[:, None], self.scene.grid.wavelength_m
        steering = steering_vectors(site.elements_m, directions, wavelength)
        slopes = steering_derivatives(site.elements_m, directions, distances, wavelength)[
            ..., : self.dimension
        ]
        return np.concatenate([steering[:, None], slopes.swapaxes(1, 2)], axis=1).astype(
            np.complex64
        )
