"""Clock offsets of the links to one receiver, from the paths of known geometry in its echo.

That is the line of sight of each link and, where it is blocked, a reflection off a known wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import chdtri

from cooperative_isac.calibration.offsets import ClockOffset, offset_of_path
from cooperative_isac.channel.world import StaticPaths, mirror_paths
from cooperative_isac.estimation.range_doppler import PathEstimate
from cooperative_isac.estimation.scoring import fisher_scoring
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, STATE_AXES, BistaticGeometry
from cooperative_isac.scene.link_geometry import end_doppler_hz, link_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.signal import Component

# Estimates of each link at most, with the last ones of all others subtracted: all send the same
# streams, and each is in the side lobes of the others. They end when no offset moves by more than
# this many standard deviations.
MOST_ROUNDS = 12
NEGLIGIBLE_MOVE = 0.5

# Power of a path, in noise variances after coherent integration, from which it is detected: noise
# exceeds it somewhere among 1e5 delays and Doppler shifts with a probability of 1e-8.
LEAST_POWER = 30.0

# Probability that noise exceeds the threshold of targets' paths at one offset: 1e-4 among the about
# 1e4 offsets of a link.
FALSE_OFFSET = 1e-8

# Power of a target's path near that offset from which its own offset counts, in noise variances.
LEAST_TARGET_POWER = 12.0

# Squared Mahalanobis distance of a target's offset from the mean, beyond which it is left out: five
# standard deviations.
MOST_DISTANCE = 25.0

# Points of the search grid per resolution cell: scoring starts within the main lobe.
OVERSAMPLING = 2


@dataclass(frozen=True)
class LinkOffset:
    """Offset of one link's clocks, by its strongest static path.

    clock: timing and carrier offset, with their covariance
    phase_rad: phase of the transmitter's carrier less that of the receiver's, rad
    """

    clock: ClockOffset
    phase_rad: float


@dataclass(frozen=True)
class ObservedTargets:
    """Targets of an active observation.

    positions_m, velocities_mps: [num_targets, 3], float64, m and m/s, map
    covariances: [num_targets, 2 D, 2 D], float64, SI, of position and velocity in D dimensions
    """

    positions_m: np.ndarray
    velocities_mps: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class _Ray:
    """A static path of one link as the geometry predicts it: the line of sight or a reflection.

    steering: [num_rx_ant], complex128, of the receive array, of unit norm
    sent: [num_subcarriers, num_symbols], complex64, transmitted signal in its direction
    delay_s: without clock offsets, s
    doppler_hz: without clock offsets, Hz
    """

    steering: np.ndarray
    sent: np.ndarray
    delay_s: float
    doppler_hz: float

    @cached_property
    def energy(self) -> float:
        """Energy of the transmitted signal."""
        return max(float(np.sum(np.abs(self.sent) ** 2)), np.finfo(float).tiny)

    def unit_information(self, axes: _Axes) -> np.ndarray:
        """Fisher information of delay and Doppler shift at unit SNR, about the mean phase.

        Returns [2, 2], float64.
        """
        # Distribution of the energy over the grid, over its frequencies and over its times.
        share = np.abs(self.sent) ** 2 / self.energy
        over_frequency = share.sum(axis=1)
        over_time = share.sum(axis=0)

        # First and second moments of (-f, t), the derivatives of the phase in cycles.
        frequency_hz = axes.frequency_hz
        time_s = axes.time_s
        means = np.array([-over_frequency @ frequency_hz, over_time @ time_s])
        cross = -frequency_hz @ share @ time_s
        squares = np.array(
            [[over_frequency @ frequency_hz**2, cross], [cross, over_time @ time_s**2]]
        )
        return 2 * (2 * np.pi) ** 2 * (squares - np.multiply.outer(means, means))


@dataclass(frozen=True)
class _Shift:
    """Delay and Doppler shift by which the paths of a link differ from their geometry.

    delay_s: s
    doppler_hz: Hz
    covariance: [2, 2], float64, of both
    """

    delay_s: float
    doppler_hz: float
    covariance: np.ndarray


NO_SHIFT = _Shift(0.0, 0.0, np.zeros((2, 2)))


class _Axes:
    """Frequencies and times of a grid about their centers, where delay and Doppler are independent.

    frequency_hz: [num_subcarriers], float64, Hz
    time_s: [num_symbols], float64, s
    center_hz, middle_s: of the first subcarrier and symbol to the centers
    """

    def __init__(self, signal: Component):
        grid = signal.grid
        self.center_hz = float(grid.subcarrier_offsets_hz.mean())
        self.middle_s = float(grid.symbol_times_s.mean())
        self.frequency_hz = grid.subcarrier_offsets_hz - self.center_hz
        self.time_s = grid.symbol_times_s - self.middle_s
        # Largest distances from the expected delay and Doppler shift that are unambiguous.
        self.half_delay_s = 0.5 / (grid.subcarrier_stride * grid.subcarrier_spacing_hz)
        self.half_doppler_hz = 0.5 / grid.symbol_period_s

    def over_frequency(self, delay_s: float | np.ndarray) -> np.ndarray:
        """Phasors of delays, [..., num_subcarriers], complex128."""
        return np.exp(-2j * np.pi * np.multiply.outer(delay_s, self.frequency_hz))

    def over_time(self, doppler_hz: float | np.ndarray) -> np.ndarray:
        """Phasors of Doppler shifts, [..., num_symbols], complex128."""
        return np.exp(2j * np.pi * np.multiply.outer(doppler_hz, self.time_s))


class _Link:
    """Known static paths of one link, which share the offsets of its clocks.

    rays: the one by which offsets are estimated first
    is_own: the receiver's own signal, without clock offsets
    shift: estimated offsets; None where the link has none
    amplitude: of the first ray
    """

    def __init__(self, axes: _Axes, rays: Sequence[_Ray], is_own: bool):
        self.rays = rays
        self.is_own = is_own
        self.shift: _Shift | None = NO_SHIFT if is_own else None
        self.amplitude = 0j
        self._axes = axes

        # Part of the link in the echo by the last estimate, of the echo's shape; 0 before that.
        self._part: np.ndarray | float = 0.0

    def update(self, residual: np.ndarray, noise_power_w: float) -> tuple[np.ndarray, float]:
        """Estimate anew in an echo without all other links.

        residual: [num_rx_ant, num_subcarriers, num_symbols], complex128, without the last estimate
        Returns the echo without this one, too, and the move of the offsets in standard deviations.
        """
        # Echo of this link alone, with noise.
        whole = residual + self._part

        # A search where the link has no offsets yet.
        first = self.rays[0]
        last = self.shift
        if self.shift is None:
            matched = [_matched(first, whole)]
            self.shift, _ = _searched(self._axes, [first], matched, noise_power_w)

        # The first ray without the others, then the others without the first.
        others = self._others(whole, self._first(whole))
        if not self.is_own:
            matched = _matched(first, whole - others)
            self.shift = _refined(self._axes, first, matched, self.shift, noise_power_w)
        direct = self._first(whole - others)
        self._part = direct + self._others(whole, direct)

        # A path below the noise gives no offsets, and is left in the echo.
        if not self.is_own and self.power(noise_power_w) < LEAST_POWER:
            self.shift = None
            self._part = 0.0
        return whole - self._part, _move(last, self.shift)

    def power(self, noise_power_w: float) -> float:
        """Power of the first ray after coherent integration, in noise variances."""
        return abs(self.amplitude) ** 2 * self.rays[0].energy / noise_power_w

    def _first(self, echo: np.ndarray) -> np.ndarray:
        """Echo of the first ray, with the best amplitude."""
        self.amplitude, part = self._fitted(self.rays[0], echo)
        return part

    def _others(self, echo: np.ndarray, direct: np.ndarray) -> np.ndarray:
        """Echo of all other rays, with the offsets of the first."""
        total = np.zeros_like(echo)
        for ray in self.rays[1:]:
            total += self._fitted(ray, echo - direct - total)[1]
        return total

    def _fitted(self, ray: _Ray, echo: np.ndarray) -> tuple[complex, np.ndarray]:
        """Amplitude of a ray in an echo, and its part of the echo."""
        assert self.shift is not None  # a search comes before every fit
        waveform = ray.sent * np.multiply.outer(
            self._axes.over_frequency(ray.delay_s + self.shift.delay_s),
            self._axes.over_time(ray.doppler_hz + self.shift.doppler_hz),
        )
        in_beam = np.tensordot(ray.steering.conj(), echo, axes=1)
        amplitude = complex(np.vdot(waveform, in_beam) / ray.energy)
        return amplitude, ray.steering[:, None, None] * (amplitude * waveform)


def static_offsets(
    scene: Scene, receiver: Site, signal: Component, echo: np.ndarray
) -> tuple[dict[int, LinkOffset], np.ndarray]:
    """Clock offsets of all links with a known static path, and the echo without these paths.

    Maximum likelihood for each link in turn, with all others subtracted. The line of sight gives
    the offsets, or the strongest reflection where it is blocked; all other reflections off the
    surfaces of the scene's world are fitted with these offsets, as that of the ground arrives
    within the delay resolution. Offsets are found modulo the unambiguous delays and Doppler shifts.

    scene: seen on the band, with the poses of the frame
    receiver: receiving station
    signal: known symbols of the frame
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    Returns offsets by index of the transmitter, none for the receiver itself, which has one clock,
    nor where the link has no such path above the noise; and what is left of the echo, complex64.
    Source: DC section IV-A.
    """
    # Known paths of each link, and the amplitude of the strongest.
    axes = _Axes(signal)
    links = {}
    expected = {}
    for index, site in enumerate(scene.transmitters):
        paths = mirror_paths(scene, site, receiver)
        if len(paths.length_m):
            rays = _rays(scene, receiver, signal, index, paths)
            links[index] = _Link(axes, rays, site.name == receiver.name)
            expected[index] = np.abs(paths.amplitude).max()

    # Successive interference cancellation, strongest links first, until nothing moves.
    order = sorted(links, key=expected.__getitem__, reverse=True)
    noise_power_w = scene.propagation.noise_power_w
    residual = echo.astype(complex)
    for _ in range(MOST_ROUNDS):
        longest = 0.0
        for index in order:
            residual, move = links[index].update(residual, noise_power_w)
            longest = max(longest, move)
        if longest < NEGLIGIBLE_MOVE:
            break

    # Offsets of all links with a path above the noise.
    offsets = {
        index: _offset(signal, axes, link)
        for index, link in links.items()
        if link.shift is not None and not link.is_own
    }
    return offsets, residual.astype(np.complex64)


def target_offsets(
    scene: Scene, receiver: Site, signal: Component, echo: np.ndarray, targets: ObservedTargets
) -> dict[int, ClockOffset]:
    """Clock offsets of the links to a receiver, from targets that an active observation locates.

    The active observation has one clock. It predicts the paths of all targets on each link, which
    share the offsets of its clocks: their powers at each offset are added, and the offsets of
    single paths near the largest sum are averaged by their covariances.

    scene: seen on the band, with its stations at rest
    receiver: receiving station
    signal: known symbols of the frame
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    targets: of the active observation
    Returns offsets by index of the transmitter, of the links on which targets are above the noise.
    Source: DC section IV-A; arXiv 2312.02163.
    """
    axes = _Axes(signal)
    noise_power_w = scene.propagation.noise_power_w
    found: dict[int, ClockOffset] = {}
    num_targets = len(targets.positions_m)
    if not num_targets:
        return found

    # Threshold of the summed power: in noise that of each path is Exp(1), half a chi-square
    # variable of 2 degrees of freedom.
    least = float(chdtri(2 * num_targets, FALSE_OFFSET)) / 2
    for index, site in enumerate(scene.transmitters):
        if site.name == receiver.name:
            continue

        # Paths by way of the targets, and the offset that they share.
        paths = _target_paths(scene, site, receiver, targets)
        rays = _rays_of(signal, index, site, receiver, paths.geometry)
        matched = [_matched(ray, echo) for ray in rays]
        start, power = _searched(axes, rays, matched, noise_power_w)
        if power < least:
            continue

        # Offset of each path near it, where the path is above the noise.
        estimates = []
        for ray, own, covariance in zip(rays, matched, paths.covariances, strict=True):
            shift = _refined(axes, ray, own, start, noise_power_w)
            at_shift = np.array([shift.delay_s, shift.doppler_hz])
            path_power, _, _ = _ray_likelihood(axes, ray, own, at_shift, noise_power_w)
            if path_power >= LEAST_TARGET_POWER:
                estimates.append(_clock_offset(signal, ray, shift, covariance))
        combined = _averaged(estimates)
        if combined is not None:
            found[index] = combined
    return found


@dataclass(frozen=True)
class _TargetPaths:
    """Paths of one link by way of targets.

    geometry: of the paths
    covariances: [num_targets, 2, 2], float64, of their delays in s and path speeds in m/s
    """

    geometry: BistaticGeometry
    covariances: np.ndarray


def _target_paths(
    scene: Scene, transmitter: Site, receiver: Site, targets: ObservedTargets
) -> _TargetPaths:
    """Paths of one link that an active observation predicts."""
    wavelength_m = scene.grid.wavelength_m
    geometry = link_geometry(
        transmitter, receiver, targets.positions_m, targets.velocities_mps, wavelength_m
    )

    # Gradients of delay and path speed by location and velocity, [num_targets, 6] each.
    doppler_gradient = geometry.doppler_location_gradient(targets.velocities_mps, wavelength_m)
    range_gradient = geometry.range_gradient
    no_gradient = np.zeros_like(range_gradient)
    of_delay = np.concatenate([range_gradient / SPEED_OF_LIGHT_MPS, no_gradient], axis=1)
    of_speed = np.concatenate([doppler_gradient * wavelength_m, -range_gradient], axis=1)

    # Covariances of the targets in terms of both.
    jacobians = np.stack([of_delay, of_speed], axis=1)[:, :, STATE_AXES[scene.dimension]]
    covariances = jacobians @ targets.covariances @ jacobians.swapaxes(1, 2)
    return _TargetPaths(geometry, covariances)


def _averaged(estimates: Sequence[ClockOffset]) -> ClockOffset | None:
    """Mean of the offsets of several paths by their covariances, without those far from it."""
    left = list(estimates)
    while left:
        # Mean, weighted by information.
        informations = [np.linalg.inv(estimate.covariance) for estimate in left]
        values = [np.array([estimate.delay_s, estimate.frequency_hz]) for estimate in left]
        covariance = np.linalg.inv(sum(informations))
        weighted = [information @ value for information, value in zip(informations, values)]
        mean = covariance @ np.sum(weighted, axis=0)

        # Leave out the estimate that is farthest from it, until all are near.
        squared_distances = [
            float((value - mean) @ information @ (value - mean))
            for value, information in zip(values, informations)
        ]
        farthest = int(np.argmax(squared_distances))
        if squared_distances[farthest] <= MOST_DISTANCE:
            return ClockOffset(float(mean[0]), float(mean[1]), covariance)
        del left[farthest]
    return None


def _rays(
    scene: Scene, receiver: Site, signal: Component, index: int, paths: StaticPaths
) -> list[_Ray]:
    """Static paths of one link from a transmitter, by its index: the reference first."""
    # Delays, and Doppler shifts by the motion of both ends.
    transmitter = scene.transmitters[index]
    wavelength_m = signal.grid.wavelength_m
    doppler_hz = end_doppler_hz(transmitter, receiver, paths.aod, paths.aoa, wavelength_m)
    delay_s = paths.length_m / SPEED_OF_LIGHT_MPS
    rays = _rays_along(
        signal, index, transmitter, receiver, paths.aod, paths.aoa, delay_s, doppler_hz
    )

    # The line of sight first, then reflections, the strongest first.
    order = np.lexsort([-np.abs(paths.amplitude), paths.reflected])
    return [rays[path] for path in order]


def _rays_of(
    signal: Component, index: int, transmitter: Site, receiver: Site, paths: BistaticGeometry
) -> list[_Ray]:
    """Paths of one link, from a transmitter by its index."""
    return _rays_along(
        signal, index, transmitter, receiver, paths.aod, paths.aoa, paths.delay_s, paths.doppler_hz
    )


def _rays_along(
    signal: Component,
    index: int,
    transmitter: Site,
    receiver: Site,
    aod: np.ndarray,
    aoa: np.ndarray,
    delay_s: np.ndarray,
    doppler_hz: np.ndarray,
) -> list[_Ray]:
    """Paths of one link.

    index: of the transmitter
    aod, aoa: [num_paths, 3], float64, unit vectors along the paths, away from each end
    delay_s, doppler_hz: [num_paths], float64, s and Hz
    """
    wavelength_m = signal.grid.wavelength_m
    arrival = steering_vectors(receiver.elements_m, aoa, wavelength_m)
    departure = steering_vectors(transmitter.elements_m, aod, wavelength_m)
    sent = signal.toward(index, departure)
    return [
        _Ray(arrival[path], sent[:, path], float(delay_s[path]), float(doppler_hz[path]))
        for path in range(len(delay_s))
    ]


def _matched(ray: _Ray, echo: np.ndarray) -> np.ndarray:
    """Echo in the beam of a ray times its conjugate symbols, [num_subcarriers, num_symbols]."""
    return np.tensordot(ray.steering.conj(), echo, axes=1) * ray.sent.conj()


def _searched(
    axes: _Axes, rays: Sequence[_Ray], matched: Sequence[np.ndarray], noise_power_w: float
) -> tuple[_Shift, float]:
    """Shift with the largest power of all rays, among all unambiguous ones, and that power.

    matched: [num_subcarriers, num_symbols], complex128, of _matched, for each ray
    Returns the power in noise variances, a sum over the rays.
    """
    # Trials of delay and Doppler shift.
    delays_s = _grid(axes.half_delay_s, len(axes.frequency_hz))
    dopplers_hz = _grid(axes.half_doppler_hz, len(axes.time_s))

    # Matched-filter power of all rays at each of them.
    power = np.zeros((len(delays_s), len(dopplers_hz)))
    for ray, own in zip(rays, matched, strict=True):
        over_frequency = axes.over_frequency(ray.delay_s + delays_s)
        over_time = axes.over_time(ray.doppler_hz + dopplers_hz)
        correlation = over_frequency.conj() @ own @ over_time.conj().T
        power += np.abs(correlation) ** 2 / (ray.energy * noise_power_w)

    # The largest one.
    row, column = np.unravel_index(np.argmax(power), power.shape)
    shift = _Shift(float(delays_s[row]), float(dopplers_hz[column]), np.zeros((2, 2)))
    return shift, float(power[row, column])


def _grid(half: float, num_cells: int) -> np.ndarray:
    """Trials from -half to below half, OVERSAMPLING a cell; zero is one of them."""
    num_trials = OVERSAMPLING * num_cells
    return (np.arange(num_trials) - num_trials // 2) * (2 * half / num_trials)


def _refined(
    axes: _Axes, ray: _Ray, matched: np.ndarray, start: _Shift, noise_power_w: float
) -> _Shift:
    """Maximum likelihood shift of a ray near a start.

    matched: [num_subcarriers, num_symbols], complex128, of _matched
    start: within the main lobe
    """
    shift, information = fisher_scoring(
        lambda trial: _ray_likelihood(axes, ray, matched, trial, noise_power_w),
        np.array([start.delay_s, start.doppler_hz]),
    )

    # Covariance, inverted in units of each parameter's accuracy: s and Hz differ by many orders.
    scale = 1 / np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    scaling = np.multiply.outer(scale, scale)
    covariance = scaling * np.linalg.pinv(information * scaling, hermitian=True)
    return _Shift(float(shift[0]), float(shift[1]), covariance)


def _ray_likelihood(
    axes: _Axes, ray: _Ray, matched: np.ndarray, shift: np.ndarray, noise_power_w: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood of one ray with the best amplitude, its gradient and Fisher information.

    matched: [num_subcarriers, num_symbols], complex128, of _matched
    shift: [2], float64, delay in s and Doppler shift in Hz
    """
    # Correlation with the phasors of delay and Doppler shift: over one axis, then over both.
    over_frequency = axes.over_frequency(ray.delay_s + shift[0])
    over_time = axes.over_time(ray.doppler_hz + shift[1])
    summed_frequency = over_frequency.conj() @ matched
    summed_time = matched @ over_time.conj()
    correlation = summed_frequency @ over_time.conj()

    # Its derivatives by delay and Doppler shift, through those of the phasors.
    by_delay = -2j * np.pi * axes.frequency_hz
    by_doppler = 2j * np.pi * axes.time_s
    slope = np.array(
        [
            (by_delay * over_frequency).conj() @ summed_time,
            summed_frequency @ (by_doppler * over_time).conj(),
        ]
    )

    # Power in noise variances, its gradient, and the information at this SNR.
    scale = 1 / (ray.energy * noise_power_w)
    power = scale * abs(correlation) ** 2
    gradient = 2 * scale * np.real(np.conj(correlation) * slope)
    return float(power), gradient, power * ray.unit_information(axes)


def _move(last: _Shift | None, shift: _Shift | None) -> float:
    """Largest move of a delay or Doppler shift, in its standard deviations."""
    if last is None or shift is None:
        return 0.0 if last is shift else np.inf
    moves = np.abs([shift.delay_s - last.delay_s, shift.doppler_hz - last.doppler_hz])
    deviations = np.sqrt(np.diag(shift.covariance))
    return float(np.max(moves / np.maximum(deviations, np.finfo(float).tiny)))


def _offset(signal: Component, axes: _Axes, link: _Link) -> LinkOffset:
    """Offset by which the first ray of a link differs from its geometry."""
    ray = link.rays[0]
    shift = link.shift
    assert shift is not None  # links without one have no offset
    clock = _clock_offset(signal, ray, shift)

    # Phase at the first subcarrier and symbol, from that at the center of both.
    cycles = axes.center_hz * (ray.delay_s + shift.delay_s)
    cycles -= axes.middle_s * (ray.doppler_hz + shift.doppler_hz)
    expected_cycles = ray.delay_s * signal.grid.carrier_hz
    phase_rad = np.angle(link.amplitude) + 2 * np.pi * (cycles + expected_cycles)
    return LinkOffset(clock, float(phase_rad))


def _clock_offset(
    signal: Component, ray: _Ray, shift: _Shift, covariance: np.ndarray | None = None
) -> ClockOffset:
    """Clock offset from the shift of a ray.

    covariance: [2, 2], float64, of the ray's expected delay in s and path speed in m/s; None: exact
    """
    carrier_hz = signal.grid.carrier_hz
    mps_per_hertz = SPEED_OF_LIGHT_MPS / carrier_hz
    to_speed = np.diag([1.0, mps_per_hertz])
    measured = PathEstimate(
        delay_s=ray.delay_s + shift.delay_s,
        path_speed_mps=(ray.doppler_hz + shift.doppler_hz) * mps_per_hertz,
        amplitudes=np.zeros(0),
        covariance=to_speed @ shift.covariance @ to_speed,
    )
    expected_mps = ray.doppler_hz * mps_per_hertz
    return offset_of_path(measured, carrier_hz, ray.delay_s, expected_mps, covariance)
