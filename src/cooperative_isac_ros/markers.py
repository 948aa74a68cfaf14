"""Pictures of the scene for RViz: sites, truth, detections, tracks and live figures."""

from __future__ import annotations

from typing import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene, Site, TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus
from cooperative_isac_ros.conversions import map_header, to_point, to_vector3
from cooperative_isac_ros.transforms import rotation_quaternion

ELLIPSOID_SIGMAS = 2.0
SECONDS_AHEAD = 1.0
COLOURS = {
    "transmitter": (0.9, 0.4, 0.1), "receiver": (0.2, 0.5, 0.9), "truth": (0.6, 0.6, 0.6),
    "detection": (0.95, 0.85, 0.2), TargetClass.UAV: (0.8, 0.3, 0.9), TargetClass.VEHICLE: (0.2, 0.8, 0.3),
    TargetClass.UNKNOWN: (0.9, 0.9, 0.9), "text": (1.0, 1.0, 1.0)
}


def site_markers(scene: Scene, stamp_ns: int) -> list[Marker]:
    """A box, the look direction and the name of every access point; they stay."""
    size = scene_size(scene)
    return [marker for kind, sites in (("transmitter", scene.transmitters), ("receiver", scene.receivers))
            for index, site in enumerate(sites) for marker in _site(kind, site, index, size, stamp_ns)]


def _site(kind: str, site: Site, index: int, size_m: float, stamp_ns: int) -> list[Marker]:
    colour = COLOURS[kind]
    box = _marker(f"{kind}s", index, Marker.CUBE, stamp_ns, colour, (size_m, size_m, size_m))
    box.pose.position, box.pose.orientation = to_point(site.position_m), rotation_quaternion(site.rotation)
    arrow = _arrow(f"{kind} directions", index, stamp_ns, colour, site.position_m,
                   4 * size_m * site.boresight, size_m)
    text = _text(f"{kind} names", index, stamp_ns, site.position_m + np.array([0, 0, 1.5 * size_m]), size_m,
                 site.name)
    return [box, arrow, text]


def truth_markers(targets: Sequence[TargetState], size_m: float, stamp_ns: int,
                  life_s: float) -> list[Marker]:
    """Where the targets are by their own odometry, as grey balls with their names."""
    markers = []
    for index, target in enumerate(targets):
        ball = _marker("truth", index, Marker.SPHERE, stamp_ns, COLOURS["truth"], (size_m,) * 3, 0.5, life_s)
        ball.pose.position = to_point(target.position_m)
        above = target.position_m + np.array([0, 0, size_m])
        markers += [ball, _text("truth names", index, stamp_ns, above, 0.6 * size_m, target.name, life_s)]
    return markers


def detection_markers(detections: Sequence[Detection], size_m: float, stamp_ns: int,
                      life_s: float) -> list[Marker]:
    """Detections as balls, with the ellipsoid of two standard deviations."""
    markers = []
    for index, detection in enumerate(detections):
        ball = _marker("detections", index, Marker.SPHERE, stamp_ns, COLOURS["detection"],
                       (0.4 * size_m,) * 3, 1.0, life_s)
        ball.pose.position = to_point(detection.position_m)
        markers += [ball, _ellipsoid("detection uncertainty", index, stamp_ns, detection, life_s)]
    return markers


def track_markers(tracks: Sequence[Track], trails: dict[int, Iterable[Point]], size_m: float, stamp_ns: int,
                  life_s: float) -> list[Marker]:
    """Established tracks with number, class, velocity of one second and trail."""
    markers = []
    for track in tracks:
        colour, number = COLOURS[track.target_class], track.track_id
        alpha = 1.0 if track.status is TrackStatus.CONFIRMED else 0.5
        cube = _marker("tracks", number, Marker.CUBE, stamp_ns, colour, (0.7 * size_m,) * 3, alpha, life_s)
        cube.pose.position = to_point(track.position_m)
        arrow = _arrow("track velocities", number, stamp_ns, colour, track.position_m,
                       SECONDS_AHEAD * track.velocity_mps, size_m, life_s)
        label = f"{number} {track.target_class.name.lower()} {np.linalg.norm(track.velocity_mps):.1f} m/s"
        text = _text("track names", number, stamp_ns, track.position_m + np.array([0, 0, size_m]),
                     0.8 * size_m, label, life_s)
        trail = _marker("trails", number, Marker.LINE_STRIP, stamp_ns, colour, (0.15 * size_m, 0.0, 0.0), 0.7,
                        life_s)
        trail.points = list(trails.get(number, ()))
        markers += [cube, arrow, text, *([trail] if len(trail.points) > 1 else [])]
    return markers


def figures_marker(scene: Scene, lines: Sequence[str], stamp_ns: int) -> Marker:
    """Live figures as a text beside the area."""
    size = scene_size(scene)
    place = np.array([scene.area.low_m[0], scene.area.low_m[1] - 6 * size, scene.area.low_m[2]])
    return _text("figures", 0, stamp_ns, place, 1.2 * size, "\n".join(lines))


def scene_size(scene: Scene) -> float:
    """Edge of a site's box that suits the area [m]."""
    return max(0.02 * float(np.linalg.norm((scene.area.high_m - scene.area.low_m)[:2])), 0.1)


def _marker(namespace: str, number: int, kind: int, stamp_ns: int, colour, scale, alpha: float = 1.0,
            life_s: float = 0.0) -> Marker:
    marker = Marker(header=map_header(stamp_ns), ns=namespace, id=int(number), type=kind, action=Marker.ADD)
    marker.scale = to_vector3(scale)
    marker.color = ColorRGBA(r=float(colour[0]), g=float(colour[1]), b=float(colour[2]), a=float(alpha))
    marker.lifetime = Duration(sec=int(life_s), nanosec=int(life_s % 1 * 1e9))
    return marker


def _arrow(namespace: str, number: int, stamp_ns: int, colour, origin_m: np.ndarray, reach_m: np.ndarray,
           size_m: float, life_s: float = 0.0) -> Marker:
    arrow = _marker(namespace, number, Marker.ARROW, stamp_ns, colour,
                    (0.2 * size_m, 0.5 * size_m, 0.5 * size_m), life_s=life_s)
    arrow.points = [to_point(origin_m), to_point(origin_m + reach_m)]
    return arrow


def _text(namespace: str, number: int, stamp_ns: int, place_m: np.ndarray, height_m: float, text: str,
          life_s: float = 0.0) -> Marker:
    marker = _marker(namespace, number, Marker.TEXT_VIEW_FACING, stamp_ns, COLOURS["text"],
                     (0.0, 0.0, height_m), life_s=life_s)
    marker.pose.position, marker.text = to_point(place_m), text
    return marker


def _ellipsoid(namespace: str, number: int, stamp_ns: int, detection: Detection, life_s: float) -> Marker:
    variances, axes = np.linalg.eigh(detection.covariance[:3, :3])
    axes[:, 0] *= np.sign(np.linalg.det(axes))
    diameters = 2 * ELLIPSOID_SIGMAS * np.sqrt(variances)
    marker = _marker(namespace, number, Marker.SPHERE, stamp_ns, COLOURS["detection"], diameters, 0.3, life_s)
    marker.pose.position, marker.pose.orientation = to_point(detection.position_m), rotation_quaternion(axes)
    return marker
