"""The Cramer-Rao lower bound of location and velocity, CF eqs. (22)-(28)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

from cooperative_isac.bounds.path_basis import PathBasis, path_basis, receiver_basis
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.model import Scene, Site, TargetState
from cooperative_isac.waveform.frame import TransmitFrame


@dataclass(frozen=True)
class Bound:
    """covariance: [2 D Q, 2 D Q], the CRLB of psi = (all locations, all velocities), D dimensions, Q targets."""

    covariance: np.ndarray
    dimension: int

    @property
    def location_m(self) -> np.ndarray:
        """Root CRLB of each target's location, summed over axes, [Q], m."""
        return np.sqrt(self._variances[0].sum(axis=-1))

    @property
    def velocity_mps(self) -> np.ndarray:
        """Root CRLB of each target's velocity, summed over axes, [Q], m/s."""
        return np.sqrt(self._variances[1].sum(axis=-1))

    @property
    def _variances(self) -> np.ndarray:
        return np.diag(self.covariance).reshape(2, -1, self.dimension)


def crlb(scene: Scene, frame: TransmitFrame, targets: Sequence[TargetState], paths: Mapping[str, PathSet]) -> Bound:
    """CRLB of all targets from all receivers, with every path's complex reflection unknown (CF eq. 24).

    frame: the symbols that the receivers know; paths: each receiver's true paths, by its name.
    """
    size = scene.dimension
    unknowns = 2 * size * len(targets)
    effective = np.zeros((unknowns, unknowns))
    for site in scene.receivers:
        basis = receiver_basis(scene, frame, site, targets, paths[site.name])
        owners = [q for q in paths[site.name].scatterer if q < len(targets)]
        fisher = fisher_information(basis, owners, len(targets), size, scene.propagation.noise_power_w)
        effective += _schur(fisher, unknowns)
    return Bound(np.linalg.pinv(effective, hermitian=True), size)


def path_information(scene: Scene, frame: TransmitFrame, receiver: Site, transmitter: int, target: TargetState,
                     amplitude: complex) -> np.ndarray:
    """Information of a single path about (location, velocity) with its reflection unknown, [2 D, 2 D]."""
    basis = path_basis(scene, frame, receiver, transmitter, target, amplitude, abs(amplitude))
    fisher = fisher_information([basis], [0], 1, scene.dimension, scene.propagation.noise_power_w)
    return _schur(fisher, 2 * scene.dimension)


def fisher_information(basis: Sequence[PathBasis], owners: Sequence[int], num_targets: int, size: int,
                       noise_power_w: float) -> np.ndarray:
    """FIM of CF eq. 23 of one receiver over (locations, velocities, Re beta, Im beta of each path).

    Every derivative of rho is a sum of products (receive factor) x (signal factor) of its paths, so that only small
    Gram matrices of the factors are needed. Returns [2 D Q + 2 P, 2 D Q + 2 P].
    """
    receive = np.concatenate([path.receive for path in basis])
    signal = np.concatenate([path.signal for path in basis])
    weights = _derivative_weights(basis, owners, num_targets, size)
    products = (receive.conj() @ receive.T) @ weights @ (signal.conj() @ signal.T).T
    flat = weights.reshape(len(weights), -1)
    return 2 / noise_power_w * np.real(flat.conj() @ products.reshape(flat.shape).T)


def _derivative_weights(basis, owners, num_targets, size) -> np.ndarray:
    """Weight of each pair of factors in each parameter's derivative, [parameters, receive factors, signal factors]."""
    num_paths = len(basis)
    weights = np.zeros((2 * size * num_targets + 2 * num_paths, num_paths * (1 + size), num_paths * (1 + 2 * size)),
                       complex)
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


def _schur(fisher: np.ndarray, unknowns: int) -> np.ndarray:
    """Information about the first `unknowns` parameters with the others unknown (CF eq. 24)."""
    cross = fisher[:unknowns, unknowns:]
    return fisher[:unknowns, :unknowns] - cross @ np.linalg.solve(fisher[unknowns:, unknowns:], cross.T)
