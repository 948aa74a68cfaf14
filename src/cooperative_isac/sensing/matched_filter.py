"""The concentrated likelihood of a target's paths, with its gradient and information, at any location."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StreamReference


@dataclass(frozen=True)
class PathFit:
    """One path matched at a location and Doppler shift.

    amplitude: complex, beta sqrt(PL); power: matched-filter power in noise variances (the coherent SNR);
    gradient: [dimension + 1] of the log-likelihood with (location, doppler); information: [dimension, dimension],
    of the location, 1/m^2; doppler_information: 1/Hz^2.
    """

    amplitude: complex
    power: float
    gradient: np.ndarray
    information: np.ndarray
    doppler_information: float


class MatchedFilter:
    """Matches paths of one receiver against a stream correlation; holds geometry only, no signal."""

    def __init__(self, scene: Scene, receiver: Site, reference: StreamReference):
        self.scene, self.receiver, self.reference = scene, receiver, reference
        self.dimension = scene.dimension
        self.wavelength_m = scene.grid.wavelength_m
        self.noise_power_w = scene.propagation.noise_power_w

    def receive(self, correlation: np.ndarray, point_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlation behind the beam to a point and behind the beam's derivatives.

        Returns the steering and its derivatives [1 + dimension, num_rx_ant], and the correlation behind each
        [1 + dimension, num_subcarriers, num_streams, num_blocks].
        """
        away = point_m - self.receiver.position_m
        distance = np.linalg.norm(away)
        direction = away / distance
        steering = steering_vectors(self.receiver.elements_m, direction, self.wavelength_m)
        slopes = steering_derivatives(self.receiver.elements_m, direction, distance, self.wavelength_m)
        basis = np.vstack([steering, slopes[:, :self.dimension].T])
        flat = basis.conj().astype(np.complex64) @ correlation.reshape(correlation.shape[0], -1)
        return basis, flat.reshape(len(basis), *correlation.shape[1:])

    def match(self, received: tuple[np.ndarray, np.ndarray], point_m: np.ndarray, transmitter: int,
              doppler_hz: float) -> PathFit:
        """Match the path transmitter -> point -> receiver at one Doppler shift (log-likelihood |u^H y|^2 / sigma^2 ||u||^2)."""
        basis, behind = received
        replica = self._replica(point_m, transmitter)
        times = self.reference.block_times_s
        turn = np.exp(-2j * np.pi * doppler_hz * times)
        summed = behind @ np.stack([turn, -2j * np.pi * (times - times.mean()) * turn], axis=1).astype(np.complex64)
        matched = np.vdot(replica.waveform[0], summed[0, ..., 0])
        slope = np.array([np.vdot(replica.waveform[0], summed[1 + axis, ..., 0])
                          + np.vdot(replica.waveform[1 + axis], summed[0, ..., 0]) for axis in range(self.dimension)])
        slope = np.append(slope, np.vdot(replica.waveform[0], summed[0, ..., 1]))
        energy = replica.gram[0, 0].real
        energy_slope = np.append(2 * replica.gram[0, 1:].real, 0.0)
        power = abs(matched) ** 2 / (energy * self.noise_power_w)
        gradient = 2 * np.real(np.conj(matched) * slope) / (energy * self.noise_power_w) - power * energy_slope / energy
        amplitude = matched / (energy * self.reference.block_gain(doppler_hz))
        spread = np.var(self.reference.frame.grid.symbol_times_s)
        return PathFit(amplitude, power, gradient, 2 * power * _location_information(basis, replica.gram),
                       2 * power * (2 * np.pi) ** 2 * spread)

    def doppler_spectrum(self, received: tuple[np.ndarray, np.ndarray], point_m: np.ndarray, transmitter: int,
                         doppler_hz: np.ndarray) -> np.ndarray:
        """Matched-filter power over Doppler shifts at one point, [num_shifts], in noise variances."""
        replica = self._replica(point_m, transmitter)
        blocks = np.tensordot(replica.waveform[0].conj(), received[1][0], axes=2)
        turns = np.exp(-2j * np.pi * doppler_hz[:, None] * self.reference.block_times_s)
        return np.abs(turns @ blocks) ** 2 / (replica.gram[0, 0].real * self.noise_power_w)

    def _replica(self, point_m: np.ndarray, transmitter: int) -> _Replica:
        site, frame = self.scene.transmitters[transmitter], self.reference.frame
        path = bistatic_geometry(site.position_m, self.receiver.position_m, point_m, np.zeros(3), self.wavelength_m)
        steering = steering_vectors(site.elements_m, path.aod, self.wavelength_m)
        slopes = steering_derivatives(site.elements_m, path.aod, path.tx_distance_m, self.wavelength_m)
        basis = np.vstack([steering, slopes[:, :self.dimension].T])
        gains = np.repeat(frame.stream_gains(transmitter, basis), frame.group_size, axis=0).transpose(1, 0, 2)
        offsets = frame.grid.subcarrier_offsets_hz
        delay_slope = -2j * np.pi * offsets[:, None] / SPEED_OF_LIGHT_MPS * path.range_gradient[:self.dimension]
        gains[1:] += delay_slope.T[:, :, None] * gains[0]
        weighted = self.reference.gram @ gains.transpose(1, 2, 0)
        gram = np.einsum("dik,ike->de", gains.conj(), weighted, optimize=True)
        return _Replica(gains * np.exp(-2j * np.pi * offsets * path.delay_s)[:, None], gram)


@dataclass(frozen=True)
class _Replica:
    """waveform: [1 + dimension, num_subcarriers, num_streams], a path's stream weights and their derivatives with
    location; gram: [1 + dimension, 1 + dimension], their inner products over the frame."""

    waveform: np.ndarray
    gram: np.ndarray


def _location_information(basis: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Fisher information of the location per unit of 2 SNR, with amplitude and Doppler unknown, [dimension, dimension]."""
    receive = basis.conj() @ basis.T
    energy = gram[0, 0].real
    inner = (receive[1:, 1:] * energy + np.outer(receive[1:, 0], gram[0, 1:]) + np.outer(gram[1:, 0], receive[0, 1:])
             + gram[1:, 1:])
    along = receive[0, 1:] * energy + gram[0, 1:]
    return np.real(inner - np.outer(along.conj(), along) / energy) / energy
