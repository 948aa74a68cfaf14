"""Picture of a run: a map with the tracks, and heights and location errors over time."""

from __future__ import annotations

from collections.abc import Iterator
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
from cooperative_isac.evaluation.map_drawing import (
    draw_stations,
    draw_walls,
    keep_names,
    station_handles,
)
from cooperative_isac.evaluation.run_errors import (
    TargetErrors,
    frame_seconds,
    track_errors,
)
from cooperative_isac.evaluation.run_record import RunRecord
from cooperative_isac.scene.model import Scene, TargetClass
from cooperative_isac.tracking.track import ESTABLISHED_NUMBERS

# Colors of tracks: those of Okabe and Ito, which color-blind readers can distinguish.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
TRUTH_LINE = "black"
FAINT = "0.55"
BUILDING = "#e4e7ea"
OUTLINE = "0.6"
UNTRACKED = "#f3c9c1"
REPORTED = "0.85"
TRACK_ALPHA = 0.75
BAND_ALPHA = 0.25
CLASS_LABELS = {
    TargetClass.UNKNOWN: "",
    TargetClass.UAV: ", UAV",
    TargetClass.VEHICLE: ", vehicle",
}
# Largest number of tracks with a color, and of targets with a panel. Further tracks are gray.
MAX_CURVES = 6
# Height of the panel of heights over that of an error panel, and widths of the map and of the
# panels over time, in a unit of their own.
HEIGHTS_RATIO = 2.6
WIDTH_RATIOS = (3.0, 2.2)
# Sizes of a picture with and without panels over time, inches.
WIDE_SIZE = (13.0, 7.8)
MAP_SIZE = (8.0, 7.8)
# Half widths of ellipses and bands, in standard deviations: 99.7 % of a normal distribution.
SIGMAS = 3.0
# The last part of the run along which time is marked, s, and the largest number of intervals
# between marks. More marks would cover each other.
MARKED_S = 30.0
MAX_MARKS = 6
# Times between two marks, s: round numbers.
MARK_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Rounding error of times, s.
TOLERANCE_S = 1e-6
# Margin of the map, as a share of its size.
MAP_MARGIN = 0.06
# Limits of the error panels: the largest error and the median reported error, each with a margin.
ERROR_MARGIN = 1.15
REPORTED_MARGIN = 1.3
# Labels of lines share a place if they are closer than this share of the range of heights.
LABEL_GAP_SHARE = 0.06


@dataclass(frozen=True)
class TrackCurve:
    """One track while it was established.

    seconds: [num_frames], float64, s since the first frame of the run
    state: [num_frames, 6], float64, m and m/s, position and velocity
    covariance: [num_frames, 6, 6], float64, of the state
    """

    color: str
    label: str
    seconds: np.ndarray
    state: np.ndarray
    covariance: np.ndarray


class Picture(Figure):
    """A figure that a notebook displays by itself, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        stream = BytesIO()
        self.savefig(stream, format="png", dpi=self.dpi)
        return stream.getvalue()


def draw_scene_picture(scene: Scene, record: RunRecord, path: Path) -> None:
    """Draw a run and save it as a PNG file."""
    figure = scene_picture(scene, record)
    figure.savefig(path, dpi=figure.dpi)


def scene_picture(scene: Scene, record: RunRecord) -> Picture:
    """Draw a run. The figure is independent of pyplot and its backends."""
    errors = _longest(track_errors(record, scene.dimension))
    tracks = list(_tracks(record))
    figure, plan, heights, panels = _panels(scene, len(errors))

    # Panels.
    _draw_plan(plan, scene, record, tracks)
    if heights is not None:
        _draw_heights(heights, record, tracks)
    _draw_errors(panels, errors)

    # Legend and title.
    figure.legend(
        handles=_legend(scene, tracks),
        loc="outside lower left",
        ncols=5,
        frameon=False,
        fontsize=8.5,
    )
    figure.suptitle(picture_title(scene, record))

    # Labels are placed last, as they depend on the final layout.
    figure.draw_without_rendering()
    _label_plan(plan, record)
    return figure


def _panels(scene: Scene, num_errors: int) -> tuple[Picture, Axes, Axes | None, list[Axes]]:
    """Figure, map, panel of the heights (in 3-D scenes), and an error panel for each target."""
    # Panels over time, by their heights; without any the map is alone.
    ratios = ([HEIGHTS_RATIO] if scene.dimension == 3 else []) + [1.0] * num_errors
    size = WIDE_SIZE if ratios else MAP_SIZE
    figure = Picture(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    if not ratios:
        return figure, figure.subplots(), None, []

    # The map on the left, panels over time on the right.
    grid = figure.add_gridspec(len(ratios), 2, width_ratios=WIDTH_RATIOS, height_ratios=ratios)
    plan = figure.add_subplot(grid[:, 0])
    rows: list[Axes] = []
    for row in range(len(ratios)):
        rows.append(figure.add_subplot(grid[row, 1], sharex=rows[0] if rows else None))

    # One time axis for all panels.
    for axes in rows:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelbottom=axes is rows[-1])
    rows[-1].set_xlabel("time [s]")
    heights = rows.pop(0) if scene.dimension == 3 else None
    return figure, plan, heights, rows


def picture_title(scene: Scene, record: RunRecord) -> str:
    """Title of a picture: scene, length of the run, and source of its echoes."""
    num_frames = len(record.frame_number)
    if not num_frames:
        return f"{scene.name}: no frames"

    num_simulated = int(record.frame_simulated.sum())
    if num_simulated == num_frames:
        kind = "simulated echoes"
    elif num_simulated == 0:
        kind = "measured echoes"
    else:
        kind = f"echoes simulated in {num_simulated} of them"
    span_s = np.ptp(record.frame_stamp_ns) * 1e-9
    return f"{scene.name}: {num_frames} frames in {span_s:.0f} s, {kind}"


def _longest(errors: dict[str, TargetErrors]) -> dict[str, TargetErrors]:
    """Errors of the targets that were present longest, in the order of their names."""
    names = sorted(errors, key=lambda name: (-len(errors[name].seconds), name))[:MAX_CURVES]
    return {name: errors[name] for name in sorted(names)}


def _tracks(record: RunRecord) -> Iterator[TrackCurve]:
    """Yield each track while it was established. The longest ones have colors and labels."""
    # The tracks that were established in most frames.
    established = np.isin(record.track_status, ESTABLISHED_NUMBERS)
    numbers, lengths = np.unique(record.track_id[established], return_counts=True)
    longest_first = numbers[np.argsort(-lengths, kind="stable")]
    colored = sorted(longest_first[:MAX_CURVES])

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
    """Draw the scene from above with detections, tracks and truth."""
    # The scene on all its bands: box, static world, stations and scatterers.
    low = scene.box.low_m
    high = scene.box.high_m
    border = Rectangle(on_map(low), *(high - low)[:2], fill=False, linestyle=":", edgecolor=FAINT)
    axes.add_patch(border)
    for view in scene.views:
        _draw_world(axes, view)
    draw_stations(axes, scene.views)
    axes.plot(*_scatterers_m(scene)[:, :2].T, "x", color=FAINT)
    axes.plot(*record.detection_state[:, :2].T, ".", color=FAINT, markersize=2.5)

    # Tracks, with ellipses at the marks of time.
    for track in tracks:
        axes.plot(
            *track.state[:, :2].T, color=track.color, linewidth=3.4, alpha=TRACK_ALPHA, zorder=2
        )
        for row in _marked_rows(track.seconds, record):
            axes.add_patch(_ellipse(track, row))

    # Truth, with the marks of time.
    for path, seconds in _truths(record).values():
        axes.plot(*path[:, :2].T, color=TRUTH_LINE, linewidth=0.8, zorder=3)
        axes.plot(*path[-1, :2], "o", color=TRUTH_LINE, markersize=5, zorder=6)
        marks = path[_marked_rows(seconds, record)]
        axes.plot(
            *marks[:, :2].T,
            "o",
            color=TRUTH_LINE,
            markerfacecolor="white",
            markersize=3.5,
            markeredgewidth=0.8,
            zorder=5,
        )
    axes.set(xlabel="x [m]", ylabel="y [m]", title="from above", aspect="equal")
    axes.margins(MAP_MARGIN)
    keep_names(axes, scene.views)


def _draw_world(axes: Axes, scene: Scene) -> None:
    """Draw buildings and walls from above."""
    if scene.world is None:
        return
    for box in scene.world.boxes:
        size = box.high_m - box.low_m
        building = Rectangle(
            on_map(box.low_m), *size[:2], facecolor=BUILDING, edgecolor=OUTLINE, zorder=0.5
        )
        axes.add_patch(building)
    draw_walls(axes, scene, OUTLINE, linewidth=2, zorder=0.5)


def _scatterers_m(scene: Scene) -> np.ndarray:
    """Positions of the fixed clutter scatterers of all bands, [num_scatterers, 3], m."""
    positions_m = [np.empty((0, 3))]
    for view in scene.views:
        clutter_m = view.propagation.clutter.positions_m
        if clutter_m is not None:
            positions_m.append(np.asarray(clutter_m, float).reshape(-1, 3))
    return np.concatenate(positions_m)


def _ellipse(track: TrackCurve, row: int) -> Ellipse:
    """Covariance ellipse of a track at one time, SIGMAS standard deviations wide, from above."""
    # Principal axes of the covariance; rounding may make a variance negative.
    variances, axes = np.linalg.eigh(track.covariance[row, :2, :2])
    width, height = 2 * SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    first_axis = axes[:, 0]
    angle_deg = float(np.degrees(np.arctan2(first_axis[1], first_axis[0])))

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
    """True states [num_frames, 6], m and m/s, and times [num_frames], s, of each target."""
    found = {}
    for name in np.unique(record.truth_name):
        chosen = record.truth_name == name
        seconds = frame_seconds(record, record.truth_frame[chosen])
        found[str(name)] = record.truth_state[chosen], seconds
    return found


def mark_times(span_s: float) -> np.ndarray:
    """Times of the marks along a run of length span_s, s: round numbers in its last MARKED_S."""
    # The smallest round step with at most MAX_MARKS intervals, else the largest one.
    first_s = max(0.0, span_s - MARKED_S)
    least_s = (span_s - first_s) / MAX_MARKS
    step_s = next((step for step in MARK_STEPS_S if step >= least_s), MARK_STEPS_S[-1])

    # Its multiples.
    first = np.ceil(first_s / step_s)
    last = np.floor(span_s / step_s)
    return step_s * np.arange(first, last + 1)


def _marked_rows(seconds: np.ndarray, record: RunRecord) -> np.ndarray:
    """Rows of the first frames at or after each mark. Marks after the last frame have no row."""
    if not len(seconds):
        return np.empty(0, int)
    span_s = float(np.ptp(record.frame_stamp_ns)) * 1e-9
    marks_s = mark_times(span_s)
    marks_s = marks_s[marks_s >= seconds[0] - TOLERANCE_S]
    rows = np.searchsorted(seconds, marks_s - TOLERANCE_S)
    return np.unique(rows[rows < len(seconds)])


def _label_plan(axes: Axes, record: RunRecord) -> None:
    """Write names at the ends of the targets' routes, and times along them."""
    truths = _truths(record)
    placer = LabelPlacer(axes, [path[:, :2] for path, _ in truths.values()])

    # Names.
    named = list(truths.items())[: 2 * MAX_CURVES]
    for name, (path, _) in named:
        placer.place(name, path[-1, :2], 9.5, TRUTH_LINE)

    # Times.
    marked = list(truths.values())[:MAX_CURVES]
    for path, seconds in marked:
        for row in _marked_rows(seconds, record):
            placer.place(f"{seconds[row]:.3g}", path[row, :2], 7, "0.3")


def _draw_heights(axes: Axes, record: RunRecord, tracks: list[TrackCurve]) -> None:
    """Draw heights over time: detections, tracks with error bands, and truth with names."""
    seconds = frame_seconds(record, record.detection_frame)
    axes.plot(seconds, record.detection_state[:, 2], ".", color=FAINT, markersize=2.5)

    # Tracks, with bands of SIGMAS standard deviations.
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

    # Truth, with the names of the targets at the ends of their lines.
    ends: list[tuple[float, float, str]] = []
    for name, (path, seconds) in _truths(record).items():
        axes.plot(seconds, path[:, 2], color=TRUTH_LINE, linewidth=0.8, zorder=3)
        ends.append((float(path[-1, 2]), float(seconds[-1]), name))
    _label_ends(axes, ends)
    axes.set(title="height [m]")


def _label_ends(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Write names beside the ends of lines. Lines that end close together share a label.

    ends: height in m, time in s, and name of each line
    """
    gap = LABEL_GAP_SHARE * (max(ends)[0] - min(ends)[0]) if ends else 0.0
    ends = sorted(ends)
    while ends:
        # The lines within the gap above the lowest one.
        lowest = ends[0][0]
        together = [end for end in ends if end[0] - lowest <= gap]
        ends = ends[len(together) :]

        label = ", ".join(name for _, _, name in together)
        last_time = max(time for _, time, _ in together)
        axes.annotate(
            label,
            (last_time, lowest),
            (4, 0),
            va="center",
            textcoords="offset points",
            fontsize=9,
        )


def _draw_errors(panels: list[Axes], errors: dict[str, TargetErrors]) -> None:
    """Draw the error of each target's track, and the error that the track reports, in a panel."""
    limits_m = []
    for axes, (name, target) in zip(panels, errors.items()):
        # Reported error as a band, and the times without a track over the whole height.
        tracked = np.isfinite(target.error_m)
        bound_m = SIGMAS * target.reported_m
        axes.fill_between(target.seconds, 0, bound_m, color=REPORTED, linewidth=0)
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

        # Error, with its root mean square beside the panel.
        axes.plot(target.seconds, target.error_m, color=TRUTH_LINE, linewidth=1)
        rms = f"{np.sqrt(np.mean(target.error_m[tracked] ** 2)):.2f} m" if tracked.any() else "-"
        axes.annotate(
            f"{name}\nr.m.s. {rms}",
            (1.01, 0.5),
            xycoords="axes fraction",
            va="center",
            fontsize=9,
        )

        # Both must fit the panel; a few large reported errors need not.
        if tracked.any():
            limits_m.append(ERROR_MARGIN * np.max(target.error_m[tracked]))
            limits_m.append(REPORTED_MARGIN * np.median(bound_m[tracked]))

    # The same limits for all targets.
    for axes in panels:
        axes.set_ylim(0, max(limits_m, default=1.0))
        axes.margins(x=0.01)
    if panels:
        panels[0].set_title("location error of the tracks [m]")


def _legend(scene: Scene, tracks: list[TrackCurve]) -> list:
    """Legend entries for all that the panels show."""
    handles = [
        *station_handles(scene.views),
        Line2D(
            [],
            [],
            color=TRUTH_LINE,
            marker="o",
            markersize=5,
            linewidth=0.8,
            label="truth and its end",
        ),
        Line2D(
            [],
            [],
            color=TRUTH_LINE,
            marker="o",
            markerfacecolor="white",
            markersize=3.5,
            linewidth=0.8,
            label="time [s] along the truth",
        ),
        Line2D([], [], color=FAINT, marker=".", linestyle="", label="detections"),
        Patch(facecolor=to_rgba(COLORS[0], BAND_ALPHA), label=f"{SIGMAS:g} sigma of a track"),
        Patch(color=REPORTED, label=f"{SIGMAS:g} r.m.s. errors that a track reports"),
        Patch(color=UNTRACKED, label="no track"),
    ]

    # Parts of the scene that it has.
    if len(_scatterers_m(scene)):
        handles.append(Line2D([], [], color=FAINT, marker="x", linestyle="", label="scatterers"))
    if any(view.world is not None and view.world.boxes for view in scene.views):
        handles.append(Patch(facecolor=BUILDING, edgecolor=OUTLINE, label="building"))

    # Tracks.
    for track in tracks:
        if track.label:
            line = Line2D([], [], color=track.color, linewidth=3.4, alpha=TRACK_ALPHA)
            line.set_label(track.label)
            handles.append(line)
    if any(not track.label for track in tracks):
        handles.append(Line2D([], [], color=FAINT, linewidth=2.6, label="further tracks"))
    return handles
