"""Link budget of a scene: how far target paths and lines of sight are above the noise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from cooperative_isac.channel.gain import expected_power
from cooperative_isac.channel.world import line_of_sight
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene, Site, TargetClass
from cooperative_isac.scene.noise import receiver_noise_w

# Points of the grid over the area, each horizontal axis and the height.
GRID_CELLS = 15
GRID_HEIGHTS = 5
# Bistatic ranges that fix a point in space, so that the weakest of as many links decides.
LINKS_FOR_A_POINT = 3


def integration_gain(scene: Scene, transmitter: Site, receiver: Site) -> float:
    """SNR of a path of amplitude 1 (unit-norm steering) after integration.

    Coherent over all resource elements of a frame and all receive antennas, at full power; the
    transmit array adds 0 dB, its mean over directions, as its beams serve the users.
    """
    energy = scene.waveform.power_w * scene.grid.num_symbols / transmitter.num_ant
    return energy / receiver_noise_w(scene, receiver)


def links(scene: Scene) -> list[tuple[Site, Site]]:
    """All pairs of transmitter and receiver that sense together."""
    return [
        (transmitter, receiver)
        for transmitter, receiver in itertools.product(scene.transmitters, scene.receivers)
        if scene.link_mode.allows(transmitter.name, receiver.name)
    ]


def target_classes(scene: Scene) -> list[TargetClass | None]:
    """Classes with a cross section of their own; [None] where the model has no classes."""
    if not scene.propagation.has_radar_equation:
        return [None]
    present = {target.target_class for target in scene.targets} or set(TargetClass)
    return [
        kind
        for kind in (TargetClass.UAV, TargetClass.VEHICLE, TargetClass.UNKNOWN)
        if kind in present
    ]


def class_rcs_m2(scene: Scene, target_class: TargetClass | None) -> float | None:
    """Mean radar cross section of a class, m^2: the least of its live targets', or the class's own.

    None: where the model has no classes.
    """
    if target_class is None:
        return None
    sections = [
        scene.rcs_m2(target.name, target_class)
        for target in scene.targets
        if target.target_class is target_class
    ]
    return min(sections, default=scene.body(target_class).rcs_m2)


def grid_points(
    scene: Scene, num_cells: int = GRID_CELLS, heights_m: Sequence[float] | None = None
) -> np.ndarray:
    """Points over the area, [num_points, 3], m: heights slowest, then y, then x."""
    if scene.dimension == 2:
        return scene.cell_points_m(num_cells)
    if heights_m is None:
        low, high = scene.box.low_m[2], scene.box.high_m[2]
        heights_m = low + (np.arange(GRID_HEIGHTS) + 0.5) / GRID_HEIGHTS * (high - low)
    plane = scene.box.cell_centers_m(num_cells).reshape(-1, 2)
    return np.concatenate(
        [np.column_stack([plane, np.full(len(plane), height)]) for height in heights_m]
    )


def inside_boxes(scene: Scene, points_m: np.ndarray) -> np.ndarray:
    """Whether points_m [num_points, 3] are within a building, [num_points], bool."""
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
    """Expected SNR after integration of the direct path by way of a target at each point.

    points_m: [num_points, 3], m
    Returns [num_points], a power ratio; 0 where the world blocks the path.
    """
    path = bistatic_geometry(
        transmitter.position_m, receiver.position_m, points_m, np.zeros(3), scene.grid.wavelength_m
    )
    power = expected_power(scene, transmitter, receiver, path, class_rcs_m2(scene, target_class))
    power = power * integration_gain(scene, transmitter, receiver)
    if scene.world is not None:
        blocked = scene.world.blocks(transmitter.position_m, points_m) | scene.world.blocks(
            points_m, receiver.position_m
        )
        power = np.where(blocked, 0.0, power)
    return power


def line_of_sight_snr(scene: Scene, transmitter: Site, receiver: Site) -> float:
    """SNR after integration of the direct path between two sites; 0 where there is none."""
    if scene.world is None or not scene.world.line_of_sight:
        return 0.0
    amplitude = line_of_sight(scene, transmitter, receiver).amplitude
    gain = integration_gain(scene, transmitter, receiver)
    return float(np.sum(np.abs(amplitude) ** 2)) * gain


def usable_snr(scene: Scene, points_m: np.ndarray, target_class: TargetClass | None) -> np.ndarray:
    """SNR of the weakest link that a point needs to be located.

    That is the third strongest, or the last where there are fewer.

    points_m: [num_points, 3], m
    Returns [num_points], a power ratio.
    """
    levels = np.stack([path_snr(scene, *link, points_m, target_class) for link in links(scene)])
    place = min(LINKS_FOR_A_POINT, len(levels))
    return np.sort(levels, axis=0)[-place]


def coverage_rows(scene: Scene) -> list[tuple[str, str]]:
    """The link budget that `isac check` prints, a line for each link, in dB over the noise.

    Of all bands; stations that move are where they start.
    """
    own = any(target.rcs_m2 is not None for target in scene.targets)
    remark = "; of a class, its target of the least cross section" if own else ""
    rows = [
        (
            "SNR",
            "of a target path after integration over resource elements and receive antennas: "
            f"median (10 to 90 %) over the area{remark}",
        )
    ]
    for view in scene.views:
        if scene.layout is not None:
            count = len(links(view))
            rows.append((f"band {view.band}", f"{count} link{'' if count == 1 else 's'}"))
        rows += _link_rows(view)
    return rows


def _link_rows(scene: Scene) -> list[tuple[str, str]]:
    """The link budget of one band."""
    points = grid_points(scene)
    points = points[~inside_boxes(scene, points)]
    rows = []
    for transmitter, receiver in links(scene):
        parts = [
            _class_text(scene, transmitter, receiver, points, kind)
            for kind in target_classes(scene)
        ]
        if scene.world is not None:
            parts.append(_world_text(scene, transmitter, receiver, points))
        rows.append((f"{transmitter.name} - {receiver.name}", "; ".join(parts)))
    return rows


def _class_text(
    scene: Scene, transmitter: Site, receiver: Site, points_m: np.ndarray, kind: TargetClass | None
) -> str:
    snr = path_snr(scene, transmitter, receiver, points_m, kind)
    name = "target" if kind is None else kind.name.lower()
    if not snr.any():
        return f"{name} blocked everywhere"
    low, middle, high = np.percentile(10 * np.log10(snr[snr > 0]), [10, 50, 90])
    return f"{name} {middle:.1f} dB ({low:.1f} to {high:.1f})"


def _world_text(scene: Scene, transmitter: Site, receiver: Site, points_m: np.ndarray) -> str:
    snr = path_snr(scene, transmitter, receiver, points_m, TargetClass.UNKNOWN)
    direct = line_of_sight_snr(scene, transmitter, receiver)
    sight = f"line of sight {10 * np.log10(direct):.1f} dB" if direct > 0 else "no line of sight"
    return f"{np.mean(snr == 0):.0%} blocked; {sight}"
