"""Parts that all maps of a scene share: stations and the static world, seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cooperative_isac.evaluation.label_placement import on_map
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site

# Color and size, in points, of the markers of stations.
SITE_COLOR = "0.25"
SITE_SIZE = 8
# Markers and names of stations that (transmit, receive).
ROLE_MARKERS = {(True, False): "^", (False, True): "s", (True, True): "D"}
ROLE_LABELS = {
    (True, False): "transmitter",
    (False, True): "receiver",
    (True, True): "transmitter and receiver",
}
# Length of the arrow along the boresight of a station, as a share of the longer side of the box.
ARROW_SHARE = 0.07
# Distance of the name from the station over the length of the arrow.
NAME_SHARE = 0.65
# Distance of the end of the name's letters, in the same unit.
NAME_END_SHARE = 0.9


@dataclass(frozen=True)
class MapStation:
    """A station on a map.

    sites: its arrays on the bands that the map shows
    transmits, receives: its roles on these bands
    """

    name: str
    sites: tuple[Site, ...]
    transmits: bool
    receives: bool


def map_stations(views: Sequence[Scene]) -> list[MapStation]:
    """Stations of a scene, each of them once, with its arrays and roles on several bands.

    views: the scene, seen on each band that the map shows
    """
    # Arrays and roles on each band.
    sites: dict[str, list[Site]] = {}
    transmitting = set()
    receiving = set()
    for view in views:
        transmitting |= {site.name for site in view.transmitters}
        receiving |= {site.name for site in view.receivers}
        on_band = {site.name: site for site in (*view.transmitters, *view.receivers)}
        for name, site in on_band.items():
            sites.setdefault(name, []).append(site)

    return [
        MapStation(name, tuple(arrays), name in transmitting, name in receiving)
        for name, arrays in sites.items()
    ]


def draw_stations(axes: Axes, views: Sequence[Scene]) -> None:
    """Draw the stations that work on some of the bands, where they are at the start.

    views: the scene, seen on each band that the map shows
    """
    arrow_m = _arrow_m(views[0])
    for station in map_stations(views):
        _draw_station(axes, station, arrow_m)


def keep_names(axes: Axes, views: Sequence[Scene]) -> None:
    """Widen the axes of a map so that the names of all stations are inside.

    views: the scene, seen on each band that the map shows
    """
    # Far ends of the names, which are opposite the arrows.
    arrow_m = _arrow_m(views[0])
    sites = [station.sites[0] for station in map_stations(views)]
    ends_m = np.array(
        [site.position_m[:2] - NAME_END_SHARE * arrow_m * site.boresight[:2] for site in sites]
    )

    # Limits that contain these and the present ones.
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    low_m = np.minimum(ends_m.min(axis=0), [left, bottom])
    high_m = np.maximum(ends_m.max(axis=0), [right, top])
    axes.set(xlim=(low_m[0], high_m[0]), ylim=(low_m[1], high_m[1]))


def _arrow_m(scene: Scene) -> float:
    """Length of the arrows of stations, m."""
    return ARROW_SHARE * float(np.max((scene.box.high_m - scene.box.low_m)[:2]))


def station_handles(views: Sequence[Scene]) -> list[Line2D]:
    """Legend entries of the kinds of stations on a map."""
    roles = {(station.transmits, station.receives) for station in map_stations(views)}
    return [
        Line2D([], [], linestyle="", label=label, **_marker_style(*role))
        for role, label in ROLE_LABELS.items()
        if role in roles
    ]


def draw_walls(axes: Axes, scene: Scene, color: str, linewidth: float, zorder: float) -> None:
    """Draw the walls of the static world."""
    if scene.world is None:
        return
    for wall in scene.world.walls:
        outline_m = wall.corners_m[[0, 1, 2, 3, 0], :2]
        axes.plot(*outline_m.T, color=color, linewidth=linewidth, zorder=zorder)


def _draw_station(axes: Axes, station: MapStation, arrow_m: float) -> None:
    """Draw a station with its name, and an arrow along the boresight of each of its arrays."""
    # Arrows, which may differ between bands.
    for site in station.sites:
        place_m = site.position_m[:2]
        tip_m = place_m + arrow_m * site.boresight[:2]
        arrow = {"arrowstyle": "->", "color": SITE_COLOR}
        axes.annotate("", on_map(tip_m), on_map(place_m), arrowprops=arrow)

    # Marker; all arrays are at the same place.
    first = station.sites[0]
    style = _marker_style(station.transmits, station.receives)
    axes.plot(*first.position_m[:2], zorder=4, **style)

    # Name, behind the first array.
    name_m = first.position_m[:2] - NAME_SHARE * arrow_m * first.boresight[:2]
    axes.annotate(
        station.name,
        on_map(name_m),
        ha="center",
        va="center",
        fontsize=9,
        color=SITE_COLOR,
    )


def _marker_style(transmits: bool, receives: bool) -> dict:
    """Style of the marker of a station with these roles."""
    return {
        "marker": ROLE_MARKERS[transmits, receives],
        "color": SITE_COLOR,
        "markersize": SITE_SIZE,
        "markerfacecolor": SITE_COLOR if transmits else "white",
    }
