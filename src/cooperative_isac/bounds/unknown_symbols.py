"""The Cramer-Rao lower bound with unknown (Gaussian) symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.bounds.crlb import Bound, derivative_weights, states_covariance
from cooperative_isac.bounds.path_basis import PathBasis, owners, receiver_basis
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.waveform.signal import Signal

# Share of a norm, and information scaled to one, below which it counts as zero: above rounding in
# double precision, below all that is not zero by symmetry.
NUMERICAL_ZERO = 1e-9
# Resource elements that are processed at once, so that the arrays of all parameters fit into
# memory: 8 MB each for 32 antennas.
ELEMENTS_AT_ONCE = 512


def crlb_unknown_symbols(
    scene: Scene, signal: Signal, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> Bound:
    """CRLB of all targets where the symbols are unknown at the receivers.

    Like bounds.crlb.crlb, but symbols are only known to be independent, Gaussian and of unit
    power. Precoders and noise power are known, reflections are not. Echoes are then Gaussian noise
    whose covariance alone depends on the targets, also between receivers, as all receive the same
    symbols. A phase that is common to the reflections of all that sends the same streams does not
    change this covariance.

    scene: seen on one band
    signal: of the frame, of which the precoders are used
    targets: true states
    paths: each receiver's true paths, by its name
    Raises ValueError: the signal has reference symbols, which are known at every receiver.
    Source: Slepian-Bangs formula; S. M. Kay, Fundamentals of Statistical Signal Processing:
    Estimation Theory, eq. (15.52).
    """
    if signal.reference is not None:
        raise ValueError(
            f"frame {signal.number} has reference symbols, which are known; this bound is for a "
            "frame without them"
        )

    # Target of each path of all receivers; without paths there is no information.
    dimension = scene.dimension
    target_of_path = [
        target for site in scene.receivers for target in owners(paths[site.name], len(targets))
    ]
    if not target_of_path:
        num_states = 2 * dimension * len(targets)
        no_information = np.zeros((num_states, num_states))
        return Bound(states_covariance(no_information, np.zeros(0, int), dimension), dimension)

    # Factors of all paths for each stream alone.
    streams = [
        _all_receivers_basis(scene, _OneStream(signal, stream), targets, paths)
        for stream in range(signal.precoders.shape[2])
    ]
    fisher = _fisher_information(
        streams, target_of_path, len(targets), dimension, scene.propagation.noise_power_w
    )

    # Invert, with the real and imaginary part of each reflection as nuisance parameters.
    target_of_reflection = np.array(2 * target_of_path, int)
    return Bound(states_covariance(fisher, target_of_reflection, dimension), dimension)


@dataclass(frozen=True)
class _OneStream:
    """A signal with ones for the symbols of one stream, and zeros in all others."""

    signal: Signal
    stream: int

    @property
    def grid(self) -> OfdmGrid:
        """The resource elements of the frame."""
        return self.signal.grid

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Gains of the stream in given directions, as Signal.toward."""
        gains = self.signal.stream_gains(transmitter, steering)[:, :, [self.stream]]
        over_subcarriers = np.repeat(gains, self.signal.group_size, 0)
        return np.repeat(over_subcarriers, self.grid.num_symbols, 2)


def _all_receivers_basis(
    scene: Scene, signal: _OneStream, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> list[PathBasis]:
    """Factors of all receivers' paths, as of one receiver that has all their antennas."""
    num_ant = sum(site.num_ant for site in scene.receivers)
    basis: list[PathBasis] = []
    first = 0
    for site in scene.receivers:
        # Zeros at the antennas of the other receivers.
        padding = ((0, 0), (first, num_ant - first - site.num_ant))
        basis += [
            replace(path, receive=np.pad(path.receive, padding))
            for path in receiver_basis(scene, signal, site, targets, paths[site.name])
        ]
        first += site.num_ant
    return basis


def _fisher_information(
    streams: Sequence[Sequence[PathBasis]],
    target_of_path: Sequence[int],
    num_targets: int,
    dimension: int,
    noise_power_w: float,
) -> np.ndarray:
    """Fisher information over the parameters of bounds.crlb.fisher_information.

    streams: factors of all paths, of each stream alone
    """
    # Factors of all paths, whitened to noise of unit power: [num_rx_ant, receive factors] and
    # [elements, signal factors, streams].
    basis = streams[0]
    num_paths = len(basis)
    receive = np.concatenate([path.receive for path in basis]).T
    receive = receive / np.sqrt(noise_power_w)
    of_streams = [np.concatenate([path.signal for path in stream]) for stream in streams]
    signal = np.stack(of_streams, -1).swapaxes(0, 1)

    # Weights of the factors in the derivatives of the echo, and in the echo itself: the sum of its
    # derivatives with the real parts of the reflections, times the reflections.
    derivatives = derivative_weights(basis, target_of_path, num_targets, dimension)
    reflections = np.array([path.amplitude / path.gain for path in basis])
    of_real_parts = derivatives[-2 * num_paths : -num_paths]
    echo = np.tensordot(reflections, of_real_parts, 1)

    # Independent symbols: the information of the resource elements adds up.
    num_blocks = -(-len(signal) // ELEMENTS_AT_ONCE)
    fisher = np.zeros((len(derivatives), len(derivatives)))
    for block in np.array_split(signal, num_blocks):
        fisher = fisher + _block_information(receive, block, echo, derivatives)
    return _with_common_phases(fisher, reflections)


def _block_information(
    receive: np.ndarray, signal: np.ndarray, echo: np.ndarray, derivatives: np.ndarray
) -> np.ndarray:
    """Slepian-Bangs information of some resource elements, in noise of unit power.

    The factors are those of all paths' echoes and of their derivatives (PathBasis): an echo is a
    weighted sum of receive factors times signal factors.

    receive: [num_rx_ant, num_receive_factors], complex128, array responses and their derivatives
    signal: [num_elements, num_signal_factors, num_streams], complex128, signals over the paths and
    their derivatives
    echo: [num_receive_factors, num_signal_factors], weights of the factors in the echo
    derivatives: [num_parameters, num_receive_factors, num_signal_factors], weights of the factors
    in the derivative of the echo with each parameter
    Returns [num_parameters, num_parameters], float64.
    """
    # Channel from the streams to the antennas, and covariance R of the echo.
    channel = receive @ echo @ signal
    covariance = channel @ channel.conj().mT + np.eye(len(receive))
    inverse = np.linalg.inv(covariance)

    # R^-1 dR of each parameter, zero where dR is only a rounding error.
    relative_slopes = []
    for derivative in derivatives:
        product = receive @ derivative @ signal @ channel.conj().mT
        covariance_slope = product + product.conj().mT
        is_observable = np.linalg.norm(covariance_slope) > NUMERICAL_ZERO * np.linalg.norm(product)
        relative_slopes.append(inverse @ covariance_slope * is_observable)

    # Information tr(R^-1 dR_i R^-1 dR_j) of all pairs of parameters, summed over the elements.
    # [num_parameters, num_elements, num_rx_ant, num_rx_ant]
    relative = np.stack(relative_slopes)
    return np.tensordot(relative, relative.mT, ((1, 2, 3), (1, 2, 3))).real


def _with_common_phases(fisher: np.ndarray, reflections: np.ndarray) -> np.ndarray:
    """Remove the unobservable common phases of the reflections.

    They are treated as known, which changes no other parameter's bound, as the echo's covariance
    does not depend on them.

    fisher: [num_parameters, num_parameters], float64, reflections last
    reflections: [num_paths], complex128
    """
    num_paths = len(reflections)
    first_reflection = len(fisher) - 2 * num_paths

    # Derivatives of the parameters with the phase of each reflection: its real part changes by
    # minus its imaginary part, its imaginary part by its real part.
    of_real = -np.diag(reflections.imag)
    of_imaginary = np.diag(reflections.real)
    phases = np.zeros((len(fisher), num_paths))
    phases[first_reflection:] = np.vstack([of_real, of_imaginary])

    # Scale them to about unit information.
    of_reflections = np.diag(fisher)[first_reflection:]
    information = of_reflections.reshape(2, num_paths).sum(axis=0)
    phase_information = information * np.abs(reflections) ** 2
    scale = np.sqrt(np.where(phase_information > 0, phase_information, 1.0))
    phases /= scale

    # Combinations of phases without information.
    eigenvalues, eigenvectors = np.linalg.eigh(phases.T @ fisher @ phases)
    without = eigenvectors[:, eigenvalues < NUMERICAL_ZERO]
    unobservable = phases @ without

    # A reflection of zero has no phase.
    has_phase = np.any(unobservable != 0, axis=0)
    unobservable = unobservable[:, has_phase]

    # Add information about them: one along each combination v, by v v^T / |v|^4.
    unobservable /= np.sum(unobservable**2, axis=0)
    return fisher + unobservable @ unobservable.T
