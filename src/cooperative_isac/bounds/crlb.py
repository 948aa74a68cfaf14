"""The Cramer-Rao lower bound of location and velocity, CF eqs. (22)-(28)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.bounds.path_basis import (
    PathBasis,
    owners,
    path_basis,
    receiver_basis,
)
from cooperative_isac.channel.interference import interference_covariance
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.reflected import with_reflectors
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Signal, Transmission

# Eigenvalue of the Fisher information, scaled to ones on its diagonal, below which a combination of
# parameters counts as unobservable, and share of a parameter in such combinations that counts as
# none: far above the rounding of a decomposition in double precision (1e-15 times the matrix size),
# far below any information that still gives a useful bound.
LEAST_EIGENVALUE = 1e-12


@dataclass(frozen=True)
class Bound:
    """The CRLB of the states of all targets.

    covariance: [2 D Q, 2 D Q], float64, m^2, m^2/s and (m/s)^2, of psi = (all locations, all
    velocities), D dimensions, Q targets. Unobservable parameters have variance inf, and covariance
    0 with all others.
    dimension: D, 2 or 3
    """

    covariance: np.ndarray
    dimension: int

    @property
    def location_m(self) -> np.ndarray:
        """Root CRLB of each target's location, summed over axes, [Q], m; inf if unobservable."""
        return np.sqrt(self._variances[0].sum(axis=-1))

    @property
    def velocity_mps(self) -> np.ndarray:
        """Root CRLB of each target's velocity, summed over axes, [Q], m/s; inf if unobservable."""
        return np.sqrt(self._variances[1].sum(axis=-1))

    @property
    def _variances(self) -> np.ndarray:
        """Variances of locations and of velocities, [2, Q, D]."""
        return np.diag(self.covariance).reshape(2, -1, self.dimension)


def crlb(
    scene: Scene, signal: Signal, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> Bound:
    """CRLB of all targets from all receivers, with every path's complex reflection unknown.

    scene: seen on one band
    signal: with symbols that are known at the receivers
    targets: true states
    paths: each receiver's true paths, by its name
    Source: CF eq. (24).
    """
    frame = Frame(signal.number, {scene.band: signal})
    return network_crlb(scene, frame, targets, {scene.band: paths})


def network_crlb(
    scene: Scene,
    frame: Frame,
    targets: Sequence[TargetState],
    paths: Mapping[str, Mapping[str, PathSet]],
    known: Mapping[str, Transmission] | None = None,
) -> Bound:
    """CRLB of all targets from all links of all bands on the air (scene.links).

    Every path's complex reflection is unknown; clocks and poses of the stations are known. The
    information of the bands and links adds up, each with its own wavelength, noise and moving ends.
    Where the scene uses reflections, that of paths by way of its reflectors does, too.

    scene: of one or several bands
    frame: with the poses of the stations
    targets: true states
    paths: true paths by name of the band, then of the receiver
    known: part of each band's signal with known symbols, by name; None: the whole signals
    Source: CF eqs. (22)-(28).
    """
    dimension = scene.dimension
    num_targets = len(targets)
    posed = scene.posed(frame.poses)

    # Fisher information of each receiver on each band.
    parts: list[np.ndarray] = []
    target_of_reflection: list[int] = []
    signals = frame.signals if known is None else known
    for band, signal in signals.items():
        direct = posed.on(band)
        for view in with_reflectors(direct):
            for site in view.receivers:
                used = _seen(_linked(view, site, paths[band][site.name]), view.surface)
                target_of_path = owners(used, num_targets)
                if not target_of_path:
                    continue
                basis = receiver_basis(view, signal, site, targets, used)
                # The interference arrives at the receiver itself, also where paths do at its image.
                basis = _in_interference(direct, direct.receiver(site.name), basis)
                noise_w = receiver_noise_w(view, site)
                parts.append(
                    fisher_information(basis, target_of_path, num_targets, dimension, noise_w)
                )
                # Real and imaginary part of each reflection.
                target_of_reflection += 2 * target_of_path

    # Sum over the receivers, then invert with the reflections as nuisance parameters.
    fisher = _summed_information(parts, 2 * dimension * num_targets)
    covariance = states_covariance(fisher, np.array(target_of_reflection, int), dimension)
    return Bound(covariance, dimension)


def _in_interference(
    view: Scene, receiver: Site, basis: Sequence[PathBasis]
) -> Sequence[PathBasis]:
    """Factors at antennas whose interference and noise were made white (channel.interference).

    The unknown symbols of interferers are Gaussian noise of known covariance here.
    """
    if not view.propagation.on_own_elements:
        return basis
    noise = receiver_noise_w(view, receiver) * np.eye(receiver.num_ant)
    covariance = noise + interference_covariance(view, receiver)

    # Root of the inverse covariance, over that of the noise.
    powers_w, directions = np.linalg.eigh(covariance)
    gains = np.sqrt(receiver_noise_w(view, receiver) / powers_w)
    whitening = (directions * gains) @ directions.conj().T
    return [replace(path, receive=path.receive @ whitening.T) for path in basis]


def _linked(view: Scene, receiver: Site, paths: PathSet) -> PathSet:
    """The paths of the transmitters whose echoes a receiver uses."""
    return paths.chosen(np.isin(paths.transmitter, view.linked_transmitters(receiver.name)))


def _seen(paths: PathSet, surface: int | None) -> PathSet:
    """The paths to a receiver by way of a surface, as straight paths to its image.

    surface: index among the surfaces of the world; None: all paths as they are
    """
    if surface is None or paths.mirror is None:
        return paths
    return replace(paths.chosen(paths.mirror == surface), reflected=None)


def path_information(
    scene: Scene,
    signal: Signal,
    receiver: Site,
    transmitter: int,
    target: TargetState,
    amplitude: complex,
) -> np.ndarray:
    """Information of a single path about (location, velocity), with its reflection unknown.

    scene: seen on one band
    signal: with known symbols
    receiver: receiving station
    transmitter: index of the transmitting station
    target: true state
    amplitude: of the path, beta sqrt(PL)
    Returns [2 D, 2 D], float64, 1/m^2, s/m^2 and s^2/m^2.
    Source: CF eq. (24) of one path.
    """
    basis = path_basis(scene, signal, receiver, transmitter, target, amplitude, abs(amplitude))
    noise_power_w = receiver_noise_w(scene, receiver)
    fisher = fisher_information([basis], [0], 1, scene.dimension, noise_power_w)
    return _schur_complement(fisher, 2 * scene.dimension)


def fisher_information(
    basis: Sequence[PathBasis],
    target_of_path: Sequence[int],
    num_targets: int,
    dimension: int,
    noise_power_w: float,
) -> np.ndarray:
    """Fisher information of one receiver's echo about target states and path reflections.

    Every derivative of the echo is a sum of products (receive factor) x (signal factor) of its
    paths, so that only small Gram matrices of the factors are needed.

    basis: factors of the P paths
    target_of_path: [P], index of the target of each path
    num_targets: Q
    dimension: D, 2 or 3
    noise_power_w: per antenna, subcarrier and symbol, W
    Returns [2 D Q + 2 P, 2 D Q + 2 P], float64, over (locations, velocities, Re beta, Im beta).
    Source: CF eq. (23).
    """
    # Inner products of all receive factors, and of all signal factors.
    receive = np.concatenate([path.receive for path in basis])
    signal = np.concatenate([path.signal for path in basis])
    receive_gram = receive.conj() @ receive.T
    signal_gram = signal.conj() @ signal.T

    # Inner products of the derivatives with respect to each pair of parameters.
    weights = derivative_weights(basis, target_of_path, num_targets, dimension)
    products = receive_gram @ weights @ signal_gram.T
    flat_weights = weights.reshape(len(weights), -1)
    flat_products = products.reshape(flat_weights.shape)
    derivative_gram = flat_weights.conj() @ flat_products.T

    # Information of a signal with known derivatives in circular Gaussian noise.
    return 2 / noise_power_w * np.real(derivative_gram)


def derivative_weights(
    basis: Sequence[PathBasis], target_of_path: Sequence[int], num_targets: int, dimension: int
) -> np.ndarray:
    """Weight of each pair of factors in the derivative of the echo with each parameter.

    basis: factors of the P paths
    target_of_path: [P], index of the target of each path
    num_targets: Q
    dimension: D, 2 or 3
    Returns [2 D Q + 2 P, P (1 + D), P (1 + 2 D)], complex128: parameters, receive factors, signal
    factors.
    """
    num_paths = len(basis)
    num_states = 2 * dimension * num_targets
    shape = (
        num_states + 2 * num_paths,
        num_paths * (1 + dimension),
        num_paths * (1 + 2 * dimension),
    )
    weights = np.zeros(shape, complex)

    for index, (path, target) in enumerate(zip(basis, target_of_path)):
        # Indices of a path's steering vector and of its signal, followed by their derivatives.
        steering = index * (1 + dimension)
        signal = index * (1 + 2 * dimension)

        # State: location changes both factors, velocity the signal alone.
        for axis in range(dimension):
            location = target * dimension + axis
            velocity = (num_targets + target) * dimension + axis
            weights[location, steering + 1 + axis, signal] = path.amplitude
            weights[location, steering, signal + 1 + axis] = path.amplitude
            weights[velocity, steering, signal + 1 + dimension + axis] = path.amplitude

        # Reflection: real and imaginary part.
        weights[num_states + index, steering, signal] = path.gain
        weights[num_states + num_paths + index, steering, signal] = 1j * path.gain
    return weights


def _summed_information(parts: Sequence[np.ndarray], num_states: int) -> np.ndarray:
    """Information of all receivers about common states and about the reflections of each.

    parts: [num_states + num_reflections, num_states + num_reflections] of each receiver
    """
    order = num_states + sum(len(part) - num_states for part in parts)
    total = np.zeros((order, order))
    begin = num_states
    for part in parts:
        end = begin + len(part) - num_states
        index = np.r_[:num_states, begin:end]
        total[np.ix_(index, index)] += part
        begin = end
    return total


def states_covariance(
    fisher: np.ndarray, target_of_reflection: np.ndarray, dimension: int
) -> np.ndarray:
    """Covariance of the states with all reflections unknown, inf where it is unobservable.

    If the reflections of several targets can replace each other in the echo, the states of these
    targets are unobservable, too.

    fisher: [num_states + num_reflections, num_states + num_reflections], float64
    target_of_reflection: [num_reflections], int, target of each reflection parameter
    Returns [num_states, num_states], float64, as Bound.covariance.
    Source: inverse of CF eq. (24).
    """
    num_states = len(fisher) - len(target_of_reflection)
    num_targets = num_states // (2 * dimension)

    # Pseudo-inverse of the scaled information, over its observable directions.
    scale = _scales(np.diag(fisher), num_states, dimension)
    eigenvalues, eigenvectors = np.linalg.eigh(fisher / np.outer(scale, scale))
    observable = eigenvalues > LEAST_EIGENVALUE
    states = eigenvectors[:num_states, observable] / scale[:num_states, None]
    covariance = (states / eigenvalues[observable]) @ states.T

    # Parameters with a share in the unobservable directions.
    unobservable = np.sum(eigenvectors[:, ~observable] ** 2, axis=1)
    of_states = unobservable[:num_states]
    of_reflections = unobservable[num_states:]

    # A reflection that is unobservable in part can be replaced by those of other targets.
    in_part = (of_reflections > LEAST_EIGENVALUE) & (of_reflections < 1 - LEAST_EIGENVALUE)
    ambiguous_targets = target_of_reflection[in_part]
    target_of_state = np.tile(np.repeat(np.arange(num_targets), dimension), 2)

    lost = (of_states > LEAST_EIGENVALUE) | np.isin(target_of_state, ambiguous_targets)
    covariance[lost] = 0
    covariance[:, lost] = 0
    covariance[lost, lost] = np.inf
    return covariance


def _scales(information: np.ndarray, num_states: int, dimension: int) -> np.ndarray:
    """Root information of each parameter by itself, which scales the Fisher matrix.

    A location or velocity has the scale of its best axis on all axes, so that an axis without
    information stays recognizable.

    information: [num_parameters], diagonal of the Fisher matrix
    """
    best = information[:num_states].reshape(-1, dimension).max(axis=1)
    scale = np.sqrt(np.concatenate([np.repeat(best, dimension), information[num_states:]]))
    return np.where(scale > 0, scale, 1.0)


def _schur_complement(fisher: np.ndarray, num_states: int) -> np.ndarray:
    """Information about the first parameters with all others unknown (CF eq. 24)."""
    states = fisher[:num_states, :num_states]
    cross = fisher[:num_states, num_states:]
    reflections = fisher[num_states:, num_states:]
    return states - cross @ np.linalg.solve(reflections, cross.T)
