"""The picture of a run: the scene from above, and heights and errors over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle

from cooperative_isac.evaluation.label_placement import LabelPlacer, on_map
from cooperative_isac.evaluation.run_errors import (
    TargetErrors,
    frame_seconds,
    track_errors,
)
from cooperative_isac.evaluation.run_record import RunRecord
from cooperative_isac.scene.model import Scene, Site, TargetClass
from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS

# Okabe and Ito's colors, which color-blind readers distinguish.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
TRUTH, FAINT, SITE = "black", "0.55", "0.25"
BUILDING, OUTLINE, UNTRACKED = "#e4e7ea", "0.6", "#f3c9c1"
TRACK_ALPHA, BAND_ALPHA = 0.75, 0.25
CLASS_LABELS = {
    TargetClass.UNKNOWN: "",
    TargetClass.UAV: ", UAV",
    TargetClass.VEHICLE: ", vehicle",
}
# Tracks and targets of one panel; further tracks are faint.
MAX_CURVES = 6
# Standard deviations of ellipses and bands.
SIGMAS = 3.0
# Time is marked along the last part of the run, s, by at most so many marks a target.
MARKED_S, MAX_MARKS = 30.0, 6
MARK_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Where the middle of a site's name is, and where its letters end, behind the site, in lengths of
# the arrow ahead of it.
NAME_BEHIND, NAME_ENDS = 0.65, 0.9
# Times that differ by less are equal, s.
TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class TrackCurve:
    """One established track of the picture.

    seconds: [num_frames], since the run's first frame; state: [num_frames, 6];
    covariance: [num_frames, 6, 6]
    """

    color: str
    label: str
    seconds: np.ndarray
    state: np.ndarray
    covariance: np.ndarray


class Picture(Figure):
    """A figure that a notebook shows by itself, whether or not pyplot is in use there."""

    def _repr_png_(self) -> bytes:
        stream = BytesIO()
        self.savefig(stream, format="png", dpi=self.dpi)
        return stream.getvalue()


def draw_scene_picture(scene: Scene, record: RunRecord, path: Path) -> None:
    """Draw a run and save it as a PNG file."""
    figure = scene_picture(scene, record)
    figure.savefig(path, dpi=figure.dpi)


def scene_picture(scene: Scene, record: RunRecord) -> Picture:
    """The picture of a run, independent of pyplot and its backends."""
    errors = _longest(track_errors(record, scene.dimension))
    tracks = list(_tracks(record))
    figure, plan, heights, panels = _panels(scene, len(errors))

    _draw_plan(plan, scene, record, tracks)
    if heights is not None:
        _draw_heights(heights, record, tracks)
    _draw_errors(panels, errors)
    figure.legend(
        handles=_legend(scene, tracks),
        loc="outside lower left",
        ncols=5,
        frameon=False,
        fontsize=8.5,
    )
    figure.suptitle(picture_title(scene, record))

    # labels need the final layout
    figure.draw_without_rendering()
    _label_plan(plan, record)
    return figure


def _panels(scene: Scene, num_errors: int) -> tuple[Picture, Axes, Axes | None, list[Axes]]:
    """Figure, plan, heights over time in 3-D, and one panel for the errors of each target."""
    ratios = ([2.6] if scene.dimension == 3 else []) + [1.0] * num_errors
    figure = Picture(figsize=(13, 7.8) if ratios else (8, 7.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    if not ratios:
        return figure, figure.subplots(), None, []
    grid = figure.add_gridspec(len(ratios), 2, width_ratios=(3, 2.2), height_ratios=ratios)
    plan = figure.add_subplot(grid[:, 0])
    rows: list[Axes] = []
    for row in range(len(ratios)):
        rows.append(figure.add_subplot(grid[row, 1], sharex=rows[0] if rows else None))
    for axes in rows:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelbottom=axes is rows[-1])
    rows[-1].set_xlabel("time [s]")
    heights = rows.pop(0) if scene.dimension == 3 else None
    return figure, plan, heights, rows


def picture_title(scene: Scene, record: RunRecord) -> str:
    """Scene, length, and whether the echoes were simulated."""
    num_frames, num_simulated = len(record.frame_number), int(record.frame_simulated.sum())
    if not num_frames:
        return f"{scene.name}: no frames"
    kind = {0: "measured echoes", num_frames: "simulated echoes"}.get(
        num_simulated, f"echoes simulated in {num_simulated} of them"
    )
    span_s = np.ptp(record.frame_stamp_ns) * 1e-9
    return f"{scene.name}: {num_frames} frames in {span_s:.0f} s, {kind}"


def _longest(errors: dict[str, TargetErrors]) -> dict[str, TargetErrors]:
    """Those of the targets that were there longest, by name."""
    names = sorted(errors, key=lambda name: (-len(errors[name].seconds), name))[:MAX_CURVES]
    return {name: errors[name] for name in sorted(names)}


def _tracks(record: RunRecord) -> Iterator[TrackCurve]:
    """Each track while it was established; the longest ones have colors and labels."""
    established = np.isin(record.track_status, ESTABLISHED_NUMBERS)
    numbers, lengths = np.unique(record.track_id[established], return_counts=True)
    colored = sorted(numbers[np.argsort(-lengths, kind="stable")][:MAX_CURVES])
    for number in numbers:
        chosen = established & (record.track_id == number)
        target_class = TargetClass(int(record.track_class[chosen][-1]))
        is_colored = number in colored
        yield TrackCurve(
            color=COLORS[colored.index(number)] if is_colored else FAINT,
            label=f"track {number}{CLASS_LABELS[target_class]}" if is_colored else "",
            seconds=frame_seconds(record, record.track_frame[chosen]),
            state=record.track_state[chosen],
            covariance=record.track_covariance[chosen],
        )


def _draw_plan(axes: Axes, scene: Scene, record: RunRecord, tracks: list[TrackCurve]) -> None:
    """The scene from above with detections, tracks and truth."""
    low, high = scene.box.low_m, scene.box.high_m
    axes.add_patch(
        Rectangle(on_map(low), *(high - low)[:2], fill=False, linestyle=":", edgecolor=FAINT)
    )
    _draw_world(axes, scene)
    scale = 0.07 * float(np.max((high - low)[:2]))
    for index, site in enumerate((*scene.transmitters, *scene.receivers)):
        draw_site(axes, site, scale, transmits=index < len(scene.transmitters))
    clutter = scene.propagation.clutter.positions_m
    if clutter is not None and len(clutter):
        axes.plot(*clutter[:, :2].T, "x", color=FAINT)
    axes.plot(*record.detection_state[:, :2].T, ".", color=FAINT, markersize=2.5)

    # tracks, with ellipses at the marks of time
    for track in tracks:
        axes.plot(
            *track.state[:, :2].T, color=track.color, linewidth=3.4, alpha=TRACK_ALPHA, zorder=2
        )
        for row in _marked_rows(track.seconds, record):
            axes.add_patch(_ellipse(track, row))

    # truth, with the marks themselves
    for path, seconds in _truths(record).values():
        axes.plot(*path[:, :2].T, color=TRUTH, linewidth=0.8, zorder=3)
        axes.plot(*path[-1, :2], "o", color=TRUTH, markersize=5, zorder=6)
        marks = path[_marked_rows(seconds, record)]
        axes.plot(
            *marks[:, :2].T,
            "o",
            color=TRUTH,
            markerfacecolor="white",
            markersize=3.5,
            markeredgewidth=0.8,
            zorder=5,
        )
    axes.set(xlabel="x [m]", ylabel="y [m]", title="from above", aspect="equal")
    axes.margins(0.06)
    _keep_names(axes, (*scene.transmitters, *scene.receivers), scale)


def _keep_names(axes: Axes, sites: Sequence[Site], scale: float) -> None:
    """Widen the axes as far as the names of sites need, which draw_site puts behind them."""
    places = np.array(
        [site.position_m[:2] - NAME_ENDS * scale * site.boresight[:2] for site in sites]
    )
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    low = np.minimum(places.min(axis=0), [left, bottom])
    high = np.maximum(places.max(axis=0), [right, top])
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _draw_world(axes: Axes, scene: Scene) -> None:
    """Buildings and walls from above."""
    if scene.world is None:
        return
    for box in scene.world.boxes:
        size = box.high_m - box.low_m
        axes.add_patch(
            Rectangle(
                on_map(box.low_m), *size[:2], facecolor=BUILDING, edgecolor=OUTLINE, zorder=0.5
            )
        )
    for wall in scene.world.walls:
        axes.plot(*wall.corners_m[[0, 1, 2, 3, 0], :2].T, color=OUTLINE, linewidth=2, zorder=0.5)


def draw_site(axes: Axes, site: Site, scale: float, transmits: bool) -> None:
    """A site from above with its name and an arrow of length scale [m] along its boresight."""
    place, ahead = site.position_m[:2], site.boresight[:2]
    axes.annotate(
        "",
        on_map(place + scale * ahead),
        on_map(place),
        arrowprops={"arrowstyle": "->", "color": SITE},
    )
    axes.plot(
        *place,
        "^" if transmits else "s",
        color=SITE,
        markersize=8,
        markerfacecolor=SITE if transmits else "white",
        zorder=4,
    )
    axes.annotate(
        site.name,
        on_map(place - NAME_BEHIND * scale * ahead),
        ha="center",
        va="center",
        fontsize=9,
        color=SITE,
    )


def _ellipse(track: TrackCurve, row: int) -> Ellipse:
    """SIGMAS standard deviations of a track's place at one time, from above."""
    variances, axes = np.linalg.eigh(track.covariance[row, :2, :2])
    width, height = 2 * SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    angle_deg = float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0])))
    return Ellipse(
        tuple(track.state[row, :2]),
        width,
        height,
        angle=angle_deg,
        facecolor=to_rgba(track.color, BAND_ALPHA),
        edgecolor=track.color,
        linewidth=0.8,
        zorder=4,
    )


def _truths(record: RunRecord) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Path [num_frames, 6] and times [num_frames], s, of each target."""
    found = {}
    for name in np.unique(record.truth_name):
        chosen = record.truth_name == name
        seconds = frame_seconds(record, record.truth_frame[chosen])
        found[str(name)] = record.truth_state[chosen], seconds
    return found


def mark_times(span_s: float) -> np.ndarray:
    """Times of the marks along a run of that length, s: round numbers within its last MARKED_S."""
    first_s = max(0.0, span_s - MARKED_S)
    least_s = (span_s - first_s) / MAX_MARKS
    step_s = next((step for step in MARK_STEPS_S if step >= least_s), MARK_STEPS_S[-1])
    numbers = np.arange(np.ceil(first_s / step_s), np.floor(span_s / step_s) + 1)
    return step_s * numbers


def _marked_rows(seconds: np.ndarray, record: RunRecord) -> np.ndarray:
    """Rows of the first frames at or after each mark; marks that nothing follows have none."""
    if not len(seconds):
        return np.empty(0, int)
    marks_s = mark_times(float(np.ptp(record.frame_stamp_ns)) * 1e-9)
    rows = np.searchsorted(seconds, marks_s[marks_s >= seconds[0] - TOLERANCE_S] - TOLERANCE_S)
    return np.unique(rows[rows < len(seconds)])


def _label_plan(axes: Axes, record: RunRecord) -> None:
    """Names at the ends of the targets' ways, and times along them."""
    truths = _truths(record)
    placer = LabelPlacer(axes, [path[:, :2] for path, _ in truths.values()])
    for name, (path, _) in list(truths.items())[: 2 * MAX_CURVES]:
        placer.place(name, path[-1, :2], 9.5, TRUTH)
    for path, seconds in list(truths.values())[:MAX_CURVES]:
        for row in _marked_rows(seconds, record):
            placer.place(f"{seconds[row]:.3g}", path[row, :2], 7, "0.3")


def _draw_heights(axes: Axes, record: RunRecord, tracks: list[TrackCurve]) -> None:
    """Heights over time: detections, tracks with their bands, truth with names at its end."""
    seconds = frame_seconds(record, record.detection_frame)
    axes.plot(seconds, record.detection_state[:, 2], ".", color=FAINT, markersize=2.5)
    for track in tracks:
        height = track.state[:, 2]
        band = SIGMAS * np.sqrt(np.maximum(track.covariance[:, 2, 2], 0.0))
        axes.fill_between(
            track.seconds,
            height - band,
            height + band,
            color=track.color,
            alpha=BAND_ALPHA,
            linewidth=0,
            zorder=1,
        )
        axes.plot(
            track.seconds, height, color=track.color, linewidth=2, alpha=TRACK_ALPHA, zorder=2
        )
    ends: list[tuple[float, float, str]] = []
    for name, (path, seconds) in _truths(record).items():
        axes.plot(seconds, path[:, 2], color=TRUTH, linewidth=0.8, zorder=3)
        ends.append((float(path[-1, 2]), float(seconds[-1]), name))
    _label_ends(axes, ends)
    axes.set(title="height [m]")


def _label_ends(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Names beside the ends (height, time, name) of lines; those close together share a label."""
    gap = 0.06 * (max(ends)[0] - min(ends)[0]) if ends else 0.0
    while ends:
        ends = sorted(ends)
        together = [end for end in ends if end[0] - ends[0][0] <= gap]
        ends = ends[len(together) :]
        axes.annotate(
            ", ".join(name for _, _, name in together),
            (max(time for _, time, _ in together), together[0][0]),
            (4, 0),
            va="center",
            textcoords="offset points",
            fontsize=9,
        )


def _draw_errors(panels: list[Axes], errors: dict[str, TargetErrors]) -> None:
    """One panel a target: the error of its track, and what the track reports of it."""
    limits_m = []
    for axes, (name, target) in zip(panels, errors.items()):
        tracked = np.isfinite(target.error_m)
        bound_m = SIGMAS * target.reported_m
        axes.fill_between(target.seconds, 0, bound_m, color="0.85", linewidth=0)
        axes.fill_between(
            target.seconds,
            0,
            1,
            where=~tracked,
            step="mid",
            color=UNTRACKED,
            linewidth=0,
            transform=axes.get_xaxis_transform(),
        )
        axes.plot(target.seconds, target.error_m, color=TRUTH, linewidth=1)
        rms = f"{np.sqrt(np.mean(target.error_m[tracked] ** 2)):.2f} m" if tracked.any() else "-"
        axes.annotate(
            f"{name}\nr.m.s. {rms}",
            (1.01, 0.5),
            xycoords="axes fraction",
            va="center",
            fontsize=9,
        )
        if tracked.any():
            limits_m.append(1.15 * np.max(target.error_m[tracked]))
            limits_m.append(1.3 * np.median(bound_m[tracked]))
    for axes in panels:
        axes.set_ylim(0, max(limits_m, default=1.0))
        axes.margins(x=0.01)
    if panels:
        panels[0].set_title("location error of the tracks [m]")


def _legend(scene: Scene, tracks: list[TrackCurve]) -> list:
    """What the panels show, below them."""
    handles = [
        Line2D(
            [], [], color=TRUTH, marker="o", markersize=5, linewidth=0.8, label="truth, its end"
        ),
        Line2D(
            [],
            [],
            color=TRUTH,
            marker="o",
            markerfacecolor="white",
            markersize=3.5,
            linewidth=0.8,
            label="time [s] along the truth",
        ),
        Line2D([], [], color=FAINT, marker=".", linestyle="", label="detections"),
        Patch(facecolor=to_rgba(COLORS[0], BAND_ALPHA), label=f"{SIGMAS:g} sigma of a track"),
        Patch(color="0.85", label=f"{SIGMAS:g} r.m.s. errors that a track reports"),
        Patch(color=UNTRACKED, label="no track"),
    ]
    clutter = scene.propagation.clutter.positions_m
    if clutter is not None and len(clutter):
        handles.append(Line2D([], [], color=FAINT, marker="x", linestyle="", label="scatterers"))
    if scene.world is not None and scene.world.boxes:
        handles.append(Patch(facecolor=BUILDING, edgecolor=OUTLINE, label="building"))
    for track in tracks:
        if track.label:
            line = Line2D([], [], color=track.color, linewidth=3.4, alpha=TRACK_ALPHA)
            line.set_label(track.label)
            handles.append(line)
    if any(not track.label for track in tracks):
        handles.append(Line2D([], [], color=FAINT, linewidth=2.6, label="further tracks"))
    return handles
