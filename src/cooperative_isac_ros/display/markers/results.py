"""Markers that change from frame to frame: truth, detections, tracks and live figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Point
from visualization_msgs.msg import Marker

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.display.markers.shapes import (
    COLORS,
    ELLIPSOID_SIGMAS,
    LINE_WIDTH,
    Color,
    MarkerKey,
    arrow,
    beside,
    color_message,
    ellipsoid,
    ground_line,
    line_marker,
    new_marker,
    text_marker,
)
from cooperative_isac_ros.display.scene_layout import (
    FIGURES_HEIGHT,
    LABEL_HEIGHT,
    SceneLayout,
    scene_layout,
)
from cooperative_isac_ros.messages.conversions import course_rotation, to_point, yaw_quaternion

# Opacity of a track's body, confirmed or coasting: the detection inside it is seen.
CONFIRMED_ALPHA = 0.35
COASTING_ALPHA = 0.15
# Diameter of a target's ball, half the extent of a detection's cross and width of a track's trail,
# in edges of a site's box.
TRUTH_DIAMETER = 0.35
CROSS_REACH = 0.7
TRAIL_WIDTH = 0.12
# Length, width and height of a track's body in edges of a site's box.
TRACK_SIZE = np.array([1.2, 0.9, 0.7])
# The velocity arrow of a track ends where it will be after this time, s.
SECONDS_AHEAD = 1.0
# Opacity of a trail at its oldest and at its newest point.
TRAIL_ALPHAS = (0.1, 0.9)
# Lines of text between a position and the near edge of its text. A track's label is beyond the
# target's name, above what flies and below what does not, so that neither crosses the line to the
# ground.
NAME_GAP_LINES = 1.0
LABEL_DISTANCE = 2.5


def truth_markers(
    targets: Sequence[TargetState], layout: SceneLayout, stamp_ns: int, life_s: float
) -> list[Marker]:
    """True positions of the targets, from their odometry, as small solid balls with names."""
    color = COLORS["truth"]
    diameter_m = TRUTH_DIAMETER * layout.size_m
    markers = []
    for index, target in enumerate(targets):
        ball_key = MarkerKey("truth", index, stamp_ns, life_s)
        ball = new_marker(ball_key, Marker.SPHERE, color, (diameter_m,) * 3)
        ball.pose.position = to_point(target.position_m)

        name_key = MarkerKey("truth names", index, stamp_ns, life_s)
        text = beside(target.name, NAME_GAP_LINES, layout.flies(target.position_m))
        letter_m = LABEL_HEIGHT * layout.size_m
        name = text_marker(name_key, color, target.position_m, letter_m, text)
        markers += [ball, name]
    return markers


def detection_markers(
    detections: Sequence[Detection], size_m: float, stamp_ns: int, life_s: float
) -> list[Marker]:
    """Detections as crosses with uncertainty ellipsoids.

    size_m: edge of a site's box, m; a cross is larger than a track's body, so that both are seen
    """
    color = COLORS["detection"]
    markers = []
    for index, detection in enumerate(detections):
        position_m = detection.position_m
        cross_key = MarkerKey("detections", index, stamp_ns, life_s)
        cross = line_marker(cross_key, Marker.LINE_LIST, color, LINE_WIDTH * size_m)
        for arm_m in CROSS_REACH * size_m * np.eye(3):
            cross.points += [to_point(position_m - arm_m), to_point(position_m + arm_m)]

        shape_key = MarkerKey("detection uncertainty", index, stamp_ns, life_s)
        shape = ellipsoid(shape_key, color, position_m, detection.covariance)
        markers += [cross, shape]
    return markers


def track_markers(
    tracks: Sequence[Track],
    trails: Mapping[int, Iterable[Point]],
    layout: SceneLayout,
    stamp_ns: int,
    life_s: float,
) -> list[Marker]:
    """Established tracks as translucent bodies with ellipsoid, velocity, label, trail, footprint.

    trails: past positions by the track's identity
    """
    markers = []
    for track in tracks:
        markers += _track(track, layout, stamp_ns, life_s)
        points = list(trails.get(track.track_id, ()))
        if len(points) > 1:
            key = MarkerKey("trails", track.track_id, stamp_ns, life_s)
            width_m = TRAIL_WIDTH * layout.size_m
            markers.append(_trail(key, COLORS[track.target_class], points, width_m))
    return markers


def _track(track: Track, layout: SceneLayout, stamp_ns: int, life_s: float) -> list[Marker]:
    """Markers of one track, without its trail."""
    color = COLORS[track.target_class]
    size_m = layout.size_m
    position_m = track.position_m

    def key(namespace: str) -> MarkerKey:
        return MarkerKey(namespace, track.track_id, stamp_ns, life_s)

    # body, in the direction of travel
    alpha = CONFIRMED_ALPHA if track.status is TrackStatus.CONFIRMED else COASTING_ALPHA
    body = new_marker(key("tracks"), Marker.CUBE, color, size_m * TRACK_SIZE, alpha)
    body.pose.position = to_point(position_m)
    body.pose.orientation = yaw_quaternion(course_rotation(track.velocity_mps))

    # uncertainty and velocity
    shape = ellipsoid(key("track uncertainty"), color, position_m, track.covariance)
    reach_m = SECONDS_AHEAD * track.velocity_mps
    velocity = arrow(key("track velocities"), color, position_m, reach_m, size_m)

    # label and line to the ground
    flies = layout.flies(position_m)
    text = beside(_track_label(track, flies), LABEL_DISTANCE, flies)
    label = text_marker(key("track names"), color, position_m, LABEL_HEIGHT * size_m, text)
    height = ground_line(key("track heights"), color, position_m, layout)
    return [body, shape, velocity, label, *height]


def _track_label(track: Track, flies: bool) -> str:
    """Two lines: identity, class and speed; height of flying targets, and uncertainty."""
    speed_mps = float(np.linalg.norm(track.velocity_mps))
    largest_variance_m2 = float(np.linalg.eigvalsh(track.covariance[:3, :3])[-1])
    radius_m = ELLIPSOID_SIGMAS * math.sqrt(max(largest_variance_m2, 0.0))
    height = f"z {track.position_m[2]:.1f} m " if flies else ""
    return (
        f"{track.track_id} {track.target_class.name.lower()} {speed_mps:.1f} m/s\n"
        f"{height}+-{radius_m:.2f} m"
    )


def _trail(key: MarkerKey, color: Color, points: list[Point], width_m: float) -> Marker:
    """Past positions of a track as a line that fades towards the oldest."""
    trail = line_marker(key, Marker.LINE_STRIP, color, width_m)
    trail.points = points
    trail.colors = [
        color_message(color, alpha) for alpha in np.linspace(*TRAIL_ALPHAS, len(points))
    ]
    return trail


def figures_marker(scene: Scene, lines: Sequence[str], stamp_ns: int) -> Marker:
    """Live figures as a text at the far edge of the picture."""
    layout = scene_layout(scene)
    return text_marker(
        MarkerKey("figures", 0, stamp_ns),
        COLORS["text"],
        layout.figures_m,
        FIGURES_HEIGHT * layout.size_m,
        beside("\n".join(lines), 0, above=True),
    )
