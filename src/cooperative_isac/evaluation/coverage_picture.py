"""The picture of a scene's coverage: where a target is strong enough on as many links as locate
it.
"""

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
from cooperative_isac.evaluation.scene_picture import SITE, draw_site
from cooperative_isac.scene.model import Scene, TargetClass
from cooperative_isac.scene.motion.motion import is_defined

PICTURE_CELLS = 120
LEVEL_STEP_DB = 5
BUILDING, OUTLINE, SHADOW, ROUTE = "#cfd3d8", "#3d434b", "#f2efe9", "#ff9f40"
# A dark rim keeps lines and names readable on light and dark parts of the map.
RIM = [Stroke(linewidth=2.6, foreground="#202020"), Normal()]
# Buildings whose shorter side is below this share of the map carry no text inside.
SMALL = 0.09
ORDINALS = {1: "strongest", 2: "second strongest", 3: "third strongest"}
# A route is drawn over this time or its whole length, s.
ROUTE_S = 120.0


def draw_coverage(scene: Scene, path: Path) -> None:
    """Draw the map of the first target class and save it as a PNG file."""
    kind = target_classes(scene)[0]
    height = class_height_m(scene, kind)
    points = grid_points(scene, PICTURE_CELLS, [height])
    snr = usable_snr(scene, points, kind)
    snr[inside_boxes(scene, points)] = 0
    levels = np.full(len(snr), np.nan)
    levels[snr > 0] = 10 * np.log10(snr[snr > 0])

    left, right, bottom, top = _limits(scene)
    width, height_inches = _figure_size(right - left, top - bottom)
    figure = Figure(figsize=(width, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw_levels(figure, axes, scene, levels.reshape(PICTURE_CELLS, PICTURE_CELLS))
    _draw_world(axes, scene, height)
    _draw_routes(axes, scene, kind)
    low, high = scene.box.low_m, scene.box.high_m
    scale = 0.07 * float(np.max((high - low)[:2]))
    for index, site in enumerate((*scene.transmitters, *scene.receivers)):
        draw_site(axes, site, scale, transmits=index < len(scene.transmitters))
    axes.add_patch(
        Rectangle(on_map(low), *(high - low)[:2], fill=False, linestyle=":", edgecolor=OUTLINE)
    )
    axes.set(xlabel="x [m]", ylabel="y [m]", aspect="equal", xlim=(left, right), ylim=(bottom, top))
    axes.spines[["top", "right"]].set_visible(False)
    what = "target" if kind is None else {TargetClass.UAV: "UAV"}.get(kind, kind.name.lower())
    place = min(LINKS_FOR_A_POINT, len(links(scene)))
    where = "" if scene.dimension == 2 else f" at {height:g} m"
    band = "" if scene.layout is None else f", band {scene.band}"
    axes.set_title(
        f"{scene.name}{band}: {what}{where}, "
        f"SNR of the {ORDINALS[place]} of {len(links(scene))} links",
        loc="left",
        pad=10,
    )
    figure.legend(
        handles=_legend(scene, height, bool(np.isnan(levels).any())),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=130)


def class_height_m(scene: Scene, kind: TargetClass | None) -> float:
    """Height of the map: the class's first live target's, or the middle of the drawn heights."""
    if scene.dimension == 2:
        return scene.plane_height_m
    for target in scene.targets:
        if kind is None or target.target_class is kind:
            return float(target.motion.state(target.motion.start_s)[0][2])
    low, high = scene.draw.height_m or (scene.box.low_m[2], scene.box.high_m[2])
    return (low + high) / 2


def _limits(scene: Scene) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the map: all that stands in the scene, and a margin."""
    places = [
        scene.box.low_m,
        scene.box.high_m,
        *(site.position_m for site in scene.transmitters + scene.receivers),
    ]
    if scene.world is not None:
        places += [corner for box in scene.world.boxes for corner in (box.low_m, box.high_m)]
        places += [corner for wall in scene.world.walls for corner in wall.corners_m]
    low, high = np.min(places, axis=0)[:2], np.max(places, axis=0)[:2]
    margin = 0.07 * float(np.max(high - low))
    return low[0] - margin, high[0] + margin, low[1] - margin, high[1] + margin


def _figure_size(width_m: float, height_m: float) -> tuple[float, float]:
    """Inches that fit a map of equal axes with its color bar and legend."""
    scale = 6.4 / max(width_m, height_m)
    return scale * width_m + 2.2, scale * height_m + 2.1


def _draw_levels(figure: Figure, axes: Axes, scene: Scene, levels_db: np.ndarray) -> None:
    """The map in steps of LEVEL_STEP_DB; what too few links reach stays light."""
    low, high = scene.box.low_m, scene.box.high_m
    extent = (low[0], high[0], low[1], high[1])
    axes.add_patch(
        Rectangle(on_map(low), *(high - low)[:2], facecolor=SHADOW, edgecolor="none", zorder=0)
    )
    if np.isnan(levels_db).all():
        return
    # a few cells beside a site would stretch the colors
    floor, ceiling = np.nanpercentile(levels_db, [0.5, 99.5])
    floor = LEVEL_STEP_DB * np.floor(floor / LEVEL_STEP_DB)
    ceiling = max(LEVEL_STEP_DB * np.ceil(ceiling / LEVEL_STEP_DB), floor + LEVEL_STEP_DB)
    image = axes.imshow(
        levels_db, extent=extent, origin="lower", cmap="viridis", vmin=floor, vmax=ceiling, zorder=1
    )
    steps = np.arange(floor, ceiling, LEVEL_STEP_DB)
    centers = scene.box.cell_centers_m(PICTURE_CELLS)
    lines = axes.contour(
        centers[..., 0],
        centers[..., 1],
        levels_db,
        steps,
        colors="white",
        linewidths=0.7,
        alpha=0.8,
        zorder=2,
    )
    axes.clabel(lines, fmt="%g dB", fontsize=8)
    figure.colorbar(image, ax=axes, label="SNR after integration [dB]", shrink=0.8, pad=0.02)


def _draw_world(axes: Axes, scene: Scene, height_m: float) -> None:
    """Buildings with their heights, those below the map's height by their outline only; walls."""
    if scene.world is None:
        return
    for box in scene.world.boxes:
        size = box.high_m - box.low_m
        tall = box.high_m[2] > height_m
        axes.add_patch(
            Rectangle(
                on_map(box.low_m),
                *size[:2],
                facecolor=BUILDING if tall else "none",
                edgecolor=OUTLINE,
                hatch=None if tall else "////",
                linewidth=1.2,
                zorder=4,
            )
        )
        small = size[:2].min() < SMALL * float(np.max((scene.box.high_m - scene.box.low_m)[:2]))
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
    for wall in scene.world.walls:
        axes.plot(*wall.corners_m[[0, 1, 2, 3, 0], :2].T, color=OUTLINE, linewidth=2.5, zorder=4)


def _draw_routes(axes: Axes, scene: Scene, kind: TargetClass | None) -> None:
    """Ways of the live targets of the class."""
    for target in scene.targets:
        if kind is not None and target.target_class is not kind:
            continue
        motion = target.motion
        times = motion.start_s + np.linspace(0, min(motion.duration_s, ROUTE_S), 600)
        route = np.array(
            [motion.state(float(time))[0] for time in times if is_defined(motion, float(time))]
        )
        axes.plot(*route[:, :2].T, color=ROUTE, linewidth=1.2, path_effects=RIM, zorder=3)
        axes.annotate(
            target.name,
            on_map(route[0]),
            (6, 6),
            textcoords="offset points",
            fontsize=9,
            color=ROUTE,
            path_effects=RIM,
            zorder=6,
        )


def _legend(scene: Scene, height_m: float, has_gaps: bool) -> list:
    """What the map shows, beside it."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker="^", color=SITE, markersize=8, label="transmitter"),
        Line2D(
            [],
            [],
            linestyle="",
            marker="s",
            color=SITE,
            markerfacecolor="white",
            markersize=8,
            label="receiver",
        ),
    ]
    if scene.targets:
        handles.append(
            Line2D([], [], color=ROUTE, linewidth=1.2, path_effects=RIM, label="route of a target")
        )
    boxes = scene.world.boxes if scene.world is not None else ()
    if any(box.high_m[2] <= height_m for box in boxes):
        handles.append(
            Patch(
                facecolor="white",
                edgecolor=OUTLINE,
                hatch="////",
                label="building below the map's height",
            )
        )
    if any(box.high_m[2] > height_m for box in boxes):
        handles.append(
            Patch(facecolor=BUILDING, edgecolor=OUTLINE, label="building above the map's height")
        )
    if scene.world is not None and scene.world.walls:
        handles.append(Line2D([], [], color=OUTLINE, linewidth=2.5, label="wall"))
    if has_gaps:
        handles.append(Patch(facecolor=SHADOW, edgecolor=OUTLINE, label="reached by too few links"))
    return handles
