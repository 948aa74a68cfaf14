"""Checks that ways and places are above the ground and outside the buildings of the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.world import World


def way_fault(
    world: World, positions_m: np.ndarray, times_s: np.ndarray, remedies: Mapping[str, str]
) -> str | None:
    """The gravest fault of a way through the world, in words with its remedy, or None.

    positions_m: [num_times, 3], float64, m, along the way
    times_s: [num_times], float64, s
    remedies: of a way that is `through` a wall or box, or `inside` a box, the graver fault first;
    below the ground is the gravest
    """
    # Below the ground.
    is_below = world.is_below(positions_m)
    if world.ground is not None and is_below.any():
        first = int(np.argmax(is_below))
        return (
            f"is {positions_m[first, 2]:.2f} m high at {times_s[first]:.2f} s; must be above the "
            f"ground (world.ground.height_m: {world.ground.corner_m[2]:g})"
        )

    # Through an obstacle from one time to the next, or inside of one.
    found = {
        "through": world.blocks(positions_m[:-1], positions_m[1:]),
        "inside": world.is_inside(positions_m),
    }
    for kind, remedy in remedies.items():
        if not found[kind].any():
            continue
        first = int(np.argmax(found[kind]))
        if kind == "inside":
            return f"is inside a box of the world at {times_s[first]:.2f} s; {remedy}"
        return (
            f"runs through a wall or a box of the world between {times_s[first]:.2f} and "
            f"{times_s[first + 1]:.2f} s; {remedy}"
        )
    return None


def place_faults(world: World | None, key: str, position_m: np.ndarray) -> Iterator[Problem]:
    """Faults of a place that is in the ground or in a building.

    world: None: there is none, and no fault
    key: of the position in the scene file
    position_m: [3], float64, m, map
    """
    if world is None:
        return
    for i, box in enumerate(world.boxes):
        if box.contains(position_m):
            yield Problem(key, f"is inside world.boxes[{i}]; move the site or the box")
    ground = world.ground
    if ground is not None and position_m[2] <= ground.corner_m[2]:
        yield Problem(
            key,
            f"is {position_m[2]:g} m high; must be above the ground "
            f"(world.ground.height_m: {ground.corner_m[2]:g})",
        )
