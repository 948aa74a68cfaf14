"""Pictures of experiments with many curves."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure

from cooperative_isac.evaluation.deep_cooperation.experiment import (
    Experiment,
    PointResult,
    Quantity,
)
from cooperative_isac.evaluation.deep_cooperation.plots import curve_styles, draw_experiment


def no_trial(value, generator):
    raise AssertionError("a picture measures nothing")


def many_curves(num_curves):
    """Experiment and results with a number of curves."""
    values = (1.0, 2.0)
    experiment = Experiment("many", "Many", "x", values, {"error": Quantity("error")}, no_trial)
    results = []
    for value in values:
        average = {f"curve {index}": {"error": value + index} for index in range(num_curves)}
        results.append(PointResult(value, average, average, {}, {}, 1))
    return experiment, results


@pytest.mark.parametrize("num_curves", [1, 7, 8, 14])
def test_every_curve_is_drawn(num_curves, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: drawn.append(figure))
    experiment, results = many_curves(num_curves)
    draw_experiment(experiment, results, tmp_path / "many.png")

    lines = drawn[0].axes[0].get_lines()
    assert [line.get_label() for line in lines] == list(results[0].average)
    for index, line in enumerate(lines):
        assert np.array_equal(line.get_ydata(), [1 + index, 2 + index])

    # No two look alike.
    looks = set()
    for line in lines:
        color = matplotlib.colors.to_hex(line.get_color())
        looks.add((color, line.get_marker(), line.get_linestyle()))
    assert len(looks) == num_curves


def test_more_curves_than_styles_are_refused(tmp_path):
    experiment, results = many_curves(15)
    with pytest.raises(ValueError, match=r"15 curves, but only 14 .*: divide it"):
        draw_experiment(experiment, results, tmp_path / "many.png")
    assert not list(tmp_path.iterdir())


def test_the_first_curves_are_solid():
    assert all("linestyle" not in style for style in curve_styles(7))
