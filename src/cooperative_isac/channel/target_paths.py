"""Target paths of a physical scene: cross sections, bodies, blockage, reflections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.body import body_points
from cooperative_isac.channel.fading import draw_reflections, link_reflections
from cooperative_isac.channel.gain import spread_amplitude
from cooperative_isac.channel.reflection import Legs, mirrored_legs, straight_legs
from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Body, Scene, TargetState
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import Surface

# Number in place of a surface for paths that are not mirrored as a whole.
NO_MIRROR = -1


@dataclass(frozen=True)
class TargetPaths:
    """Paths of one link by way of targets and clutter, columns as of channel.paths.PathSet."""

    scatterer: np.ndarray
    delay_s: np.ndarray
    doppler_hz: np.ndarray
    amplitude: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    reflected: np.ndarray
    mirror: np.ndarray


@dataclass(frozen=True)
class Scatterers:
    """Points that scatter the wave of one link: those of targets, then the clutter.

    points_m: [num_points, 3], float64, m in map
    velocities_mps: [num_points, 3], float64, m/s in map
    owner: [num_points], int, index of the target, then of the clutter scatterer
    weight: [num_points], complex128, reflection in units of channel.gain.spread_amplitude
    has_path_phase: [num_points], bool, whether the phase turns with the path's length (bodies), or
    is a part of the drawn weight (points)
    """

    points_m: np.ndarray
    velocities_mps: np.ndarray
    owner: np.ndarray
    weight: np.ndarray
    has_path_phase: np.ndarray


@dataclass(frozen=True)
class _End:
    """One end of a link: a site, seen directly or by way of a surface as an image of itself."""

    site: Site
    surface: Surface | None

    @property
    def source_m(self) -> np.ndarray:
        """Position of the site or of its image, [3], float64, m."""
        if self.surface is None:
            return self.site.position_m
        return self.surface.mirrored(self.site.position_m)

    @property
    def velocity_mps(self) -> np.ndarray:
        """Velocity of the site or of its image, [3], float64, m/s."""
        if self.surface is None:
            return self.site.velocity_mps
        return self.surface.mirrored_directions(self.site.velocity_mps)

    def legs(self, scene: Scene, points_m: np.ndarray) -> Legs:
        """Legs of the paths between this end and points [num_points, 3], m."""
        if self.surface is None:
            return straight_legs(scene.world, self.site.position_m, points_m)
        assert scene.world is not None  # surfaces are those of a world
        return mirrored_legs(scene.world, self.surface, self.site.position_m, points_m)


def link_paths(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None = None,
) -> TargetPaths:
    """Paths of one link by way of targets and clutter, without those that the world blocks.

    clutter_m: [num_scatterers, 3], float64, m
    block: coherence block of the reflections; None: drawn from the generator, anew in every frame
    """
    points_m = np.array([*(target.position_m for target in targets), *clutter_m]).reshape(-1, 3)
    reached_before = _reaching_surfaces(scene, transmitter, points_m)
    reached_behind = _reaching_surfaces(scene, receiver, points_m)
    parts = []
    for number, (before, behind) in enumerate(_routes(scene)):
        # Most pairs of surfaces reflect to no target.
        is_open = before in reached_before and behind in reached_behind
        is_pair = before is not None and behind is not None
        if is_pair and not is_open:
            continue

        # Reflection of each target and scatterer.
        if block is None:
            reflection = draw_reflections(scene, targets, len(clutter_m), generator)
        else:
            reflection = link_reflections(
                scene, transmitter, receiver, targets, len(clutter_m), block, number
            )
        if not is_open:
            continue

        # Points that scatter, as seen from both ends or their images.
        tx_end = _end(scene, transmitter, before)
        rx_end = _end(scene, receiver, behind)
        scatterers = _scatterers(
            scene, targets, clutter_m, reflection, tx_end, rx_end, is_coherent=block is not None
        )
        mirror = before if before is not None and before == behind else NO_MIRROR
        parts.append(_paths_over(scene, scatterers, tx_end, rx_end, mirror))

    return joined_rows(parts)


def _routes(scene: Scene) -> list[tuple[int | None, int | None]]:
    """Indices of the surfaces before and behind the target on each route; None: a straight leg.

    The direct route is first, then come those with one reflection, then those with two.
    """
    routes: list[tuple[int | None, int | None]] = [(None, None)]
    if scene.world is not None:
        surfaces = range(len(scene.world.surfaces))
        if scene.world.target_reflections >= 1:
            routes += [(surface, None) for surface in surfaces]
            routes += [(None, surface) for surface in surfaces]
        if scene.world.target_reflections >= 2:
            routes += product(surfaces, surfaces)
    return routes


def _reaching_surfaces(scene: Scene, site: Site, points_m: np.ndarray) -> set[int | None]:
    """Indices of the surfaces that reflect between a site and any target or scatterer.

    None is among them: straight legs are tested one by one.

    points_m: [num_points, 3], float64, m, their locations
    """
    if scene.world is None or scene.world.target_reflections == 0:
        return {None}
    surfaces = enumerate(scene.world.surfaces)
    if scene.has_bodies:
        # Points of a body may be reached where its center is not.
        return {None, *(index for index, _ in surfaces)}
    return {None} | {
        index
        for index, surface in surfaces
        if scene.world.reflections(surface, site.position_m, points_m)[1].any()
    }


def _end(scene: Scene, site: Site, surface: int | None) -> _End:
    """A site as the end of a leg by way of a surface, by its index; None: of a straight leg."""
    if surface is None:
        return _End(site, None)
    assert scene.world is not None  # surfaces are those of a world
    return _End(site, scene.world.surfaces[surface])


def _scatterers(
    scene: Scene,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    reflection: np.ndarray,
    tx_end: _End,
    rx_end: _End,
    is_coherent: bool,
) -> Scatterers:
    """Points of all targets, seen from two ends, then of the clutter.

    clutter_m: [num_scatterers, 3], float64, m
    reflection: [num_targets + num_scatterers], complex128
    is_coherent: reflections stay the same from frame to frame, so that all phases turn with the
    lengths of the paths
    """
    points_m = []
    velocities_mps = []
    owner = []
    weight = []
    has_path_phase = []

    # Targets: one point each, or the points of a body.
    for index, target in enumerate(targets):
        body = scene.body(target.target_class)
        is_body = bool(body.size_m.any())
        if is_body:
            own_points_m, shares = _seen_body(body, target, tx_end.source_m, rx_end.source_m)
        else:
            own_points_m = target.position_m[None]
            shares = np.ones(1)

        # A body's phases are those of its points.
        own_reflection = reflection[index]
        if is_body and scene.propagation.has_radar_equation:
            own_reflection = abs(own_reflection)

        points_m.append(own_points_m)
        velocities_mps.append(np.broadcast_to(target.velocity_mps, own_points_m.shape))
        owner.append(np.full(len(own_points_m), index))
        weight.append(own_reflection * np.sqrt(shares))
        has_path_phase.append(np.full(len(own_points_m), is_body or is_coherent))

    # Clutter: points at rest.
    num_clutter = len(clutter_m)
    points_m.append(clutter_m)
    velocities_mps.append(np.zeros((num_clutter, 3)))
    owner.append(len(targets) + np.arange(num_clutter))
    weight.append(reflection[len(targets) :])
    has_path_phase.append(np.full(num_clutter, is_coherent))

    return Scatterers(
        np.concatenate(points_m),
        np.concatenate(velocities_mps),
        np.concatenate(owner).astype(int),
        np.concatenate(weight),
        np.concatenate(has_path_phase).astype(bool),
    )


def _seen_body(
    body: Body, target: TargetState, tx_m: np.ndarray, rx_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points and shares of channel.body.body_points, seen from two positions [3], m."""
    away_tx = tx_m - target.position_m
    away_rx = rx_m - target.position_m
    toward_tx = away_tx / np.linalg.norm(away_tx)
    toward_rx = away_rx / np.linalg.norm(away_rx)
    return body_points(body, target, toward_tx, toward_rx)


def _paths_over(
    scene: Scene, scatterers: Scatterers, tx_end: _End, rx_end: _End, mirror: int
) -> TargetPaths:
    """Paths from one end by way of each scatterer to the other end, those that exist.

    mirror: index of the surface of both ends; NO_MIRROR: none, or different ones
    """
    wavelength_m = scene.grid.wavelength_m
    outward = tx_end.legs(scene, scatterers.points_m)
    inward = rx_end.legs(scene, scatterers.points_m)
    length_m = outward.distance_m + inward.distance_m

    # Doppler shift: movement of the points and of both ends along the legs, whose directions at the
    # points are those of straight lines from the sources.
    directions = [
        (scatterers.points_m - legs.source_m) / legs.distance_m[:, None]
        for legs in (outward, inward)
    ]
    lengthening_mps = np.sum(sum(directions) * scatterers.velocities_mps, axis=-1)
    for direction, end in zip(directions, (tx_end, rx_end)):
        lengthening_mps = lengthening_mps - direction @ end.velocity_mps
    doppler_hz = -lengthening_mps / wavelength_m

    # Amplitude: spreading, elements at both ends, reflections at the world, the scatterer.
    amplitude = spread_amplitude(
        scene, tx_end.site, rx_end.site, outward.distance_m, inward.distance_m
    )
    amplitude = amplitude * element_amplitude(tx_end.site, outward.departure)
    amplitude = amplitude * element_amplitude(rx_end.site, inward.departure)
    amplitude = amplitude * outward.coefficient * inward.coefficient * scatterers.weight

    # Phase of the length, where it is not drawn.
    path_phase = np.exp(-2j * np.pi * length_m / wavelength_m)
    amplitude = amplitude * np.where(scatterers.has_path_phase, path_phase, 1)

    exists = outward.exists & inward.exists
    num_paths = np.count_nonzero(exists)
    is_reflected = tx_end.surface is not None or rx_end.surface is not None
    return TargetPaths(
        scatterer=scatterers.owner[exists],
        delay_s=(length_m / SPEED_OF_LIGHT_MPS)[exists],
        doppler_hz=doppler_hz[exists],
        amplitude=amplitude[exists],
        aod=outward.departure[exists],
        aoa=inward.departure[exists],
        reflected=np.full(num_paths, is_reflected),
        mirror=np.full(num_paths, mirror),
    )
