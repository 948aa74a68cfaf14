"""Clock offsets of the links to one receiver, from targets that an active observation locates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS, STATE_AXES, BistaticGeometry
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.link_rays import (
    Axes,
    clock_offset,
    matched_echo,
    ray_likelihood,
    rays_of,
    refined,
    searched,
)
from cooperative_isac.waveform.signal import Component

# Probability that noise exceeds the threshold of targets' paths at one offset: 1e-4 among the about
# 1e4 offsets of a link.
FALSE_OFFSET = 1e-8

# Power of a target's path near that offset from which its own offset counts, in noise variances.
LEAST_TARGET_POWER = 12.0

# Squared Mahalanobis distance of a target's offset from the mean, beyond which it is left out: five
# standard deviations.
MOST_DISTANCE = 25.0


@dataclass(frozen=True)
class ObservedTargets:
    """Targets of an active observation.

    positions_m, velocities_mps: [num_targets, 3], float64, m and m/s, map
    covariances: [num_targets, 2 D, 2 D], float64, SI, of position and velocity in D dimensions
    """

    positions_m: np.ndarray
    velocities_mps: np.ndarray
    covariances: np.ndarray


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
    axes = Axes(signal)
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
        rays = rays_of(signal, index, site, receiver, paths.geometry)
        matched = [matched_echo(ray, echo) for ray in rays]
        start, power = searched(axes, rays, matched, noise_power_w)
        if power < least:
            continue

        # Offset of each path near it, where the path is above the noise.
        estimates = []
        for ray, own, covariance in zip(rays, matched, paths.covariances, strict=True):
            shift = refined(axes, ray, own, start, noise_power_w)
            at_shift = np.array([shift.delay_s, shift.doppler_hz])
            path_power, _, _ = ray_likelihood(axes, ray, own, at_shift, noise_power_w)
            if path_power >= LEAST_TARGET_POWER:
                estimates.append(clock_offset(signal, ray, shift, covariance))
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
