"""The concentrated likelihood of a target's paths, with its gradient and information, at any location."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

import numpy as np

from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, bistatic_geometry
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StreamReference

VIEW_ACCURACY = 1e-3


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


@dataclass(frozen=True)
class View:
    """A correlation seen through the few beams around a point.

    beams: [num_rx_ant, num_beams], orthonormal; correlation: [num_beams, num_subcarriers, num_streams, num_blocks].
    """

    beams: np.ndarray
    correlation: np.ndarray

    def behind(self, basis: np.ndarray) -> np.ndarray:
        """The correlation behind beams [num_beams, num_rx_ant], [num_beams, num_subcarriers, num_streams, num_blocks]."""
        seen = self.correlation
        flat = (basis.conj() @ self.beams).astype(np.complex64) @ seen.reshape(len(seen), -1)
        return flat.reshape(len(basis), *seen.shape[1:])

    def without(self, echoes: Iterable[PathEcho]) -> View:
        """The view with the given paths removed."""
        seen = self.correlation.copy()
        for echo in echoes:
            seen -= (self.beams.conj().T @ echo.arrival)[:, None, None, None] * echo.own
        return View(self.beams, seen)


@dataclass(frozen=True)
class PathEcho:
    """One path as the correlation sees it: arrival [num_rx_ant], its receive steering; own [num_subcarriers,
    num_streams, num_blocks], its waveform correlated with the streams. Both complex64."""

    arrival: np.ndarray
    own: np.ndarray


class MatchedFilter:
    """Matches paths of one receiver against a stream correlation; holds geometry only, no signal."""

    def __init__(self, scene: Scene, receiver: Site, reference: StreamReference):
        self.scene, self.receiver, self.reference = scene, receiver, reference
        self.dimension = scene.dimension
        self.wavelength_m = scene.grid.wavelength_m
        self.noise_power_w = scene.propagation.noise_power_w
        self._reach = local_reach(receiver, self.wavelength_m)

    def view(self, correlation: np.ndarray, point_m: np.ndarray) -> View:
        """Look at a correlation [num_rx_ant, num_subcarriers, num_streams, num_blocks] around a point."""
        direction = (point_m - self.receiver.position_m) / np.linalg.norm(point_m - self.receiver.position_m)
        nearby = direction + self._reach
        nearby = nearby / np.linalg.norm(nearby, axis=1, keepdims=True)
        left, strength, _ = np.linalg.svd(steering_vectors(self.receiver.elements_m, nearby, self.wavelength_m).T,
                                          full_matrices=False)
        beams = left[:, strength > VIEW_ACCURACY * strength[0]].astype(np.complex64)
        flat = beams.conj().T @ correlation.reshape(correlation.shape[0], -1)
        return View(beams, flat.reshape(-1, *correlation.shape[1:]))

    def glance(self, correlation: np.ndarray, point_m: np.ndarray) -> View:
        """The view through the one beam to a point: enough to match there, not to move."""
        direction = (point_m - self.receiver.position_m) / np.linalg.norm(point_m - self.receiver.position_m)
        beam = steering_vectors(self.receiver.elements_m, direction, self.wavelength_m).astype(np.complex64)
        return View(beam[:, None], np.tensordot(beam.conj(), correlation, axes=1)[None])

    def receive_basis(self, point_m: np.ndarray) -> np.ndarray:
        """Receive steering to a point and its location derivatives, [1 + dimension, num_rx_ant]."""
        return self._with_slopes(self.receiver, point_m)

    def _with_slopes(self, site: Site, point_m: np.ndarray) -> np.ndarray:
        away = point_m - site.position_m
        distance = np.sqrt(away @ away)
        steering = steering_vectors(site.elements_m, away / distance, self.wavelength_m)
        slopes = steering_derivatives(site.elements_m, away / distance, distance, self.wavelength_m)
        return np.vstack([steering, slopes[:, :self.dimension].T])

    def match(self, basis: np.ndarray, behind: np.ndarray, point_m: np.ndarray, transmitter: int,
              doppler_hz: float) -> PathFit:
        """Match the path transmitter -> point -> receiver at one Doppler shift.

        The log-likelihood is |u^H y|^2 / (sigma^2 ||u||^2), u the path's waveform. basis: receive_basis(point_m);
        behind: the correlation behind it, View.behind(basis).
        """
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

    def doppler_spectrum(self, behind: np.ndarray, point_m: np.ndarray, transmitter: int,
                         doppler_hz: np.ndarray) -> np.ndarray:
        """Matched-filter power over Doppler shifts [num_shifts] at one point, in noise variances; behind as in match."""
        replica = self._replica(point_m, transmitter)
        blocks = np.tensordot(replica.waveform[0].conj(), behind[0], axes=2)
        turns = np.exp(-2j * np.pi * doppler_hz[:, None] * self.reference.block_times_s)
        return np.abs(turns @ blocks) ** 2 / (replica.gram[0, 0].real * self.noise_power_w)

    def _replica(self, point_m: np.ndarray, transmitter: int) -> _Replica:
        site, frame = self.scene.transmitters[transmitter], self.reference.frame
        path = bistatic_geometry(site.position_m, self.receiver.position_m, point_m, np.zeros(3), self.wavelength_m)
        basis = self._with_slopes(site, point_m)
        gains = np.repeat(frame.stream_gains(transmitter, basis), frame.group_size, axis=0).transpose(1, 0, 2)
        offsets = frame.grid.subcarrier_offsets_hz
        delay_slope = -2j * np.pi * offsets[:, None] / SPEED_OF_LIGHT_MPS * path.range_gradient[:self.dimension]
        gains[1:] += delay_slope.T[:, :, None] * gains[0]
        weighted = self.reference.gram @ gains.transpose(1, 2, 0)
        gram = gains.reshape(len(gains), -1).conj() @ weighted.reshape(-1, len(gains))
        return _Replica(gains * np.exp(-2j * np.pi * offsets * path.delay_s)[:, None], gram)


@dataclass(frozen=True)
class _Replica:
    """waveform: [1 + dimension, num_subcarriers, num_streams], a path's stream weights and their derivatives with
    location; gram: [1 + dimension, 1 + dimension], their inner products over the frame."""

    waveform: np.ndarray
    gram: np.ndarray


def local_reach(receiver: Site, wavelength_m: float) -> np.ndarray:
    """Offsets of unit directions that cover the beam around one, [9, 3] in map: half a beam to every side."""
    local = receiver.elements_m @ receiver.rotation
    half_beam = wavelength_m / 2 / np.maximum(np.ptp(local, axis=0), wavelength_m / 2)
    sides = np.array([[0.0, y, z] for y in (-1, 0, 1) for z in (-1, 0, 1)])
    return (sides * half_beam) @ receiver.rotation.T


def _location_information(basis: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Fisher information of the location per unit of 2 SNR, with amplitude and Doppler unknown, [dimension, dimension]."""
    receive = basis.conj() @ basis.T
    energy = gram[0, 0].real
    inner = (receive[1:, 1:] * energy + np.outer(receive[1:, 0], gram[0, 1:]) + np.outer(gram[1:, 0], receive[0, 1:])
             + gram[1:, 1:])
    along = receive[0, 1:] * energy + gram[0, 1:]
    return np.real(inner - np.outer(along.conj(), along) / energy) / energy
