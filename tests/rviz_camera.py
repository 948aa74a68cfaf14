"""RViz's cameras and texts: the pixels that a marker covers."""

import math
from dataclasses import dataclass

import numpy as np
from visualization_msgs.msg import Marker

# What panels and bars leave of a window of 1400 x 900 pixels.
WIDTH, HEIGHT = 960, 740
# rviz_rendering: the camera's vertical field of view is Ogre's default.
FIELD_OF_VIEW_RAD = math.pi / 4
# Mean width of a letter of Liberation Sans, rounded up, in letter heights.
LETTER_WIDTH = 0.6
# rviz_rendering::MovableText: a space is as wide as the letter A of a text that is 1 m high.
SPACE_M = 0.667


@dataclass(frozen=True)
class Picture:
    """A view of RViz; pixels are counted to the right and up from the lower left corner."""

    view: dict

    def project(self, points_m):
        """Pixels [num_points, 2] and pixels per m [num_points] of points [num_points, 3]."""
        points_m = np.asarray(points_m, float).reshape(-1, 3)
        middle = np.array([WIDTH, HEIGHT]) / 2
        if self.view["Class"].endswith("TopDownOrtho"):
            assert self.view["Angle"] == 0
            scale = np.full(len(points_m), float(self.view["Scale"]))
            return middle + scale[:, None] * (
                points_m[:, :2] - [self.view["X"], self.view["Y"]]
            ), scale

        # rviz_default_plugins::OrbitViewController::updateCamera
        yaw, pitch = self.view["Yaw"], self.view["Pitch"]
        focal_m = np.array([self.view["Focal Point"][axis] for axis in "XYZ"])
        eye_m = focal_m + self.view["Distance"] * np.array(
            [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)]
        )
        ahead = (focal_m - eye_m) / np.linalg.norm(focal_m - eye_m)
        right = np.cross(ahead, [0, 0, 1])
        right /= np.linalg.norm(right)
        offsets_m = points_m - eye_m
        depth_m = offsets_m @ ahead
        assert np.all(depth_m > 0), "behind the camera"
        scale = HEIGHT / (2 * math.tan(FIELD_OF_VIEW_RAD / 2) * depth_m)
        across = np.stack([offsets_m @ right, offsets_m @ np.cross(right, ahead)], axis=-1)
        return middle + scale[:, None] * across, scale

    def text(self, marker):
        """Left, bottom, right and top pixel of the letters of a text marker.

        rviz_rendering::MovableText centers the block of all lines, empty ones too.
        """
        assert marker.type == Marker.TEXT_VIEW_FACING
        place = marker.pose.position
        (middle,), (scale,) = self.project([[place.x, place.y, place.z]])
        lines = marker.text.split("\n")
        letter = scale * marker.scale.z
        widths = [
            LETTER_WIDTH * letter * (len(line) - line.count(" "))
            + SPACE_M * scale * line.count(" ")
            for line in lines
        ]
        top = middle[1] + letter * len(lines) / 2
        filled = [index for index, line in enumerate(lines) if line]
        return (
            middle[0] - max(widths) / 2,
            top - letter * (filled[-1] + 1),
            middle[0] + max(widths) / 2,
            top - letter * filled[0],
        )


def overlap(one, other):
    """Return whether two rectangles (left, bottom, right, top) have common points."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(pixels):
    """Return whether all pixels are in the picture."""
    return bool(np.all(pixels >= 0) and np.all(pixels <= [WIDTH, HEIGHT]))


def points_of(marker):
    """Positions of a marker's corners in map, [num_points, 3]."""
    if marker.points:
        return np.array([[point.x, point.y, point.z] for point in marker.points])
    place = marker.pose.position
    return np.array([[place.x, place.y, place.z]])


def contrast(one, other):
    """Contrast ratio of two colors [3] of 0 to 1, as WCAG 2 defines it: 1 to 21."""
    levels = []
    for color in (one, other):
        color = np.asarray(color, float)
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
        levels.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(levels) / min(levels)
