"""CF Fig. 10: true locations and velocities of targets, beside the detections of a scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.cell_free.plots import Row, add_legend, save_picture
from cooperative_isac.evaluation.cell_free.styles import scheme_style
from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.registry import make_scheme

TRUTH = "truth"
TRUTH_COLOR = "0.5"
STATION_COLOR = "0.25"
# Length of a velocity arrow over the velocity, s.
ARROW_S = 1 / 1.5
# Widths of the arrows of truth and detections, as a share of a panel: both are seen if they agree.
TRUTH_WIDTH = 0.009
DETECTION_WIDTH = 0.0035
# Margin around stations and box, as a share of the longer side.
MARGIN_SHARE = 0.05


def example_rows(scene: Scene, scheme_name: str, num_frames: int, seed: int) -> list[dict]:
    """Targets and detections of random frames.

    Returns a row for each of them, with location in m and velocity in m/s.
    """
    scene = replace(scene, seed=seed)
    ends = make_ends(make_scheme(scheme_name, scene))
    rows = []
    for number in range(num_frames):
        draw = draw_frame(scene, number)
        packets = {
            station: ends.encoders[station].encode(echoes, draw.frame)
            for station, echoes in draw.echoes.items()
        }
        detections = ends.decoder.decode(packets, draw.frame)

        rows += [_row(number, TRUTH, target) for target in draw.targets]
        rows += [_row(number, scheme_name, detection) for detection in detections]
    return rows


def _row(frame: int, what: str, item: TargetState | Detection) -> dict:
    """Location and velocity of a target or a detection, in the plane."""
    x_m, y_m = item.position_m[:2]
    vx_mps, vy_mps = item.velocity_mps[:2]
    return {
        "frame": frame,
        "what": what,
        "x_m": x_m,
        "y_m": y_m,
        "vx_mps": vx_mps,
        "vy_mps": vy_mps,
    }


def draw_examples(scene: Scene, scheme_name: str, rows: Sequence[Row], path: Path) -> list[Path]:
    """Draw locations with velocity arrows, a panel for each frame.

    Returns the files that were written.
    """
    style = scheme_style(scheme_name)
    frames = sorted({row["frame"] for row in rows})
    figure = Figure(figsize=(4 * len(frames) + 1.5, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    limits_x, limits_y = _limits(scene)
    # A panel for each frame.
    panels = np.atleast_1d(figure.subplots(1, len(frames), sharey=True))
    for frame, axes in zip(frames, panels):
        _draw_stations(axes, scene)
        frame_rows = [row for row in rows if row["frame"] == frame]
        _draw_states(axes, frame_rows, TRUTH, TRUTH_COLOR, "o", TRUTH_WIDTH)
        _draw_states(axes, frame_rows, scheme_name, style.color, "x", DETECTION_WIDTH)
        axes.set(aspect="equal", xlim=limits_x, ylim=limits_y)
        axes.set(xlabel="x (m)", title=f"frame {frame}")

    # Legend and title.
    panels[0].set_ylabel("y (m)")
    add_legend(figure)
    figure.suptitle(f"CF Fig. 10: truth and detections of {scheme_name}; {scene.name}, simulated")
    return [save_picture(figure, path, 1)]


def _limits(scene: Scene) -> tuple[tuple[float, float], tuple[float, float]]:
    """Lowest and highest x, and y, of box and stations, with a margin, m."""
    # Corners of the rectangle around box and stations.
    sites = (*scene.transmitters, *scene.receivers)
    stations_m = [site.position_m for site in sites]
    places_m = [scene.box.low_m, scene.box.high_m, *stations_m]
    low_m = np.min(places_m, axis=0)[:2]
    high_m = np.max(places_m, axis=0)[:2]

    # The same margin on all sides.
    margin_m = MARGIN_SHARE * np.max(high_m - low_m)
    left, bottom = low_m - margin_m
    right, top = high_m + margin_m
    return (float(left), float(right)), (float(bottom), float(top))


def _draw_stations(axes: Axes, scene: Scene) -> None:
    """Draw transmitters and receivers."""
    for sites, marker, label in (
        (scene.transmitters, "^", "transmitter"),
        (scene.receivers, "s", "receiver"),
    ):
        places_m = np.array([site.position_m for site in sites])
        axes.plot(*places_m[:, :2].T, marker, color=STATION_COLOR, fillstyle="none", label=label)


def _draw_states(
    axes: Axes, rows: Sequence[Row], what: str, color: str, marker: str, width: float
) -> None:
    """Draw the locations and velocities of the targets, or of the detections.

    width: width of the arrows, as a share of the panel
    """
    chosen = [row for row in rows if row["what"] == what]
    x_m = [row["x_m"] for row in chosen]
    y_m = [row["y_m"] for row in chosen]
    vx_mps = [row["vx_mps"] for row in chosen]
    vy_mps = [row["vy_mps"] for row in chosen]
    axes.plot(
        x_m,
        y_m,
        marker,
        color=color,
        fillstyle="none",
        markersize=9,
        label=f"{what}, arrow: {ARROW_S:.2g} s of motion",
    )
    axes.quiver(
        x_m,
        y_m,
        vx_mps,
        vy_mps,
        color=color,
        angles="xy",
        scale_units="xy",
        scale=1 / ARROW_S,
        width=width,
    )
