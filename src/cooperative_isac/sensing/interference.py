"""Interference of other networks at a receiver: its level, or receive beams that null it.

The symbols of an interferer are unknown, so that it is noise with a covariance R over the antennas.
After L = sigma R^(-1/2) the echo is in white noise of power sigma^2, and a path with the steering
vector a has L a: all beams are those of least variance (MVDR). R is measured in the span of the
directions from which interferers arrive, and is sigma^2 I elsewhere: the covariance of all antennas
contains the targets, too, and their beams would null themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.interference import arrivals
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.canceled_paths import CanceledPaths
from cooperative_isac.waveform.signal import Component

# Amplitude of an arrival over the strongest one from which its direction is nulled: weaker ones are
# in its side lobes, 40 dB below it.
LEAST_ARRIVAL = 1e-2


@dataclass(frozen=True)
class Whitening:
    """Transformation of an array by which interference and noise of its antennas become white.

    matrix: [num_rx_ant, num_rx_ant], complex64, Hermitian
    """

    matrix: np.ndarray

    def of_echo(self, samples: np.ndarray) -> np.ndarray:
        """The transformed echo.

        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        Returns the same shape, complex64.
        """
        flat = samples.reshape(len(samples), -1)
        return (self.matrix @ flat).reshape(samples.shape)

    def of_beams(self, beams: np.ndarray) -> np.ndarray:
        """Receive beams matched to the transformed array, of unit norm.

        beams: [num_beams, num_rx_ant], complex64, conjugate steering vectors
        Returns the same shape, complex64.
        """
        transformed = beams @ self.matrix.conj().T
        return transformed / np.linalg.norm(transformed, axis=1, keepdims=True)

    def of_steering(self, receive: np.ndarray) -> np.ndarray:
        """Steering vectors of the transformed array, of unit norm, and their location slopes.

        What the array loses in a direction is a part of the unknown amplitude of the path.

        receive: [num_points, 1 + num_slopes, num_rx_ant], complex64, of the array itself
        Returns the same shape, complex64.
        """
        transformed = receive @ self.matrix.T
        norms = np.linalg.norm(transformed[:, 0], axis=1)
        transformed /= norms[:, None, None]

        # The slope of a unit vector has no component along it but a turn of its phase.
        steering = transformed[:, :1]
        along = np.sum(steering.conj() * transformed[:, 1:], axis=2, keepdims=True).real
        transformed[:, 1:] -= along * steering
        return transformed

    def of_canceled(self, canceled: CanceledPaths) -> CanceledPaths:
        """Canceled paths as they arrive at the transformed array."""
        return replace(canceled, arrivals=canceled.arrivals @ self.matrix.T)


class InterferenceStage:
    """Suppression of interference in the echoes of one receiver, where these are processed.

    The mode is a parameter of the scene. `noise`: the echo is scaled such that the interference,
    counted as white, and the noise together have the power of the noise. `nulls`: the echo is
    whitened over the antennas.
    """

    def __init__(self, mode: str):
        self._mode = mode
        self._scene: Scene | None = None
        self._span = np.zeros((0, 0))

    def prepare(
        self, scene: Scene, receiver: Site, samples: np.ndarray, known: Component
    ) -> tuple[np.ndarray, Whitening | None]:
        """An echo without interference, and the whitening that replicas pass.

        scene: with the poses of its stations
        receiver: of the echo
        samples: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), without static
        paths, in noise of the power of the band
        known: the known symbols of the frame
        Returns the echo, of the same shape, and the whitening; None: the array stays as it is.
        """
        if not scene.propagation.on_own_elements:
            return samples, None
        if scene is not self._scene:
            self._span = arrival_span(scene, receiver)
            self._scene = scene
        noise_power_w = scene.propagation.noise_power_w
        powers, directions = measured_arrivals(
            samples[:, known.elements], self._span, noise_power_w
        )
        if self._mode == "nulls":
            whitening = whitening_of(powers, directions)
            return whitening.of_echo(samples), whitening

        # Noise and interference of an antenna, over the noise alone.
        level = 1 + np.sum(powers - 1) / len(samples)
        return samples / np.float32(np.sqrt(level)), None


def arrival_span(scene: Scene, receiver: Site) -> np.ndarray:
    """Orthonormal basis of the directions from which interferers arrive at a receiver.

    They are the strongest ones, such that one dimension of the antennas is left to targets.

    scene: seen on one band
    Returns [num_rx_ant, num_directions], complex128.
    """
    amplitudes = arrivals(scene, receiver)
    if not len(amplitudes):
        return np.zeros((receiver.num_ant, 0), complex)
    basis, values, _ = np.linalg.svd(amplitudes.T, full_matrices=False)
    is_strong = values > LEAST_ARRIVAL * values[0]
    most = max(receiver.num_ant - 1, 1)
    return basis[:, is_strong][:, :most]


def measured_arrivals(
    snapshots: np.ndarray, span: np.ndarray, noise_power_w: float
) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions of what arrives from a span of directions, and its power in each.

    snapshots: [num_rx_ant, num_snapshots], complex64, sqrt(W), samples of all antennas
    span: [num_rx_ant, num_directions], complex128, orthonormal
    noise_power_w: of an antenna, W
    Returns powers over that of noise [num_directions], float64, at least 1, and unit vectors
    [num_rx_ant, num_directions], complex128.
    """
    within = span.conj().T @ snapshots
    covariance = within @ within.conj().T / max(snapshots.shape[1], 1)
    powers_w, directions = np.linalg.eigh(covariance)
    return np.maximum(powers_w / noise_power_w, 1.0), span @ directions


def whitening_of(powers: np.ndarray, directions: np.ndarray) -> Whitening:
    """Whitening of noise and interference of known covariance.

    powers: [num_directions], float64, of both over that of noise alone
    directions: [num_rx_ant, num_directions], complex128, orthonormal; noise alone elsewhere
    """
    attenuation = 1 / np.sqrt(powers) - 1
    matrix = np.eye(len(directions)) + (directions * attenuation) @ directions.conj().T
    return Whitening(matrix.astype(np.complex64))
