"""The static world as paths: line of sight, specular reflections, diffuse scattering."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.fading import draw_key
from cooperative_isac.channel.gain import array_amplitude, friis_amplitude, radar_amplitude
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.channel.reflection import mean_reflectivity, mirrored_legs, straight_legs
from cooperative_isac.channel.static import channel_matrix
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.link_geometry import end_doppler_hz
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import Surface
from cooperative_isac.waveform.signal import antenna_slices

# Receivers whose matrix is kept. One of 64 subcarriers and 32 x 64 antennas takes 1 MB.
KEPT_MATRICES = 64


def moves(scene: Scene, site: Site) -> bool:
    """Whether a site may be elsewhere in another frame, or has a velocity."""
    if site.is_moving:
        return True
    return scene.layout is not None and scene.station(site.name).is_mobile


def static_paths(scene: Scene, receiver: Site) -> PathSet:
    """All paths of the static world to one receiver; those of links at rest are the same in every
    frame.

    They are a function of the scene, its seed and where its stations are.

    `scatterer` is a running number; `reflected` is false for lines of sight.
    """
    return _paths_from(scene, receiver, range(len(scene.transmitters)))


def moving_static_paths(scene: Scene, receiver: Site) -> PathSet | None:
    """Paths of the static world to one receiver of which an end may move, with Doppler shifts.

    Returns paths as static_paths; None without a world or where both ends of all links rest.
    """
    resting = _resting(scene, receiver)
    chosen = [index for index in range(len(scene.transmitters)) if index not in resting]
    if scene.world is None or not chosen:
        return None
    return _paths_from(scene, receiver, chosen)


def _resting(scene: Scene, receiver: Site) -> tuple[int, ...]:
    """Indices of the transmitters whose links to a receiver have both ends at rest."""
    if moves(scene, receiver):
        return ()
    return tuple(i for i, site in enumerate(scene.transmitters) if not moves(scene, site))


def _paths_from(scene: Scene, receiver: Site, chosen: Iterable[int]) -> PathSet:
    """Static paths from some of the transmitters, by their indices, to one receiver."""
    wavelength = scene.grid.wavelength_m
    parts = []
    for index in chosen:
        site = scene.transmitters[index]
        length_m, amplitude, aod, aoa, reflected = _link_paths(scene, site, receiver)
        doppler_hz = end_doppler_hz(site, receiver, aod, aoa, wavelength)
        parts.append(
            (
                np.full(len(length_m), index),
                length_m / SPEED_OF_LIGHT_MPS,
                doppler_hz,
                amplitude,
                aod,
                aoa,
                reflected,
            )
        )
    transmitter, delay_s, doppler_hz, amplitude, aod, aoa, reflected = (
        np.concatenate(column) for column in zip(*parts)
    )
    kind = np.where(reflected, PathKind.REFLECTOR, PathKind.LINE_OF_SIGHT)
    scatterer = np.arange(len(transmitter))
    return PathSet(
        transmitter, scatterer, delay_s, doppler_hz, amplitude, aod, aoa, reflected, kind
    )


def line_of_sight(scene: Scene, transmitter: Site, receiver: Site) -> tuple[np.ndarray, ...]:
    """The direct path (Friis): length_m, amplitude, aod, aoa, reflected; none where blocked.

    A station's path to itself is none.
    """
    if np.array_equal(transmitter.position_m, receiver.position_m):
        return _no_rows()
    legs = straight_legs(scene.world, transmitter.position_m, receiver.position_m[None])
    amplitude = _free_space(scene, legs.distance_m)
    return _kept(
        transmitter,
        receiver,
        legs.open,
        legs.distance_m,
        amplitude,
        legs.departure,
        -legs.departure,
        False,
    )


def specular_reflection(
    scene: Scene, transmitter: Site, receiver: Site, surface: Surface
) -> tuple[np.ndarray, ...]:
    """The specular path by way of one surface (image method), columns as of line_of_sight."""
    assert scene.world is not None  # surfaces are those of a world
    legs = mirrored_legs(scene.world, surface, transmitter.position_m, receiver.position_m[None])
    arrival = (legs.source_m - receiver.position_m) / legs.distance_m[:, None]
    amplitude = _free_space(scene, legs.distance_m) * legs.coefficient
    return _kept(
        transmitter, receiver, legs.open, legs.distance_m, amplitude, legs.departure, arrival, True
    )


def diffuse_scattering(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    surface: Surface,
    generator: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Paths by way of a surface's tiles, columns as of line_of_sight.

    Each tile scatters the share S^2 of what it reflects of the power that falls on it, with
    Lambert's cosine and a phase of its own, random and drawn once (Degli-Esposti et al., IEEE
    Trans. Antennas Propag. 55(1), 2007, Lambertian pattern): a radar cross section of 4 S^2 R
    cos(incidence) cos(scattering) area. Where an end moves the phase turns with the path's length.
    """
    assert scene.world is not None  # surfaces are those of a world
    middles, area_m2 = surface.tiles(scene.world.tile_m)
    phases = np.exp(2j * np.pi * generator.random(len(middles)))

    # both ends on one side of the surface
    heights = [
        (site.position_m - surface.corner_m) @ surface.normal for site in (transmitter, receiver)
    ]
    outward = straight_legs(scene.world, transmitter.position_m, middles)
    inward = straight_legs(scene.world, receiver.position_m, middles)
    exists = outward.open & inward.open & (heights[0] * heights[1] > 0)

    incidence = np.abs(outward.departure @ surface.normal)
    leaving = np.abs(inward.departure @ surface.normal)
    reflected = mean_reflectivity(surface.material, incidence)
    rcs = 4 * surface.material.scattering**2 * reflected * incidence * leaving * area_m2
    amplitude = phases * radar_amplitude(
        scene.grid.wavelength_m, rcs, outward.distance_m, inward.distance_m
    )
    length_m = outward.distance_m + inward.distance_m
    if moves(scene, transmitter) or moves(scene, receiver):
        amplitude = amplitude * np.exp(-2j * np.pi * length_m / scene.grid.wavelength_m)
    return _kept(
        transmitter,
        receiver,
        exists,
        length_m,
        amplitude,
        outward.departure,
        inward.departure,
        True,
    )


def static_matrix(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of the static world (channel.static) to one receiver.

    It is computed once for a world, its sites, grid and seed. Links with an end that may move have
    zeros: their paths are those of moving_static_paths.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64, antennas of all transmitters in a
    row; None without a world or a link at rest.
    """
    resting = _resting(scene, receiver)
    if scene.world is None or not resting:
        return None
    sites = tuple(_Same(scene.transmitters[index]) for index in resting)
    antennas = tuple((part.start, part.stop) for part in antenna_slices(scene))
    parts = (_Same(scene.world), sites, resting, antennas, _Same(receiver), scene.grid, scene.seed)
    return _matrix(_Same(scene, free=True), *parts)


class _Same:
    """A part of a cache's key: equal to itself only, or, where `free`, to all others."""

    def __init__(self, value: Any, free: bool = False):
        self.value = value
        self._free = free

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and (self._free or self.value is other.value)

    def __hash__(self) -> int:
        return 0 if self._free else id(self.value)


@lru_cache(maxsize=KEPT_MATRICES)
def _matrix(
    scene: _Same,
    world: _Same,
    sites: tuple[_Same, ...],
    resting: tuple[int, ...],
    antennas: tuple[tuple[int, int], ...],
    receiver: _Same,
    grid: OfdmGrid,
    seed: int,
) -> np.ndarray:
    paths = _paths_from(scene.value, receiver.value, resting)
    matrix = channel_matrix(scene.value, receiver.value, paths)
    matrix.setflags(write=False)
    return matrix


def _link_paths(scene: Scene, transmitter: Site, receiver: Site) -> tuple[np.ndarray, ...]:
    """Columns of all static paths of one link."""
    world = scene.world
    assert world is not None
    who = draw_key(scene, f"world/{transmitter.name}/{receiver.name}")
    generator = frame_generator(scene.seed, 0, who)
    parts = []
    if world.line_of_sight:
        parts.append(line_of_sight(scene, transmitter, receiver))
    for surface in world.surfaces:
        parts.append(specular_reflection(scene, transmitter, receiver, surface))
        if surface.material.scattering > 0:
            parts.append(diffuse_scattering(scene, transmitter, receiver, surface, generator))
    if not parts:
        return _no_rows()
    return tuple(np.concatenate(column) for column in zip(*parts))


def _free_space(scene: Scene, length_m: np.ndarray) -> np.ndarray:
    """Complex amplitude of free space at the carrier between isotropic elements, same shape."""
    wavelength = scene.grid.wavelength_m
    return friis_amplitude(wavelength, length_m) * np.exp(-2j * np.pi * length_m / wavelength)


def _kept(
    transmitter: Site,
    receiver: Site,
    exists: np.ndarray,
    length_m: np.ndarray,
    amplitude: np.ndarray,
    aod: np.ndarray,
    aoa: np.ndarray,
    reflected: bool,
) -> tuple[np.ndarray, ...]:
    """Columns of the paths that exist, with element patterns and array sizes."""
    gain = element_amplitude(transmitter, aod) * element_amplitude(receiver, aoa)
    amplitude = amplitude * gain * array_amplitude(transmitter, receiver)
    return _rows(length_m[exists], amplitude[exists], aod[exists], aoa[exists], reflected)


def _rows(
    length_m: np.ndarray, amplitude: np.ndarray, aod: np.ndarray, aoa: np.ndarray, reflected: bool
) -> tuple[np.ndarray, ...]:
    return length_m, amplitude, aod, aoa, np.full(len(length_m), reflected)


def _no_rows() -> tuple[np.ndarray, ...]:
    return _rows(np.zeros(0), np.zeros(0, complex), np.zeros((0, 3)), np.zeros((0, 3)), False)
