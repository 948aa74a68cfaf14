"""The static world as paths: line of sight, specular reflections, diffuse scattering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.fading import draw_key
from cooperative_isac.channel.gain import array_amplitude, friis_amplitude, radar_amplitude
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.channel.reflection import mean_reflectivity, mirrored_legs, straight_legs
from cooperative_isac.channel.static import channel_matrix
from cooperative_isac.channel.target_paths import NO_MIRROR
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.link_geometry import end_doppler_hz
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import Surface
from cooperative_isac.waveform.signal import antenna_slices

# Channel matrices that are kept, one for each receiver and band: enough for the largest scene. One
# of 64 subcarriers and 32 x 64 antennas takes 1 MB.
KEPT_MATRICES = 64


@dataclass(frozen=True)
class StaticPaths:
    """Paths of one link by way of the static world.

    length_m: [num_paths], float64, m
    amplitude: [num_paths], complex128, at the carrier, for unit-norm steering vectors
    aod: [num_paths, 3], float64, unit vectors from the transmitter along the path
    aoa: [num_paths, 3], float64, unit vectors from the receiver along the path
    reflected: [num_paths], bool, false for a line of sight
    """

    length_m: np.ndarray
    amplitude: np.ndarray
    aod: np.ndarray
    aoa: np.ndarray
    reflected: np.ndarray


def moves(scene: Scene, site: Site) -> bool:
    """True where the pose of a site may differ between frames, or it has a velocity."""
    if site.is_moving:
        return True
    return scene.layout is not None and scene.station(site.name).is_mobile


def static_paths(scene: Scene, receiver: Site) -> PathSet:
    """All paths of the static world to one receiver.

    They are a function of the scene, its seed and the poses of its stations; those of links at rest
    are the same in every frame. `scatterer` is a running number; `reflected` is false for lines of
    sight.
    """
    return _paths_from(scene, receiver, range(len(scene.transmitters)))


def moving_static_paths(scene: Scene, receiver: Site) -> PathSet | None:
    """Paths of the static world to one receiver over links with a moving end, with Doppler shifts.

    Returns paths as static_paths; None without a world or where both ends of all links rest.
    """
    resting = _resting(scene, receiver)
    moving = [index for index in range(len(scene.transmitters)) if index not in resting]
    if scene.world is None or not moving:
        return None
    return _paths_from(scene, receiver, moving)


def has_world_paths(scene: Scene, receiver: Site) -> bool:
    """True where the static world may have a path to one receiver over a link at rest.

    Surfaces that scatter count as paths wherever they are.
    """
    world = scene.world
    resting = _resting(scene, receiver)
    if world is None or not resting:
        return False
    if any(surface.material.scattering > 0 for surface in world.surfaces):
        return True
    return any(
        len(paths.length_m) > 0
        for index in resting
        for paths in _specular_paths(scene, scene.transmitters[index], receiver)
    )


def _specular_paths(scene: Scene, transmitter: Site, receiver: Site) -> Iterator[StaticPaths]:
    """Line of sight of one link, where the world has any, and its reflection by each surface."""
    world = scene.world
    assert world is not None
    if world.line_of_sight:
        yield line_of_sight(scene, transmitter, receiver)
    for surface in world.surfaces:
        yield specular_reflection(scene, transmitter, receiver, surface)


def _resting(scene: Scene, receiver: Site) -> tuple[int, ...]:
    """Indices of the transmitters whose links to a receiver have both ends at rest."""
    if moves(scene, receiver):
        return ()
    return tuple(index for index, site in enumerate(scene.transmitters) if not moves(scene, site))


def _paths_from(scene: Scene, receiver: Site, transmitters: Iterable[int]) -> PathSet:
    """Static paths from some of the transmitters, by their indices, to one receiver."""
    parts = []
    num_before = 0  # paths of the transmitters before
    for index in transmitters:
        paths = _link_paths(scene, scene.transmitters[index], receiver)
        parts.append(path_set(scene, index, receiver, paths, num_before))
        num_before += len(paths.length_m)
    return joined_rows(parts)


def path_set(
    scene: Scene, transmitter: int, receiver: Site, paths: StaticPaths, num_before: int
) -> PathSet:
    """Static paths of one link, with the Doppler shifts of its ends.

    transmitter: index of the transmitting site
    num_before: scatterers that are counted before them
    """
    site = scene.transmitters[transmitter]
    num_paths = len(paths.length_m)
    return PathSet(
        transmitter=np.full(num_paths, transmitter),
        scatterer=num_before + np.arange(num_paths),
        delay_s=paths.length_m / SPEED_OF_LIGHT_MPS,
        doppler_hz=end_doppler_hz(site, receiver, paths.aod, paths.aoa, scene.grid.wavelength_m),
        amplitude=paths.amplitude,
        aod=paths.aod,
        aoa=paths.aoa,
        reflected=paths.reflected,
        kind=np.where(paths.reflected, PathKind.REFLECTOR, PathKind.LINE_OF_SIGHT),
        mirror=np.full(num_paths, NO_MIRROR),
    )


def line_of_sight(scene: Scene, transmitter: Site, receiver: Site) -> StaticPaths:
    """The direct path of a link (Friis); none where it is blocked, or to the station itself."""
    if np.array_equal(transmitter.position_m, receiver.position_m):
        return _no_paths()
    legs = straight_legs(scene.world, transmitter.position_m, receiver.position_m[None])
    amplitude = _free_space(scene, legs.distance_m)
    paths = StaticPaths(
        length_m=legs.distance_m,
        amplitude=amplitude,
        aod=legs.departure,
        aoa=-legs.departure,
        reflected=np.zeros(1, bool),
    )
    return _between_arrays(transmitter, receiver, paths, legs.exists)


def mirror_paths(scene: Scene, transmitter: Site, receiver: Site) -> StaticPaths:
    """Line of sight of a link, first where it is not blocked, and its specular reflections.

    Without a world there is the line of sight alone.
    """
    parts = [line_of_sight(scene, transmitter, receiver)]
    surfaces = scene.world.surfaces if scene.world is not None else ()
    parts += [specular_reflection(scene, transmitter, receiver, each) for each in surfaces]
    return joined_rows(parts)


def specular_reflection(
    scene: Scene, transmitter: Site, receiver: Site, surface: Surface
) -> StaticPaths:
    """The specular path by way of one surface (image method); none where it does not exist."""
    assert scene.world is not None  # surfaces are those of a world
    legs = mirrored_legs(scene.world, surface, transmitter.position_m, receiver.position_m[None])
    paths = StaticPaths(
        length_m=legs.distance_m,
        amplitude=_free_space(scene, legs.distance_m) * legs.coefficient,
        aod=legs.departure,
        aoa=(legs.source_m - receiver.position_m) / legs.distance_m[:, None],
        reflected=np.ones(1, bool),
    )
    return _between_arrays(transmitter, receiver, paths, legs.exists)


def diffuse_scattering(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    surface: Surface,
    generator: np.random.Generator,
) -> StaticPaths:
    """Paths by way of a surface's tiles.

    A tile reflects the share R of the incident power, and scatters the share S^2 of this with
    Lambert's cosine: its radar cross section is 4 S^2 R cos(incidence) cos(scattering) area. Its
    phase is random and drawn once; on a link with a moving end it turns with the path's length.

    surface: of the scene's world
    generator: of the random phases
    Source: Degli-Esposti et al., IEEE Trans. Antennas Propag. 55(1), 2007, Lambertian pattern.
    """
    assert scene.world is not None  # surfaces are those of a world
    wavelength_m = scene.grid.wavelength_m
    centers_m, area_m2 = surface.tiles(scene.world.tile_m)
    random_phase = np.exp(2j * np.pi * generator.random(len(centers_m)))

    # Paths exist where both ends are on one side of the surface, and nothing is between.
    tx_height_m = (transmitter.position_m - surface.corner_m) @ surface.normal
    rx_height_m = (receiver.position_m - surface.corner_m) @ surface.normal
    outward = straight_legs(scene.world, transmitter.position_m, centers_m)
    inward = straight_legs(scene.world, receiver.position_m, centers_m)
    exists = outward.exists & inward.exists & (tx_height_m * rx_height_m > 0)

    # Radar cross section of each tile.
    incidence_cosine = np.abs(outward.departure @ surface.normal)
    scattering_cosine = np.abs(inward.departure @ surface.normal)
    reflectivity = mean_reflectivity(surface.material, incidence_cosine)
    scattered_share = surface.material.scattering**2
    rcs_m2 = 4 * scattered_share * reflectivity * incidence_cosine * scattering_cosine * area_m2

    # Amplitude by the radar equation, with the phase of the length where an end moves.
    amplitude = random_phase * radar_amplitude(
        wavelength_m, rcs_m2, outward.distance_m, inward.distance_m
    )
    length_m = outward.distance_m + inward.distance_m
    if moves(scene, transmitter) or moves(scene, receiver):
        amplitude = amplitude * np.exp(-2j * np.pi * length_m / wavelength_m)

    paths = StaticPaths(
        length_m=length_m,
        amplitude=amplitude,
        aod=outward.departure,
        aoa=inward.departure,
        reflected=np.ones(len(length_m), bool),
    )
    return _between_arrays(transmitter, receiver, paths, exists)


def static_matrix(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of the static world (channel.static) to one receiver.

    It is computed once for a world, its sites, grid and seed. Links with a moving end have zeros:
    their paths are those of moving_static_paths.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64, antennas of all transmitters in a
    row; None without a world or a link at rest.
    """
    resting = _resting(scene, receiver)
    if scene.world is None or not resting:
        return None

    # Every frame with moving stations has a new Scene, but its world and its sites at rest are the
    # same objects. They are compared as such: their arrays have no hash, and are large.
    return _cached_matrix(
        _NotCompared(scene),
        _SameObject(scene.world),
        tuple(_SameObject(scene.transmitters[index]) for index in resting),
        resting,
        tuple((part.start, part.stop) for part in antenna_slices(scene)),
        _SameObject(receiver),
        scene.grid,
        scene.seed,
    )


class _SameObject:
    """Part of a cache's key that is equal to the same object only."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameObject) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _NotCompared:
    """Argument of a cached function that is not part of the key."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _NotCompared)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=KEPT_MATRICES)
def _cached_matrix(
    scene: _NotCompared,
    world: _SameObject,
    sites: tuple[_SameObject, ...],
    resting: tuple[int, ...],
    antennas: tuple[tuple[int, int], ...],
    receiver: _SameObject,
    grid: OfdmGrid,
    seed: int,
) -> np.ndarray:
    """Channel matrix of the links at rest, cached by all arguments on which it depends."""
    paths = _paths_from(scene.value, receiver.value, resting)
    matrix = channel_matrix(scene.value, receiver.value, paths)
    matrix.setflags(write=False)
    return matrix


def _link_paths(scene: Scene, transmitter: Site, receiver: Site) -> StaticPaths:
    """All static paths of one link."""
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
        return _no_paths()
    return joined_rows(parts)


def _free_space(scene: Scene, length_m: np.ndarray) -> np.ndarray:
    """Complex amplitude of free space at the carrier between isotropic elements.

    length_m: [...], float64, m
    Returns [...], complex128.
    """
    wavelength_m = scene.grid.wavelength_m
    phase = np.exp(-2j * np.pi * length_m / wavelength_m)
    return friis_amplitude(wavelength_m, length_m) * phase


def _between_arrays(
    transmitter: Site, receiver: Site, paths: StaticPaths, exists: np.ndarray
) -> StaticPaths:
    """The paths that exist, with element patterns and array sizes.

    paths: between isotropic elements
    exists: [num_paths], bool
    """
    pattern = element_amplitude(transmitter, paths.aod) * element_amplitude(receiver, paths.aoa)
    amplitude = paths.amplitude * pattern * array_amplitude(transmitter, receiver)
    return StaticPaths(
        paths.length_m[exists],
        amplitude[exists],
        paths.aod[exists],
        paths.aoa[exists],
        paths.reflected[exists],
    )


def _no_paths() -> StaticPaths:
    nothing = np.zeros(0)
    return StaticPaths(
        length_m=nothing,
        amplitude=nothing.astype(complex),
        aod=np.zeros((0, 3)),
        aoa=np.zeros((0, 3)),
        reflected=nothing.astype(bool),
    )
