"""Placement of labels beside points of a picture, clear of lines and of each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke

# Candidates for the place of a label: directions from its point, and gaps in pixels between both.
NUM_DIRECTIONS = 16
DISTANCES = (5.0, 12.0, 22.0)
# Width and height of a letter over the font size, of matplotlib's default font.
LETTER_WIDTH = 0.62
LETTER_HEIGHT = 1.2
# Cost of covering another label or the border, in covered points of lines. It exceeds the cost of
# any number of lines that a label may cover.
LABEL_COST = 200.0
# Cost of a pixel of distance, in covered points of lines: it decides between free places only.
PIXEL_COST = 0.05
# Distance of the points that stand for a line, pixels: less than the height of a letter.
CELL_PIXELS = 3.0
HALO = [Stroke(linewidth=2.2, foreground="white"), Normal()]


def on_map(point_m: np.ndarray) -> tuple[float, float]:
    """Horizontal coordinates of a point [2] or [3] as two floats, for matplotlib."""
    return float(point_m[0]), float(point_m[1])


class LabelPlacer:
    """Places labels in axes whose layout is final.

    lines: [num_points, 2] each, float64, lines in data coordinates that labels should not cover
    """

    def __init__(self, axes: Axes, lines: list[np.ndarray]):
        self._axes = axes
        self._pixels_per_point = axes.figure.dpi / 72
        self._window = axes.get_window_extent()
        self._obstacles = _line_pixels(axes, lines)
        self._taken: list[np.ndarray] = []

    def place(self, text: str, point: np.ndarray, fontsize: float, color: str) -> None:
        """Write a text near a point, at the candidate with the least cost.

        point: [2], float64, data coordinates
        """
        # Half the size of the text, pixels.
        anchor = self._axes.transData.transform(point)
        letters = np.array([LETTER_WIDTH * len(text), LETTER_HEIGHT])
        half = letters * fontsize * self._pixels_per_point / 2

        # Cheapest place.
        candidates = [
            (self._cost(anchor, offset, half), tuple(offset)) for offset in _offsets(half)
        ]
        _, offset = min(candidates)

        # Write it there, and keep its place free of other labels.
        middle = anchor + offset
        self._taken.append(np.concatenate([middle - half, middle + half]))
        label = self._axes.annotate(
            text,
            on_map(point),
            on_map(np.array(offset) / self._pixels_per_point),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=fontsize,
            color=color,
            path_effects=HALO,
            zorder=8,
        )
        label.set_in_layout(False)

    def _cost(self, anchor: np.ndarray, offset: np.ndarray, half: np.ndarray) -> float:
        """Cost of a place: covered points of lines, covered labels, and distance from the point.

        anchor, offset, half: [2], float64, pixels
        """
        # Corners of the label.
        low = anchor + offset - half
        high = anchor + offset + half

        # Points of lines that it would cover.
        is_above_low = self._obstacles > low
        is_below_high = self._obstacles < high
        is_covered = np.all(is_above_low & is_below_high, axis=1)
        num_points = float(is_covered.sum())

        # Labels that it would overlap.
        overlaps = [_overlap(low, high, box) for box in self._taken]

        # Border of the figure that it would cross.
        is_below_window = np.any(low < self._window.min)
        is_above_window = np.any(high > self._window.max)
        is_outside = is_below_window or is_above_window

        # Points count one each.
        num_covered = sum(overlaps) + is_outside
        distance = float(np.linalg.norm(offset))
        return num_points + LABEL_COST * num_covered + PIXEL_COST * distance


def _overlap(low: np.ndarray, high: np.ndarray, box: np.ndarray) -> np.bool_:
    """True where a rectangle and a box overlap.

    low, high: [2], float64, pixels, corners of the rectangle
    box: [4], float64, pixels, lower corner, then upper corner
    """
    box_low = box[:2]
    box_high = box[2:]
    return np.all(low < box_high) and np.all(box_low < high)


def _offsets(half: np.ndarray) -> Iterator[np.ndarray]:
    """Yield offsets [2] in pixels from a point to the middle of its label, nearest ones first."""
    angles = 2 * np.pi * np.arange(NUM_DIRECTIONS) / NUM_DIRECTIONS
    for distance in DISTANCES:
        for angle in angles:
            direction = np.array([np.cos(angle), np.sin(angle)])
            yield direction * (half + distance)


def _line_pixels(axes: Axes, lines: list[np.ndarray]) -> np.ndarray:
    """Points along lines, one in each cell of CELL_PIXELS, [num_points, 2], float64, pixels."""
    found = [np.empty((0, 2))]
    for line in lines:
        pixels = axes.transData.transform(np.asarray(line, float).reshape(-1, 2))
        pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if len(pixels) < 2:
            found.append(pixels)
            continue

        # Interpolate at equal distances along the line.
        segments = np.linalg.norm(np.diff(pixels, axis=0), axis=1)
        length = np.concatenate([[0], np.cumsum(segments)])
        steps = np.arange(0, length[-1] + CELL_PIXELS, CELL_PIXELS)
        found.append(np.stack([np.interp(steps, length, column) for column in pixels.T], axis=1))

    cells = np.unique(np.round(np.concatenate(found) / CELL_PIXELS), axis=0)
    return CELL_PIXELS * cells
