"""Clock offsets of the links to one receiver, from the paths of known geometry in its echo.

That is the line of sight of each link and, where it is blocked, a reflection off a known wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.channel.world import StaticPaths, mirror_paths
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.link_geometry import end_doppler_hz
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.canceled_paths import CanceledPaths
from cooperative_isac.sensing.known_paths import known_paths, moving_links, without_known_paths
from cooperative_isac.sensing.link_rays import (
    NO_SHIFT,
    Axes,
    Ray,
    Shift,
    clock_offset,
    matched_echo,
    rays_along,
    refined,
    searched,
)
from cooperative_isac.waveform.signal import Component

# Estimates of each link at most, with the last ones of all others subtracted: all send the same
# streams, and each is in the side lobes of the others. They end when no offset moves by more than
# this many standard deviations.
MOST_ROUNDS = 12
NEGLIGIBLE_MOVE = 0.5

# Power of a path, in noise variances after coherent integration, from which it is detected: noise
# exceeds it somewhere among 1e5 delays and Doppler shifts with a probability of 1e-8.
LEAST_POWER = 30.0


@dataclass(frozen=True)
class LinkOffset:
    """Offset of one link's clocks, by its strongest static path.

    clock: timing and carrier offset, with their covariance
    phase_rad: phase of the transmitter's carrier less that of the receiver's, rad
    """

    clock: ClockOffset
    phase_rad: float


@dataclass(frozen=True)
class StaticOffsets:
    """Clock offsets of the links to one receiver, and its echo without their static paths.

    offsets: by index of the transmitter; none for the receiver itself, which has one clock, nor
        where the link has no such path above the noise
    remaining: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of the echo
    canceled: static paths of links with a moving end; None: none
    """

    offsets: dict[int, LinkOffset]
    remaining: np.ndarray
    canceled: CanceledPaths | None


class _Link:
    """Known static paths of one link, which share the offsets of its clocks.

    rays: the one by which offsets are estimated first
    is_own: the receiver's own signal, without clock offsets
    shift: estimated offsets; None where the link has none
    amplitude: of the first ray
    part: of the link in the echo by the last estimate, of the echo's shape; 0 before that
    """

    def __init__(self, axes: Axes, rays: Sequence[Ray], is_own: bool):
        self.rays = rays
        self.is_own = is_own
        self.shift: Shift | None = NO_SHIFT if is_own else None
        self.amplitude = 0j
        self._axes = axes

        self.part: np.ndarray | float = 0.0

    def update(self, residual: np.ndarray, noise_power_w: float) -> tuple[np.ndarray, float]:
        """Estimate anew in an echo without all other links.

        residual: [num_rx_ant, num_subcarriers, num_symbols], complex128, without the last estimate
        Returns the echo without this one, too, and the move of the offsets in standard deviations.
        """
        # Echo of this link alone, with noise.
        whole = residual + self.part

        # A search where the link has no offsets yet.
        first = self.rays[0]
        last = self.shift
        if self.shift is None:
            matched = [matched_echo(first, whole)]
            self.shift, _ = searched(self._axes, [first], matched, noise_power_w)

        # The first ray without the others, then the others without the first.
        others = self._others(whole, self._first(whole))
        if not self.is_own:
            matched = matched_echo(first, whole - others)
            shifts, _ = refined(self._axes, [first], [matched], [self.shift], noise_power_w)
            self.shift = shifts[0]
        direct = self._first(whole - others)
        self.part = direct + self._others(whole, direct)

        # A path below the noise gives no offsets, and is left in the echo.
        if not self.is_own and self.power(noise_power_w) < LEAST_POWER:
            self.shift = None
            self.part = 0.0
        return whole - self.part, _move(last, self.shift)

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

    def _fitted(self, ray: Ray, echo: np.ndarray) -> tuple[complex, np.ndarray]:
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
) -> StaticOffsets:
    """Clock offsets of all links with a known static path, and the echo without these paths.

    Maximum likelihood for each link in turn, with all others subtracted. The line of sight gives
    the offsets, or the strongest reflection where it is blocked; all other reflections off the
    surfaces of the scene's world are fitted with these offsets, as that of the ground arrives
    within the delay resolution. Offsets are found modulo the unambiguous delays and Doppler shifts.

    scene: seen on the band, with the poses of the frame
    receiver: receiving station
    signal: known symbols of the frame
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    Source: DC section IV-A.
    """
    # Known paths of each link, and the amplitude of the strongest.
    axes = Axes(signal)
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

    # Positions of moving stations are reported: their paths are fitted again, with directions.
    moving = moving_links(scene, receiver)
    shifts = {index: link.shift for index, link in links.items() if link.shift is not None}
    fitted = [index for index in moving if index in shifts]
    whole = residual + sum((links[index].part for index in fitted), np.zeros_like(residual))
    paths = known_paths(scene, receiver, fitted, shifts)
    remaining, canceled = without_known_paths(
        scene, receiver, signal, whole.astype(np.complex64), paths
    )
    return StaticOffsets(offsets, remaining, canceled)


def _rays(
    scene: Scene, receiver: Site, signal: Component, index: int, paths: StaticPaths
) -> list[Ray]:
    """Static paths of one link from a transmitter, by its index: the reference first."""
    # Delays, and Doppler shifts by the motion of both ends.
    transmitter = scene.transmitters[index]
    wavelength_m = signal.grid.wavelength_m
    doppler_hz = end_doppler_hz(transmitter, receiver, paths.aod, paths.aoa, wavelength_m)
    delay_s = paths.length_m / SPEED_OF_LIGHT_MPS
    rays = rays_along(
        signal, index, transmitter, receiver, paths.aod, paths.aoa, delay_s, doppler_hz
    )

    # The line of sight first, then reflections, the strongest first.
    order = np.lexsort([-np.abs(paths.amplitude), paths.reflected])
    return [rays[path] for path in order]


def _move(last: Shift | None, shift: Shift | None) -> float:
    """Largest move of a delay or Doppler shift, in its standard deviations."""
    if last is None or shift is None:
        return 0.0 if last is shift else np.inf
    moves = np.abs([shift.delay_s - last.delay_s, shift.doppler_hz - last.doppler_hz])
    deviations = np.sqrt(np.diag(shift.covariance))
    return float(np.max(moves / np.maximum(deviations, np.finfo(float).tiny)))


def _offset(signal: Component, axes: Axes, link: _Link) -> LinkOffset:
    """Offset by which the first ray of a link differs from its geometry."""
    ray = link.rays[0]
    shift = link.shift
    assert shift is not None  # links without one have no offset
    clock = clock_offset(signal, ray, shift)

    # Phase at the first subcarrier and symbol, from that at the center of both.
    cycles = axes.center_hz * (ray.delay_s + shift.delay_s)
    cycles -= axes.middle_s * (ray.doppler_hz + shift.doppler_hz)
    expected_cycles = ray.delay_s * signal.grid.carrier_hz
    phase_rad = np.angle(link.amplitude) + 2 * np.pi * (cycles + expected_cycles)
    return LinkOffset(clock, float(phase_rad))
