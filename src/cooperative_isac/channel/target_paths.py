"""Target paths of a physical scene: cross sections, bodies, blockage, reflections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.body import body_points
from cooperative_isac.channel.gain import spread_amplitude
from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.channel.reflection import Legs, mirrored_legs, straight_legs
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Body, Scene, Site, TargetState
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
) -> tuple[np.ndarray, ...]:
    """Paths of one link by way of targets and clutter, without those that the world blocks.

    clutter_m: [num_scatterers, 3], m
    Returns scatterer, delay_s, doppler_hz, amplitude, aod, aoa, reflected as in
    channel.paths.PathSet.
    """
    parts = []
    for tx_surface, rx_surface in _surface_pairs(scene):
        reflection = draw_reflections(scene, targets, len(clutter_m), generator)
        scatterers = _scatterers(
            scene,
            targets,
            clutter_m,
            reflection,
            _source(tx_surface, transmitter),
            _source(rx_surface, receiver),
        )
        outward = _legs(scene, tx_surface, transmitter, scatterers.points_m)
        inward = _legs(scene, rx_surface, receiver, scatterers.points_m)
        reflected = tx_surface is not None or rx_surface is not None
        parts.append(_joined(scene, transmitter, receiver, scatterers, outward, inward, reflected))
    return tuple(np.concatenate(column) for column in zip(*parts))


def draw_reflections(
    scene: Scene,
    targets: Sequence[TargetState],
    num_scatterers: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Complex reflections of one link and frame, targets first, [num_targets + num_scatterers].

    Path loss model: CN(0, chi^2) as in CF. Radar equation: a target has the root of a cross section
    sigma_M sigma_S, where sigma_S is log-normal with mean 1 and the class's deviation in dB (3GPP
    TR 38.901 section 7.9.2, without its angular component sigma_D), and a uniform phase; a clutter
    scatterer is CN(0, reflection_variance in m^2).
    """
    air = scene.propagation
    clutter = complex_normal(generator, (num_scatterers,), air.clutter.reflection_variance)
    if not air.has_radar_equation:
        return np.append(
            complex_normal(generator, (len(targets),), air.reflection_variance), clutter
        )
    bodies = [scene.body(target.target_class) for target in targets]
    mean = np.array([body.rcs_m2 for body in bodies])
    sections = mean * unit_log_normal(np.array([body.rcs_std_db for body in bodies]), generator)
    phases = np.exp(2j * np.pi * generator.random(len(targets)))
    return np.append(np.sqrt(sections) * phases, clutter)


def unit_log_normal(std_db: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Log-normal draws of mean 1 whose decibels deviate by std_db, same shape."""
    nepers = std_db * np.log(10) / 10
    return np.exp(nepers * generator.standard_normal(np.shape(std_db)) - nepers**2 / 2)


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
) -> Scatterers:
    """Points of all targets, seen from two ends, then of the clutter."""
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
        exact.append(np.full(len(own), is_body))
    count = len(clutter_m)
    return Scatterers(
        np.concatenate([*points, clutter_m]),
        np.concatenate([*velocities, np.zeros((count, 3))]),
        np.concatenate([*owner, len(targets) + np.arange(count)]).astype(int),
        np.concatenate([*weight, reflection[len(targets) :]]),
        np.concatenate([*exact, np.zeros(count, bool)]).astype(bool),
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
    reflected: bool,
) -> tuple[np.ndarray, ...]:
    """Paths of the two legs of every point, the open ones."""
    wavelength = scene.grid.wavelength_m
    length_m = outward.distance_m + inward.distance_m

    # directions in which the points see the length change
    directions = [
        (scatterers.points_m - legs.source_m) / legs.distance_m[:, None]
        for legs in (outward, inward)
    ]
    doppler = -np.sum(sum(directions) * scatterers.velocities_mps, axis=-1) / wavelength

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
