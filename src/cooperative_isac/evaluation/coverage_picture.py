"""Coverage map of a scene: SNR of the weakest link that is needed to locate a target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke

from cooperative_isac.evaluation.coverage import (
    LINKS_FOR_A_POINT,
    grid_points,
    inside_boxes,
    links,
    target_classes,
    usable_snr,
)
from cooperative_isac.evaluation.label_placement import on_map
from cooperative_isac.evaluation.map_drawing import draw_stations, draw_walls, station_handles
from cooperative_isac.scene.model import Scene, TargetClass
from cooperative_isac.scene.motion.motion import is_defined

# Grid cells on each side of the map: a cell is a few pixels wide.
PICTURE_CELLS = 120
# Distance of the contour lines, dB.
LEVEL_STEP_DB = 5
# Percentiles of the map that the colors span: a few cells beside a station are far stronger.
COLOR_PERCENTILES = (0.5, 99.5)
TALL_BUILDING = "#cfd3d8"
MAP_OUTLINE = "#3d434b"
SHADOW = "#f2efe9"
ROUTE = "#ff9f40"
# A dark rim keeps lines and names readable on light and dark parts of the map.
RIM = [Stroke(linewidth=2.6, foreground="#202020"), Normal()]
# A building carries its height inside if its shorter side is at least this share of the map.
SMALL_SHARE = 0.09
ORDINALS = {1: "strongest", 2: "second strongest", 3: "third strongest"}
CLASS_NAMES = {
    TargetClass.UAV: "UAV",
    TargetClass.VEHICLE: "vehicle",
    TargetClass.UNKNOWN: "unknown",
}
# Longest time over which a route is drawn, s, and the number of points of its line.
ROUTE_S = 120.0
ROUTE_POINTS = 600
# Longer side of the map, and what color bar and labels need beside it, and title and legend above
# and below it, inches.
MAP_INCHES = 6.4
BESIDE_INCHES = 2.2
ABOVE_BELOW_INCHES = 2.1
# Margin around all that is drawn, as a share of the longer side.
MAP_MARGIN_SHARE = 0.07


def draw_coverage(scene: Scene, path: Path) -> None:
    """Draw the map of one band for the first target class, and save it as a PNG file."""
    # SNR on a grid at the height of the class, in dB; nan without enough links.
    kind = target_classes(scene)[0]
    height_m = class_height_m(scene, kind)
    points_m = grid_points(scene, PICTURE_CELLS, [height_m])
    snr = usable_snr(scene, points_m, kind)
    snr[inside_boxes(scene, points_m)] = 0
    levels_db = np.full(len(snr), np.nan)
    levels_db[snr > 0] = 10 * np.log10(snr[snr > 0])

    # A figure with the proportions of the map.
    left, right, bottom, top = _limits(scene)
    figure = Figure(figsize=_figure_size(right - left, top - bottom), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()

    # Layers of the map, from the lowest to the highest.
    _draw_levels(figure, axes, scene, levels_db.reshape(PICTURE_CELLS, PICTURE_CELLS))
    _draw_world(axes, scene, height_m)
    _draw_routes(axes, scene, kind)
    draw_stations(axes, [scene])
    low = scene.box.low_m
    high = scene.box.high_m
    border = Rectangle(
        on_map(low), *(high - low)[:2], fill=False, linestyle=":", edgecolor=MAP_OUTLINE
    )
    axes.add_patch(border)

    # Axes, title and legend.
    axes.set(xlabel="x [m]", ylabel="y [m]", aspect="equal", xlim=(left, right), ylim=(bottom, top))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_title(scene, kind, height_m), loc="left", pad=10)
    figure.legend(
        handles=_legend(scene, height_m, bool(np.isnan(levels_db).any())),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=130)


def _title(scene: Scene, kind: TargetClass | None, height_m: float) -> str:
    """Scene, band, target class and height of a map, and the link whose SNR it shows."""
    band = "" if scene.layout is None else f", band {scene.band}"
    target = "target" if kind is None else CLASS_NAMES[kind]
    height = "" if scene.dimension == 2 else f" at {height_m:g} m"
    num_links = len(links(scene))
    ordinal = ORDINALS[min(LINKS_FOR_A_POINT, num_links)]
    return f"{scene.name}{band}: {target}{height}, SNR of the {ordinal} of {num_links} links"


def class_height_m(scene: Scene, kind: TargetClass | None) -> float:
    """Height of the map, m: of the first live target of a class, or the mean of random heights."""
    if scene.dimension == 2:
        return scene.plane_height_m
    for target in scene.targets:
        if kind is None or target.target_class is kind:
            position_m, _ = target.motion.state(target.motion.start_s)
            return float(position_m[2])

    # Without such a target: random targets are drawn between these heights.
    low_m, high_m = scene.draw.height_m or (scene.box.low_m[2], scene.box.high_m[2])
    return (low_m + high_m) / 2


def _limits(scene: Scene) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the map, m: box, stations and static world, with a margin."""
    places_m = [scene.box.low_m, scene.box.high_m]
    places_m += [site.position_m for site in (*scene.transmitters, *scene.receivers)]
    if scene.world is not None:
        for box in scene.world.boxes:
            places_m += [box.low_m, box.high_m]
        for wall in scene.world.walls:
            places_m += list(wall.corners_m)

    low_m = np.min(places_m, axis=0)[:2]
    high_m = np.max(places_m, axis=0)[:2]
    margin_m = MAP_MARGIN_SHARE * float(np.max(high_m - low_m))
    return low_m[0] - margin_m, high_m[0] + margin_m, low_m[1] - margin_m, high_m[1] + margin_m


def _figure_size(width_m: float, height_m: float) -> tuple[float, float]:
    """Width and height in inches of a figure with a map, its color bar and its legend."""
    inches_per_m = MAP_INCHES / max(width_m, height_m)
    return inches_per_m * width_m + BESIDE_INCHES, inches_per_m * height_m + ABOVE_BELOW_INCHES


def _draw_levels(figure: Figure, axes: Axes, scene: Scene, levels_db: np.ndarray) -> None:
    """Draw SNR levels as colors and contour lines. Cells with too few links stay light.

    levels_db: [PICTURE_CELLS, PICTURE_CELLS], float64, dB; nan with too few links
    """
    low = scene.box.low_m
    high = scene.box.high_m
    background = Rectangle(
        on_map(low), *(high - low)[:2], facecolor=SHADOW, edgecolor="none", zorder=0
    )
    axes.add_patch(background)
    if np.isnan(levels_db).all():
        return

    # Colors between whole steps.
    lowest_db, highest_db = np.nanpercentile(levels_db, COLOR_PERCENTILES)
    floor_db = LEVEL_STEP_DB * np.floor(lowest_db / LEVEL_STEP_DB)
    ceiling_db = LEVEL_STEP_DB * np.ceil(highest_db / LEVEL_STEP_DB)
    ceiling_db = max(ceiling_db, floor_db + LEVEL_STEP_DB)
    image = axes.imshow(
        levels_db,
        extent=(low[0], high[0], low[1], high[1]),
        origin="lower",
        cmap="viridis",
        vmin=floor_db,
        vmax=ceiling_db,
        zorder=1,
    )
    figure.colorbar(image, ax=axes, label="SNR after integration [dB]", shrink=0.8, pad=0.02)

    # Contour lines.
    steps_db = np.arange(floor_db, ceiling_db, LEVEL_STEP_DB)
    centers = scene.box.cell_centers_m(PICTURE_CELLS)
    lines = axes.contour(
        centers[..., 0],
        centers[..., 1],
        levels_db,
        steps_db,
        colors="white",
        linewidths=0.7,
        alpha=0.8,
        zorder=2,
    )
    axes.clabel(lines, fmt="%g dB", fontsize=8)


def _draw_world(axes: Axes, scene: Scene, height_m: float) -> None:
    """Draw walls, and buildings with their heights; buildings below the map are hatched."""
    if scene.world is None:
        return
    map_size_m = float(np.max((scene.box.high_m - scene.box.low_m)[:2]))
    for box in scene.world.boxes:
        # Outline.
        size = box.high_m - box.low_m
        tall = box.high_m[2] > height_m
        axes.add_patch(
            Rectangle(
                on_map(box.low_m),
                *size[:2],
                facecolor=TALL_BUILDING if tall else "none",
                edgecolor=MAP_OUTLINE,
                hatch=None if tall else "////",
                linewidth=1.2,
                zorder=4,
            )
        )

        # Height, inside of the building or above it.
        small = size[:2].min() < SMALL_SHARE * map_size_m
        middle = box.low_m + size / 2
        place = (float(middle[0]), float(box.high_m[1])) if small else on_map(middle)
        axes.annotate(
            f"{size[2]:g} m",
            place,
            (0, 9 if small else 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            zorder=5,
            bbox={
                "boxstyle": "round,pad=0.2",
                "facecolor": "white",
                "edgecolor": "none",
                "alpha": 0.9,
            },
        )
    draw_walls(axes, scene, MAP_OUTLINE, linewidth=2.5, zorder=4)


def _draw_routes(axes: Axes, scene: Scene, kind: TargetClass | None) -> None:
    """Draw the routes of the live targets of a class with their names."""
    for target in scene.targets:
        if kind is not None and target.target_class is not kind:
            continue
        # Points at which the motion is defined.
        motion = target.motion
        length_s = min(motion.duration_s, ROUTE_S)
        times_s = motion.start_s + np.linspace(0, length_s, ROUTE_POINTS)
        route_m = np.array(
            [motion.state(float(t))[0] for t in times_s if is_defined(motion, float(t))]
        )

        axes.plot(*route_m[:, :2].T, color=ROUTE, linewidth=1.2, path_effects=RIM, zorder=3)
        axes.annotate(
            target.name,
            on_map(route_m[0]),
            (6, 6),
            textcoords="offset points",
            fontsize=9,
            color=ROUTE,
            path_effects=RIM,
            zorder=6,
        )


def _legend(scene: Scene, height_m: float, has_gaps: bool) -> list:
    """Legend entries for all that the map shows.

    has_gaps: some cells have too few links
    """
    handles: list[Line2D | Patch] = [*station_handles([scene])]
    if scene.targets:
        handles.append(
            Line2D([], [], color=ROUTE, linewidth=1.2, path_effects=RIM, label="route of a target")
        )

    # Static world.
    boxes = scene.world.boxes if scene.world is not None else ()
    if any(box.high_m[2] <= height_m for box in boxes):
        handles.append(
            Patch(
                facecolor="white",
                edgecolor=MAP_OUTLINE,
                hatch="////",
                label="building below the map's height",
            )
        )
    if any(box.high_m[2] > height_m for box in boxes):
        handles.append(
            Patch(
                facecolor=TALL_BUILDING,
                edgecolor=MAP_OUTLINE,
                label="building above the map's height",
            )
        )
    if scene.world is not None and scene.world.walls:
        handles.append(Line2D([], [], color=MAP_OUTLINE, linewidth=2.5, label="wall"))

    if has_gaps:
        handles.append(
            Patch(facecolor=SHADOW, edgecolor=MAP_OUTLINE, label="reached by too few links")
        )
    return handles
