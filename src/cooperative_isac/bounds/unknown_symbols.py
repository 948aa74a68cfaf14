"""The Cramer-Rao lower bound for who hears the echoes but is not told the symbols in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

from cooperative_isac.bounds.crlb import Bound, derivative_weights, joint_bound
from cooperative_isac.bounds.path_basis import receiver_basis
from cooperative_isac.channel.paths import PathSet
from cooperative_isac.scene.model import OfdmGrid, Scene, Site, TargetState
from cooperative_isac.waveform.frame import TransmitFrame

ROUNDING = 1e-9


def crlb_unknown_symbols(scene: Scene, frame: TransmitFrame, targets: Sequence[TargetState],
                         paths: Mapping[str, PathSet]) -> Bound:
    """CRLB as bounds.crlb's, but of the symbols only that they are independent, normal and of unit power is known.

    Precoders and noise power are known, reflections are not. An echo is then normal noise, and tells of targets by its
    covariance alone, the same for all phases of a receiver's reflections (Slepian-Bangs; S. M. Kay, Fundamentals of
    Statistical Signal Processing: Estimation Theory, eq. 15.52).
    """

    def information(site: Site, own: list[int]) -> np.ndarray:
        return _fisher_information(scene, frame, site, targets, paths[site.name], own)

    return joint_bound(scene, len(targets), paths, information)


@dataclass(frozen=True)
class _OneStream:
    """What a frame would be with ones for the symbols of one stream and none in the others."""

    frame: TransmitFrame
    stream: int

    @property
    def grid(self) -> OfdmGrid:
        return self.frame.grid

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        gains = self.frame.stream_gains(transmitter, steering)[:, :, [self.stream]]
        return np.repeat(np.repeat(gains, self.frame.group_size, 0), self.grid.num_symbols, 2)


def _fisher_information(scene: Scene, frame: TransmitFrame, site: Site, targets: Sequence[TargetState],
                        paths: PathSet, own: list[int]) -> np.ndarray:
    streams = [receiver_basis(scene, _OneStream(frame, stream), site, targets, paths)
               for stream in range(frame.precoders.shape[2])]
    basis, noise = streams[0], scene.propagation.noise_power_w
    receive = np.concatenate([path.receive for path in basis]).T / np.sqrt(noise)
    signal = np.stack([np.concatenate([path.signal for path in stream]) for stream in streams], -1).swapaxes(0, 1)
    changes = derivative_weights(basis, own, len(targets), scene.dimension)
    amplitudes = np.array([path.amplitude / path.gain for path in basis])
    echo = receive @ np.tensordot(amplitudes, changes[-2 * len(basis):-len(basis)], 1) @ signal
    whitening = np.linalg.inv(echo @ echo.conj().mT + np.eye(len(receive)))
    whitened = []
    for change in changes:
        product = receive @ change @ signal @ echo.conj().mT
        both = product + product.conj().mT
        told = np.linalg.norm(both) > ROUNDING * np.linalg.norm(product)
        whitened.append((whitening @ both).reshape(len(signal), -1) * told)
    rows = np.stack(whitened)
    transposed = rows.reshape(*rows.shape[:2], len(receive), -1).mT.reshape(rows.shape)
    fisher = np.tensordot(rows, transposed, ((1, 2), (1, 2))).real
    turn = np.concatenate([np.zeros(len(changes) - 2 * len(basis)), -amplitudes.imag, amplitudes.real])
    return fisher + np.trace(fisher) * np.outer(turn, turn)  # their common phase is none of the unknowns
