"""Paths of a ray tracer's file in the channel: at rest as one matrix, in motion as path sets."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.channel.gain import array_amplitude
from cooperative_isac.channel.paths import PathKind, PathSet
from cooperative_isac.channel.static import channel_matrix
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.path_file import SITE_TOLERANCE_M, PathFile, PathList
from cooperative_isac.scene.station import Site

NO_SCATTERER = -1  # scatterer of a path that no target is in

# Channel matrices of each file, by all that they depend on: sites, grid and kinds of paths.
_matrices: WeakKeyDictionary[PathFile, dict[tuple, np.ndarray]] = WeakKeyDictionary()


def moving_paths(scene: Scene, number: int, receiver: Site) -> PathSet:
    """Paths by way of the targets to one receiver in the file's frame `number`.

    Returns paths whose scatterer is the target's index.
    Raises ValueError: the file does not have that frame.
    """
    file = _file_of(scene)
    if not 0 <= number < file.num_frames:
        raise ValueError(
            f"{file.source} has frames 0 to {file.num_frames - 1}; there is no frame {number}"
        )

    # Paths of this frame and receiver, of the kinds that are used.
    is_received = file.moving.receiver == _site_index(file.receivers_m, receiver, file)
    kinds = scene.propagation.path_kinds
    is_used = np.where(file.multi_bounce, "multi_bounce" in kinds, "targets" in kinds)
    chosen = is_received & (file.frames == number) & is_used

    reflected = file.multi_bounce[chosen]
    paths = file.moving.chosen(chosen)
    return path_set(scene, receiver, paths, file.targets[chosen], PathKind.TARGET, reflected)


def traced_matrix(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of all paths at rest to one receiver, computed once.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64; None without such paths.
    """
    file = scene.propagation.paths
    if file is None:
        return None
    used = [kind for kind in scene.propagation.path_kinds if len(file.static.get(kind, ()))]
    if not used:
        return None

    # All that the matrix depends on beside the file.
    sites = tuple(_site_key(site) for site in (receiver, *scene.transmitters))
    key = (sites, scene.grid, tuple(used))

    cache = _matrices.setdefault(file, {})
    if key not in cache:
        matrices = [_matrix_of_kind(scene, receiver, file, kind) for kind in used]
        cache[key] = sum(matrices, np.zeros_like(matrices[0]))
    return cache[key]


def has_traced_paths(scene: Scene, receiver: Site) -> bool:
    """True where the scene's path file has a path at rest to one receiver."""
    file = scene.propagation.paths
    if file is None:
        return False
    index = _site_index(file.receivers_m, receiver, file)
    used = [kind for kind in scene.propagation.path_kinds if kind in file.static]
    return any(np.any(file.static[kind].receiver == index) for kind in used)


def _file_of(scene: Scene) -> PathFile:
    """The path file of a scene that has one."""
    file = scene.propagation.paths
    assert file is not None
    return file


def _site_key(site: Site) -> tuple:
    """Key of a cache by the content of a site, as far as channels depend on it."""
    arrays = (site.position_m, site.rotation, site.elements_m)
    return (site.pattern, *(array.tobytes() for array in arrays))


def _matrix_of_kind(scene: Scene, receiver: Site, file: PathFile, kind: str) -> np.ndarray:
    """Channel matrix of one kind of static paths to one receiver."""
    # Paths to the receiver.
    index = _site_index(file.receivers_m, receiver, file)
    paths = file.static[kind]
    paths = paths.chosen(paths.receiver == index)

    # Their channel.
    scatterer = np.full(len(paths), NO_SCATTERER)
    path_kind = PathKind.LINE_OF_SIGHT if kind == "line_of_sight" else PathKind.CLUTTER
    drawn = path_set(scene, receiver, paths, scatterer, path_kind)
    return channel_matrix(scene, receiver, drawn)


def path_set(
    scene: Scene,
    receiver: Site,
    paths: PathList,
    scatterer: np.ndarray,
    kind: PathKind,
    reflected: np.ndarray | None = None,
) -> PathSet:
    """Paths of a file as a PathSet, with carrier phase, element patterns and array sizes.

    A file's gains are between isotropic elements, without the carrier's phase.

    paths: to the receiver
    scatterer: [num_paths], int
    kind: of all of them
    reflected: [num_paths], bool, a wall is in the path; None: in none
    """
    file = _file_of(scene)

    # Phase at the carrier (without whole cycles, of which there are thousands), and the pattern at
    # the receiver.
    cycles = file.carrier_hz * paths.delay_s % 1
    carrier_phase = np.exp(-2j * np.pi * cycles)
    amplitude = paths.gain * carrier_phase * element_amplitude(receiver, paths.arrival)

    # Indices of the scene's transmitters, which may have another order than the file's; pattern and
    # array size, as steering vectors have unit norm.
    transmitter = np.zeros(len(paths), int)
    for index, site in enumerate(scene.transmitters):
        is_sent = paths.transmitter == _site_index(file.transmitters_m, site, file)
        transmitter[is_sent] = index
        amplitude[is_sent] *= element_amplitude(site, paths.departure[is_sent])
        amplitude[is_sent] *= array_amplitude(site, receiver)

    return PathSet(
        transmitter=transmitter,
        scatterer=scatterer,
        delay_s=paths.delay_s,
        doppler_hz=paths.doppler_hz,
        amplitude=amplitude,
        aod=paths.departure,
        aoa=paths.arrival,
        reflected=reflected,
        kind=np.full(len(paths), kind),
    )


def _site_index(places_m: np.ndarray, site: Site, file: PathFile) -> int:
    """Row of a site among those of the file.

    places_m: [num_sites, 3], float64, m
    Raises ValueError: none of them is at the site.
    """
    distances_m = np.linalg.norm(places_m - site.position_m, axis=1)
    nearest = int(np.argmin(distances_m))
    if distances_m[nearest] > SITE_TOLERANCE_M:
        raise ValueError(f"{file.source} has no paths of site '{site.name}'")
    return nearest
