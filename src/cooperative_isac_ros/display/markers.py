"""Markers of the scene for RViz: static world, sites, truth, detections, tracks, figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene, Site, TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.display.scene_layout import (
    FIGURES_HEIGHT,
    LABEL_HEIGHT,
    NAME_HEIGHT,
    SceneLayout,
    name_place,
    scene_layout,
)
from cooperative_isac_ros.messages.conversions import (
    course_rotation,
    map_header,
    rotation_quaternion,
    to_point,
    to_vector3,
    yaw_quaternion,
)

# Ellipsoids of detections and tracks hold 97 % of Gaussian errors in space.
ELLIPSOID_SIGMAS = 3.0
# Smallest diameter of an ellipsoid, m: RViz draws no shape without extent.
MIN_DIAMETER_M = 1e-3
# Length of a track's velocity arrow: the way of so many seconds.
SECONDS_AHEAD = 1.0

COLORS = {
    "transmitter": (0.95, 0.5, 0.15),
    "receiver": (0.3, 0.65, 1.0),
    "transceiver": (0.55, 0.85, 0.75),
    "truth": (0.85, 0.85, 0.85),
    "detection": (1.0, 0.9, 0.2),
    "world": (0.5, 0.53, 0.58),
    TargetClass.UAV: (0.85, 0.45, 1.0),
    TargetClass.VEHICLE: (0.3, 0.9, 0.4),
    TargetClass.UNKNOWN: (0.4, 0.9, 0.9),
    "text": (1.0, 1.0, 1.0),
}
# Tracks and buildings are translucent, so that what is inside or behind them is seen.
BODY_ALPHA, COASTING_ALPHA, ELLIPSOID_ALPHA, WORLD_ALPHA = 0.35, 0.15, 0.5, 0.45

# Sizes in edges of a site's box.
TRUTH_SIZE, CROSS_REACH, LINE_WIDTH, TRAIL_WIDTH, FOOTPRINT = 0.35, 0.7, 0.06, 0.12, 0.7
SITE_ARROW = 3.0
# Length, width and height of a track's body.
TRACK_SIZE = np.array([1.2, 0.9, 0.7])
# Numbers of the markers of a station's further arrays are so far apart.
ARRAY_NUMBERS = 10_000
# Lines of text between a position and the near edge of its text: a track's label is beyond the
# name of the target, above what flies and below what does not, so that the line to the footprint
# crosses neither.
NAME_DISTANCE, LABEL_DISTANCE = 1.0, 2.5
# RViz draws a space some 0.6 m wide whatever the height of the letters, m.
MIN_HEIGHT_WITH_SPACES_M = 1.0


def static_markers(scene: Scene, stamp_ns: int) -> list[Marker]:
    """Edge of the area, buildings, walls, and all sites that stand; they stay."""
    layout = scene_layout(scene)
    drawn = [_area(scene, layout, stamp_ns), *_world(scene, stamp_ns)]
    for shown in _shown_stations(scene):
        if not shown.is_mobile:
            drawn += _station(scene, shown, layout, stamp_ns)
    return drawn


def mobile_markers(scene: Scene, layout: SceneLayout, stamp_ns: int) -> list[Marker]:
    """The stations that move, where they are now.

    scene: with its stations at their poses
    """
    drawn = []
    for shown in _shown_stations(scene):
        if shown.is_mobile:
            drawn += _station(scene, shown, layout, stamp_ns)
    return drawn


@dataclass(frozen=True)
class _Shown:
    """A station in the picture.

    kind: transmitter | receiver | transceiver; index: among those of its kind
    arrays: placed in the map, one a band
    """

    kind: str
    index: int
    arrays: tuple[Site, ...]
    is_mobile: bool = False


def _shown_stations(scene: Scene) -> list[_Shown]:
    """Every station once; in a scene of sites, each that transmits and each that receives."""
    if scene.layout is None:
        groups = (("transmitter", scene.transmitters), ("receiver", scene.receivers))
        return [
            _Shown(kind, index, (site,))
            for kind, sites in groups
            for index, site in enumerate(sites)
        ]
    places = {
        (site.name, view.band): site
        for view in scene.views
        for site in (*view.transmitters, *view.receivers)
    }
    shown = []
    counts: Counter[str] = Counter()
    for station in scene.stations:
        transmits = any(antenna.duplex.transmits for antenna in station.antennas)
        words = {(True, True): "transceiver", (True, False): "transmitter"}
        kind = words.get((transmits, station.receives), "receiver")
        arrays = tuple(places[station.name, band] for band in station.bands)
        shown.append(_Shown(kind, counts[kind], arrays, station.is_mobile))
        counts[kind] += 1
    return shown


def _area(scene: Scene, layout: SceneLayout, stamp_ns: int) -> Marker:
    """The edge of the area on the ground."""
    low_m = scene.box.low_m
    high_m = scene.box.high_m
    edge = _marker(
        "area",
        0,
        Marker.LINE_STRIP,
        stamp_ns,
        COLORS["world"],
        (LINE_WIDTH * layout.size_m, 0.0, 0.0),
    )
    around = (
        (low_m[0], low_m[1]),
        (high_m[0], low_m[1]),
        (high_m[0], high_m[1]),
        (low_m[0], high_m[1]),
    )
    edge.points = [to_point((x, y, layout.ground_m)) for x, y in (*around, around[0])]
    return edge


def _world(scene: Scene, stamp_ns: int) -> list[Marker]:
    """Buildings as boxes, walls as two triangles each."""
    if scene.world is None:
        return []
    drawn = []
    for index, box in enumerate(scene.world.boxes):
        marker = _marker(
            "buildings",
            index,
            Marker.CUBE,
            stamp_ns,
            COLORS["world"],
            box.high_m - box.low_m,
            WORLD_ALPHA,
        )
        marker.pose.position = to_point((box.low_m + box.high_m) / 2)
        drawn.append(marker)
    for index, wall in enumerate(scene.world.walls):
        marker = _marker(
            "walls",
            index,
            Marker.TRIANGLE_LIST,
            stamp_ns,
            COLORS["world"],
            (1.0, 1.0, 1.0),
            WORLD_ALPHA,
        )
        marker.points = [to_point(wall.corners_m[corner]) for corner in (0, 1, 2, 0, 2, 3)]
        drawn.append(marker)
    return drawn


def _station(scene: Scene, shown: _Shown, layout: SceneLayout, stamp_ns: int) -> list[Marker]:
    """A box on a mast, the directions in which its arrays look and the name of a station."""
    kind = shown.kind
    index = shown.index
    site = shown.arrays[0]
    color = COLORS[kind]
    size_m = layout.size_m
    box = _marker(f"{kind}s", index, Marker.CUBE, stamp_ns, color, (size_m, size_m, size_m))
    box.pose.position = to_point(site.position_m)
    box.pose.orientation = rotation_quaternion(site.rotation)
    arrows = [
        _arrow(
            f"{kind} directions",
            index + ARRAY_NUMBERS * number,
            stamp_ns,
            color,
            array.position_m,
            SITE_ARROW * size_m * array.boresight,
            size_m,
        )
        for number, array in enumerate(shown.arrays)
    ]
    text = _text(
        f"{kind} names",
        index,
        stamp_ns,
        name_place(scene, site, layout),
        NAME_HEIGHT * size_m,
        site.name,
        color,
    )
    mast = _drop(f"{kind} masts", index, stamp_ns, color, site.position_m, layout)
    return [box, *arrows, text, *mast]


def truth_markers(
    targets: Sequence[TargetState], layout: SceneLayout, stamp_ns: int, life_s: float
) -> list[Marker]:
    """Where the targets are by their own odometry, as small solid balls with their names."""
    drawn = []
    size_m = layout.size_m
    for index, target in enumerate(targets):
        ball = _marker(
            "truth",
            index,
            Marker.SPHERE,
            stamp_ns,
            COLORS["truth"],
            (TRUTH_SIZE * size_m,) * 3,
            life_s=life_s,
        )
        ball.pose.position = to_point(target.position_m)
        text = _beside(target.name, NAME_DISTANCE, layout.flies(target.position_m))
        name = _text(
            "truth names",
            index,
            stamp_ns,
            target.position_m,
            LABEL_HEIGHT * size_m,
            text,
            COLORS["truth"],
            life_s,
        )
        drawn += [ball, name]
    return drawn


def detection_markers(
    detections: Sequence[Detection], size_m: float, stamp_ns: int, life_s: float
) -> list[Marker]:
    """Detections as crosses that stick out of a track's body, with their ellipsoids."""
    drawn = []
    for index, detection in enumerate(detections):
        cross = _marker(
            "detections",
            index,
            Marker.LINE_LIST,
            stamp_ns,
            COLORS["detection"],
            (LINE_WIDTH * size_m, 0.0, 0.0),
            life_s=life_s,
        )
        for arm_m in CROSS_REACH * size_m * np.eye(3):
            cross.points += [
                to_point(detection.position_m - arm_m),
                to_point(detection.position_m + arm_m),
            ]
        shape = _ellipsoid(
            "detection uncertainty",
            index,
            stamp_ns,
            COLORS["detection"],
            detection.position_m,
            detection.covariance,
            life_s,
        )
        drawn += [cross, shape]
    return drawn


def track_markers(
    tracks: Sequence[Track],
    trails: Mapping[int, Iterable[Point]],
    layout: SceneLayout,
    stamp_ns: int,
    life_s: float,
) -> list[Marker]:
    """Established tracks as translucent bodies with ellipsoid, label, trail and footprint.

    An arrow is the way of SECONDS_AHEAD.
    """
    drawn = []
    size_m = layout.size_m
    for track in tracks:
        color = COLORS[track.target_class]
        number = track.track_id
        alpha = BODY_ALPHA if track.status is TrackStatus.CONFIRMED else COASTING_ALPHA
        body = _marker(
            "tracks", number, Marker.CUBE, stamp_ns, color, size_m * TRACK_SIZE, alpha, life_s
        )
        body.pose.position = to_point(track.position_m)
        body.pose.orientation = yaw_quaternion(course_rotation(track.velocity_mps))
        shape = _ellipsoid(
            "track uncertainty", number, stamp_ns, color, track.position_m, track.covariance, life_s
        )
        arrow = _arrow(
            "track velocities",
            number,
            stamp_ns,
            color,
            track.position_m,
            SECONDS_AHEAD * track.velocity_mps,
            size_m,
            life_s,
        )
        flies = layout.flies(track.position_m)
        text = _beside(_track_label(track, flies), LABEL_DISTANCE, flies)
        label = _text(
            "track names",
            number,
            stamp_ns,
            track.position_m,
            LABEL_HEIGHT * size_m,
            text,
            color,
            life_s,
        )
        drawn += [body, shape, arrow, label]
        drawn += _drop("track heights", number, stamp_ns, color, track.position_m, layout, life_s)
        points = list(trails.get(number, ()))
        if len(points) > 1:
            drawn.append(_trail(number, stamp_ns, color, points, size_m, life_s))
    return drawn


def _track_label(track: Track, flies: bool) -> str:
    """Number, class and speed of a track; below them height, where it flies, and uncertainty."""
    speed_mps = float(np.linalg.norm(track.velocity_mps))
    variance_m2 = max(float(np.linalg.eigvalsh(track.covariance[:3, :3])[-1]), 0.0)
    radius_m = ELLIPSOID_SIGMAS * math.sqrt(variance_m2)
    height = f"z {track.position_m[2]:.1f} m " if flies else ""
    return (
        f"{track.track_id} {track.target_class.name.lower()} {speed_mps:.1f} m/s\n"
        f"{height}+-{radius_m:.2f} m"
    )


def _trail(
    number: int, stamp_ns: int, color, points: list[Point], size_m: float, life_s: float
) -> Marker:
    """The way of a track, which fades towards its past."""
    trail = _marker(
        "trails",
        number,
        Marker.LINE_STRIP,
        stamp_ns,
        color,
        (TRAIL_WIDTH * size_m, 0.0, 0.0),
        life_s=life_s,
    )
    trail.points = points
    trail.colors = [_color(color, alpha) for alpha in np.linspace(0.1, 0.9, len(points))]
    return trail


def _drop(
    namespace: str,
    number: int,
    stamp_ns: int,
    color,
    place_m: np.ndarray,
    layout: SceneLayout,
    life_s: float = 0.0,
) -> list[Marker]:
    """A line down to the ground and a disc there; nothing for what is on the ground."""
    if not layout.flies(place_m):
        return []
    size_m = layout.size_m
    foot_m = np.array([place_m[0], place_m[1], layout.ground_m])
    line = _marker(
        namespace,
        number,
        Marker.LINE_LIST,
        stamp_ns,
        color,
        (LINE_WIDTH * size_m, 0.0, 0.0),
        0.6,
        life_s,
    )
    line.points = [to_point(place_m), to_point(foot_m)]
    disc = _marker(
        f"{namespace} footprints",
        number,
        Marker.CYLINDER,
        stamp_ns,
        color,
        (FOOTPRINT * size_m, FOOTPRINT * size_m, LINE_WIDTH * size_m),
        0.6,
        life_s,
    )
    disc.pose.position = to_point(foot_m)
    return [line, disc]


def figures_marker(scene: Scene, lines: Sequence[str], stamp_ns: int) -> Marker:
    """Live figures as a text that stands on the far edge of the picture."""
    layout = scene_layout(scene)
    return _text(
        "figures",
        0,
        stamp_ns,
        layout.figures_m,
        FIGURES_HEIGHT * layout.size_m,
        _beside("\n".join(lines), 0, above=True),
        COLORS["text"],
    )


def deletions(markers: Iterable[tuple[str, int]], stamp_ns: int) -> list[Marker]:
    """Messages that take markers, by namespace and number, out of the picture."""
    return [
        Marker(header=map_header(stamp_ns), ns=namespace, id=number, action=Marker.DELETE)
        for namespace, number in sorted(markers)
    ]


def moving(drawn: Iterable[Marker]) -> set[tuple[str, int]]:
    """Namespace and number of the markers that have a lifetime."""
    return {
        (marker.ns, marker.id) for marker in drawn if marker.lifetime.sec or marker.lifetime.nanosec
    }


def _beside(text: str, distance: float, above: bool) -> str:
    """A text that begins `distance` lines above or below the marker's position, seen from anywhere.

    RViz centers a text on its position in the plane of the picture: empty lines move it aside.
    """
    num_lines = text.count("\n") + 1
    empty = "\n" * (num_lines + round(2 * distance))
    return text + empty if above else empty + text


def _marker_id(number: int) -> int:
    """A number of 32 bits as a marker's signed one: identities of tracks have none."""
    return (int(number) + 2**31) % 2**32 - 2**31


def _marker(
    namespace: str,
    number: int,
    kind: int,
    stamp_ns: int,
    color,
    scale,
    alpha: float = 1.0,
    life_s: float = 0.0,
) -> Marker:
    marker = Marker(
        header=map_header(stamp_ns),
        ns=namespace,
        id=_marker_id(number),
        type=kind,
        action=Marker.ADD,
    )
    marker.scale = to_vector3(scale)
    marker.color = _color(color, alpha)
    marker.lifetime = Duration(sec=int(life_s), nanosec=int(life_s % 1 * 1e9))
    return marker


def _color(color, alpha: float) -> ColorRGBA:
    red, green, blue = color
    return ColorRGBA(r=float(red), g=float(green), b=float(blue), a=float(alpha))


def _arrow(
    namespace: str,
    number: int,
    stamp_ns: int,
    color,
    origin_m: np.ndarray,
    reach_m: np.ndarray,
    size_m: float,
    life_s: float = 0.0,
) -> Marker:
    arrow = _marker(
        namespace,
        number,
        Marker.ARROW,
        stamp_ns,
        color,
        (0.12 * size_m, 0.4 * size_m, 0.5 * size_m),
        life_s=life_s,
    )
    arrow.points = [to_point(origin_m), to_point(origin_m + reach_m)]
    return arrow


def _text(
    namespace: str,
    number: int,
    stamp_ns: int,
    place_m: np.ndarray,
    height_m: float,
    text: str,
    color,
    life_s: float = 0.0,
) -> Marker:
    """A text that faces the viewer, lightened for contrast with the dark background."""
    light = 0.5 + 0.5 * np.asarray(color)
    marker = _marker(
        namespace,
        number,
        Marker.TEXT_VIEW_FACING,
        stamp_ns,
        light,
        (0.0, 0.0, height_m),
        life_s=life_s,
    )
    marker.pose.position = to_point(place_m)
    marker.text = text if height_m >= MIN_HEIGHT_WITH_SPACES_M else text.replace(" ", "_")
    return marker


def _ellipsoid(
    namespace: str,
    number: int,
    stamp_ns: int,
    color,
    place_m: np.ndarray,
    covariance: np.ndarray,
    life_s: float,
) -> Marker:
    """ELLIPSOID_SIGMAS standard deviations of a position.

    covariance: [6, 6], of position and velocity, SI
    """
    variances, axes = np.linalg.eigh(covariance[:3, :3])
    axes[:, 0] *= np.sign(np.linalg.det(axes))
    diameters = 2 * ELLIPSOID_SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    marker = _marker(
        namespace,
        number,
        Marker.SPHERE,
        stamp_ns,
        color,
        np.maximum(diameters, MIN_DIAMETER_M),
        ELLIPSOID_ALPHA,
        life_s,
    )
    marker.pose.position = to_point(place_m)
    marker.pose.orientation = rotation_quaternion(axes)
    return marker
