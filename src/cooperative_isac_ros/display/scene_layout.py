"""Layout of a scene's picture: sizes and places that the markers and the views of RViz share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site

# Edge of a site's box as a share of the area's diagonal: some 16 pixels in a window of 1400 x 900.
SIZE_SHARE = 0.02
# Smallest edge of a site's box, m.
MIN_SIZE_M = 0.1
# Heights of letters in edges of a site's box: labels of targets and tracks, site names, figures.
LABEL_HEIGHT = 0.95
NAME_HEIGHT = 1.1
FIGURES_HEIGHT = 1.25
# Mean width of a letter of RViz's font in letter heights, rounded up.
RVIZ_LETTER_WIDTH = 0.6
# Letters in a line of the live figures, and number of lines, at most.
FIGURES_COLUMNS = 46
FIGURES_LINES = 6
# Distance of a name from its site in edges of the site's box, along x to the nearer end of the name
# and along y to its middle: both views show the name beside the box.
NAME_DISTANCE = np.array([2.0, 2.8])
# Height above the ground, in edges of a site's box, from which something counts as flying: it is
# drawn with a line down to its footprint.
FLYING_HEIGHT = 1.0
# Shares of the time of a station's motion at which it must be in the picture.
MOTION_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Longest time of a motion that is considered, s: some have no end.
LONGEST_MOTION_S = 600.0
# Distance of the live figures from the northernmost object, in edges of a site's box.
FIGURES_DISTANCE = 4.0


@dataclass(frozen=True)
class SceneLayout:
    """Ground, edges and live figures of a scene's picture.

    size_m: edge of a site's box, the unit of all other sizes, m
    ground_m: height of the ground, m
    low_m, high_m: [3], box around the area, all sites and all buildings, m
    figures_m: [3], middle of the lower edge of the live figures, m
    """

    size_m: float
    ground_m: float
    low_m: np.ndarray
    high_m: np.ndarray
    figures_m: np.ndarray

    @property
    def figures_size_m(self) -> tuple[float, float]:
        """Width and height of the largest text of live figures, m."""
        letter_m = FIGURES_HEIGHT * self.size_m
        return RVIZ_LETTER_WIDTH * FIGURES_COLUMNS * letter_m, FIGURES_LINES * letter_m

    def flies(self, place_m: np.ndarray) -> bool:
        """Return whether a place [3] is clearly above the ground."""
        return bool(place_m[2] - self.ground_m > FLYING_HEIGHT * self.size_m)


def scene_layout(scene: Scene) -> SceneLayout:
    """The layout of a scene's picture."""
    size_m = scene_size(scene)
    sites = [site for view in scene.views for site in (*view.transmitters, *view.receivers)]
    boxes = scene.world.boxes if scene.world is not None else ()
    ground_m = _ground_m(scene)

    # Corners of everything in the scene.
    corners = [scene.box.low_m, scene.box.high_m, *(site.position_m for site in sites)]
    corners += _way_points_m(scene)
    corners += [corner for box in boxes for corner in (box.low_m, box.high_m)]
    corners += [corner for wall in _walls(scene) for corner in wall.corners_m]
    low_m = np.minimum.reduce(corners)
    high_m = np.maximum.reduce(corners)
    low_m[2] = ground_m  # the ground, also where the search box begins above it

    # Text of the live figures: above the northern edge, which is the far one, as the views look
    # north; as high as the highest object, so that none hides it.
    tops = [ground_m]
    tops += [site.position_m[2] for site in sites]
    tops += [box.high_m[2] for box in boxes]
    middle_m = (scene.box.low_m + scene.box.high_m) / 2
    north_m = high_m[1] + FIGURES_DISTANCE * size_m
    figures_m = np.array([middle_m[0], north_m, max(tops)])
    return SceneLayout(size_m, ground_m, low_m, high_m, figures_m)


def scene_size(scene: Scene) -> float:
    """Edge of a site's box that suits the area, m."""
    diagonal_m = float(np.linalg.norm((scene.box.high_m - scene.box.low_m)[:2]))
    return max(SIZE_SHARE * diagonal_m, MIN_SIZE_M)


def name_place(scene: Scene, site: Site, layout: SceneLayout) -> np.ndarray:
    """Middle [3] of a site's name, m: beside its box, away from the middle of the area.

    A name south of the middle is at the foot of its mast, which would cross it otherwise.
    """
    # Horizontal direction away from the middle; south for a site at the middle.
    size_m = layout.size_m
    middle_m = (scene.box.low_m + scene.box.high_m) / 2
    away_m = (site.position_m - middle_m)[:2]
    distance_m = float(np.linalg.norm(away_m))
    south = np.array([0.0, -1.0])
    outward = away_m / distance_m if distance_m > size_m else south

    # Distance along x to the nearer end of the name, and along y to its middle.
    letter_width_m = RVIZ_LETTER_WIDTH * NAME_HEIGHT * size_m
    half_width_m = len(site.name) * letter_width_m / 2
    reach_m = NAME_DISTANCE * size_m + [half_width_m, 0.0]
    place_m = site.position_m[:2] + outward * reach_m

    # Height: that of the box, or the foot of the mast.
    is_north = outward[1] >= 0
    height_m = site.position_m[2] if is_north else layout.ground_m
    return np.array([*place_m, height_m])


def _way_points_m(scene: Scene) -> list[np.ndarray]:
    """Positions [3] of stations along their motions in the scene, m."""
    points_m = []
    for station in scene.stations:
        if station.motion is None:
            continue
        end_s = min(station.motion.start_s + station.motion.duration_s, LONGEST_MOTION_S)
        points_m += [station.pose_at(share * end_s).position_m for share in MOTION_SHARES]
    return points_m


def _ground_m(scene: Scene) -> float:
    """Height of the ground, else of the scene's plane or the lower face of its box, m."""
    if scene.world is not None and scene.world.ground is not None:
        return float(scene.world.ground.corner_m[2])
    return scene.plane_height_m if scene.dimension == 2 else float(scene.box.low_m[2])


def _walls(scene: Scene) -> tuple:
    return scene.world.walls if scene.world is not None else ()
