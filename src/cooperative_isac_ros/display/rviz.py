"""View of a scene for RViz: config/rviz/scene.rviz, adapted to its extent and namespace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import yaml

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros.display.scene_layout import SceneLayout, scene_layout
from cooperative_isac_ros.launching.graph import shared_file
from cooperative_isac_ros.messages.transforms import frame_prefix

# Size of the picture in RViz's window of 1400 x 900 pixels without panels and bars, rounded down.
PICTURE_PIXELS = (960, 740)
# Vertical field of view of RViz's perspective camera, rad.
FIELD_OF_VIEW_RAD = math.pi / 4
# Room for names around the scene in edges of a site's box: along x, where they are long, along y
# and along z.
NAMES_MARGIN = np.array([4.5, 3.0, 0.0])
# Cells of the grid across the longer side of the area, at least, and width of the grid over that
# side.
MIN_CELLS = 5
GRID_SHARE = 1.2
# Share of the picture that the scene may fill.
FILL = 0.94
# Direction of the view from the side, rad: it looks north ...
YAW_RAD = -math.pi / 2
# ... and down, so that heights and ground are both visible.
PITCH_RAD = 0.7
# Number of focal points that are tried along the middle of the scene.
NUM_FOCAL_POINTS = 101
# Distances from the middle of the scene that count as equal, as a multiple of the smallest.
NEAR = 1.02


def scene_view(scene: Scene, namespace: str = "/") -> str:
    """Text of an RViz configuration for a scene: the template with its topics, grid and cameras.

    namespace: of the scene's topics
    Raises FileNotFoundError where the template is not installed.
    """
    # template
    template = shared_file("rviz/scene.rviz")
    if template is None:
        raise FileNotFoundError("rviz/scene.rviz is not installed beside the scene files")
    view = yaml.safe_load(template.read_text(encoding="utf-8"))
    manager = view["Visualization Manager"]
    root = f"/{namespace.strip('/')}".rstrip("/")
    layout = scene_layout(scene)

    # topics, frames of the scene's namespace, and grid
    for node in _nodes(manager["Displays"]):
        if isinstance(node.get("Topic"), dict):
            node["Topic"]["Value"] = root + node["Topic"]["Value"]
        if node.get("Class") == "rviz_default_plugins/TF" and root:
            node["Filter (whitelist)"] = f"^(map|{frame_prefix(root)}.*)$"
        if node.get("Class") == "rviz_default_plugins/Grid":
            node.update(_grid(scene, layout))

    # cameras
    for node in _nodes([manager["Views"]]):
        if node.get("Class") == "rviz_default_plugins/Orbit":
            node.update(_from_the_side(layout))
        elif node.get("Class") == "rviz_default_plugins/TopDownOrtho":
            node.update(_from_above(layout))
    return yaml.safe_dump(view, sort_keys=False)


def _grid(scene: Scene, layout: SceneLayout) -> dict:
    """Grid on the ground that covers the area, with cells of a power of ten in m."""
    low_m = scene.box.low_m
    high_m = scene.box.high_m
    middle_m = (low_m + high_m) / 2
    width_m = float(np.max((high_m - low_m)[:2]))

    # Largest power of ten of which at least MIN_CELLS are in the area.
    cell_m = 10.0 ** math.floor(math.log10(width_m / MIN_CELLS))
    num_cells = math.ceil(GRID_SHARE * width_m / cell_m)
    return {
        "Cell Size": cell_m,
        "Plane Cell Count": num_cells,
        "Offset": _point([middle_m[0], middle_m[1], layout.ground_m]),
    }


def _from_above(layout: SceneLayout) -> dict:
    """View from above: its middle, m, and scale, pixels per m."""
    # Extent of the scene in the plane.
    east = np.array([1.0, 0, 0])
    north = np.array([0, 1.0, 0])
    points_m = _corners(layout, east, north)[:, :2]
    low_m = points_m.min(axis=0)
    high_m = points_m.max(axis=0)

    # The scale at which it fits into the picture.
    middle_m = (low_m + high_m) / 2
    scales = FILL * np.array(PICTURE_PIXELS) / (high_m - low_m)
    scale = float(np.min(scales))
    return {"X": float(middle_m[0]), "Y": float(middle_m[1]), "Scale": scale}


def _from_the_side(layout: SceneLayout) -> dict:
    """View from the side: a focal point on the ground, with the camera as near as possible."""
    # A camera at some distance from the focal point shows the points whose offsets from it satisfy
    # |offset right| <= slope_right (distance + depth), likewise up; depth is the offset ahead.
    ahead, right, up = orbit_axes(YAW_RAD, PITCH_RAD)
    points_m = _corners(layout, right, up)
    slope_up = FILL * math.tan(FIELD_OF_VIEW_RAD / 2)
    slope_right = slope_up * PICTURE_PIXELS[0] / PICTURE_PIXELS[1]

    # the distance from which all points are visible, for focal points from south to north
    middle_m = (layout.low_m + layout.high_m) / 2
    candidates = []
    for y_m in np.linspace(layout.low_m[1], layout.high_m[1], NUM_FOCAL_POINTS):
        focal_m = np.array([middle_m[0], y_m, layout.ground_m])
        offsets_m = points_m - focal_m
        depth_m = offsets_m @ ahead
        needed_m = [
            np.abs(offsets_m @ right) / slope_right - depth_m,
            np.abs(offsets_m @ up) / slope_up - depth_m,
        ]
        distance_m = float(np.max(needed_m))

        # distance from the camera to the middle of the scene, along the view
        away_m = distance_m - (focal_m - middle_m) @ ahead

        # difference of the room above and below the scene in the picture
        heights = (offsets_m @ up) / (distance_m + depth_m)
        asymmetry = abs(float(heights.max() + heights.min()))
        candidates.append((away_m, asymmetry, distance_m, focal_m))

    # among the nearest cameras, the one with the most equal room above and below
    nearest_m = min(away_m for away_m, *_ in candidates)
    near = [item for item in candidates if item[0] <= NEAR * nearest_m]
    _, _, distance_m, focal_m = min(near, key=lambda item: item[1])
    return {
        "Focal Point": _point(focal_m),
        "Distance": distance_m,
        "Yaw": YAW_RAD,
        "Pitch": PITCH_RAD,
    }


def orbit_axes(yaw_rad: float, pitch_rad: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of RViz's orbit camera. Returns unit vectors [3] ahead, to the right and up."""
    away = np.array(
        [
            math.cos(pitch_rad) * math.cos(yaw_rad),
            math.cos(pitch_rad) * math.sin(yaw_rad),
            math.sin(pitch_rad),
        ]
    )
    right = np.array([-math.sin(yaw_rad), math.cos(yaw_rad), 0.0])
    return -away, right, np.cross(away, right)


def _corners(layout: SceneLayout, right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Points [num_points, 3] that a picture with these axes must contain, m."""
    # Corners of the box around everything in the scene, with room for the names.
    margin_m = layout.size_m * NAMES_MARGIN
    low_m = layout.low_m - margin_m
    high_m = layout.high_m + margin_m
    box_m = list(product(*zip(low_m, high_m)))

    # Corners of the live figures, which face the viewer; figures_m is the middle of their lower
    # edge.
    width_m, height_m = layout.figures_size_m
    left_m = layout.figures_m - width_m / 2 * right
    right_m = layout.figures_m + width_m / 2 * right
    text_m = [left_m, right_m, left_m + height_m * up, right_m + height_m * up]
    return np.array([*box_m, *text_m])


def _nodes(tree) -> Iterator[dict]:
    """Yield all mappings in a tree of lists and mappings."""
    if isinstance(tree, dict):
        yield tree
        for item in tree.values():
            yield from _nodes(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _nodes(item)


def _point(place_m) -> dict[str, float]:
    """Point [3] as RViz writes it."""
    return dict(zip("XYZ", map(float, place_m)))
