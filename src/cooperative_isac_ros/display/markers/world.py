"""Markers of the static parts of a scene: its area, buildings, walls and stations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from visualization_msgs.msg import Marker

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac_ros.display.markers.shapes import (
    COLORS,
    LINE_WIDTH,
    MarkerKey,
    arrow,
    ground_line,
    line_marker,
    new_marker,
    text_marker,
)
from cooperative_isac_ros.display.scene_layout import (
    NAME_HEIGHT,
    SceneLayout,
    name_place,
    scene_layout,
)
from cooperative_isac_ros.messages.conversions import rotation_quaternion, to_point

# Opacity of buildings and walls, so that what is behind them is seen.
WORLD_ALPHA = 0.45
# Length of the arrow along an array's boresight, in edges of a site's box.
BORESIGHT_LENGTH = 3.0
# Distance between the marker numbers of a station's first, second, ... array: larger than the
# number of stations.
ARRAY_NUMBERS = 10_000


def static_markers(scene: Scene, stamp_ns: int) -> list[Marker]:
    """Edge of the area, buildings, walls and all fixed stations, without a lifetime."""
    layout = scene_layout(scene)
    markers = [_area(scene, layout, stamp_ns)]
    markers += _buildings(scene, stamp_ns)
    markers += _walls(scene, stamp_ns)
    for shown in _shown_stations(scene):
        if not shown.is_mobile:
            markers += _station(scene, shown, layout, stamp_ns)
    return markers


def mobile_markers(scene: Scene, layout: SceneLayout, stamp_ns: int) -> list[Marker]:
    """Markers of the stations that move.

    scene: with its stations at their poses
    """
    markers = []
    for shown in _shown_stations(scene):
        if shown.is_mobile:
            markers += _station(scene, shown, layout, stamp_ns)
    return markers


@dataclass(frozen=True)
class _ShownStation:
    """A station as it is drawn.

    kind: transmitter | receiver | transceiver
    index: among the stations of its kind
    arrays: its arrays, placed in the map, one per band
    """

    kind: str
    index: int
    arrays: tuple[Site, ...]
    is_mobile: bool = False


def _shown_stations(scene: Scene) -> list[_ShownStation]:
    """Stations as they are drawn, each once with all its arrays."""
    # a scene file with `transmitters` and `receivers`: each of them is drawn
    if scene.layout is None:
        groups = (("transmitter", scene.transmitters), ("receiver", scene.receivers))
        return [
            _ShownStation(kind, index, (site,))
            for kind, sites in groups
            for index, site in enumerate(sites)
        ]

    # a scene file with `stations`: a station has an array on each of its bands
    placed_arrays = {
        (site.name, view.band): site
        for view in scene.views
        for site in (*view.transmitters, *view.receivers)
    }

    # stations are numbered within their kind: markers of one kind share a namespace
    shown = []
    counts: Counter[str] = Counter()
    for station in scene.stations:
        transmits = any(antenna.duplex.transmits for antenna in station.antennas)
        if transmits and station.receives:
            kind = "transceiver"
        elif transmits:
            kind = "transmitter"
        else:
            kind = "receiver"
        arrays = tuple(placed_arrays[station.name, band] for band in station.bands)
        shown.append(_ShownStation(kind, counts[kind], arrays, station.is_mobile))
        counts[kind] += 1
    return shown


def _area(scene: Scene, layout: SceneLayout, stamp_ns: int) -> Marker:
    """Outline of the area on the ground, as a closed line."""
    x_low_m, y_low_m = scene.box.low_m[:2]
    x_high_m, y_high_m = scene.box.high_m[:2]
    corners_m = [
        (x_low_m, y_low_m),
        (x_high_m, y_low_m),
        (x_high_m, y_high_m),
        (x_low_m, y_high_m),
        (x_low_m, y_low_m),
    ]
    key = MarkerKey("area", 0, stamp_ns)
    edge = line_marker(key, Marker.LINE_STRIP, COLORS["world"], LINE_WIDTH * layout.size_m)
    edge.points = [to_point((x_m, y_m, layout.ground_m)) for x_m, y_m in corners_m]
    return edge


def _buildings(scene: Scene, stamp_ns: int) -> list[Marker]:
    """Buildings as boxes."""
    if scene.world is None:
        return []
    markers = []
    for index, box in enumerate(scene.world.boxes):
        key = MarkerKey("buildings", index, stamp_ns)
        size_m = box.high_m - box.low_m
        marker = new_marker(key, Marker.CUBE, COLORS["world"], size_m, WORLD_ALPHA)
        marker.pose.position = to_point((box.low_m + box.high_m) / 2)
        markers.append(marker)
    return markers


def _walls(scene: Scene, stamp_ns: int) -> list[Marker]:
    """Walls as two triangles each."""
    if scene.world is None:
        return []
    markers = []
    for index, wall in enumerate(scene.world.walls):
        key = MarkerKey("walls", index, stamp_ns)
        marker = new_marker(
            key, Marker.TRIANGLE_LIST, COLORS["world"], (1.0, 1.0, 1.0), WORLD_ALPHA
        )
        marker.points = [to_point(wall.corners_m[corner]) for corner in (0, 1, 2, 0, 2, 3)]
        markers.append(marker)
    return markers


def _station(
    scene: Scene, shown: _ShownStation, layout: SceneLayout, stamp_ns: int
) -> list[Marker]:
    """A station as a box on a mast, with the boresight of each array and its name."""
    kind = shown.kind
    site = shown.arrays[0]
    color = COLORS[kind]
    size_m = layout.size_m

    # box, turned as the first array is
    box_key = MarkerKey(f"{kind}s", shown.index, stamp_ns)
    box = new_marker(box_key, Marker.CUBE, color, (size_m, size_m, size_m))
    box.pose.position = to_point(site.position_m)
    box.pose.orientation = rotation_quaternion(site.rotation)

    # boresight of each array
    arrows = []
    for number, array in enumerate(shown.arrays):
        arrow_key = MarkerKey(f"{kind} directions", shown.index + ARRAY_NUMBERS * number, stamp_ns)
        reach_m = BORESIGHT_LENGTH * size_m * array.boresight
        arrows.append(arrow(arrow_key, color, array.position_m, reach_m, size_m))

    # name and mast
    name_key = MarkerKey(f"{kind} names", shown.index, stamp_ns)
    name_position_m = name_place(scene, site, layout)
    name = text_marker(name_key, color, name_position_m, NAME_HEIGHT * size_m, site.name)
    mast_key = MarkerKey(f"{kind} masts", shown.index, stamp_ns)
    mast = ground_line(mast_key, color, site.position_m, layout)
    return [box, *arrows, name, *mast]
