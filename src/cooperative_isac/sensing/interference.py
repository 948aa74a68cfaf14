"""Interference of other networks at a receiver: its level, or receive beams that null it.

The symbols of an interferer are unknown, so that it is noise with a covariance over the antennas
(sensing.whitening). It is measured in the span of the directions from which interferers arrive, and
is that of noise elsewhere: the covariance of all antennas contains the targets, too, and their
beams would null themselves.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.interference import arrivals
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.whitening import Whitening
from cooperative_isac.waveform.signal import Component

# Amplitude of an arrival over the strongest one from which its direction is nulled: weaker ones are
# in its side lobes, 40 dB below it.
LEAST_ARRIVAL = 1e-2


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
