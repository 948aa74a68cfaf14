"""Curves of a figure as a picture and as a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.paper.results import CRLB
from cooperative_isac.evaluation.paper.sweeps import Sweep

PANELS = (
    ("rmse_location_m", "RMSE of location (m)"),
    ("rmse_velocity_mps", "RMSE of velocity (m/s)"),
    ("detection_rate", "targets found within 3 m"),
)
MARKERS = "osv^<>DPX*hd"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
VELOCITY_UNKNOWN = ("monostatic", "monostatic_fine")  # one component only (CF section V-B)

Row = Mapping[str, object]


def rows_of(sweep: Sweep, results: Sequence[dict[str, dict]]) -> list[dict]:
    """One row for each point and scheme; results: PointStore.figures of each point. The root CRLB
    is a scheme, too.
    """
    return [
        {
            "x": point.value,
            "curve": point.curve,
            "scheme": scheme,
            **{key.replace("root_mean", "rmse"): value for key, value in figures.items()},
        }
        for point, known in zip(sweep.points, results)
        for scheme, figures in sorted(known.items(), key=lambda item: item[0] == CRLB)
    ]


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Rows with all their keys as columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, list(dict.fromkeys(key for row in rows for key in row)), restval=""
        )
        writer.writeheader()
        writer.writerows(rows)


def draw_sweep(sweep: Sweep, rows: Sequence[Row], subtitle: str, path: Path) -> None:
    """Location, velocity and targets found over what varies, a curve for each scheme, and the root
    CRLB.
    """
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    names = list(
        dict.fromkeys((row["scheme"], row["curve"]) for row in rows if row["scheme"] != CRLB)
    )
    for axes, (key, label) in zip(figure.subplots(1, 3), PANELS):
        for index, (scheme, curve) in enumerate(names):
            points = [
                (row["x"], row[key])
                for row in rows
                if (row["scheme"], row["curve"]) == (scheme, curve) and row.get(key) is not None
            ]
            if points and not (key == "rmse_velocity_mps" and scheme in VELOCITY_UNKNOWN):
                axes.plot(
                    *zip(*points), label=f"{scheme}{f', {curve}' if curve else ''}", **_style(index)
                )
        bounds = {
            row["x"]: row[key] for row in rows if row["scheme"] == CRLB and row.get(key) is not None
        }
        if bounds:
            axes.plot(
                list(bounds), list(bounds.values()), color="0.4", linestyle="-.", label="root CRLB"
            )
            axes.set_yscale("log")
        axes.set(xlabel=sweep.axis, ylabel=label)
        axes.grid(alpha=0.3, which="both")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(f"CF Fig. {sweep.number}: {sweep.title}; {subtitle}, simulated")
    figure.savefig(path, dpi=90)


def _style(index: int) -> dict:
    return {
        "marker": MARKERS[index % len(MARKERS)],
        "color": COLORS[index % len(COLORS)],
        "markersize": 4,
        "linestyle": ("-", "--", ":")[index // len(COLORS) % 3],
        "linewidth": 1.2,
    }
