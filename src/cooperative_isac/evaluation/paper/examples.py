"""CF Fig. 10: where targets are and how they move, beside what a scheme says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import make_scheme

TRUTH, ESTIMATE = "black", "#D55E00"


def example_rows(scene: Scene, scheme_name: str, num_frames: int, seed: int) -> list[dict]:
    """Targets and detections of drawn frames, one row each: location [m] and velocity [m/s]."""
    scene, rows = replace(scene, seed=seed), []
    ends = make_ends(make_scheme(scheme_name, scene))
    for number in range(num_frames):
        draw = draw_frame(scene, number)
        packets = {
            station: ends.encoders[station].encode(echoes, draw.frame)
            for station, echoes in draw.echoes.items()
        }
        for kind, items in (
            ("truth", draw.targets),
            (scheme_name, ends.decoder.decode(packets, draw.frame)),
        ):
            rows += [
                {
                    "frame": number,
                    "what": kind,
                    **dict(zip(("x_m", "y_m"), item.position_m[:2])),
                    **dict(zip(("vx_mps", "vy_mps"), item.velocity_mps[:2])),
                }
                for item in items
            ]
    return rows


def draw_examples(scene: Scene, scheme_name: str, rows: list[dict], path: Path) -> None:
    """Locations with velocity arrows, a panel for each frame."""
    frames = sorted({row["frame"] for row in rows})
    figure = Figure(figsize=(4 * len(frames), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for frame, axes in zip(frames, np.atleast_1d(figure.subplots(1, len(frames), sharey=True))):
        for site in (*scene.transmitters, *scene.receivers):
            axes.plot(*site.position_m[:2], "^", color="0.6")
        for what, color, marker in (("truth", TRUTH, "o"), (scheme_name, ESTIMATE, "x")):
            own = [row for row in rows if row["frame"] == frame and row["what"] == what]
            columns = [[row[key] for row in own] for key in ("x_m", "y_m", "vx_mps", "vy_mps")]
            axes.plot(*columns[:2], marker, color=color, fillstyle="none", markersize=9, label=what)
            axes.quiver(
                *columns, color=color, angles="xy", scale_units="xy", scale=1.5, width=0.006
            )
        axes.set(
            xlim=(-4, 104), ylim=(-6, 106), aspect="equal", xlabel="x (m)", title=f"frame {frame}"
        )
    figure.axes[0].set_ylabel("y (m)")
    figure.axes[0].legend(loc="upper left", fontsize=8)
    figure.suptitle(f"CF Fig. 10: truth and estimates of {scheme_name} in {scene.name}, simulated")
    figure.savefig(path, dpi=90)
