"""The picture of a run: the scene from above with truth, detections and tracks, and heights over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cooperative_isac.evaluation.run_record import RunRecord
from cooperative_isac.scene.model import Scene, Site, TargetClass
from cooperative_isac.tracking.track import TrackStatus

# Okabe and Ito's colours, told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
TRUTH, FAINT, SITE = "black", "0.55", "0.25"
CLASS_LABELS = {TargetClass.UNKNOWN: "", TargetClass.UAV: ", UAV", TargetClass.VEHICLE: ", vehicle"}
SHOWN = (TrackStatus.CONFIRMED.value, TrackStatus.COASTING.value)


def draw_scene_picture(scene: Scene, record: RunRecord, path: Path) -> None:
    """Draw a run and save it as a PNG file."""
    in_space = scene.dimension == 3
    figure = Figure(figsize=(13, 7.2) if in_space else (8, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, width_ratios=(3, 2)) if in_space else [figure.subplots()]
    _draw_plan(axes[0], scene, record)
    if in_space:
        _draw_heights(axes[1], record)
    figure.suptitle(picture_title(scene, record))
    figure.savefig(path, dpi=110)


def picture_title(scene: Scene, record: RunRecord) -> str:
    """Scene, length, and whether the echoes were simulated."""
    num_frames, num_simulated = len(record.frame_number), int(record.frame_simulated.sum())
    if not num_frames:
        return f"{scene.name}: no frames"
    kind = {0: "measured echoes", num_frames: "simulated echoes"}.get(
        num_simulated, f"echoes simulated in {num_simulated} of them")
    return f"{scene.name}: {num_frames} frames in {np.ptp(record.frame_stamp_ns) * 1e-9:.0f} s, {kind}"


def _draw_plan(axes: Axes, scene: Scene, record: RunRecord) -> None:
    low, high = scene.area.low_m, scene.area.high_m
    axes.add_patch(Rectangle(low[:2], *(high - low)[:2], fill=False, linestyle=":", edgecolor=FAINT))
    scale = 0.07 * float(np.max((high - low)[:2]))
    for index, site in enumerate((*scene.transmitters, *scene.receivers)):
        draw_site(axes, site, scale, transmits=index < len(scene.transmitters))
    clutter = scene.propagation.clutter.positions_m
    if clutter is not None and len(clutter):
        axes.plot(*clutter[:, :2].T, "x", color=FAINT, label="scatterers")
    axes.plot(*record.detection_state[:, :2].T, ".", color=FAINT, markersize=2.5, label="detections")
    for name in np.unique(record.truth_name):
        path = record.truth_state[record.truth_name == name]
        axes.plot(*path[:, :2].T, "-", color=TRUTH, linewidth=0.8, zorder=3)
        axes.plot(*path[-1, :2], "o", color=TRUTH, markersize=4, zorder=5)
        axes.annotate(str(name), path[-1, :2], (6, -11), textcoords="offset points", fontsize=9, zorder=6)
    axes.plot([], [], "-o", color=TRUTH, markersize=4, linewidth=0.8, label="truth, its end marked")
    for colour, track_id, label, path in _tracks(record):
        axes.plot(*path[:, :2].T, "-", color=colour, linewidth=2.6, alpha=0.75, zorder=2, label=label)
    axes.set(xlabel="x [m]", ylabel="y [m]", title="from above", aspect="equal")
    axes.margins(0.08)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def draw_site(axes: Axes, site: Site, scale: float, transmits: bool) -> None:
    """A site from above with its name and an arrow of length scale [m] along its boresight."""
    place, ahead = site.position_m[:2], site.boresight[:2]
    axes.annotate("", place + scale * ahead, place, arrowprops={"arrowstyle": "->", "color": SITE})
    axes.plot(*place, "^" if transmits else "s", color=SITE, markersize=8,
              markerfacecolor=SITE if transmits else "white", zorder=4)
    axes.annotate(site.name, place - 0.45 * scale * ahead, ha="center", va="center", fontsize=9, color=SITE)


def _draw_heights(axes: Axes, record: RunRecord) -> None:
    seconds = dict(zip(record.frame_number, (record.frame_stamp_ns - record.frame_stamp_ns[:1]) * 1e-9))
    ends: list[tuple[float, float, str]] = []
    for name in np.unique(record.truth_name):
        chosen = record.truth_name == name
        times = [seconds[number] for number in record.truth_frame[chosen]]
        axes.plot(times, record.truth_state[chosen, 2], color=TRUTH, linewidth=0.8, zorder=3)
        ends.append((float(record.truth_state[chosen, 2][-1]), times[-1], str(name)))
    _label_ends(axes, ends)
    times = [seconds[number] for number in record.detection_frame]
    axes.plot(times, record.detection_state[:, 2], ".", color=FAINT, markersize=2.5)
    for colour, track_id, _, path in _tracks(record):
        chosen = (record.track_id == track_id) & np.isin(record.track_status, SHOWN)
        axes.plot([seconds[number] for number in record.track_frame[chosen]], path[:, 2], color=colour,
                  linewidth=2.6, alpha=0.75, zorder=2)
    axes.set(xlabel="time [s]", ylabel="height [m]", title="height")
    axes.spines[["top", "right"]].set_visible(False)


def _label_ends(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Names beside the lines' ends (height, time, name); lines that end close together share a label."""
    gap = 0.04 * (max(ends)[0] - min(ends)[0]) if ends else 0.0
    while ends:
        ends = sorted(ends)
        together = [end for end in ends if end[0] - ends[0][0] <= gap]
        ends = ends[len(together):]
        axes.annotate(", ".join(name for _, _, name in together), (max(t for _, t, _ in together), together[0][0]),
                      (4, 0), va="center", textcoords="offset points", fontsize=9)


def _tracks(record: RunRecord):
    """Colour, identity, label and states [num_frames, 6] of each track while it was established."""
    established = np.isin(record.track_status, SHOWN)
    for index, track_id in enumerate(np.unique(record.track_id[established])):
        chosen = established & (record.track_id == track_id)
        label = f"track {track_id}{CLASS_LABELS[TargetClass(int(record.track_class[chosen][-1]))]}"
        yield COLOURS[index % len(COLOURS)], track_id, label, record.track_state[chosen]
