"""Propagation paths: generated here, applied in echo.py, so that truth stays available."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np

from cooperative_isac.channel.fading import link_reflections
from cooperative_isac.channel.gain import unit_gain
from cooperative_isac.channel.random_numbers import complex_normal
from cooperative_isac.channel.target_paths import link_paths
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.station import Site


class PathKind(IntEnum):
    """What a path is reflected by on its way, if anything."""

    TARGET = 0
    CLUTTER = 1
    LINE_OF_SIGHT = 2
    REFLECTOR = 3


@dataclass(frozen=True)
class PathSet:
    """All paths that reach one receiver (one term of CF eq. 6 or 29 each).

    transmitter, scatterer: [num_paths], int, indices (targets first, then clutter, then the static
    world)
    delay_s, doppler_hz: [num_paths], float64
    amplitude: [num_paths], complex128, beta sqrt(PL)
    aod, aoa: [num_paths, 3], unit vectors to the scatterer, or to the first or last surface on the
    way to it
    reflected: [num_paths], bool, whether the static world reflects the path on its way; None: none
    of them
    kind: [num_paths], int, PathKind of each; None: not said
    A target with a body has several paths of a link.
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

    def chosen(self, mask: np.ndarray | slice) -> PathSet:
        """Some of the paths; mask: [num_paths], bool, or a slice."""
        columns: dict[str, Any] = {
            name: column[mask] for name, column in vars(self).items() if column is not None
        }
        return replace(self, **columns)


def joined_paths(parts: Sequence[PathSet]) -> PathSet:
    """Paths of several sets that have all columns, in one."""
    columns = [[getattr(part, field.name) for part in parts] for field in fields(PathSet)]
    return PathSet(*(np.concatenate(column) for column in columns))


def clutter_positions(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Scatterers of CF eq. 29, [num_scatterers, 3]: the scene's fixed ones, or uniform in the
    area.
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
    """Paths of all targets and static clutter from every transmitter to one receiver (CF eqs. 6-11,
    29).

    In a physical scene (a static world, or the radar equation) they are those of
    channel.target_paths.

    clutter_m: [num_scatterers, 3], m
    block: coherence block, in which reflections are functions of (seed, block, target, link) and
    their phases turn with the lengths of the paths (channel.fading); None: reflections and phases
    are drawn from the generator
    Raises ValueError: a target or scatterer, which it names, is exactly at a site
    """
    points = np.array([t.position_m for t in targets]).reshape(-1, 3)
    velocities = np.array([t.velocity_mps for t in targets]).reshape(-1, 3)
    points = np.concatenate([points, clutter_m])
    _refuse_points_at_sites((*scene.transmitters, receiver), targets, points)
    if scene.is_physical:
        return _physical_paths(scene, receiver, targets, clutter_m, generator, block)
    velocities = np.concatenate([velocities, np.zeros_like(clutter_m)])
    variance = np.full(len(points), scene.propagation.reflection_variance)
    variance[len(targets) :] = scene.propagation.clutter.reflection_variance
    parts = []
    for index, transmitter in enumerate(scene.transmitters):
        wavelength = scene.grid.wavelength_m
        geometry = link_geometry(transmitter, receiver, points, velocities, wavelength)
        gain = unit_gain(scene, transmitter, receiver, geometry)
        if block is None:
            gain = gain * np.sqrt(variance)
            amplitude = gain * complex_normal(generator, (len(points),))
        else:
            reflection = link_reflections(
                scene, transmitter, receiver, targets, len(clutter_m), block
            )
            turn = np.exp(-2j * np.pi * geometry.range_m / wavelength)
            amplitude = gain * reflection * turn
        parts.append(
            (
                np.full(len(points), index),
                np.arange(len(points)),
                geometry.delay_s,
                geometry.doppler_hz,
                amplitude,
                geometry.aod,
                geometry.aoa,
                np.zeros(len(points), bool),
                _kinds(np.arange(len(points)), len(targets)),
            )
        )
    return PathSet(*(np.concatenate(column) for column in zip(*parts)))


def _physical_paths(
    scene: Scene,
    receiver: Site,
    targets: Sequence[TargetState],
    clutter_m: np.ndarray,
    generator: np.random.Generator,
    block: int | None,
) -> PathSet:
    parts = []
    for index, transmitter in enumerate(scene.transmitters):
        columns = link_paths(scene, transmitter, receiver, targets, clutter_m, generator, block)
        kinds = _kinds(columns[0], len(targets))
        parts.append((np.full(len(columns[0]), index), *columns, kinds))
    return PathSet(*(np.concatenate(column) for column in zip(*parts)))


def _kinds(scatterer: np.ndarray, num_targets: int) -> np.ndarray:
    """Kinds of paths by way of targets and clutter, [num_paths], int."""
    return np.where(scatterer < num_targets, PathKind.TARGET, PathKind.CLUTTER)


def _refuse_points_at_sites(
    sites: Sequence[Site], targets: Sequence[TargetState], points_m: np.ndarray
) -> None:
    for site in sites:
        for index in np.flatnonzero(np.linalg.norm(points_m - site.position_m, axis=1) == 0):
            what = (
                f"target '{targets[int(index)].name}'"
                if index < len(targets)
                else f"scatterer {index - len(targets)} of the clutter"
            )
            raise ValueError(
                f"{what} stands exactly at site '{site.name}', so that no direction leads from "
                "one to the other; move one of them"
            )
