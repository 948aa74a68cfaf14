"""The noiseless echo of each path and its derivatives, kept as products of small factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.echo import delay_rates, migration_phases, path_phases
from cooperative_isac.channel.gain import gain_slope, unit_gain
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.scene.arrays import steering_derivatives, steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, BistaticGeometry
from cooperative_isac.scene.link_geometry import link_geometry, site_velocity
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Transmission


@dataclass(frozen=True)
class PathBasis:
    """Factors of one path's echo rho = A a_r (x) u, and of its derivatives, dimension D.

    receive: [1 + D, num_rx_ant], complex128, a_r and its location derivatives
    signal: [1 + 2 D, num_samples], complex128, u and its derivatives with location, then with
    velocity
    amplitude: A = beta sqrt(PL)
    gain: sqrt(PL)
    Source: CF eqs. (31)-(41).
    """

    receive: np.ndarray
    signal: np.ndarray
    amplitude: complex
    gain: float


def path_basis(
    scene: Scene,
    signal: Transmission,
    receiver: Site,
    transmitter: int,
    target: TargetState,
    amplitude: complex,
    gain: float,
) -> PathBasis:
    """Factors of one path by way of a target.

    Phase ramps are centered, which the unknown phase of the reflection beta absorbs.

    scene: seen on one band
    signal: of the frame
    receiver: receiving station
    transmitter: index of the transmitting station
    target: true state
    amplitude: complex amplitude beta sqrt(PL) of the path, PL its path loss
    gain: its part sqrt(PL), without the reflection
    """
    dimension = scene.dimension
    wavelength_m = signal.grid.wavelength_m
    site = scene.transmitters[transmitter]

    # Delay, Doppler shift and directions, and how the shift changes with the location.
    path = link_geometry(site, receiver, target.position_m, target.velocity_mps, wavelength_m)
    doppler_slope = path.doppler_location_gradient(
        target.velocity_mps, wavelength_m, site_velocity(site), site_velocity(receiver)
    )

    # Steering vectors with derivatives at both ends.
    receive = _with_derivatives(receiver, path.aoa, path.rx_distance_m, wavelength_m, dimension)
    departure = _with_derivatives(site, path.aod, path.tx_distance_m, wavelength_m, dimension)

    signal_factors = _signal_factors(scene, signal, transmitter, departure, path, doppler_slope)
    return PathBasis(receive, signal_factors, amplitude, gain)


def _with_derivatives(
    site: Site,
    direction: np.ndarray,
    distance_m: np.ndarray,
    wavelength_m: float,
    dimension: int,
) -> np.ndarray:
    """Steering vector and its location derivatives, [1 + D, num_ant], complex128."""
    steering = steering_vectors(site.elements_m, direction, wavelength_m)
    slopes = steering_derivatives(site.elements_m, direction, distance_m, wavelength_m)
    return np.vstack([steering, slopes[:, :dimension].T])


def _signal_factors(
    scene: Scene,
    signal: Transmission,
    transmitter: int,
    departure: np.ndarray,
    path: BistaticGeometry,
    doppler_slope: np.ndarray,
) -> np.ndarray:
    """The signal of one path and its derivatives with location and velocity.

    departure: [1 + D, num_tx_ant], steering vector and its location derivatives
    doppler_slope: [3], Hz/m, derivative of the Doppler shift with the location
    Returns [1 + 2 D, num_samples], complex128.
    """
    grid = signal.grid
    axes = range(scene.dimension)

    # Signal toward the target with delay and Doppler shift, and with the steering derivatives.
    over_subcarriers, over_symbols = path_phases(grid, path.delay_s[None], path.doppler_hz[None])
    ramps = over_subcarriers[:, :, None] * over_symbols
    if scene.propagation.range_migration:
        ramps = ramps * migration_phases(grid, delay_rates(grid, path.doppler_hz[None]))
    delayed = signal.toward(transmitter, departure) * ramps
    echo = delayed[:, 0]

    # Derivatives of the phase with delay and with Doppler shift.
    offsets_hz = grid.subcarrier_offsets_hz
    times_s = grid.symbol_times_s
    if scene.propagation.range_migration:
        # The Doppler shift of each subcarrier is that of its own frequency.
        times_s = grid.frequency_ratios[:, None] * times_s
    by_delay = 2j * np.pi * (offsets_hz - offsets_hz.mean())[:, None]
    by_doppler = 2j * np.pi * (times_s - times_s.mean())

    # Location: steering, amplitude, delay and Doppler shift change.
    delay_slope = path.range_gradient / SPEED_OF_LIGHT_MPS
    amplitude_slope = gain_slope(scene, path)
    rows = [echo]
    for axis in axes:
        log_slope = (
            amplitude_slope[axis] - by_delay * delay_slope[axis] + by_doppler * doppler_slope[axis]
        )
        rows.append(delayed[:, 1 + axis] + log_slope * echo)

    # Velocity: the Doppler shift alone changes.
    for axis in axes:
        doppler_by_velocity = -path.range_gradient[axis] / grid.wavelength_m
        rows.append(by_doppler * doppler_by_velocity * echo)

    return np.stack(rows).reshape(len(rows), -1)


def receiver_basis(
    scene: Scene,
    signal: Transmission,
    receiver: Site,
    targets: Sequence[TargetState],
    paths: PathSet,
) -> list[PathBasis]:
    """Factors of one receiver's direct target paths, in the order of `owners`."""
    basis = []
    for transmitter, index, amplitude in _target_paths(paths, len(targets)):
        target = targets[index]
        gain = _center_gain(scene, receiver, transmitter, target)
        basis.append(path_basis(scene, signal, receiver, transmitter, target, amplitude, gain))
    return basis


def owners(paths: PathSet, num_targets: int) -> list[int]:
    """The target of each path that receiver_basis has factors of."""
    return [index for _, index, _ in _target_paths(paths, num_targets)]


def _target_paths(paths: PathSet, num_targets: int) -> list[tuple[int, int, complex]]:
    """Transmitter, target and amplitude of each pair that has direct paths, in their order.

    The bound is for points: the points of a body act as one at its center, with the sum of their
    amplitudes. Paths that the static world reflects on their way are left out: those that a scheme
    uses come as straight paths between images.
    """
    # Direct paths by way of targets.
    chosen = paths.scatterer < num_targets
    if paths.kind is not None:
        chosen &= paths.kind == PathKind.TARGET
    if paths.reflected is not None:
        chosen = chosen & ~paths.reflected

    # Sum of the amplitudes of each pair of transmitter and target.
    sums: dict[tuple[int, int], complex] = {}
    for place in np.flatnonzero(chosen):
        pair = int(paths.transmitter[place]), int(paths.scatterer[place])
        amplitude = paths.amplitude[place]
        sums[pair] = sums[pair] + amplitude if pair in sums else amplitude
    return [(transmitter, index, amplitude) for (transmitter, index), amplitude in sums.items()]


def _center_gain(scene: Scene, receiver: Site, transmitter: int, target: TargetState) -> float:
    """unit_gain of one transmitter's path by way of a target's center."""
    site = scene.transmitters[transmitter]
    wavelength_m = scene.grid.wavelength_m
    path = link_geometry(site, receiver, target.position_m, target.velocity_mps, wavelength_m)
    return float(unit_gain(scene, site, receiver, path))
