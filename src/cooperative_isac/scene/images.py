"""Images of stations behind surfaces of the world, and what they show of hidden places.

A path that one surface reflects on both of its legs has the geometry of a path between the images
of its stations. Places that are hidden from a receiver may be seen from its image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.box import Box
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import Surface, World

# Places along each axis of the area at which visibility is tested: a region is known to a step of
# them, 5 m of 120 m, and its box has a margin of one.
NUM_PLACES = (24, 24, 6)


@dataclass(frozen=True)
class HiddenRegion:
    """Part of the area that is hidden from a receiver, but seen by way of a surface.

    surface: index of the surface among those of the world
    box: that contains it
    """

    surface: int
    box: Box


def mirrored_site(site: Site, surface: Surface) -> Site:
    """The image of a site behind a surface, with the images of its elements."""
    return replace(
        site,
        position_m=surface.mirrored(site.position_m),
        rotation=surface.mirrored_directions(site.rotation.T).T,
        elements_m=surface.mirrored_directions(site.elements_m),
        velocity_mps=surface.mirrored_directions(site.velocity_mps),
    )


def hidden_regions(world: World, box: Box, site: Site) -> tuple[HiddenRegion, ...]:
    """The parts of the area that a receiver sees by way of a surface alone, one for each surface.

    box: of the area
    site: receiver
    """
    step_m = _step_m(box)
    regions = []
    for index, reached_m in hidden_places(world, box, site).items():
        low_m = np.maximum(reached_m.min(axis=0) - step_m, box.low_m)
        high_m = np.minimum(reached_m.max(axis=0) + step_m, box.high_m)
        regions.append(HiddenRegion(index, Box(low_m, high_m)))
    return tuple(regions)


def hidden_places(world: World, box: Box, site: Site) -> dict[int, np.ndarray]:
    """Places all over the area that a receiver sees by way of a surface alone.

    box: of the area
    site: receiver
    Returns [num_places, 3], float64, m, at least one, by index of the surface.
    """
    # Places all over the area that are hidden.
    lattice = np.stack(np.meshgrid(*map(np.arange, NUM_PLACES), indexing="ij"), axis=-1)
    places_m = box.low_m + (lattice.reshape(-1, 3) + 0.5) * _step_m(box)
    is_hidden = world.blocks(site.position_m, places_m) & ~world.is_inside(places_m)
    hidden_m = places_m[is_hidden]

    # Those that each surface reflects to.
    reached = {}
    for index, surface in enumerate(world.surfaces):
        _, is_reached = world.reflections(surface, site.position_m, hidden_m)
        if is_reached.any():
            reached[index] = hidden_m[is_reached]
    return reached


def _step_m(box: Box) -> np.ndarray:
    """Distance of the places along each axis, [3], m."""
    return (box.high_m - box.low_m) / NUM_PLACES
