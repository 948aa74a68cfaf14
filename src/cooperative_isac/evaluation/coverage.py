"""Link budget of a scene: SNR of target paths and lines of sight after integration."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from cooperative_isac.channel.gain import expected_snr, integration_gain
from cooperative_isac.channel.world import line_of_sight
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, TargetClass
from cooperative_isac.scene.station import Site

# Default number of grid points along each horizontal axis, and along the height. They are dense
# enough for the percentiles that `isac check` prints.
GRID_CELLS = 15
GRID_HEIGHTS = 5
# Number of links that locate a target: three bistatic ranges fix a point in space.
LINKS_FOR_A_POINT = 3
# Percentiles of the SNR that `isac check` prints.
PERCENTILES = (10, 50, 90)


def links(scene: Scene) -> list[tuple[Site, Site]]:
    """Pairs of transmitter and receiver that sense together on the band of the scene."""
    return [
        (transmitter, receiver)
        for transmitter, receiver in itertools.product(scene.transmitters, scene.receivers)
        if scene.link_mode.allows(transmitter.name, receiver.name)
    ]


def target_classes(scene: Scene) -> list[TargetClass | None]:
    """Classes of the scene's targets; [None] if the propagation model has no classes."""
    if not scene.propagation.has_radar_equation:
        return [None]
    present = {target.target_class for target in scene.targets} or set(TargetClass)
    return [
        kind
        for kind in (TargetClass.UAV, TargetClass.VEHICLE, TargetClass.UNKNOWN)
        if kind in present
    ]


def class_rcs_m2(scene: Scene, target_class: TargetClass | None) -> float | None:
    """Mean radar cross section of a class, m^2.

    It is the smallest one of the live targets of this class, or that of the class without any.

    Returns None if the propagation model has no classes.
    """
    if target_class is None:
        return None
    sections_m2 = [
        scene.rcs_m2(target.name, target_class)
        for target in scene.targets
        if target.target_class is target_class
    ]
    return min(sections_m2, default=scene.body(target_class).rcs_m2)


def grid_points(
    scene: Scene, num_cells: int = GRID_CELLS, heights_m: Sequence[float] | None = None
) -> np.ndarray:
    """Grid of points over the box of the scene.

    num_cells: points along each horizontal axis
    heights_m: heights of the points, m; None: GRID_HEIGHTS of them over the box

    Returns [num_points, 3], float64, m; x varies fastest, then y, then the height.
    """
    if scene.dimension == 2:
        return scene.cell_points_m(num_cells)
    if heights_m is None:
        low_m = scene.box.low_m[2]
        high_m = scene.box.high_m[2]
        shares = (np.arange(GRID_HEIGHTS) + 0.5) / GRID_HEIGHTS
        heights_m = low_m + shares * (high_m - low_m)

    plane_m = scene.box.cell_centers_m(num_cells).reshape(-1, 2)
    layers_m = [
        np.column_stack([plane_m, np.full(len(plane_m), height_m)]) for height_m in heights_m
    ]
    return np.concatenate(layers_m)


def inside_boxes(scene: Scene, points_m: np.ndarray) -> np.ndarray:
    """Points that are inside of a building.

    points_m: [num_points, 3], float64, m

    Returns [num_points], bool.
    """
    if scene.world is None:
        return np.zeros(len(points_m), bool)
    return scene.world.is_inside(points_m)


def path_snr(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    points_m: np.ndarray,
    target_class: TargetClass | None,
) -> np.ndarray:
    """Expected SNR of the direct path by way of a target at each point, integrated over a frame.

    scene: with one band
    transmitter, receiver: stations at both ends of the path
    points_m: [num_points, 3], float64, m, map
    target_class: whose mean radar cross section is assumed; None: the propagation model has none
    Returns [num_points], float64, a power ratio; 0 if the static world blocks the path.
    """
    # Free space, targets at rest.
    path = bistatic_geometry(
        transmitter.position_m, receiver.position_m, points_m, np.zeros(3), scene.grid.wavelength_m
    )
    rcs_m2 = class_rcs_m2(scene, target_class)
    snr = expected_snr(scene, transmitter, receiver, path, rcs_m2)

    # Blockage of either part of the path.
    if scene.world is not None:
        blocked_before = scene.world.blocks(transmitter.position_m, points_m)
        blocked_after = scene.world.blocks(points_m, receiver.position_m)
        snr = np.where(blocked_before | blocked_after, 0.0, snr)
    return snr


def line_of_sight_snr(scene: Scene, transmitter: Site, receiver: Site) -> float:
    """SNR after integration of the line of sight between two sites; 0 without any.

    Returns a power ratio.
    """
    if scene.world is None or not scene.world.line_of_sight:
        return 0.0
    amplitude = line_of_sight(scene, transmitter, receiver).amplitude
    power = float(np.sum(np.abs(amplitude) ** 2))
    return power * integration_gain(scene, transmitter, receiver)


def usable_snr(scene: Scene, points_m: np.ndarray, target_class: TargetClass | None) -> np.ndarray:
    """SNR of the weakest link that is needed to locate a target at each point.

    It is the link with the third highest SNR, or the weakest one of fewer links.

    points_m: [num_points, 3], float64, m

    Returns [num_points], float64, a power ratio.
    """
    snr = np.stack(
        [
            path_snr(scene, transmitter, receiver, points_m, target_class)
            for transmitter, receiver in links(scene)
        ]
    )
    rank = min(LINKS_FOR_A_POINT, len(snr))
    return np.sort(snr, axis=0)[-rank]


def coverage_rows(scene: Scene) -> list[tuple[str, str]]:
    """Rows of the link budget that `isac check` prints: a label and a text for each link.

    All bands are listed. Moving stations are at their first position.
    """
    # What the numbers are.
    explanation = (
        "of a target path after integration over resource elements and receive antennas: "
        "median (10 to 90 %) over the area"
    )
    if any(target.rcs_m2 is not None for target in scene.targets):
        explanation += "; of a class, its target of the least cross section"
    rows = [("SNR", explanation)]

    for view in scene.views:
        if scene.layout is not None:
            count = len(links(view))
            rows.append((f"band {view.band}", f"{count} link{'' if count == 1 else 's'}"))
        rows += _link_rows(view)
    return rows


def _link_rows(scene: Scene) -> list[tuple[str, str]]:
    """Rows of the link budget of one band."""
    # Points outside of buildings.
    points_m = grid_points(scene)
    points_m = points_m[~inside_boxes(scene, points_m)]

    # SNR of the target classes; blockage and line of sight where there is a static world.
    rows = []
    for transmitter, receiver in links(scene):
        parts = [
            _class_text(scene, transmitter, receiver, points_m, kind)
            for kind in target_classes(scene)
        ]
        if scene.world is not None:
            parts.append(_world_text(scene, transmitter, receiver, points_m))
        rows.append((f"{transmitter.name} - {receiver.name}", "; ".join(parts)))
    return rows


def _class_text(
    scene: Scene, transmitter: Site, receiver: Site, points_m: np.ndarray, kind: TargetClass | None
) -> str:
    """SNR of a target class on a link, as a text."""
    snr = path_snr(scene, transmitter, receiver, points_m, kind)
    name = "target" if kind is None else kind.name.lower()
    if not snr.any():
        return f"{name} blocked everywhere"
    snr_db = 10 * np.log10(snr[snr > 0])
    low_db, median_db, high_db = np.percentile(snr_db, PERCENTILES)
    return f"{name} {median_db:.1f} dB ({low_db:.1f} to {high_db:.1f})"


def _world_text(scene: Scene, transmitter: Site, receiver: Site, points_m: np.ndarray) -> str:
    """Blockage and line of sight of a link, as a text."""
    snr = path_snr(scene, transmitter, receiver, points_m, TargetClass.UNKNOWN)
    direct = line_of_sight_snr(scene, transmitter, receiver)
    sight = f"line of sight {10 * np.log10(direct):.1f} dB" if direct > 0 else "no line of sight"
    return f"{np.mean(snr == 0):.0%} blocked; {sight}"
