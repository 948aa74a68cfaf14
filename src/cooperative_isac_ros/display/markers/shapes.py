"""Shapes that the markers are made of: arrows, texts, ellipsoids, lines to the ground."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from cooperative_isac.scene.model import TargetClass
from cooperative_isac_ros.display.scene_layout import SceneLayout
from cooperative_isac_ros.messages.conversions import (
    map_header,
    rotation_quaternion,
    to_point,
    to_vector3,
)

# Red, green and blue, 0 to 1.
Color = tuple[float, float, float]

COLORS: dict[str | TargetClass, Color] = {
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

# Radius of an uncertainty ellipsoid in standard deviations: it holds 97 % of Gaussian errors in
# three dimensions.
ELLIPSOID_SIGMAS = 3.0
# Opacity of an ellipsoid, so that the position inside it is seen.
ELLIPSOID_ALPHA = 0.5
# Smallest diameter of an ellipsoid, m: RViz draws no shape without extent.
MIN_DIAMETER_M = 1e-3
# Width of a line in edges of a site's box.
LINE_WIDTH = 0.06
# Diameter of the disc on the ground below what flies, in edges of a site's box.
FOOTPRINT_DIAMETER = 0.7
# Opacity of that disc and of the line down to it.
FOOTPRINT_ALPHA = 0.6
# Diameter of an arrow's shaft and head, and length of its head, in edges of a site's box.
ARROW_SCALE = (0.12, 0.4, 0.5)
# RViz draws a space about 0.6 m wide whatever the height of the letters, m: in lower texts an
# underscore stands for it.
MIN_HEIGHT_WITH_SPACES_M = 1.0


@dataclass(frozen=True)
class MarkerKey:
    """Identity of a marker in RViz, with its stamp and lifetime.

    number: becomes the marker's id
    life_s: seconds after which RViz removes it; 0: never
    """

    namespace: str
    number: int
    stamp_ns: int
    life_s: float = 0.0


def marker_id(number: int) -> int:
    """Signed marker id of 32 bits for a track's identity, which is unsigned."""
    return (int(number) + 2**31) % 2**32 - 2**31


def color_message(color: Color, alpha: float) -> ColorRGBA:
    """ColorRGBA message of a color and an opacity."""
    red, green, blue = color
    return ColorRGBA(r=float(red), g=float(green), b=float(blue), a=float(alpha))


def new_marker(key: MarkerKey, kind: int, color, scale, alpha: float = 1.0) -> Marker:
    """Marker without points, at the origin of map.

    kind: Marker.CUBE, Marker.SPHERE, ...
    color: [3], red, green and blue
    scale: [3], m; its meaning depends on the kind
    """
    marker = Marker(
        header=map_header(key.stamp_ns),
        ns=key.namespace,
        id=marker_id(key.number),
        type=kind,
        action=Marker.ADD,
    )
    marker.scale = to_vector3(scale)
    marker.color = color_message(color, alpha)
    marker.lifetime = Duration(sec=int(key.life_s), nanosec=int(key.life_s % 1 * 1e9))
    return marker


def line_marker(key: MarkerKey, kind: int, color, width_m: float, alpha: float = 1.0) -> Marker:
    """Marker of the kind LINE_STRIP or LINE_LIST, without points."""
    return new_marker(key, kind, color, (width_m, 0.0, 0.0), alpha)


def arrow(
    key: MarkerKey, color, origin_m: np.ndarray, reach_m: np.ndarray, size_m: float
) -> Marker:
    """Arrow from a point along a vector.

    origin_m, reach_m: [3], m
    size_m: edge of a site's box, the unit of the arrow's thickness, m
    """
    scale = tuple(share * size_m for share in ARROW_SCALE)
    marker = new_marker(key, Marker.ARROW, color, scale)
    marker.points = [to_point(origin_m), to_point(origin_m + reach_m)]
    return marker


def text_marker(
    key: MarkerKey, color, position_m: np.ndarray, height_m: float, text: str
) -> Marker:
    """Text that faces the viewer, lightened for contrast with the dark background.

    position_m: [3], m, middle of the text
    height_m: height of a capital letter, m
    """
    lightened = 0.5 + 0.5 * np.asarray(color)
    marker = new_marker(key, Marker.TEXT_VIEW_FACING, lightened, (0.0, 0.0, height_m))
    marker.pose.position = to_point(position_m)
    marker.text = text if height_m >= MIN_HEIGHT_WITH_SPACES_M else text.replace(" ", "_")
    return marker


def beside(text: str, distance: float, above: bool) -> str:
    """Text shifted above or below the marker's position by a number of lines.

    RViz centers a text on its position in the image plane, so empty lines shift it in any view.

    distance: lines between the position and the near edge of the text
    """
    num_lines = text.count("\n") + 1
    empty_lines = "\n" * (num_lines + round(2 * distance))
    return text + empty_lines if above else empty_lines + text


def ellipsoid(key: MarkerKey, color, position_m: np.ndarray, covariance: np.ndarray) -> Marker:
    """Uncertainty ellipsoid of a position, ELLIPSOID_SIGMAS standard deviations large.

    position_m: [3], m
    covariance: [6, 6], of position and velocity, SI
    """
    # principal axes, made right-handed so that they are a rotation
    variances, axes = np.linalg.eigh(covariance[:3, :3])
    axes[:, 0] *= np.sign(np.linalg.det(axes))

    diameters_m = 2 * ELLIPSOID_SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    scale = np.maximum(diameters_m, MIN_DIAMETER_M)
    marker = new_marker(key, Marker.SPHERE, color, scale, ELLIPSOID_ALPHA)
    marker.pose.position = to_point(position_m)
    marker.pose.orientation = rotation_quaternion(axes)
    return marker


def ground_line(key: MarkerKey, color, position_m: np.ndarray, layout: SceneLayout) -> list[Marker]:
    """Vertical line from a position down to the ground, with a disc at its foot.

    position_m: [3], float64, m

    Returns both markers; an empty list where the position is on the ground.
    """
    if not layout.flies(position_m):
        return []
    foot_m = np.array([position_m[0], position_m[1], layout.ground_m])

    # line
    width_m = LINE_WIDTH * layout.size_m
    line = line_marker(key, Marker.LINE_LIST, color, width_m, FOOTPRINT_ALPHA)
    line.points = [to_point(position_m), to_point(foot_m)]

    # disc
    diameter_m = FOOTPRINT_DIAMETER * layout.size_m
    disc_key = MarkerKey(f"{key.namespace} footprints", key.number, key.stamp_ns, key.life_s)
    disc_scale = (diameter_m, diameter_m, width_m)
    disc = new_marker(disc_key, Marker.CYLINDER, color, disc_scale, FOOTPRINT_ALPHA)
    disc.pose.position = to_point(foot_m)
    return [line, disc]


def deletions(keys: Iterable[tuple[str, int]], stamp_ns: int) -> list[Marker]:
    """Messages that remove markers from RViz.

    keys: namespace and id of each
    """
    return [
        Marker(header=map_header(stamp_ns), ns=namespace, id=number, action=Marker.DELETE)
        for namespace, number in sorted(keys)
    ]


def temporary(markers: Iterable[Marker]) -> set[tuple[str, int]]:
    """Namespace and id of the markers that have a lifetime."""
    return {
        (marker.ns, marker.id)
        for marker in markers
        if marker.lifetime.sec or marker.lifetime.nanosec
    }
