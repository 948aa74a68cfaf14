"""The scene seen by way of surfaces of its world, with images in place of the stations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.scene.images import mirrored_site
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site


def over(view: Scene, surface: int) -> Scene:
    """The scene on one band, seen by way of a surface: all sites are images behind it.

    surface: index among the surfaces of the world
    """
    assert view.world is not None  # surfaces are those of a world
    mirror = view.world.surfaces[surface]
    return replace(
        view,
        transmitters=tuple(mirrored_site(site, mirror) for site in view.transmitters),
        receivers=tuple(mirrored_site(site, mirror) for site in view.receivers),
        surface=surface,
    )


def seen_on(scene: Scene, band: str, surface: int | None) -> Scene:
    """The scene on a band, seen directly, or by way of a surface.

    surface: index among the surfaces of the world; None: directly
    """
    view = scene.on(band)
    return view if surface is None else over(view, surface)


def reflectors(view: Scene) -> tuple[int, ...]:
    """Indices of the surfaces by way of which receivers of a band see hidden regions."""
    regions = [region for own in view.hidden_regions.values() for region in own]
    return tuple(sorted({region.surface for region in regions}))


def with_reflectors(view: Scene) -> tuple[Scene, ...]:
    """The scene on one band, seen directly, then by way of each reflector."""
    return (view, *(over(view, surface) for surface in reflectors(view)))


def sensed_views(scene: Scene) -> tuple[Scene, ...]:
    """The scene seen on each of its bands, and after each by way of its reflectors."""
    return tuple(seen for view in scene.views for seen in with_reflectors(view))


def sees(view: Scene, site: Site, points_m: np.ndarray) -> np.ndarray:
    """Mask of the points between which and a site is nothing, or nothing but a reflection.

    site: of the view; an image sees by way of its surface
    points_m: [num_points, 3], float64, m, map
    Returns [num_points], bool.
    """
    if view.world is None:
        return np.ones(len(points_m), bool)
    if view.surface is None:
        return ~view.world.blocks(site.position_m, points_m)
    mirror = view.world.surfaces[view.surface]
    station_m = mirror.mirrored(site.position_m)
    return view.world.reflections(mirror, station_m, points_m)[1]


def locates(view: Scene, receiver: Site, points_m: np.ndarray) -> np.ndarray:
    """Mask of the points at which a receiver locates targets in a view.

    By way of a surface it locates those alone that it does not see directly.

    receiver: of the view
    points_m: [num_points, 3], float64, m, map
    Returns [num_points], bool.
    """
    is_seen = sees(view, receiver, points_m)
    if view.world is not None and view.surface is not None:
        mirror = view.world.surfaces[view.surface]
        is_seen &= view.world.blocks(mirror.mirrored(receiver.position_m), points_m)
    return is_seen
