"""Curves of an experiment as a picture and as a table."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, PointResult

# Colors that stay apart for color-blind readers (Okabe and Ito), and a marker each.
STYLES = (
    {"color": "#0072B2", "marker": "o"},
    {"color": "#D55E00", "marker": "s"},
    {"color": "#009E73", "marker": "^"},
    {"color": "#CC79A7", "marker": "v"},
    {"color": "#E69F00", "marker": "D"},
    {"color": "#56B4E9", "marker": "X"},
    {"color": "#000000", "marker": "P"},
)

# What tells the curves apart that have the colors and markers a second time.
SECOND_ROUND = {"linestyle": "-.", "markerfacecolor": "white"}

# Lines that a measured curve is compared with: fields of a result, and their style.
REFERENCES = {"bound": "--", "theory": ":"}
# Their labels, of errors and of shares.
REFERENCE_LABELS = {
    "rms": {"bound": "root CRLB of each", "theory": "ML with outliers, theory"},
    "mean": {"bound": "bound", "theory": "theory"},
}

# Characters of the title above one panel.
TITLE_WIDTH = 60


def draw_experiment(experiment: Experiment, results: Sequence[PointResult], path: Path) -> None:
    """One panel for each quantity: errors of all curves, bounds dashed, theory dotted.

    experiment: the figure
    results: one for each place of the axis
    path: of the PNG file
    """
    # Panels side by side, with room for the legend at the right, inches.
    num_panels = len(experiment.quantities)
    figure = Figure(figsize=(5.2 * num_panels + 2.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_panels, squeeze=False)[0]
    styles = curve_styles(len(results[0].average))
    places = [result.value for result in results]
    for panel, (name, quantity) in zip(panels, experiment.quantities.items(), strict=True):
        for style, curve in zip(styles, results[0].average, strict=True):
            errors = [result.average[curve][name] for result in results]
            panel.plot(places, errors, label=curve, markersize=4, linewidth=1.3, **style)

            # Bound and theory in the color of the curve, where it has them.
            for reference, line in REFERENCES.items():
                values = [_reference(result, reference, curve, name) for result in results]
                if not all(map(math.isnan, values)):
                    panel.plot(places, values, color=style["color"], linestyle=line, linewidth=1)

        # One entry of the legend for all bounds, and one for all theories.
        for reference, line in REFERENCES.items():
            has_reference = any(
                name in values for values in getattr(results[0], reference).values()
            )
            if has_reference:
                label = REFERENCE_LABELS[quantity.average][reference]
                panel.plot([], [], color="0.4", linestyle=line, linewidth=1, label=label)
        scale = "log" if quantity.logarithmic else "linear"
        panel.set(xlabel=experiment.axis, ylabel=quantity.label, yscale=scale)
        panel.set_ylim(quantity.limits)
        panel.grid(alpha=0.3, which="both")

    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    title = f"{experiment.title}; {results[0].num_runs} runs a point, simulated"
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH * num_panels))
    figure.savefig(path, dpi=90)


def curve_styles(num_curves: int) -> list[dict[str, str]]:
    """A style for each curve of a figure, no two alike.

    num_curves: of the figure
    Returns keyword arguments of a plotted line.
    Raises ValueError for more curves than there are styles.
    """
    styles = [*STYLES, *(style | SECOND_ROUND for style in STYLES)]
    if num_curves > len(styles):
        raise ValueError(
            f"the figure has {num_curves} curves, but only {len(styles)} can be told apart: "
            "divide it into several figures"
        )
    return styles[:num_curves]


def _reference(result: PointResult, reference: str, curve: str, quantity: str) -> float:
    """Bound or theory of a curve at one place, NaN without one."""
    values: Errors = getattr(result, reference)
    return values.get(curve, {}).get(quantity, math.nan)


def write_table(experiment: Experiment, results: Sequence[PointResult], path: Path) -> None:
    """One row for each place, curve and quantity.

    experiment: the figure
    results: one for each place of the axis
    path: of the CSV file
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["x", "curve", "quantity", "average", "median", "root_crlb", "theory", "num_runs"]
        writer.writerow(columns)
        for result in results:
            for curve, quantities in result.average.items():
                for quantity, average in quantities.items():
                    writer.writerow(
                        [
                            result.value,
                            curve,
                            quantity,
                            average,
                            result.median[curve][quantity],
                            result.bound.get(curve, {}).get(quantity, ""),
                            result.theory.get(curve, {}).get(quantity, ""),
                            result.num_runs,
                        ]
                    )
