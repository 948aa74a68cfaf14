"""Propagation paths of targets and clutter.

They are generated here and applied in channel.echo, so that the true paths stay available.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from cooperative_isac.channel.fading import link_reflections
from cooperative_isac.channel.gain import unit_gain
from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.channel.target_paths import NO_MIRROR, link_paths
from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.station import Site


class PathKind(IntEnum):
    """Kind of a propagation path, by the object that reflects it."""

    TARGET = 0
    CLUTTER = 1
    LINE_OF_SIGHT = 2
    REFLECTOR = 3


@dataclass(frozen=True)
class PathSet:
    """All paths that reach one receiver, each a term of CF eq. (6) or (29).

    A target with a body has several paths on a link.

    transmitter: [num_paths], int, index
    scatterer: [num_paths], int, index: targets first, then clutter, then the static world
    delay_s: [num_paths], float64, s
    doppler_hz: [num_paths], float64, Hz
    amplitude: [num_paths], complex128, beta sqrt(PL)
    aod: [num_paths, 3], float64, unit vectors from the transmitter to the scatterer, or to the
    first surface on the way to it
    aoa: [num_paths, 3], float64, unit vectors from the receiver to the scatterer, or to the last
    surface on the way from it
    reflected: [num_paths], bool, reflected by the static world on the way; None: none of them is
    kind: [num_paths], int, PathKind of each; None: not known
    mirror: [num_paths], int, index of the surface of the world that reflects both before and behind
    the target, so that the whole path is a mirror image; NO_MIRROR: of another path; None: no path
    is one
    delay_rate: [num_paths], float64, s/s, change of the delay within the frame; None: delays are
    constant
    """

    transmitter: np.ndarray
    scatterer: np.ndarray
    delay_s: np.ndarray
    doppler_hz: np.ndarray
    amplitude: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    reflected: np.ndarray | None = None
    kind: np.ndarray | None = None
    mirror: np.ndarray | None = None
    delay_rate: np.ndarray | None = None

    def chosen(self, mask: np.ndarray | slice) -> PathSet:
        """Some of the paths.

        mask: [num_paths], bool, or a slice
        """
        columns: dict[str, Any] = {
            name: column[mask] for name, column in vars(self).items() if column is not None
        }
        return replace(self, **columns)


def clutter_positions(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Positions of the scatterers: the scene's fixed ones, or drawn uniformly in the area.

    Returns [num_scatterers, 3], float64, m.
    Source: CF eq. (29).
    """
    clutter = scene.propagation.clutter
    if clutter.positions_m is not None:
        return clutter.positions_m
    return generator.uniform(scene.box.low_m, scene.box.high_m, (clutter.num_scatterers, 3))


def draw_paths(
    scene: Scene,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None = None,
) -> PathSet:
    """Paths of all targets and static clutter from every transmitter to one receiver.

    In a physical scene (a static world, or the radar equation) they are those of
    channel.target_paths.

    clutter_m: [num_scatterers, 3], float64, m
    block: coherence block, in which reflections are functions of (seed, block, target, link) and
    their phases turn with the lengths of the paths (channel.fading); None: reflections and phases
    are drawn from the generator
    Raises ValueError: a target or scatterer, which the message names, is exactly at a site.
    Source: CF eqs. (6)-(11) and (29).
    """
    _refuse_points_at_sites((*scene.transmitters, receiver), targets, clutter_m)
    draw_link = _physical_paths if scene.is_physical else _point_paths
    return joined_rows(
        [
            draw_link(scene, index, receiver, targets, clutter_m, generator, block)
            for index in range(len(scene.transmitters))
        ]
    )


def _point_paths(
    scene: Scene,
    transmitter: int,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None,
) -> PathSet:
    """Paths of one link by way of points in empty space: targets, then static clutter.

    transmitter: index of the transmitting site
    clutter_m: [num_scatterers, 3], float64, m, map
    generator: of the random reflections, where block is None
    block: coherence block, or None; see draw_paths
    Source: CF eqs. (6)-(11).
    """
    site = scene.transmitters[transmitter]
    wavelength_m = scene.grid.wavelength_m

    # Points: targets, then clutter at rest.
    points_m = np.concatenate([_positions(targets), clutter_m])
    velocities_mps = np.concatenate([_velocities(targets), np.zeros_like(clutter_m)])
    num_points = len(points_m)

    # Large-scale amplitude of unit reflections.
    geometry = link_geometry(site, receiver, points_m, velocities_mps, wavelength_m)
    gain = unit_gain(scene, site, receiver, geometry)

    # Random reflections: drawn for this frame, or constant in the coherence block with a phase that
    # turns with the path's length.
    if block is None:
        variance = np.full(num_points, scene.propagation.reflection_variance)
        variance[len(targets) :] = scene.propagation.clutter.reflection_variance
        amplitude = gain * np.sqrt(variance) * complex_normal(generator, (num_points,))
    else:
        reflection = link_reflections(scene, site, receiver, targets, len(clutter_m), block)
        phase = np.exp(-2j * np.pi * geometry.range_m / wavelength_m)
        amplitude = gain * reflection * phase

    scatterer = np.arange(num_points)
    return PathSet(
        transmitter=np.full(num_points, transmitter),
        scatterer=scatterer,
        delay_s=geometry.delay_s,
        doppler_hz=geometry.doppler_hz,
        amplitude=amplitude,
        aod=geometry.aod,
        aoa=geometry.aoa,
        reflected=np.zeros(num_points, bool),
        kind=_kinds(scatterer, len(targets)),
        mirror=np.full(num_points, NO_MIRROR),
    )


def _physical_paths(
    scene: Scene,
    transmitter: int,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None,
) -> PathSet:
    """Paths of one link by way of cross sections, bodies and the static world.

    Arguments and source: see _point_paths and channel.target_paths.
    """
    site = scene.transmitters[transmitter]
    paths = link_paths(scene, site, receiver, targets, clutter_m, generator, block)
    return PathSet(
        transmitter=np.full(len(paths.scatterer), transmitter),
        **vars(paths),  # all columns of TargetPaths, under their names
        kind=_kinds(paths.scatterer, len(targets)),
    )


def _kinds(scatterer: np.ndarray, num_targets: int) -> np.ndarray:
    """Kinds of paths by way of targets and clutter, [num_paths], int."""
    return np.where(scatterer < num_targets, PathKind.TARGET, PathKind.CLUTTER)


def _positions(targets: Sequence[TargetState]) -> np.ndarray:
    """Positions of targets, [num_targets, 3], float64, m."""
    return np.array([target.position_m for target in targets]).reshape(-1, 3)


def _velocities(targets: Sequence[TargetState]) -> np.ndarray:
    """Velocities of targets, [num_targets, 3], float64, m/s."""
    return np.array([target.velocity_mps for target in targets]).reshape(-1, 3)


def _refuse_points_at_sites(
    sites: Sequence[Site], targets: Sequence[TargetState], clutter_m: np.ndarray
) -> None:
    """Raise ValueError for a target or scatterer at a site: the path would have no direction."""
    points_m = np.concatenate([_positions(targets), clutter_m])

    for site in sites:
        distances_m = np.linalg.norm(points_m - site.position_m, axis=1)
        for index in np.flatnonzero(distances_m == 0):
            if index < len(targets):
                name = f"target '{targets[int(index)].name}'"
            else:
                name = f"scatterer {index - len(targets)} of the clutter"
            raise ValueError(
                f"{name} stands exactly at site '{site.name}', so that no direction leads from "
                "one to the other; move one of them"
            )
