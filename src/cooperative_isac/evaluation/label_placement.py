"""Labels beside points of a picture, where they cover neither lines nor each other."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke

# Directions from a point that are tried, and distances in pixels from its edge.
NUM_DIRECTIONS = 16
DISTANCES = (5.0, 12.0, 22.0)
# Size of a letter in font sizes.
LETTER_WIDTH, LETTER_HEIGHT = 0.62, 1.2
# Cost of another label in the way, in covered points of lines.
LABEL_COST = 200.0
# Cost of a pixel of distance, in covered points of lines.
PIXEL_COST = 0.05
# Lines are looked at in cells of so many pixels.
CELL_PIXELS = 3.0
HALO = [Stroke(linewidth=2.2, foreground="white"), Normal()]


def on_map(point_m: np.ndarray) -> tuple[float, float]:
    """The horizontal coordinates of a point [2] or [3], as matplotlib takes them."""
    return float(point_m[0]), float(point_m[1])


class LabelPlacer:
    """Puts labels into axes whose layout is final."""

    def __init__(self, axes: Axes, lines: list[np.ndarray]):
        """lines: [num_points, 2] each, in data coordinates, that labels should not cover."""
        self._axes = axes
        self._pixels_per_point = axes.figure.dpi / 72
        self._window = axes.get_window_extent()
        self._obstacles = _line_pixels(axes, lines)
        self._taken: list[np.ndarray] = []

    def place(self, text: str, point: np.ndarray, fontsize: float, color: str) -> None:
        """Write a text near a point [2] of the data where it covers least."""
        anchor = self._axes.transData.transform(point)
        letters = np.array([LETTER_WIDTH * len(text), LETTER_HEIGHT])
        half = letters * fontsize * self._pixels_per_point / 2
        candidates = [
            (self._cost(anchor, offset, half), tuple(offset)) for offset in _offsets(half)
        ]
        _, offset = min(candidates)

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
        """Points of lines and labels below a text, and its distance."""
        low = anchor + offset - half
        high = anchor + offset + half
        covered = np.all((self._obstacles > low) & (self._obstacles < high), axis=1).sum()
        taken = sum(np.all(low < box[2:]) and np.all(box[:2] < high) for box in self._taken)
        outside = np.any(low < self._window.min) or np.any(high > self._window.max)
        distance = float(np.linalg.norm(offset))
        return float(covered) + LABEL_COST * (taken + outside) + PIXEL_COST * distance


def _offsets(half: np.ndarray):
    """Offsets [2] of a text's middle, in pixels: around the point, ever farther away."""
    angles = 2 * np.pi * np.arange(NUM_DIRECTIONS) / NUM_DIRECTIONS
    for distance in DISTANCES:
        for angle in angles:
            direction = np.array([np.cos(angle), np.sin(angle)])
            yield direction * (half + distance)


def _line_pixels(axes: Axes, lines: list[np.ndarray]) -> np.ndarray:
    """Points [num_points, 2] that follow the lines, one in each cell of CELL_PIXELS, in pixels."""
    found = [np.empty((0, 2))]
    for line in lines:
        pixels = axes.transData.transform(np.asarray(line, float).reshape(-1, 2))
        pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if len(pixels) < 2:
            found.append(pixels)
            continue
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(pixels, axis=0), axis=1))])
        steps = np.arange(0, length[-1] + CELL_PIXELS, CELL_PIXELS)
        found.append(np.stack([np.interp(steps, length, column) for column in pixels.T], axis=1))
    cells = np.unique(np.round(np.concatenate(found) / CELL_PIXELS), axis=0)
    return CELL_PIXELS * cells
