"""Curves of a figure as a table and as pictures."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from cooperative_isac.evaluation.cell_free.results import CRLB
from cooperative_isac.evaluation.cell_free.styles import (
    BOUND_COLOR,
    CURVE_LINES,
    pictures,
    scheme_style,
)
from cooperative_isac.evaluation.cell_free.sweeps import Sweep
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M

# Panels of a figure: keys of the rows, and labels of the axes.
LOCATION_PANEL = ("rmse_location_m", "location RMSE of targets found (m)")
VELOCITY_PANEL = ("rmse_velocity_mps", "velocity RMSE of targets found (m/s)")
FOUND_PANEL = ("detection_rate", f"share of targets found within {DETECTION_CUTOFF_M:g} m")
PANELS = (LOCATION_PANEL, VELOCITY_PANEL, FOUND_PANEL)
# Schemes that measure one component of the velocity only, and have no curve in the panel of
# velocity (CF section V-B).
VELOCITY_UNKNOWN = ("monostatic", "monostatic_fine")
# Lowest value of a logarithmic axis over the lowest point or bound.
BOUND_MARGIN = 0.7
# Labels of a logarithmic axis of errors, as multiples of each power of ten.
LOG_LABELS = (1.0, 2.0, 5.0)
# Margin on both sides of the swept values, as a share of their range.
SWEEP_MARGIN = 0.05
# Upper end of the axis of shares: markers at a share of 1 are not cut.
SHARE_LIMIT = 1.03
# Resolution of the pictures, dots per inch.
DPI = 90

Row = Mapping[str, Any]


def rows_of(sweep: Sweep, results: Sequence[dict[str, dict]]) -> list[dict]:
    """Table of a figure: a row for each point and scheme. The root CRLB is a scheme, too.

    results: figures of each point by name of the scheme, as PointStore.figures returns them
    """
    rows = []
    for point, figures_of_schemes in zip(sweep.points, results):
        # The bound comes last.
        schemes = sorted(figures_of_schemes, key=lambda name: name == CRLB)
        for scheme in schemes:
            figures = figures_of_schemes[scheme]
            row = {"x": point.value, "curve": point.curve, "scheme": scheme}
            # The root mean bound is in the column of the RMSE.
            row |= {key.replace("root_mean", "rmse"): value for key, value in figures.items()}
            rows.append(row)
    return rows


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows as a CSV file whose columns are all their keys."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def draw_sweep(sweep: Sweep, rows: Sequence[Row], subtitle: str, path: Path) -> list[Path]:
    """Draw location error, velocity error and share of targets found over the swept quantity.

    rows: as rows_of returns them
    path: PNG file; further pictures have its name with a number

    Returns the files that were written.
    """
    schemes = list(dict.fromkeys(row["scheme"] for row in rows if row["scheme"] != CRLB))
    curves = list(dict.fromkeys(row["curve"] for row in rows))
    title = f"CF Fig. {sweep.number}: {sweep.title}; {subtitle}, simulated"

    paths = []
    # Without any scheme the bound alone is drawn.
    groups = pictures(schemes, len(curves))
    for number, group in enumerate(groups, start=1):
        figure = Figure(figsize=(14, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (key, label) in zip(figure.subplots(1, len(PANELS)), PANELS):
            for scheme in group:
                if key == VELOCITY_PANEL[0] and scheme in VELOCITY_UNKNOWN:
                    continue
                for index, curve in enumerate(curves):
                    _draw_curve(axes, _points(rows, scheme, curve, key), scheme, curve, index)
            _draw_bound(axes, _lowest_bounds(rows, key))
            _set_axes(axes, sweep, key, label)
        add_legend(figure)
        figure.suptitle(title)
        paths.append(save_picture(figure, path, number))
    return paths


def save_picture(figure: Figure, path: Path, number: int) -> Path:
    """Save a figure as a PNG file. From the second picture on, its name ends in the number."""
    numbered = path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
    figure.savefig(numbered, dpi=DPI)
    return numbered


def add_legend(figure: Figure) -> None:
    """Add one legend for all panels, beside them."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)


def set_error_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers as its labels."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=LOG_LABELS))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _points(rows: Sequence[Row], scheme: str, curve: str, key: str) -> list[tuple[float, float]]:
    """Points of a curve: the swept quantity, and a figure where it was measured."""
    return [
        (row["x"], row[key])
        for row in rows
        if row["scheme"] == scheme and row["curve"] == curve and row.get(key) is not None
    ]


def _lowest_bounds(rows: Sequence[Row], key: str) -> dict[float, float]:
    """Root CRLB over the swept quantity, the lowest one of all curves."""
    bounds: dict[float, float] = {}
    for row in rows:
        if row["scheme"] == CRLB and row.get(key) is not None:
            bounds[row["x"]] = min(row[key], bounds.get(row["x"], row[key]))
    return bounds


def _draw_curve(
    axes: Axes, points: Sequence[tuple[float, float]], scheme: str, curve: str, index: int
) -> None:
    """Draw one curve of a scheme. Curves of the same scheme differ in their lines."""
    if not points:
        return
    style = scheme_style(scheme)
    axes.plot(
        *zip(*points),
        label=f"{scheme}, {curve}" if curve else scheme,
        color=style.color,
        marker=style.marker,
        markersize=5,
        linestyle=CURVE_LINES[index % len(CURVE_LINES)] if curve else style.line,
        linewidth=1.2,
    )


def _draw_bound(axes: Axes, bounds: Mapping[float, float]) -> None:
    """Shade the region below the root CRLB, on a logarithmic axis.

    axes: with all curves
    bounds: root CRLB by value of the horizontal axis
    """
    if not bounds:
        return

    # The region ends at the lower edge of the axis, below all points (minposy: the least positive
    # ordinate of the curves).
    lowest_point = float(axes.dataLim.minposy)
    lowest = BOUND_MARGIN * min(lowest_point, *bounds.values())

    set_error_scale(axes)
    axes.fill_between(
        list(bounds),
        lowest,
        list(bounds.values()),
        color=BOUND_COLOR,
        linewidth=0,
        label="below the root CRLB",
        zorder=0,
    )
    axes.set_ylim(bottom=lowest)


def _set_axes(axes: Axes, sweep: Sweep, key: str, label: str) -> None:
    """Label the axes. The horizontal axis has a tick at each value of the swept quantity.

    key: column of the rows that the panel shows
    label: of the vertical axis, with its unit
    """
    values = sorted({point.value for point in sweep.points})
    margin = SWEEP_MARGIN * (values[-1] - values[0])
    axes.set_xlim(values[0] - margin, values[-1] + margin)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set(xlabel=sweep.axis, ylabel=label)
    if key == FOUND_PANEL[0]:
        axes.set_ylim(0, SHARE_LIMIT)
    axes.grid(alpha=0.3, which="both")
