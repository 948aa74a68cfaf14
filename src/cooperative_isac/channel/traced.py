"""Paths of a path file in the channel: at rest as one matrix, in motion as path sets."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from cooperative_isac.channel.paths import PathSet
from cooperative_isac.channel.static import channel_matrix
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.scene.path_file import SITE_TOLERANCE_M, PathFile, PathList

NO_SCATTERER = -1

# Channel matrices of each file, by what they depend on: sites, grid and kinds of paths.
_matrices: WeakKeyDictionary[PathFile, dict[tuple, np.ndarray]] = WeakKeyDictionary()


def moving_paths(scene: Scene, number: int, receiver: Site) -> PathSet:
    """Paths by way of the targets to one receiver in the file's frame `number`; scatterer: the
    target's index.

    Raises ValueError for a frame that the file does not have.
    """
    file = scene.propagation.paths
    if not 0 <= number < file.num_frames:
        raise ValueError(
            f"{file.source} has frames 0 to {file.num_frames - 1}; there is no frame {number}"
        )

    # Paths of this frame and receiver.
    chosen = (file.frames == number) & (
        file.moving.receiver == _site_index(file.receivers_m, receiver, file)
    )
    chosen &= np.where(
        file.multi_bounce,
        *(kind in scene.propagation.path_kinds for kind in ("multi_bounce", "targets")),
    )

    return path_set(scene, receiver, file.moving.chosen(chosen), file.targets[chosen])


def static_matrix(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of all paths at rest to one receiver, computed once; None without a path file.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64.
    """
    file = scene.propagation.paths
    kinds = (
        []
        if file is None
        else [kind for kind in scene.propagation.path_kinds if len(file.static.get(kind, ()))]
    )
    if not kinds:
        return None

    sites = tuple(
        (site.position_m.tobytes(), site.elements_m.tobytes())
        for site in (receiver, *scene.transmitters)
    )
    key = sites, scene.grid, tuple(kinds)
    known = _matrices.setdefault(file, {})
    if key not in known:
        known[key] = sum(_matrix_of(scene, receiver, file, kind) for kind in kinds)
    return known[key]


def _matrix_of(scene: Scene, receiver: Site, file: PathFile, kind: str) -> np.ndarray:
    paths = file.static[kind]
    paths = paths.chosen(paths.receiver == _site_index(file.receivers_m, receiver, file))
    return channel_matrix(
        scene, receiver, path_set(scene, receiver, paths, np.full(len(paths), NO_SCATTERER))
    )


def path_set(scene: Scene, receiver: Site, paths: PathList, scatterer: np.ndarray) -> PathSet:
    """Paths of a file in the terms of the channel.

    A file's gains are those between isotropic elements without the carrier's phase; steering
    vectors of unit norm on
    both sides take a factor sqrt(num_rx_ant num_tx_ant).

    paths: paths to the receiver
    scatterer: [num_paths], int
    """
    file = scene.propagation.paths

    # The scene's transmitters in the order of the file.
    order = np.zeros(len(file.transmitters_m), int)
    num_ant = np.zeros(len(order))
    for index, site in enumerate(scene.transmitters):
        row = _site_index(file.transmitters_m, site, file)
        order[row] = index
        num_ant[row] = site.num_ant

    # Physical amplitude between the arrays.
    carrier_phase = np.exp(-2j * np.pi * (file.carrier_hz * paths.delay_s % 1))
    amplitude = paths.gain * carrier_phase * np.sqrt(receiver.num_ant * num_ant[paths.transmitter])

    return PathSet(
        order[paths.transmitter],
        scatterer,
        paths.delay_s,
        paths.doppler_hz,
        amplitude,
        paths.departure,
        paths.arrival,
    )


def _site_index(places_m: np.ndarray, site: Site, file: PathFile) -> int:
    distances = np.linalg.norm(places_m - site.position_m, axis=1)
    nearest = int(np.argmin(distances))
    if distances[nearest] > SITE_TOLERANCE_M:
        raise ValueError(f"{file.source} has no paths of site '{site.name}'")
    return nearest
