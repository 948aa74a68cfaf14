"""Random draws of a scene, and its live targets: each a function of (seed, frame, name)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cooperative_isac.scene.box import Box
from cooperative_isac.scene.model import Scene, TargetClass, TargetState
from cooperative_isac.scene.motion.motion import is_defined
from cooperative_isac.scene.station import Pose
from cooperative_isac.scene.world import World

# Attempts to place targets outside of buildings: where a thousandth of the area is free, two of
# three targets still find a place.
MOST_DRAWS = 1000


def frame_generator(scene_seed: int, frame_number: int, who: str) -> np.random.Generator:
    """The generator of all random numbers of one part of the scene in one frame.

    It is the same in every process.

    who: name of the part, such as "channel/west"
    """
    name_number = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([scene_seed, frame_number, name_number]))


def draw_targets(scene: Scene, generator: np.random.Generator) -> tuple[TargetState, ...]:
    """Random targets: positions uniform in the box, velocities uniform within their limits.

    The height range and the limits of velocity are those of `scene.draw`. A target inside a
    building is drawn again.

    Raises ValueError where buildings fill the box.
    Source: CF section V.
    """
    draw = scene.draw
    box = _at_heights(scene.box, draw.height_m)

    # Limits along x, y and z.
    limit_mps = np.array([draw.max_speed_mps, draw.max_speed_mps, draw.max_climb_mps])

    # Positions and velocities, [num_targets, 3].
    positions_m = generator.uniform(box.low_m, box.high_m, (draw.num_targets, 3))
    velocities_mps = generator.uniform(-limit_mps, limit_mps, (draw.num_targets, 3))
    if scene.world is not None:
        positions_m = _outside_buildings(scene.world, positions_m, box, generator)

    return tuple(
        TargetState(f"target_{i}", TargetClass.UNKNOWN, position_m, velocity_mps)
        for i, (position_m, velocity_mps) in enumerate(zip(positions_m, velocities_mps))
    )


def _outside_buildings(
    world: World, positions_m: np.ndarray, box: Box, generator: np.random.Generator
) -> np.ndarray:
    """Positions [num_targets, 3], m, those inside buildings replaced by others in the box."""
    for _ in range(MOST_DRAWS):
        is_inside = world.is_inside(positions_m)
        if not is_inside.any():
            return positions_m
        others_m = generator.uniform(box.low_m, box.high_m, positions_m.shape)
        positions_m = np.where(is_inside[:, None], others_m, positions_m)
    raise ValueError(
        "the boxes of the world fill the area at the drawn heights; change draw.height_m or the "
        "boxes"
    )


def true_poses(scene: Scene, number: int, poses: Mapping[str, Pose]) -> dict[str, Pose]:
    """Poses of the moving stations in frame `number`, from the ones that they report.

    The position error of a station is a function of the seed, the frame and its name.

    poses: reported, by name of the station
    """
    axes = slice(0, scene.dimension)
    true = dict(poses)
    for station in scene.stations:
        if station.position_std_m == 0 or station.name not in poses:
            continue
        generator = frame_generator(scene.seed, number, f"position/{station.name}")
        error_m = np.zeros(3)
        error_m[axes] = station.position_std_m * generator.standard_normal(scene.dimension)
        reported = poses[station.name]
        true[station.name] = replace(reported, position_m=reported.position_m + error_m)
    return true


def draw_users(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Positions of the communication users, uniform in the box at their height.

    Returns [num_users, 3], float64, m.
    Source: CF section V.
    """
    box = _at_heights(scene.box, (scene.users.height_m, scene.users.height_m))
    return generator.uniform(box.low_m, box.high_m, (scene.users.num_users, 3))


def scene_targets(scene: Scene, time_s: float) -> tuple[TargetState, ...]:
    """The live targets whose motion is defined time_s after the scene's start."""
    return tuple(
        TargetState(target.name, target.target_class, *target.motion.state(time_s))
        for target in scene.targets
        if is_defined(target.motion, time_s)
    )


def _at_heights(box: Box, height_m: tuple[float, float] | None) -> Box:
    """The box between other heights, lowest and highest; None: the box as it is."""
    if height_m is None:
        return box
    lowest_m, highest_m = height_m
    return Box(np.append(box.low_m[:2], lowest_m), np.append(box.high_m[:2], highest_m))
