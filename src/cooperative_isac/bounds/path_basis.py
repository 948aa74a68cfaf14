"""The noiseless echo of each path and its derivatives, kept as products of small factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cooperative_isac.channel.echo import path_phases
from cooperative_isac.channel.gain import gain_slope, unit_gain
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry
from cooperative_isac.scene.link_geometry import link_geometry, site_velocity
from cooperative_isac.scene.model import OfdmGrid, Scene, Site, TargetState


class Transmission(Protocol):
    """What the transmitters send in one frame: a Signal, or a part of one."""

    @property
    def grid(self) -> OfdmGrid:
        """The resource elements of the frame."""

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Signal in given directions, as of Signal.toward."""


@dataclass(frozen=True)
class PathBasis:
    """One path's echo rho = A a_r (x) u and what its derivatives are made of (CF eqs. 31-41),
    dimension D.

    receive: [1 + D, num_rx_ant], a_r and its location derivatives;
    signal: [1 + 2 D, num_samples], complex128: u, then its derivatives with location, then with
    velocity;
    amplitude: A = beta sqrt(PL); gain: sqrt(PL).
    """

    receive: np.ndarray
    signal: np.ndarray
    amplitude: complex
    gain: float


def path_basis(
    scene: Scene,
    frame: Transmission,
    receiver: Site,
    transmitter: int,
    target: TargetState,
    amplitude: complex,
    gain: float,
) -> PathBasis:
    """Factors of one path; phase ramps are centered, which the unknown phase of beta absorbs."""
    size, wavelength = scene.dimension, frame.grid.wavelength_m
    site = scene.transmitters[transmitter]
    path = link_geometry(site, receiver, target.position_m, target.velocity_mps, wavelength)
    doppler_slope = path.doppler_location_gradient(
        target.velocity_mps, wavelength, site_velocity(site), site_velocity(receiver)
    )
    receive = _with_derivatives(receiver, path.aoa, path.rx_distance_m, wavelength, size)
    departure = _with_derivatives(site, path.aod, path.tx_distance_m, wavelength, size)
    return PathBasis(
        receive,
        _signal_derivatives(scene, frame, transmitter, departure, path, doppler_slope),
        amplitude,
        gain,
    )


def _with_derivatives(site: Site, direction, distance_m, wavelength_m, size) -> np.ndarray:
    steering = steering_vectors(site.elements_m, direction, wavelength_m)
    return np.vstack(
        [
            steering,
            steering_derivatives(site.elements_m, direction, distance_m, wavelength_m)[:, :size].T,
        ]
    )


def _signal_derivatives(
    scene: Scene,
    frame: Transmission,
    transmitter: int,
    departure: np.ndarray,
    path: BistaticGeometry,
    doppler_slope: np.ndarray,
) -> np.ndarray:
    size, grid = scene.dimension, frame.grid
    over_subcarriers, over_symbols = path_phases(grid, path.delay_s[None], path.doppler_hz[None])
    toward = frame.toward(transmitter, departure) * (over_subcarriers[:, :, None] * over_symbols)
    ramp = 2j * np.pi * (grid.subcarrier_offsets_hz - grid.subcarrier_offsets_hz.mean())[:, None]
    turn = 2j * np.pi * (grid.symbol_times_s - grid.symbol_times_s.mean())
    delay_slope = path.range_gradient / SPEED_OF_LIGHT_MPS
    amplitude_slope = gain_slope(scene, path)
    echo = toward[:, 0]
    rows = [echo]
    rows += [
        toward[:, 1 + axis]
        + (amplitude_slope[axis] - ramp * delay_slope[axis] + turn * doppler_slope[axis]) * echo
        for axis in range(size)
    ]
    rows += [turn * (-path.range_gradient[axis] / grid.wavelength_m) * echo for axis in range(size)]
    return np.stack(rows).reshape(len(rows), -1)


def receiver_basis(
    scene: Scene, frame: Transmission, receiver: Site, targets, paths: PathSet
) -> list[PathBasis]:
    """Factors of one receiver's direct target paths, in the order of `owners`."""
    basis = []
    for transmitter, index, amplitude in _target_paths(paths, len(targets)):
        gain = _middle_gain(scene, receiver, transmitter, targets[index])
        basis.append(
            path_basis(scene, frame, receiver, transmitter, targets[index], amplitude, gain)
        )
    return basis


def owners(paths: PathSet, num_targets: int) -> list[int]:
    """The target of each path that receiver_basis has factors of."""
    return [index for _, index, _ in _target_paths(paths, num_targets)]


def _target_paths(paths: PathSet, num_targets: int) -> list[tuple[int, int, complex]]:
    """Transmitter, target and amplitude of each pair that has direct paths, in their order.

    A bound is for points: the points of a body act as one at its middle, with the sum of their
    amplitudes. Paths that the static world reflects on their way are left out, as no scheme looks
    for them.
    """
    sums: dict[tuple[int, int], complex] = {}
    reflected = np.zeros(len(paths.scatterer), bool) if paths.reflected is None else paths.reflected
    of_targets = paths.scatterer < num_targets
    if paths.kind is not None:
        of_targets &= paths.kind == PathKind.TARGET
    for place in np.flatnonzero(of_targets & ~reflected):
        pair = int(paths.transmitter[place]), int(paths.scatterer[place])
        sums[pair] = sums[pair] + paths.amplitude[place] if pair in sums else paths.amplitude[place]
    return [(transmitter, index, amplitude) for (transmitter, index), amplitude in sums.items()]


def _middle_gain(scene: Scene, receiver: Site, transmitter: int, target: TargetState) -> float:
    """unit_gain of one transmitter's path by way of a target's middle."""
    site = scene.transmitters[transmitter]
    wavelength = scene.grid.wavelength_m
    path = link_geometry(site, receiver, target.position_m, target.velocity_mps, wavelength)
    return float(unit_gain(scene, site, receiver, path))
