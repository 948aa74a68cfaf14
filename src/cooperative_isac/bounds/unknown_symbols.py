"""The Cramer-Rao lower bound for who hears the echoes but is not told the symbols in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.bounds.crlb import Bound, derivative_weights, states_covariance
from cooperative_isac.bounds.path_basis import PathBasis, owners, receiver_basis
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.model import OfdmGrid, Scene, TargetState
from cooperative_isac.waveform.signal import Signal

ROUNDING = 1e-9
BLOCK = 512  # resource elements at a time


def crlb_unknown_symbols(
    scene: Scene, frame: Signal, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> Bound:
    """CRLB as bounds.crlb's, but of the symbols only that they are independent, normal and of unit
    power is known.

    Precoders and noise power are known, reflections are not. Echoes are then normal noise, and tell
    of targets by their covariance alone, also between receivers, as all hear the same symbols. A
    phase common to the reflections of all that sends the same streams does not change it
    (Slepian-Bangs; S. M. Kay, Fundamentals of Statistical Signal
    Processing: Estimation Theory, eq. 15.52). ValueError for a frame with reference symbols, which
    everybody knows.
    """
    if frame.reference is not None:
        raise ValueError(
            f"frame {frame.number} has reference symbols, which are known; this bound is for a "
            "frame without them"
        )
    own = [target for site in scene.receivers for target in owners(paths[site.name], len(targets))]
    streams = [
        _all_paths(scene, _OneStream(frame, stream), targets, paths)
        for stream in range(frame.precoders.shape[2])
    ]
    size = scene.dimension
    fisher = (
        _fisher_information(streams, own, len(targets), size, scene.propagation.noise_power_w)
        if own
        else np.zeros((2 * size * len(targets),) * 2)
    )
    return Bound(states_covariance(fisher, np.array(2 * own, int), size), size)


@dataclass(frozen=True)
class _OneStream:
    """What a frame would be with ones for the symbols of one stream and none in the others."""

    frame: Signal
    stream: int

    @property
    def grid(self) -> OfdmGrid:
        """The resource elements of the frame."""
        return self.frame.grid

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Gains of the stream in given directions, as of Signal.toward."""
        gains = self.frame.stream_gains(transmitter, steering)[:, :, [self.stream]]
        return np.repeat(np.repeat(gains, self.frame.group_size, 0), self.grid.num_symbols, 2)


def _all_paths(
    scene: Scene, frame: _OneStream, targets: Sequence[TargetState], paths: Mapping[str, PathSet]
) -> list[PathBasis]:
    """Factors of all receivers' paths, as of one receiver that has all their antennas."""
    found, first, total = [], 0, sum(site.num_ant for site in scene.receivers)
    for site in scene.receivers:
        around = (0, 0), (first, total - first - site.num_ant)
        found += [
            replace(path, receive=np.pad(path.receive, around))
            for path in receiver_basis(scene, frame, site, targets, paths[site.name])
        ]
        first += site.num_ant
    return found


def _fisher_information(
    streams: Sequence[Sequence[PathBasis]],
    own: Sequence[int],
    num_targets: int,
    size: int,
    noise_power_w: float,
) -> np.ndarray:
    """FIM over what bounds.crlb's is; streams: factors of all paths, of each stream alone."""
    basis = streams[0]
    receive = np.concatenate([path.receive for path in basis]).T / np.sqrt(noise_power_w)
    signal = np.stack(
        [np.concatenate([path.signal for path in stream]) for stream in streams], -1
    ).swapaxes(0, 1)
    changes = derivative_weights(basis, own, num_targets, size)
    reflections = np.array([path.amplitude / path.gain for path in basis])
    echo = np.tensordot(reflections, changes[-2 * len(basis) : -len(basis)], 1)
    fisher = np.zeros((len(changes), len(changes)))
    for block in np.array_split(signal, -(-len(signal) // BLOCK)):
        fisher = fisher + _block_information(receive, block, echo, changes)
    return _with_phases(fisher, reflections)


def _block_information(
    receive: np.ndarray, signal: np.ndarray, echo: np.ndarray, changes: np.ndarray
) -> np.ndarray:
    """Slepian-Bangs over some resource elements, [parameters, parameters]; noise has unit power.

    receive: [num_rx_ant, receive factors]; signal: [elements, signal factors, streams]; echo,
    changes: weights of their products in the echo, and in its derivatives.
    """
    heard = receive @ echo @ signal
    whitening = np.linalg.inv(heard @ heard.conj().mT + np.eye(len(receive)))
    rows = []
    for change in changes:
        product = receive @ change @ signal @ heard.conj().mT
        both = product + product.conj().mT
        told = np.linalg.norm(both) > ROUNDING * np.linalg.norm(product)
        rows.append(whitening @ both * told)
    rows = np.stack(rows)
    return np.tensordot(rows, rows.mT, ((1, 2, 3), (1, 2, 3))).real


def _with_phases(fisher: np.ndarray, reflections: np.ndarray) -> np.ndarray:
    """The information with those phases of reflections known of which nothing tells, and which tell
    nothing.
    """
    num_paths = len(reflections)
    strengths = np.diag(fisher)[-2 * num_paths :].reshape(2, -1).sum(0) * np.abs(reflections) ** 2
    turns = np.zeros((len(fisher), num_paths))
    turns[-2 * num_paths :] = np.vstack([-np.diag(reflections.imag), np.diag(reflections.real)])
    turns /= np.sqrt(np.where(strengths > 0, strengths, 1.0))
    values, vectors = np.linalg.eigh(turns.T @ fisher @ turns)
    free = turns @ vectors[:, values < ROUNDING]
    free = free[:, np.any(free != 0, axis=0)]
    free /= np.sum(free**2, axis=0)
    return fisher + free @ free.T
