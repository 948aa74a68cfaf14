"""What must hold for a scene to be measurable: places, ambiguities, speeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.station_physics import own_speed_mps
from cooperative_isac.scene.file.world_physics import way_fault
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Box, Scene, Target
from cooperative_isac.scene.motion.motion import Motion, cycle_s
from cooperative_isac.scene.path_file import SITE_TOLERANCE_M
from cooperative_isac.scene.path_plausibility import path_faults
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import World

MOTION_SAMPLES = 601
LONGEST_LOOK_S = 600.0  # of motions without an end
LOOK_STEP_S = 0.2  # a car of 20 m/s is seen where it leaves the area for 4 m
MOST_MOTION_SAMPLES = 10_001
SLACK_M = 1e-6
RATE_TOLERANCE = 1e-6  # relative; what is left when a period or rate was written with a few digits
CARRIER_TOLERANCE = 1e-6  # relative; single precision
MOST_TILES = 200_000  # of the world's surfaces; a link keeps some 100 byte for each


def check_scene(scene: Scene) -> list[Problem]:
    """Faults of a scene that has been built."""
    checks = (
        _sites,
        _delays,
        _doppler,
        _frame,
        _draw,
        _live_targets,
        _path_numbers,
        _world_sites,
        _world_delays,
        _world_draw,
        _world_tiles,
    )
    # A path file of other sites or another rate makes all that follows meaningless.
    first = list(_area(scene)) or list(_path_file(scene))
    return first or [problem for check in checks for problem in check(scene)]


def largest_excess_path(area: Box, transmitter_m: np.ndarray, receiver_m: np.ndarray) -> float:
    """Longest path transmitter - target - receiver over the area less the direct one, m.

    The sum of distances is convex, so the longest path runs over a corner of the area.
    """
    corners = np.array(list(itertools.product(*zip(area.low_m, area.high_m))))
    return _longest_excess(corners, transmitter_m, receiver_m)


def unambiguous_range(scene: Scene) -> float:
    """Span of bistatic ranges that the sensed comb of subcarriers tells apart, m."""
    grid = scene.grid
    stride = grid.subcarrier_stride * _reference_strides(scene)[0]
    return SPEED_OF_LIGHT_MPS / (grid.subcarrier_spacing_hz * stride)


def unambiguous_speed(scene: Scene) -> float:
    """Largest speed of a target, in any direction, whose Doppler is told apart, m/s."""
    return scene.grid.wavelength_m / (4 * scene.grid.symbol_period_s * _reference_strides(scene)[1])


def ends_speed(scene: Scene) -> float:
    """What moving stations add to the speed of a target, in its Doppler shift, at most, m/s.

    Half of the speeds of both ends of a link, as a target's shift has its speed twice.
    """
    if scene.layout is None:
        return 0.0
    speeds = {station.name: own_speed_mps(station) for station in scene.stations}
    return max(
        (
            (speeds[transmitter.name] + speeds[receiver.name]) / 2
            for transmitter, receiver in itertools.product(scene.transmitters, scene.receivers)
            if scene.link_mode.allows(transmitter.name, receiver.name)
        ),
        default=0.0,
    )


def _reference_strides(scene: Scene) -> tuple[int, int]:
    wave = scene.waveform
    if scene.sensing.symbols == "payload":
        return 1, 1
    return wave.reference_subcarrier_stride, wave.reference_symbol_stride


def _area(scene: Scene) -> Iterator[Problem]:
    for axis in range(scene.dimension):
        low, high = scene.box.low_m[axis], scene.box.high_m[axis]
        if low >= high:
            yield Problem(
                f"area.high_m[{axis}]", f"is {high:g}; must be above area.low_m[{axis}] ({low:g})"
            )


def _sites(scene: Scene) -> Iterator[Problem]:
    """No array reaches into another."""
    for (key, site), (other_key, other) in itertools.combinations(_keyed_sites(scene), 2):
        if site.name == other.name:  # one station that transmits and receives
            continue
        distance, reach = (
            np.linalg.norm(site.position_m - other.position_m),
            _reach(site) + _reach(other),
        )
        if distance <= reach:
            yield Problem(
                f"{other_key}.position_m",
                f"is {distance:.3g} m from {key} ('{site.name}'); their "
                f"arrays need more than {reach:.3g} m between them",
            )


def _keyed_sites(scene: Scene) -> list[tuple[str, Site]]:
    groups = (("transmitters", scene.transmitters), ("receivers", scene.receivers))
    return [(f"{group}[{i}]", site) for group, sites in groups for i, site in enumerate(sites)]


def _reach(site: Site) -> float:
    return float(np.linalg.norm(site.elements_m, axis=1).max())


def rate_fault(scene: Scene, rate_hz: float) -> str | None:
    """What is wrong with a frame rate [Hz] for the scene's path file, or None."""
    paths = scene.propagation.paths
    if paths is None or abs(rate_hz * paths.period_s - 1) < RATE_TOLERANCE:
        return None
    return (
        f"is {rate_hz:g}; must be {1 / paths.period_s:g}, since the frames of {paths.source} "
        f"are {paths.period_s:g} s apart"
    )


def _path_file(scene: Scene) -> Iterator[Problem]:
    """The paths are those between the scene's sites, at its carrier and rate."""
    paths = scene.propagation.paths
    if paths is None:
        return
    fault = rate_fault(scene, scene.update_rate_hz)
    if fault is not None:
        yield Problem("update_rate_hz", fault)
    if abs(paths.carrier_hz / scene.grid.carrier_hz - 1) > CARRIER_TOLERANCE:
        yield Problem(
            "propagation.paths",
            f"{paths.source}: fc: is {paths.carrier_hz:g} Hz, "
            f"waveform.carrier_hz is {scene.grid.carrier_hz:g}; trace the paths at the "
            "scene's carrier",
        )
    groups = ("tx", "transmitters", paths.transmitters_m), ("rx", "receivers", paths.receivers_m)
    for array, group, places in groups:
        yield from _sites_of_file(f"{paths.source}: {array}", group, places, getattr(scene, group))


def _path_numbers(scene: Scene) -> Iterator[Problem]:
    """Units, signs and directions of the path file fit each other."""
    paths = scene.propagation.paths
    if paths is not None:
        for fault in path_faults(paths):
            yield Problem("propagation.paths", f"{paths.source}: {fault}")


def _sites_of_file(
    array: str, group: str, places_m: np.ndarray, sites: Sequence[Site]
) -> Iterator[Problem]:
    if len(places_m) != len(sites):
        yield Problem(
            "propagation.paths",
            f"{array}: has {len(places_m)} sites, the scene has "
            f"{len(sites)} {group}; both must list the same sites in the same order",
        )
        return
    for index, (place, site) in enumerate(zip(places_m, sites)):
        apart = float(np.linalg.norm(place - site.position_m))
        if apart > SITE_TOLERANCE_M:
            yield Problem(
                "propagation.paths",
                f"{array}[{index}]: is {apart:.3g} m from "
                f"{group}[{index}] ('{site.name}'); at most {SITE_TOLERANCE_M:g} m: both "
                "must list the same sites in the same order",
            )


def _delays(scene: Scene) -> Iterator[Problem]:
    pairs = itertools.product(scene.transmitters, scene.receivers)
    excess = max(largest_excess_path(scene.box, tx.position_m, rx.position_m) for tx, rx in pairs)
    span, prefix = unambiguous_range(scene), scene.grid.cyclic_prefix_s * SPEED_OF_LIGHT_MPS
    if excess >= span:
        yield Problem(
            "waveform.subcarrier_stride",
            "leaves delays ambiguous: paths in the area differ "
            f"by up to {excess:.4g} m, the comb tells {span:.4g} m apart; reduce the stride or the "
            "area",
        )
    if excess >= prefix:
        yield Problem(
            "waveform.cyclic_prefix_s",
            f"is {prefix:.4g} m of path; must exceed the longest "
            f"excess path in the area ({excess:.4g} m)",
        )


def _doppler(scene: Scene) -> Iterator[Problem]:
    limit, speed = unambiguous_speed(scene), scene.sensing.max_speed_mps
    if speed >= limit:
        yield Problem(
            "waveform.symbol_stride",
            "leaves Doppler ambiguous: it allows speeds below "
            f"{limit:.4g} m/s, sensing.max_speed_mps is {speed:g}; reduce the stride or the speed",
        )
    own = ends_speed(scene)
    if speed < limit <= speed + own:
        yield Problem(
            "waveform.symbol_stride",
            f"leaves Doppler ambiguous: it allows speeds below {limit:.4g} m/s, "
            f"sensing.max_speed_mps is {speed:g} and the stations of a link add {own:.4g} m/s; "
            "reduce the stride or the speeds",
        )
    if scene.sensing.min_speed_mps >= speed:
        yield Problem(
            "sensing.min_speed_mps",
            f"is {scene.sensing.min_speed_mps:g}; must be below max_speed_mps ({speed:g})",
        )


def _frame(scene: Scene) -> Iterator[Problem]:
    lasts, period = scene.grid.num_symbols * scene.grid.symbol_period_s, 1 / scene.update_rate_hz
    if lasts >= period:
        yield Problem(
            "update_rate_hz",
            f"is {scene.update_rate_hz:g}; a frame of {lasts * 1e3:.4g} ms "
            f"allows less than {1 / lasts:.4g}",
        )
    if scene.sensing.deadline_s > period:
        yield Problem(
            "sensing.deadline_s",
            f"is {scene.sensing.deadline_s:g}; must be at most the update period ({period:g} s)",
        )


def _draw(scene: Scene) -> Iterator[Problem]:
    draw, area = scene.draw, scene.box
    fastest = math.sqrt(2 * draw.max_speed_mps**2 + draw.max_climb_mps**2)
    if fastest > scene.sensing.max_speed_mps:
        yield Problem(
            "draw.max_speed_mps",
            f"allows speeds up to {fastest:.4g} m/s (all axes "
            f"together); sensing.max_speed_mps is {scene.sensing.max_speed_mps:g}: raise it or "
            "draw slower targets",
        )
    if (
        draw.height_m
        and not area.low_m[2] <= draw.height_m[0] <= draw.height_m[1] <= area.high_m[2]
    ):
        yield Problem(
            "draw.height_m",
            f"is {list(draw.height_m)}; must lie within the area's heights "
            f"({area.low_m[2]:g} to {area.high_m[2]:g})",
        )


def _world_sites(scene: Scene) -> Iterator[Problem]:
    """Sites stand above the ground and outside the buildings."""
    if scene.world is None:
        return
    for key, site in _keyed_sites(scene):
        if scene.layout is not None and scene.station(site.name).motion is not None:
            continue  # along its motion, by station_physics
        for i, box in enumerate(scene.world.boxes):
            if box.contains(site.position_m):
                yield Problem(
                    f"{key}.position_m", f"is inside world.boxes[{i}]; move the site or the box"
                )
        ground = scene.world.ground
        if ground is not None and site.position_m[2] <= ground.corner_m[2]:
            yield Problem(
                f"{key}.position_m",
                f"is {site.position_m[2]:g} m high; must be above the ground "
                f"(world.ground.height_m: {ground.corner_m[2]:g})",
            )


def _world_delays(scene: Scene) -> Iterator[Problem]:
    """Echoes of the world arrive within the cyclic prefix; the longest runs over a corner."""
    if scene.world is None or not scene.world.surfaces:
        return
    corners = np.concatenate([surface.corners_m for surface in scene.world.surfaces])
    pairs = itertools.product(scene.transmitters, scene.receivers)
    excess = max(_longest_excess(corners, tx.position_m, rx.position_m) for tx, rx in pairs)
    prefix = scene.grid.cyclic_prefix_s * SPEED_OF_LIGHT_MPS
    if excess >= prefix:
        yield Problem(
            "waveform.cyclic_prefix_s",
            f"is {prefix:.4g} m of path; must exceed the longest excess path "
            f"over the world ({excess:.4g} m); make the world smaller (world.ground.margin_m)",
        )


def _longest_excess(
    points_m: np.ndarray, transmitter_m: np.ndarray, receiver_m: np.ndarray
) -> float:
    paths = np.linalg.norm(points_m - transmitter_m, axis=1) + np.linalg.norm(
        points_m - receiver_m, axis=1
    )
    return float(paths.max() - np.linalg.norm(transmitter_m - receiver_m))


def _live_targets(scene: Scene) -> Iterator[Problem]:
    recorded = scene.propagation.paths
    for i, target in enumerate(scene.targets):
        key = f"targets[{i}].motion"
        if recorded is not None:
            key = f"propagation.paths: target '{target.name}'"
        yield from _one_target(scene, target, key)


def _one_target(scene: Scene, target: Target, key: str) -> Iterator[Problem]:
    """A live target stays in the area and within the speed that is looked for."""
    motion = target.motion
    times = _look_times(motion)
    if scene.num_frames is not None:
        times = np.arange(scene.num_frames) / scene.update_rate_hz
    states = [motion.state(float(time)) for time in times]
    positions, speeds = np.array([p for p, _ in states]), [np.linalg.norm(v) for _, v in states]
    low, high, limit = (
        scene.box.low_m - SLACK_M,
        scene.box.high_m + SLACK_M,
        scene.sensing.max_speed_mps,
    )
    outside = np.any((positions < low) | (positions > high), axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        x, y, z = positions[first]
        remedy = "enlarge area, move the target, or end its motion earlier (duration_s, stop_s)"
        if scene.propagation.paths is not None:
            remedy = "enlarge area, or trace paths of targets within it"
        yield Problem(
            key,
            f"is outside the area at {times[first]:.2f} s ({x:.2f}, {y:.2f}, {z:.2f}); {remedy}",
        )
    if scene.world is not None:
        yield from _target_in_world(scene.world, positions, times, key)
    if max(speeds) > limit:
        yield Problem(key, f"reaches {max(speeds):.4g} m/s; sensing.max_speed_mps is {limit:g}")


def _look_times(motion: Motion) -> np.ndarray:
    """Times at which a motion is looked at: all of it, or of a lap, [num_times], s."""
    lasts_s = min(cycle_s(motion), motion.duration_s)
    if math.isinf(lasts_s):
        lasts_s = LONGEST_LOOK_S
    count = int(np.clip(1 + round(lasts_s / LOOK_STEP_S), MOTION_SAMPLES, MOST_MOTION_SAMPLES))
    times = motion.start_s + np.linspace(0, lasts_s, count)
    times[-1] = min(times[-1], motion.start_s + motion.duration_s)
    return times


def _target_in_world(
    world: World, positions_m: np.ndarray, times_s: np.ndarray, key: str
) -> Iterator[Problem]:
    """A live target stays above the ground and outside walls and boxes; one fault, the gravest.

    positions_m: [num_times, 3], m; times_s: [num_times], s
    """
    remedies = {
        "through": "move its way or what stands there",
        "inside": "move the target or the box",
    }
    fault = way_fault(world, positions_m, times_s, remedies)
    if fault is not None:
        yield Problem(key, fault)


def _world_draw(scene: Scene) -> Iterator[Problem]:
    """Drawn targets are above the ground, and some of their places are outside the boxes."""
    if scene.world is None:
        return
    low_m, high_m = scene.draw.height_m or (scene.box.low_m[2], scene.box.high_m[2])
    key = "draw.height_m" if scene.draw.height_m else "area.low_m"
    ground = scene.world.ground
    if ground is not None and low_m < ground.corner_m[2]:
        yield Problem(
            key,
            f"lets drawn targets be {low_m:g} m high; must be above the ground "
            f"(world.ground.height_m: {ground.corner_m[2]:g})",
        )
    low = np.append(scene.box.low_m[:2], low_m)
    high = np.append(scene.box.high_m[:2], high_m)
    if any(np.all((box.low_m <= low) & (box.high_m >= high)) for box in scene.world.boxes):
        yield Problem(
            key, "is filled by a box of the world; leave drawn targets a place outside of it"
        )


def _world_tiles(scene: Scene) -> Iterator[Problem]:
    """Diffuse scattering is a path for each tile and link: not too many."""
    if scene.world is None:
        return
    surfaces = [surface for surface in scene.world.surfaces if surface.material.scattering > 0]
    count = sum(surface.num_tiles(scene.world.tile_m) for surface in surfaces)
    if count > MOST_TILES:
        yield Problem(
            "world.tile_m",
            f"is {scene.world.tile_m:g}, which makes {count} tiles; at most {MOST_TILES}: make "
            "tiles larger or the world smaller",
        )
