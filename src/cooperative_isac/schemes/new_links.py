"""Paths of targets on links whose clock offsets become known: where the next fit starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.memory import Memory
from cooperative_isac.sensing.target_offsets import ObservedTargets, PathOffset, predicted_paths

# Distance of a target from its location by its own path, within which it is the same, m.
SAME_TARGET_M = 1.0


@dataclass(frozen=True)
class NewPath:
    """Path of a target on a link that is not in use yet.

    offset: from its prediction
    point_m: [3], float64, m, map, of the target
    doppler_hz: as it was measured, with the offset of the link, Hz
    """

    offset: PathOffset
    point_m: np.ndarray
    doppler_hz: float


def unused_paths(
    scene: Scene,
    receiver: Site,
    targets: ObservedTargets,
    paths: Sequence[PathOffset],
    used: Collection[int],
) -> tuple[NewPath, ...]:
    """Paths of targets on links that are not in use yet.

    scene: seen on the band
    targets: that the station's own echo locates
    paths: their paths on all links
    used: transmitters of the links in use, by index
    """
    # Paths that the targets predict on each of these links.
    links = {path.transmitter for path in paths} - {*used}
    shifts_hz = {
        index: predicted_paths(
            scene, scene.transmitters[index], receiver, targets
        ).geometry.doppler_hz
        for index in links
    }

    unused = []
    for path in paths:
        if path.transmitter not in links:
            continue
        shift_hz = float(shifts_hz[path.transmitter][path.target]) + path.measured.frequency_hz
        unused.append(NewPath(path, targets.positions_m[path.target], shift_hz))
    return tuple(unused)


def with_new_paths(
    scene: Scene,
    memory: Memory,
    paths: Sequence[NewPath],
    offsets: Mapping[int, ClockOffset],
    used: Sequence[int],
) -> Memory:
    """Paths of the last frame with those of new links, where these agree with the link's offset.

    scene: seen on the band
    memory: paths of the last frame, counted among `used`
    paths: that the search of the last frame found
    offsets: of the links in use, by index of the transmitter
    used: all transmitters in use, by index
    """
    for path in paths:
        index = path.offset.transmitter
        if index not in offsets:
            continue
        difference_s = path.offset.measured.delay_s - offsets[index].delay_s
        if SPEED_OF_LIGHT_MPS * abs(difference_s) > scene.grid.range_resolution_m:
            continue

        # The target that it is of.
        state = memory.state
        distances_m = np.linalg.norm(state.points_m - path.point_m, axis=1)
        target = int(distances_m.argmin())
        if distances_m[target] > SAME_TARGET_M:
            continue
        shift_hz = path.doppler_hz - offsets[index].frequency_hz
        extended = state.with_path(target, used.index(index), shift_hz)
        memory = replace(memory, state=extended)
    return memory
