"""Interference of other networks at a receiver: its level, or receive beams that null it.

The symbols of an interferer are unknown, so that it is noise with a covariance over the antennas
(sensing.whitening). It is measured in the span of the directions from which interferers arrive, and
is that of noise elsewhere: the covariance of all antennas contains the targets, too, and their
beams would null themselves.

Where the position of a receiver is uncertain, the span has all directions from which an interferer
may arrive, and the measurement finds in it the one from which it does.
"""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.interference import arrivals, arriving_paths
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, perpendicular_axes
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.whitening import Whitening
from cooperative_isac.waveform.signal import Component

# Amplitude of an arrival over the strongest one from which its direction is nulled: weaker ones are
# in its side lobes, 40 dB below it.
LEAST_ARRIVAL = 1e-2

# Mean power of an uncertain arrival in a direction, over that of the noise, from which the
# direction is nulled. Deviations of three times the standard one have 9 times the mean power in the
# slope of the arrival, 40 times in its curvature: below the noise, all the same.
LEAST_UNCERTAIN_POWER = 1e-2

# Directions along each axis by which the mean over an uncertain one is formed, up to 2.9 standard
# deviations from the middle: exact for value, slope, curvature and two more orders of the arrival.
NUM_DEVIATIONS = 5


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

    They are the strongest ones, such that one dimension of the antennas is left to targets. With an
    uncertain position they are those of its deviations, as far as these are above the noise.

    scene: seen on one band
    Returns [num_rx_ant, num_directions], complex128.
    """
    position_std_m = scene.station(receiver.name).position_std_m
    if position_std_m > 0:
        amplitudes = uncertain_arrivals(scene, receiver, position_std_m)
    else:
        amplitudes = arrivals(scene, receiver)
    if not len(amplitudes):
        return np.zeros((receiver.num_ant, 0), complex)
    basis, values, _ = np.linalg.svd(amplitudes.T, full_matrices=False)
    least = LEAST_ARRIVAL * values[0]
    if position_std_m > 0:
        least = np.sqrt(LEAST_UNCERTAIN_POWER * receiver_noise_w(scene, receiver))
    most = max(receiver.num_ant - 1, 1)
    return basis[:, values > least][:, :most]


def uncertain_arrivals(scene: Scene, receiver: Site, position_std_m: float) -> np.ndarray:
    """Arrivals of interferers whose sum of outer products is their mean over the receiver's place.

    A receiver that is off by a length across a path gets it from a direction that is off by this
    length over that of the path, along both axes across it. The mean over a normal distribution is
    formed by Gauss-Hermite quadrature.

    scene: seen on one band, with interferers on its resource elements
    position_std_m: of the receiver along each axis, m
    Returns [num_arrivals, num_rx_ant], complex128, sqrt(W) on each subcarrier.
    """
    paths = arriving_paths(scene, receiver)

    # Deviations of both angles, in standard deviations, and their probabilities.
    nodes, weights = np.polynomial.hermite_e.hermegauss(NUM_DEVIATIONS)
    deviations = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    probabilities = np.outer(weights, weights).ravel() / weights.sum() ** 2

    # Directions around that of each path.
    angle_std = position_std_m / (paths.delay_s * SPEED_OF_LIGHT_MPS)
    axes = [perpendicular_axes(direction) for direction in paths.aoa]
    across = np.array(axes).reshape(-1, 3, 2)
    turned = deviations @ across.transpose(0, 2, 1)
    turns = angle_std[:, None, None] * turned
    directions = paths.aoa[:, None] + turns
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)

    # Arrivals from them, each with its share of the power.
    steering = steering_vectors(receiver.elements_m, directions, scene.grid.wavelength_m)
    amplitude = np.multiply.outer(paths.amplitude, np.sqrt(probabilities))
    arriving = amplitude[..., None] * steering
    return arriving.reshape(-1, receiver.num_ant)


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
