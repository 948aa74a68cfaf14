"""Target paths of a physical scene: cross sections, bodies, blockage, reflections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.body import body_points
from cooperative_isac.channel.fading import draw_reflections, link_reflections
from cooperative_isac.channel.gain import spread_amplitude
from cooperative_isac.channel.reflection import Legs, mirrored_legs, straight_legs
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Body, Scene, TargetState
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import Surface


@dataclass(frozen=True)
class Scatterers:
    """What one link's wave is scattered by.

    points_m, velocities_mps: [num_points, 3] in map
    owner: [num_points], int, index of the target, then of the clutter scatterer
    weight: [num_points], complex, reflection in units of channel.gain.spread_amplitude
    exact: [num_points], bool, whether the phase is that of the path's length (bodies), or drawn
    (points)
    """

    points_m: np.ndarray
    velocities_mps: np.ndarray
    owner: np.ndarray
    weight: np.ndarray
    exact: np.ndarray


def link_paths(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None = None,
) -> tuple[np.ndarray, ...]:
    """Paths of one link by way of targets and clutter, without those that the world blocks.

    clutter_m: [num_scatterers, 3], m
    block: coherence block of the reflections; None: drawn from the generator, anew in every frame
    Returns scatterer, delay_s, doppler_hz, amplitude, aod, aoa, reflected as in
    channel.paths.PathSet.
    """
    parts = []
    for way, (tx_surface, rx_surface) in enumerate(_surface_pairs(scene)):
        if block is None:
            reflection = draw_reflections(scene, targets, len(clutter_m), generator)
        else:
            reflection = link_reflections(
                scene, transmitter, receiver, targets, len(clutter_m), block, way
            )
        scatterers = _scatterers(
            scene,
            targets,
            clutter_m,
            reflection,
            _source(tx_surface, transmitter),
            _source(rx_surface, receiver),
            has_phases=block is not None,
        )
        outward = _legs(scene, tx_surface, transmitter, scatterers.points_m)
        inward = _legs(scene, rx_surface, receiver, scatterers.points_m)
        source_velocities = (
            _source_velocity(tx_surface, transmitter),
            _source_velocity(rx_surface, receiver),
        )
        reflected = tx_surface is not None or rx_surface is not None
        parts.append(
            _joined(
                scene,
                transmitter,
                receiver,
                scatterers,
                outward,
                inward,
                source_velocities,
                reflected,
            )
        )
    return tuple(np.concatenate(column) for column in zip(*parts))


def _surface_pairs(scene: Scene) -> list[tuple[Surface | None, Surface | None]]:
    """The surface before and behind the target of each kind of path; the direct path first."""
    pairs: list[tuple[Surface | None, Surface | None]] = [(None, None)]
    if scene.world is not None and scene.world.target_reflections:
        pairs += [(surface, None) for surface in scene.world.surfaces]
        pairs += [(None, surface) for surface in scene.world.surfaces]
    return pairs


def _source(surface: Surface | None, site: Site) -> np.ndarray:
    """Where a target sees a site: at its place, or at its image, [3]."""
    return site.position_m if surface is None else surface.mirrored(site.position_m)


def _source_velocity(surface: Surface | None, site: Site) -> np.ndarray:
    """Velocity of a site, or of its image, [3], m/s."""
    if surface is None:
        return site.velocity_mps
    return surface.mirrored_directions(site.velocity_mps)


def _legs(scene: Scene, surface: Surface | None, site: Site, points_m: np.ndarray) -> Legs:
    if surface is None:
        return straight_legs(scene.world, site.position_m, points_m)
    assert scene.world is not None  # surfaces are those of a world
    return mirrored_legs(scene.world, surface, site.position_m, points_m)


def _scatterers(
    scene: Scene,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    reflection: np.ndarray,
    tx_m: np.ndarray,
    rx_m: np.ndarray,
    has_phases: bool,
) -> Scatterers:
    """Points of all targets, seen from two ends, then of the clutter.

    has_phases: whether all phases turn with the lengths of the paths, as reflections stay the same
    from frame to frame
    """
    points, velocities, owner, weight, exact = [], [], [], [], []
    for index, target in enumerate(targets):
        own, shares, is_body = _target_points(scene.body(target.target_class), target, tx_m, rx_m)
        points.append(own)
        velocities.append(np.broadcast_to(target.velocity_mps, own.shape))
        owner.append(np.full(len(own), index))
        # a body's phases are those of its points
        factor = (
            abs(reflection[index])
            if is_body and scene.propagation.has_radar_equation
            else reflection[index]
        )
        weight.append(factor * np.sqrt(shares))
        exact.append(np.full(len(own), is_body or has_phases))
    count = len(clutter_m)
    return Scatterers(
        np.concatenate([*points, clutter_m]),
        np.concatenate([*velocities, np.zeros((count, 3))]),
        np.concatenate([*owner, len(targets) + np.arange(count)]).astype(int),
        np.concatenate([*weight, reflection[len(targets) :]]),
        np.concatenate([*exact, np.full(count, has_phases)]).astype(bool),
    )


def _target_points(
    body: Body, target: TargetState, tx_m: np.ndarray, rx_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    if not body.size_m.any():
        return target.position_m[None], np.ones(1), False
    toward_tx, toward_rx = (
        (end - target.position_m) / np.linalg.norm(end - target.position_m) for end in (tx_m, rx_m)
    )
    return *body_points(body, target, toward_tx, toward_rx), True


def _joined(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    scatterers: Scatterers,
    outward: Legs,
    inward: Legs,
    source_velocities: tuple[np.ndarray, np.ndarray],
    reflected: bool,
) -> tuple[np.ndarray, ...]:
    """Paths of the two legs of every point, the open ones.

    source_velocities: [3] each, m/s, of both ends or of their images
    """
    wavelength = scene.grid.wavelength_m
    length_m = outward.distance_m + inward.distance_m

    # directions in which the points see the length change
    directions = [
        (scatterers.points_m - legs.source_m) / legs.distance_m[:, None]
        for legs in (outward, inward)
    ]
    lengthening = np.sum(sum(directions) * scatterers.velocities_mps, axis=-1)
    for direction, velocity in zip(directions, source_velocities):
        lengthening = lengthening - direction @ velocity
    doppler = -lengthening / wavelength

    # amplitude: spreading, elements, reflections at the world, the scatterer, phase of the length
    amplitude = spread_amplitude(
        scene, transmitter, receiver, outward.distance_m, inward.distance_m
    )
    amplitude = amplitude * element_amplitude(transmitter, outward.departure)
    amplitude = amplitude * element_amplitude(receiver, inward.departure)
    amplitude = amplitude * outward.coefficient * inward.coefficient * scatterers.weight
    amplitude = amplitude * np.where(
        scatterers.exact, np.exp(-2j * np.pi * length_m / wavelength), 1
    )

    exists = outward.open & inward.open
    columns = (
        scatterers.owner,
        length_m / SPEED_OF_LIGHT_MPS,
        doppler,
        amplitude,
        outward.departure,
        inward.departure,
        np.full(len(length_m), reflected),
    )
    return tuple(column[exists] for column in columns)
