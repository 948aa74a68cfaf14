"""The Cramer-Rao lower bound of location and velocity, CF eqs. (22)-(28)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.bounds.path_basis import PathBasis, owners, path_basis, receiver_basis
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.model import Scene, Site, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Signal

UNSEEN = 1e-12


@dataclass(frozen=True)
class Bound:
    """covariance: [2 D Q, 2 D Q], the CRLB of psi = (all locations, all velocities), D dimensions,
    Q targets.

    What the echoes do not tell has variance inf and covariance 0 with all else.
    """

    covariance: np.ndarray
    dimension: int

    @property
    def location_m(self) -> np.ndarray:
        """Root CRLB of each target's location, summed over axes, [Q], m; inf where not told."""
        return np.sqrt(self._variances[0].sum(axis=-1))

    @property
    def velocity_mps(self) -> np.ndarray:
        """Root CRLB of each target's velocity, summed over axes, [Q], m/s; inf where not told."""
        return np.sqrt(self._variances[1].sum(axis=-1))

    @property
    def _variances(self) -> np.ndarray:
        return np.diag(self.covariance).reshape(2, -1, self.dimension)


def crlb(
    scene: Scene, frame: Signal, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> Bound:
    """CRLB of all targets from all receivers, with every path's complex reflection unknown (CF eq.
    24).

    frame: the symbols that the receivers know; paths: each receiver's true paths, by its name.
    """
    only = Frame(frame.number, {scene.band: frame})
    return network_crlb(scene, only, targets, {scene.band: paths})


def network_crlb(
    scene: Scene,
    frame: Frame,
    targets: Sequence[TargetState],
    paths: Mapping[str, Mapping[str, PathSet]],
) -> Bound:
    """CRLB of all targets from all links of all bands on the air (scene.links).

    Every path's complex reflection is unknown; clocks and poses of the stations are known. The
    information of the bands and links adds up, each with its own wavelength, noise and moving ends.

    frame: the symbols that the receivers know
    paths: true paths by name of the band, then of the receiver
    """
    size = scene.dimension
    parts = []
    reflecting: list[int] = []
    posed = scene.posed(frame.poses)
    for band, signal in frame.signals.items():
        view = posed.on(band)
        for site in view.receivers:
            used = _linked(view, site, paths[band][site.name])
            own = owners(used, len(targets))
            if not own:
                continue
            basis = receiver_basis(view, signal, site, targets, used)
            noise_power_w = receiver_noise_w(view, site)
            parts.append(fisher_information(basis, own, len(targets), size, noise_power_w))
            reflecting += 2 * own
    joined = _joined(parts, 2 * size * len(targets))
    return Bound(states_covariance(joined, np.array(reflecting, int), size), size)


def _linked(view: Scene, receiver: Site, paths: PathSet) -> PathSet:
    """The paths of the transmitters whose echoes a receiver uses."""
    return paths.chosen(np.isin(paths.transmitter, view.linked_transmitters(receiver.name)))


def path_information(
    scene: Scene,
    frame: Signal,
    receiver: Site,
    transmitter: int,
    target: TargetState,
    amplitude: complex,
) -> np.ndarray:
    """Information of a single path about (location, velocity) with its reflection unknown, [2 D, 2
    D].
    """
    basis = path_basis(scene, frame, receiver, transmitter, target, amplitude, abs(amplitude))
    noise_power_w = receiver_noise_w(scene, receiver)
    fisher = fisher_information([basis], [0], 1, scene.dimension, noise_power_w)
    return _schur(fisher, 2 * scene.dimension)


def fisher_information(
    basis: Sequence[PathBasis],
    owners: Sequence[int],
    num_targets: int,
    size: int,
    noise_power_w: float,
) -> np.ndarray:
    """FIM of CF eq. 23 of one receiver over (locations, velocities, Re beta, Im beta of each path).

    Every derivative of rho is a sum of products (receive factor) x (signal factor) of its paths, so
    that only small Gram matrices of the factors are needed. Returns [2 D Q + 2 P, 2 D Q + 2 P].
    """
    receive = np.concatenate([path.receive for path in basis])
    signal = np.concatenate([path.signal for path in basis])
    weights = derivative_weights(basis, owners, num_targets, size)
    products = (receive.conj() @ receive.T) @ weights @ (signal.conj() @ signal.T).T
    flat = weights.reshape(len(weights), -1)
    return 2 / noise_power_w * np.real(flat.conj() @ products.reshape(flat.shape).T)


def derivative_weights(
    basis: Sequence[PathBasis], owners: Sequence[int], num_targets: int, size: int
) -> np.ndarray:
    """Weight of each pair of factors in each parameter's derivative, [parameters, receive factors,
    signal factors].
    """
    num_paths = len(basis)
    weights = np.zeros(
        (
            2 * size * num_targets + 2 * num_paths,
            num_paths * (1 + size),
            num_paths * (1 + 2 * size),
        ),
        complex,
    )
    for index, (path, owner) in enumerate(zip(basis, owners)):
        row, column = index * (1 + size), index * (1 + 2 * size)
        for axis in range(size):
            location, velocity = owner * size + axis, (num_targets + owner) * size + axis
            weights[location, row + 1 + axis, column] = path.amplitude
            weights[location, row, column + 1 + axis] = path.amplitude
            weights[velocity, row, column + 1 + size + axis] = path.amplitude
        reflection = 2 * size * num_targets + index
        weights[reflection, row, column] = path.gain
        weights[reflection + num_paths, row, column] = 1j * path.gain
    return weights


def _joined(parts: Sequence[np.ndarray], wanted: int) -> np.ndarray:
    """Information of all receivers: the first `wanted` parameters are shared, reflections each
    one's own.
    """
    order = wanted + sum(len(part) - wanted for part in parts)
    total, begin = np.zeros((order, order)), wanted
    for part in parts:
        end = begin + len(part) - wanted
        index = np.r_[:wanted, begin:end]
        total[np.ix_(index, index)] += part
        begin = end
    return total


def states_covariance(fisher: np.ndarray, owners: np.ndarray, size: int) -> np.ndarray:
    """Covariance of the states with all reflections unknown (inverse of CF eq. 24), inf where
    nothing is told.

    owners: target of each reflection parameter. Targets whose reflections can replace each other
    are not told.
    """
    wanted = len(fisher) - len(owners)
    scale = _scales(np.diag(fisher), wanted, size)
    values, vectors = np.linalg.eigh(fisher / np.outer(scale, scale))
    seen = values > UNSEEN
    states = vectors[:wanted, seen] / scale[:wanted, None]
    covariance = (states / values[seen]) @ states.T
    hidden = np.sum(vectors[:, ~seen] ** 2, axis=1)
    mixed = owners[(hidden[wanted:] > UNSEEN) & (hidden[wanted:] < 1 - UNSEEN)]
    owner_of_state = np.tile(np.repeat(np.arange(wanted // (2 * size)), size), 2)
    lost = (hidden[:wanted] > UNSEEN) | np.isin(owner_of_state, mixed)
    covariance[lost] = covariance[:, lost] = 0
    covariance[lost, lost] = np.inf
    return covariance


def _scales(diagonal: np.ndarray, wanted: int, size: int) -> np.ndarray:
    """Root information of each parameter by itself; of locations and velocities, that of the best
    axis.
    """
    best = diagonal[:wanted].reshape(-1, size).max(axis=1)
    scale = np.sqrt(np.concatenate([np.repeat(best, size), diagonal[wanted:]]))
    return np.where(scale > 0, scale, 1.0)


def _schur(fisher: np.ndarray, unknowns: int) -> np.ndarray:
    """Information about the first `unknowns` parameters with the others unknown (CF eq. 24)."""
    cross = fisher[:unknowns, unknowns:]
    return fisher[:unknowns, :unknowns] - cross @ np.linalg.solve(
        fisher[unknowns:, unknowns:], cross.T
    )
