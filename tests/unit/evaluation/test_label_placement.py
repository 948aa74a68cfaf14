"""Placement of labels clear of lines and of each other."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.label_placement import LabelPlacer


def axes():
    """Axes of 400 x 400 pixels that show 0 to 100."""
    figure = Figure(figsize=(4, 4), dpi=100)
    FigureCanvasAgg(figure)
    shown = figure.add_axes((0, 0, 1, 1))
    shown.set(xlim=(0, 100), ylim=(0, 100))
    return shown


def boxes(shown):
    renderer = shown.figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in shown.texts]


def test_labels_of_the_same_point_are_apart():
    shown = axes()
    placer = LabelPlacer(shown, [])
    for name in ("uav1", "uav2", "car1", "car2"):
        placer.place(name, np.array([50.0, 50.0]), 9, "black")
    drawn = boxes(shown)
    for index, one in enumerate(drawn):
        assert not any(one.overlaps(other) for other in drawn[index + 1 :])


def test_a_label_avoids_the_lines():
    shown = axes()
    line = np.array([[0.0, 50.0], [100.0, 50.0]])
    LabelPlacer(shown, [line]).place("uav1", np.array([50.0, 50.0]), 9, "black")
    (box,) = boxes(shown)
    assert box.y0 > 200 or box.y1 < 200


def test_a_label_stays_inside():
    shown = axes()
    placer = LabelPlacer(shown, [])
    for corner in ([0, 0], [0, 100], [100, 0], [100, 100]):
        placer.place("a long name", np.array(corner, float), 9, "black")
    for box in boxes(shown):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 400 and box.y1 <= 400
