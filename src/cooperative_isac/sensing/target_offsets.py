"""Clock offsets of the links to one receiver, from targets whose locations are known.

An active observation locates targets with one clock, and so predicts their paths on all links. What
is measured on a link less its prediction is the offset of its clocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, comb

from cooperative_isac.calibration.offsets import ClockOffset, Source, mean_offset
from cooperative_isac.scene.geometry import (
    SPEED_OF_LIGHT_MPS,
    STATE_AXES,
    BistaticGeometry,
    bistatic_geometry,
)
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.link_rays import (
    Axes,
    clock_offset,
    matched_echo,
    rays_of,
    refined,
    searched,
    searched_delay,
)
from cooperative_isac.waveform.signal import Component

# Probability that noise exceeds the threshold of targets' paths at one offset: 1e-4 among the about
# 1e4 offsets of a link.
FALSE_OFFSET = 1e-8

# Power of a target's path near that offset from which its own offset counts, in noise variances.
LEAST_TARGET_POWER = 12.0

# Standard deviation of a target's path speed from which it has a Doppler shift of its own in the
# search, over the resolution of the band: within it, all paths are in the main lobe of one shift.
OWN_SHIFT_CELLS = 0.5


@dataclass(frozen=True)
class ObservedTargets:
    """Targets of an active observation.

    positions_m, velocities_mps: [num_targets, 3], float64, m and m/s, map
    covariances: [num_targets, 2 D, 2 D], float64, SI, of position and velocity in D dimensions
    """

    positions_m: np.ndarray
    velocities_mps: np.ndarray
    covariances: np.ndarray

    def __len__(self) -> int:
        return len(self.positions_m)


@dataclass(frozen=True)
class PathOffset:
    """Offset of one path of a target from its prediction.

    transmitter: index of the transmitting site
    target: index of the target
    measured: delay and Doppler shift less their predictions, with the covariance of the measurement
    prediction: [2, n], float64, change of the predicted delay in s and Doppler shift in Hz with the
        errors of the target's state, in standard deviations
    """

    transmitter: int
    target: int
    measured: ClockOffset
    prediction: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Covariance of the prediction, of delay in s and Doppler shift in Hz, [2, 2], float64."""
        return self.prediction @ self.prediction.T

    @property
    def clock(self) -> ClockOffset:
        """The offset with the errors of measurement and prediction together.

        Those of the prediction are common to all links: their source is the target.
        """
        common: dict[Source, np.ndarray] = {(self.target,): -self.prediction}
        covariance = self.measured.covariance + self.predicted
        return ClockOffset(self.measured.delay_s, self.measured.frequency_hz, covariance, common)


@dataclass(frozen=True)
class PredictedPaths:
    """Paths of one link by way of targets.

    geometry: of the paths
    gradients: [num_targets, 2, 2 D], float64, of their delays in s and Doppler shifts in Hz with
        the errors of each target's state, in standard deviations
    """

    geometry: BistaticGeometry
    gradients: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        """Covariances of delays in s and Doppler shifts in Hz, [num_targets, 2, 2], float64."""
        return self.gradients @ self.gradients.swapaxes(-1, -2)

    def offset(self, transmitter: int, target: int, measured: ClockOffset) -> PathOffset:
        """Offset of one path from its prediction.

        transmitter: index of the link's transmitter
        measured: delay and Doppler shift of the path, with its covariance
        """
        difference = ClockOffset(
            measured.delay_s - float(self.geometry.delay_s[target]),
            measured.frequency_hz - float(self.geometry.doppler_hz[target]),
            measured.covariance,
        )
        return PathOffset(transmitter, target, difference, self.gradients[target])


def predicted_paths(
    scene: Scene, transmitter: Site, receiver: Site, targets: ObservedTargets
) -> PredictedPaths:
    """Paths of one link that an active observation predicts.

    scene: seen on the band
    """
    wavelength_m = scene.grid.wavelength_m
    geometry = link_geometry(
        transmitter, receiver, targets.positions_m, targets.velocities_mps, wavelength_m
    )
    return PredictedPaths(geometry, _gradients(scene, geometry, targets))


def predicted_paths_between(
    scene: Scene, transmitters_m: np.ndarray, receivers_m: np.ndarray, targets: ObservedTargets
) -> PredictedPaths:
    """Paths of several links between stations at rest that an active observation predicts.

    scene: seen on the band
    transmitters_m, receivers_m: [num_links, 3], float64, m, map
    Returns the same as predicted_paths, with a first axis of the links.
    """
    geometry = bistatic_geometry(
        transmitters_m[:, None],
        receivers_m[:, None],
        targets.positions_m,
        targets.velocities_mps,
        scene.grid.wavelength_m,
    )
    return PredictedPaths(geometry, _gradients(scene, geometry, targets))


def _gradients(scene: Scene, geometry: BistaticGeometry, targets: ObservedTargets) -> np.ndarray:
    """Gradients of delays and Doppler shifts with the errors of targets; see PredictedPaths.

    geometry: of [..., num_targets] paths by way of the targets
    Returns [..., num_targets, 2, 2 D], float64.
    """
    # Gradients of delay and Doppler shift by location and velocity, [..., num_targets, 6] each.
    wavelength_m = scene.grid.wavelength_m
    doppler_gradient = geometry.doppler_location_gradient(targets.velocities_mps, wavelength_m)
    range_gradient = geometry.range_gradient
    no_gradient = np.zeros_like(range_gradient)
    of_delay = np.concatenate([range_gradient / SPEED_OF_LIGHT_MPS, no_gradient], axis=-1)
    of_shift = np.concatenate([doppler_gradient, -range_gradient / wavelength_m], axis=-1)

    # Gradients with the errors of the targets, each by one standard deviation.
    jacobians = np.stack([of_delay, of_shift], axis=-2)[..., STATE_AXES[scene.dimension]]
    variances, axes = np.linalg.eigh(targets.covariances)
    deviations = axes * np.sqrt(np.maximum(variances, 0.0))[:, None]
    return jacobians @ deviations


def echo_offsets(
    scene: Scene,
    receiver: Site,
    signal: Component,
    echo: np.ndarray,
    targets: ObservedTargets,
    transmitters: Iterable[int] | None = None,
) -> list[PathOffset]:
    """Offsets of the paths of targets in an echo from their predictions, link by link.

    The paths of a link share the offsets of its clocks: their powers at each offset are added, and
    the offset of each path is estimated near the largest sum. Where velocities are hardly known,
    the paths share the timing offset alone.

    scene: seen on the band, with its stations at rest
    receiver: receiving station
    signal: known symbols of the frame
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    targets: of the active observation
    transmitters: indices of the transmitters of the links; None: all but the receiver itself
    Returns offsets of the paths above the noise, on links where the sum exceeds it.
    Source: DC section IV-A; arXiv 2312.02163.
    """
    if not len(targets):
        return []
    if transmitters is None:
        sites = enumerate(scene.transmitters)
        transmitters = [index for index, site in sites if site.name != receiver.name]
    axes = Axes(signal)
    noise_power_w = scene.propagation.noise_power_w
    cell_hz = scene.grid.doppler_resolution_hz

    # Thresholds of the power of one path, of two and so on: in noise that of each is Exp(1), half a
    # chi-square variable of 2 degrees of freedom. The largest of n trials is larger by log(n), and
    # any m of all paths may be the strongest.
    numbers = np.arange(1, len(targets) + 1)
    thresholds = chdtri(2 * numbers, FALSE_OFFSET / comb(len(targets), numbers)) / 2
    largest_of_shifts = np.log(len(axes.time_s))
    found = []
    for index in transmitters:
        # Paths by way of the targets, and the offset that they share.
        site = scene.transmitters[index]
        paths = predicted_paths(scene, site, receiver, targets)
        rays = rays_of(signal, index, site, receiver, paths.geometry)
        matched = [matched_echo(ray, echo) for ray in rays]
        deviations_hz = np.sqrt(paths.covariances[:, 1, 1])
        if np.median(deviations_hz) < OWN_SHIFT_CELLS * cell_hz:
            start, power = searched(axes, rays, matched, noise_power_w)
            starts = [start] * len(rays) if power >= thresholds[-1] else None
        else:
            own_thresholds = thresholds + numbers * largest_of_shifts
            starts = searched_delay(axes, rays, matched, noise_power_w, own_thresholds)
        if starts is None:
            continue

        # Offset of each path near it, where the path is above the noise.
        shifts, powers = refined(axes, rays, matched, starts, noise_power_w)
        for target in np.flatnonzero(powers >= LEAST_TARGET_POWER).tolist():
            clock = clock_offset(signal, rays[target], shifts[target])
            found.append(PathOffset(index, target, clock, paths.gradients[target]))
    return found


def mean_link_offsets(paths: Iterable[PathOffset]) -> dict[int, ClockOffset]:
    """Offsets of the clocks of each link: means over the paths of its targets.

    Returns them by index of the transmitter.
    """
    by_link: dict[int, list[ClockOffset]] = {}
    for path in paths:
        by_link.setdefault(path.transmitter, []).append(path.clock)
    means = {index: mean_offset(clocks) for index, clocks in by_link.items()}
    return {index: mean for index, mean in means.items() if mean is not None}
