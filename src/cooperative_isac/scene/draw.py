"""Random draws of a scene, and its live targets: each a function of (seed, frame, who)."""

from __future__ import annotations

import hashlib

import numpy as np

from cooperative_isac.scene.model import Box, Scene, TargetClass, TargetState
from cooperative_isac.scene.motion.motion import is_defined
from cooperative_isac.scene.world import World

MOST_DRAWS = 1000  # attempts to place targets outside of buildings


def frame_generator(scene_seed: int, frame_number: int, who: str) -> np.random.Generator:
    """The generator of everything random that `who` does in one frame; the same in every
    process.
    """
    name = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([scene_seed, frame_number, name]))


def draw_targets(scene: Scene, generator: np.random.Generator) -> tuple[TargetState, ...]:
    """Targets uniform in the area with each velocity axis uniform within its limit (CF section V).

    Those within buildings are drawn anew.
    """
    draw, area = scene.draw, _area_at(scene.box, scene.draw.height_m)
    limit = np.array([draw.max_speed_mps, draw.max_speed_mps, draw.max_climb_mps])
    positions = generator.uniform(area.low_m, area.high_m, (draw.num_targets, 3))
    velocities = generator.uniform(-limit, limit, (draw.num_targets, 3))
    if scene.world is not None:
        positions = _outside(scene.world, positions, area, generator)
    return tuple(
        TargetState(f"target_{i}", TargetClass.UNKNOWN, position, velocity)
        for i, (position, velocity) in enumerate(zip(positions, velocities))
    )


def _outside(
    world: World, positions_m: np.ndarray, area: Box, generator: np.random.Generator
) -> np.ndarray:
    """Positions [num_targets, 3] m, those inside boxes replaced by others of the area."""
    for _ in range(MOST_DRAWS):
        inside = world.is_inside(positions_m)
        if not inside.any():
            return positions_m
        others = generator.uniform(area.low_m, area.high_m, positions_m.shape)
        positions_m = np.where(inside[:, None], others, positions_m)
    raise ValueError(
        "the boxes of the world fill the area at the drawn heights; change draw.height_m or the "
        "boxes"
    )


def draw_users(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """Users' positions, uniform in the area at their height: [num_users, 3], float64, m (CF section
    V).
    """
    area = _area_at(scene.box, (scene.users.height_m, scene.users.height_m))
    return generator.uniform(area.low_m, area.high_m, (scene.users.num_users, 3))


def scene_targets(scene: Scene, time_s: float) -> tuple[TargetState, ...]:
    """The live targets whose motion is defined time_s after the scene's start."""
    return tuple(
        TargetState(target.name, target.target_class, *target.motion.state(time_s))
        for target in scene.targets
        if is_defined(target.motion, time_s)
    )


def _area_at(area: Box, height_m: tuple[float, float] | None) -> Box:
    if height_m is None:
        return area
    return Box(np.append(area.low_m[:2], height_m[0]), np.append(area.high_m[:2], height_m[1]))
