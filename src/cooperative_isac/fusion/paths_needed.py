"""Number of paths that a target needs, by the links that see its location."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cooperative_isac.fusion.received import Received
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.reflected import locates, sees, sensed_views
from cooperative_isac.scene.station import Site

# Distance behind the plane of an array up to which a point counts as in front of it, m: rounding.
EDGE_M = 1e-6


def paths_needed(
    scene: Scene, points_m: np.ndarray, received: Received | None = None
) -> np.ndarray:
    """Number of paths that a target needs to be accepted, at each location.

    As many as dimensions, which give the full velocity, where as many links see the location: among
    many links a cluster of fewer paths is mostly a ghost. Where fewer links see it, one path is
    enough; but where walls hide it from all links, a cluster is the mirror image of a target. Where
    reflections are used, a receiver from which a location is hidden sees it by way of walls.

    scene: of one or several bands
    points_m: [num_points, 3], float64, m, map, locations; outside the area the nearest ones inside
    are used
    received: stations and bands of the frame; None: all
    Returns [num_points], int.
    """
    # Nearest locations inside the area.
    size = scene.dimension
    inside_m = points_m.copy()
    inside_m[:, :size] = np.clip(
        points_m[:, :size], scene.box.low_m[:size], scene.box.high_m[:size]
    )

    # Links of all bands in use that face them, and those that see them.
    num_facing = np.zeros(len(points_m), int)
    num_seeing = np.zeros(len(points_m), int)
    for view in sensed_views(scene):
        if received is not None and not received.has_band(view.band):
            continue
        is_used = scene.uses(view.band, inside_m)
        facing = _num_links(view, inside_m, received, _faces, _faces)
        if view.surface is None:
            num_facing += is_used * facing

        # Without walls and buildings they see all that they face.
        seeing = facing
        if view.world is not None:
            seeing = _num_links(view, inside_m, received, _sees, _locates)
        num_seeing += is_used * seeing
    is_hidden = (num_facing > 0) & (num_seeing == 0)
    return np.where(is_hidden | (num_seeing >= size), size, 1)


def _num_links(
    view: Scene,
    points_m: np.ndarray,
    received: Received | None,
    transmits_to: Callable[[Scene, Site, np.ndarray], np.ndarray],
    receives_from: Callable[[Scene, Site, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Number of links of a band whose stations both reach each point, [num_points], int.

    transmits_to, receives_from: masks of the points that a transmitter and a receiver reach
    """
    transmits = np.array([transmits_to(view, site, points_m) for site in view.transmitters])

    # Links to each receiver.
    num_links = np.zeros(len(points_m), int)
    for site in view.receivers:
        if received is not None and not received.has_station(site.name):
            continue
        linked = list(view.linked_transmitters(site.name))
        num_links += receives_from(view, site, points_m) * transmits[linked].sum(axis=0)
    return num_links


def _faces(view: Scene, site: Site, points_m: np.ndarray) -> np.ndarray:
    """Mask of the points on the front side of a station's array, [num_points], bool."""
    return (points_m - site.position_m) @ site.boresight >= -EDGE_M


def _sees(view: Scene, site: Site, points_m: np.ndarray) -> np.ndarray:
    """Mask of the points that a station faces, and that no wall or building of the band hides."""
    return _faces(view, site, points_m) & sees(view, site, points_m)


def _locates(view: Scene, site: Site, points_m: np.ndarray) -> np.ndarray:
    """Mask of the points that a receiver faces, and at which it locates targets in the view."""
    return _faces(view, site, points_m) & locates(view, site, points_m)
