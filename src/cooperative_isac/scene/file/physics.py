"""Checks that a scene can be measured: positions, ambiguities, speeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.scene.box import Box
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.interferer_checks import interferer_places, share_remedy
from cooperative_isac.scene.file.station_physics import own_speed_mps
from cooperative_isac.scene.file.world_physics import place_faults, way_fault
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene, Target
from cooperative_isac.scene.motion.motion import Motion, cycle_s
from cooperative_isac.scene.path_file import SITE_TOLERANCE_M
from cooperative_isac.scene.path_plausibility import path_faults
from cooperative_isac.scene.slot_layout import grid_elements, steps
from cooperative_isac.scene.station import Site
from cooperative_isac.scene.world import World

# Times at which a motion is checked: every LOOK_STEP_S, so that a car of 20 m/s is seen where it
# leaves the area for 4 m, but at least so many, as short motions are cheap, and at most so many, so
# that a check takes below a second.
LOOK_STEP_S = 0.2
LEAST_MOTION_SAMPLES = 601
MOST_MOTION_SAMPLES = 10_001
# Duration over which a motion without end is checked, s.
LONGEST_LOOK_S = 600.0
# Distance by which a target may leave the area, m: rounding.
SLACK_M = 1e-6
# Relative error of a frame rate against a period: both may be written with a few digits.
RATE_TOLERANCE = 1e-6
# Relative error of a path file's carrier: single precision.
CARRIER_TOLERANCE = 1e-6
# Tiles of the world's surfaces: a link keeps some 100 byte for each.
MOST_TILES = 200_000


def check_scene(scene: Scene) -> list[Problem]:
    """Faults of a scene that has been built."""
    checks = (
        _sites,
        interferer_places,
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
    # An empty area, or a path file of other sites or another rate makes all other checks void.
    first = list(_area(scene)) or list(_path_file(scene))
    return first or [problem for check in checks for problem in check(scene)]


def largest_excess_path(area: Box, transmitter_m: np.ndarray, receiver_m: np.ndarray) -> float:
    """Longest path transmitter - target - receiver over the area less the direct one, m.

    The sum of distances is convex, so that the longest path is by way of a corner of the area.

    transmitter_m: [3], float64, m
    receiver_m: [3], float64, m
    """
    corners_m = np.array(list(itertools.product(*zip(area.low_m, area.high_m))))
    return _longest_excess(corners_m, transmitter_m, receiver_m)


def unambiguous_range(scene: Scene) -> float:
    """Unambiguous span of bistatic ranges of the sensed comb of subcarriers, m.

    It is that of the greatest common step between the sensed subcarriers.
    """
    grid = scene.grid
    reference_stride, _ = _sensed_strides(scene)
    stride = grid.subcarrier_stride * reference_stride
    return SPEED_OF_LIGHT_MPS / (grid.subcarrier_spacing_hz * stride)


def unambiguous_speed(scene: Scene) -> float:
    """Largest speed of a target, in any direction, with an unambiguous Doppler shift, m/s."""
    # A speed v shifts by 2 v / wavelength at most; shifts below half of the symbol rate are
    # unambiguous.
    _, reference_stride = _sensed_strides(scene)
    period_s = scene.grid.symbol_period_s * reference_stride
    return scene.grid.wavelength_m / (4 * period_s)


def ends_speed(scene: Scene) -> float:
    """Largest contribution of moving stations to a target's Doppler shift, as a speed, m/s.

    It is half the sum of the speeds of a link's ends, as a target's own speed counts twice.
    """
    if scene.layout is None:
        return 0.0
    speeds_mps = {station.name: own_speed_mps(station) for station in scene.stations}
    of_links_mps = [
        (speeds_mps[transmitter.name] + speeds_mps[receiver.name]) / 2
        for transmitter, receiver in itertools.product(scene.transmitters, scene.receivers)
        if scene.link_mode.allows(transmitter.name, receiver.name)
    ]
    return max(of_links_mps, default=0.0)


def _sensed_strides(scene: Scene) -> tuple[int, int]:
    """Strides over subcarriers and symbols of the resource elements that are sensed with.

    Reference signals as NR maps them, and fragments, have those of their elements' greatest common
    steps.
    """
    wave = scene.waveform
    grid = wave.grid
    if scene.sensing.symbols != "reference_only":
        elements = np.ones((grid.num_subcarriers, grid.num_symbols), bool)
    elif wave.reference_signals:
        elements = grid_elements(wave.reference_signals, grid)
    else:
        return wave.reference_strides
    over_subcarriers, over_symbols = steps(elements, grid.places)
    return max(over_subcarriers, 1), max(over_symbols, 1)


def _area(scene: Scene) -> Iterator[Problem]:
    """The area has a size along each axis."""
    for axis in range(scene.dimension):
        low = scene.box.low_m[axis]
        high = scene.box.high_m[axis]
        if low >= high:
            yield Problem(
                f"area.high_m[{axis}]", f"is {high:g}; must be above area.low_m[{axis}] ({low:g})"
            )


def _sites(scene: Scene) -> Iterator[Problem]:
    """No array reaches into another."""
    for (key, site), (other_key, other) in itertools.combinations(_keyed_sites(scene), 2):
        if site.name == other.name:  # one station that transmits and receives
            continue
        distance_m = np.linalg.norm(site.position_m - other.position_m)
        reach_m = _reach(site) + _reach(other)
        if distance_m <= reach_m:
            yield Problem(
                f"{other_key}.position_m",
                f"is {distance_m:.3g} m from {key} ('{site.name}'); their "
                f"arrays need more than {reach_m:.3g} m between them",
            )


def _keyed_sites(scene: Scene) -> list[tuple[str, Site]]:
    """All sites with their keys in the file."""
    groups = (("transmitters", scene.transmitters), ("receivers", scene.receivers))
    return [(f"{group}[{i}]", site) for group, sites in groups for i, site in enumerate(sites)]


def _reach(site: Site) -> float:
    """Distance from a site's position to its farthest element, m."""
    return float(np.linalg.norm(site.elements_m, axis=1).max())


def rate_fault(scene: Scene, rate_hz: float) -> str | None:
    """Fault of a frame rate, Hz, for the scene's path file, in words, or None."""
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
    yield from _sites_of_file(
        f"{paths.source}: tx", "transmitters", paths.transmitters_m, scene.transmitters
    )
    yield from _sites_of_file(
        f"{paths.source}: rx", "receivers", paths.receivers_m, scene.receivers
    )


def _path_numbers(scene: Scene) -> Iterator[Problem]:
    """Units, signs and directions of the path file fit each other."""
    paths = scene.propagation.paths
    if paths is not None:
        for fault in path_faults(paths):
            yield Problem("propagation.paths", f"{paths.source}: {fault}")


def _sites_of_file(
    array: str, group: str, places_m: np.ndarray, sites: Sequence[Site]
) -> Iterator[Problem]:
    """An array of positions in a path file has those of the scene's sites, in the same order.

    places_m: [num_places, 3], float64, m
    """
    if len(places_m) != len(sites):
        yield Problem(
            "propagation.paths",
            f"{array}: has {len(places_m)} sites, the scene has "
            f"{len(sites)} {group}; both must list the same sites in the same order",
        )
        return
    for index, (place, site) in enumerate(zip(places_m, sites)):
        distance_m = float(np.linalg.norm(place - site.position_m))
        if distance_m > SITE_TOLERANCE_M:
            yield Problem(
                "propagation.paths",
                f"{array}[{index}]: is {distance_m:.3g} m from "
                f"{group}[{index}] ('{site.name}'); at most {SITE_TOLERANCE_M:g} m: both "
                "must list the same sites in the same order",
            )


def _delays(scene: Scene) -> Iterator[Problem]:
    """Delays of all targets in the area are unambiguous, and within the cyclic prefix."""
    pairs = itertools.product(scene.transmitters, scene.receivers)
    excess_m = max(largest_excess_path(scene.box, tx.position_m, rx.position_m) for tx, rx in pairs)

    span_m = unambiguous_range(scene)
    whole_span_m = unambiguous_range(_without_gaps(scene))
    if whole_span_m > excess_m >= span_m:
        yield Problem(
            "waveform.fragments",
            "leave delays ambiguous: paths in the area differ by up to "
            f"{excess_m:.4g} m, the sensed subcarriers of the fragments are unambiguous over "
            f"{span_m:.4g} m, those of a grid without gaps over {whole_span_m:.4g} m; choose wider "
            "fragments, or reduce the area",
        )
    elif excess_m >= span_m:
        yield Problem(
            "waveform.subcarrier_stride",
            "leaves delays ambiguous: paths in the area differ "
            f"by up to {excess_m:.4g} m, the comb is unambiguous over {span_m:.4g} m; reduce the "
            f"stride or the area{share_remedy(scene)}",
        )

    prefix_m = scene.grid.cyclic_prefix_s * SPEED_OF_LIGHT_MPS
    if excess_m >= prefix_m:
        yield Problem(
            "waveform.cyclic_prefix_s",
            f"is {prefix_m:.4g} m of path; must exceed the longest "
            f"excess path in the area ({excess_m:.4g} m)",
        )


def _without_gaps(scene: Scene) -> Scene:
    """The scene with all subcarriers of the comb up to the last used one."""
    grid = scene.grid
    if not grid.fragments:
        return scene
    whole = replace(grid, num_subcarriers=grid.fragments[-1][1] + 1, fragments=())
    return replace(scene, waveform=replace(scene.waveform, grid=whole))


def _doppler(scene: Scene) -> Iterator[Problem]:
    """Doppler shifts of targets that are looked for are unambiguous."""
    limit_mps = unambiguous_speed(scene)
    speed_mps = scene.sensing.max_speed_mps
    ends_mps = ends_speed(scene)
    if speed_mps >= limit_mps:
        yield Problem(
            "waveform.symbol_stride",
            "leaves Doppler ambiguous: it allows speeds below "
            f"{limit_mps:.4g} m/s, sensing.max_speed_mps is {speed_mps:g}; reduce the stride or "
            "the speed",
        )
    elif speed_mps + ends_mps >= limit_mps:
        yield Problem(
            "waveform.symbol_stride",
            f"leaves Doppler ambiguous: it allows speeds below {limit_mps:.4g} m/s, "
            f"sensing.max_speed_mps is {speed_mps:g} and the stations of a link add "
            f"{ends_mps:.4g} m/s; reduce the stride or the speeds",
        )

    if scene.sensing.min_speed_mps >= speed_mps:
        yield Problem(
            "sensing.min_speed_mps",
            f"is {scene.sensing.min_speed_mps:g}; must be below max_speed_mps ({speed_mps:g})",
        )


def _frame(scene: Scene) -> Iterator[Problem]:
    """A frame and the wait for its packets are within the update period."""
    frame_s = scene.grid.num_symbols * scene.grid.symbol_period_s
    period_s = 1 / scene.update_rate_hz
    if frame_s >= period_s:
        yield Problem(
            "update_rate_hz",
            f"is {scene.update_rate_hz:g}; a frame of {frame_s * 1e3:.4g} ms "
            f"allows less than {1 / frame_s:.4g}",
        )
    if scene.sensing.deadline_s > period_s:
        yield Problem(
            "sensing.deadline_s",
            f"is {scene.sensing.deadline_s:g}; must be at most the update period ({period_s:g} s)",
        )


def _draw(scene: Scene) -> Iterator[Problem]:
    """Drawn targets are within the speed that is looked for, and within the area."""
    draw = scene.draw
    fastest_mps = math.sqrt(2 * draw.max_speed_mps**2 + draw.max_climb_mps**2)
    if fastest_mps > scene.sensing.max_speed_mps:
        yield Problem(
            "draw.max_speed_mps",
            f"allows speeds up to {fastest_mps:.4g} m/s (all axes "
            f"together); sensing.max_speed_mps is {scene.sensing.max_speed_mps:g}: raise it or "
            "draw slower targets",
        )

    if draw.height_m is None:
        return
    lowest_m, highest_m = draw.height_m
    floor_m = scene.box.low_m[2]
    ceiling_m = scene.box.high_m[2]
    if not floor_m <= lowest_m <= highest_m <= ceiling_m:
        yield Problem(
            "draw.height_m",
            f"is {list(draw.height_m)}; must lie within the area's heights "
            f"({floor_m:g} to {ceiling_m:g})",
        )


def _world_sites(scene: Scene) -> Iterator[Problem]:
    """Sites stand above the ground and outside the buildings."""
    for key, site in _keyed_sites(scene):
        if scene.layout is not None and scene.station(site.name).motion is not None:
            continue  # along its motion, in station_physics
        yield from place_faults(scene.world, f"{key}.position_m", site.position_m)


def _world_delays(scene: Scene) -> Iterator[Problem]:
    """Echoes of the world are within the cyclic prefix; the longest is by way of a corner."""
    if scene.world is None or not scene.world.surfaces:
        return
    corners_m = np.concatenate([surface.corners_m for surface in scene.world.surfaces])
    pairs = itertools.product(scene.transmitters, scene.receivers)
    excess_m = max(_longest_excess(corners_m, tx.position_m, rx.position_m) for tx, rx in pairs)
    prefix_m = scene.grid.cyclic_prefix_s * SPEED_OF_LIGHT_MPS
    if excess_m >= prefix_m:
        yield Problem(
            "waveform.cyclic_prefix_s",
            f"is {prefix_m:.4g} m of path; must exceed the longest excess path "
            f"over the world ({excess_m:.4g} m); make the world smaller (world.ground.margin_m)",
        )


def _longest_excess(
    points_m: np.ndarray, transmitter_m: np.ndarray, receiver_m: np.ndarray
) -> float:
    """Longest path by way of points [num_points, 3], m, less the direct one, m."""
    tx_distances_m = np.linalg.norm(points_m - transmitter_m, axis=1)
    rx_distances_m = np.linalg.norm(points_m - receiver_m, axis=1)
    direct_m = np.linalg.norm(transmitter_m - receiver_m)
    return float((tx_distances_m + rx_distances_m).max() - direct_m)


def _live_targets(scene: Scene) -> Iterator[Problem]:
    """All live targets, of the scene file or of its path file."""
    recorded = scene.propagation.paths
    for i, target in enumerate(scene.targets):
        key = f"targets[{i}].motion"
        if recorded is not None:
            key = f"propagation.paths: target '{target.name}'"
        yield from _one_target(scene, target, key)


def _one_target(scene: Scene, target: Target, key: str) -> Iterator[Problem]:
    """A live target stays in the area and within the speed that is looked for."""
    # Positions and speeds.
    motion = target.motion
    times_s = checked_times(scene, motion)
    states = [motion.state(float(time_s)) for time_s in times_s]
    positions_m = np.array([position_m for position_m, _ in states])
    fastest_mps = max(np.linalg.norm(velocity_mps) for _, velocity_mps in states)

    # Area.
    low_m = scene.box.low_m - SLACK_M
    high_m = scene.box.high_m + SLACK_M
    is_outside = np.any((positions_m < low_m) | (positions_m > high_m), axis=1)
    if is_outside.any():
        first = int(np.argmax(is_outside))
        x, y, z = positions_m[first]
        remedy = "enlarge area, move the target, or end its motion earlier (duration_s, stop_s)"
        if scene.propagation.paths is not None:
            remedy = "enlarge area, or trace paths of targets within it"
        yield Problem(
            key,
            f"is outside the area at {times_s[first]:.2f} s ({x:.2f}, {y:.2f}, {z:.2f}); {remedy}",
        )

    # Static world.
    if scene.world is not None:
        yield from _target_in_world(scene.world, positions_m, times_s, key)

    # Speed.
    limit_mps = scene.sensing.max_speed_mps
    if fastest_mps > limit_mps:
        yield Problem(key, f"reaches {fastest_mps:.4g} m/s; sensing.max_speed_mps is {limit_mps:g}")


def checked_times(scene: Scene, motion: Motion) -> np.ndarray:
    """Times over all of a motion, or a lap of it, at which it is checked, [num_times], s.

    Of targets in a path file they are those of its frames.
    """
    if scene.num_frames is not None:
        return np.arange(scene.num_frames) / scene.update_rate_hz
    duration_s = min(cycle_s(motion), motion.duration_s)
    if math.isinf(duration_s):
        duration_s = LONGEST_LOOK_S
    num_steps = 1 + round(duration_s / LOOK_STEP_S)
    count = int(np.clip(num_steps, LEAST_MOTION_SAMPLES, MOST_MOTION_SAMPLES))
    times_s = motion.start_s + np.linspace(0, duration_s, count)
    times_s[-1] = min(times_s[-1], motion.start_s + motion.duration_s)
    return times_s


def _target_in_world(
    world: World, positions_m: np.ndarray, times_s: np.ndarray, key: str
) -> Iterator[Problem]:
    """A live target stays above the ground and outside walls and boxes; the gravest fault.

    positions_m: [num_times, 3], float64, m
    times_s: [num_times], float64, s
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
    lowest_m, highest_m = scene.draw.height_m or (scene.box.low_m[2], scene.box.high_m[2])
    key = "draw.height_m" if scene.draw.height_m else "area.low_m"

    ground = scene.world.ground
    if ground is not None and lowest_m < ground.corner_m[2]:
        yield Problem(
            key,
            f"lets drawn targets be {lowest_m:g} m high; must be above the ground "
            f"(world.ground.height_m: {ground.corner_m[2]:g})",
        )

    # A single box around all places.
    low_m = np.append(scene.box.low_m[:2], lowest_m)
    high_m = np.append(scene.box.high_m[:2], highest_m)
    if any(np.all((box.low_m <= low_m) & (box.high_m >= high_m)) for box in scene.world.boxes):
        yield Problem(
            key, "is filled by a box of the world; leave drawn targets a place outside of it"
        )


def _world_tiles(scene: Scene) -> Iterator[Problem]:
    """Diffuse scattering has not too many paths: one for each tile and link."""
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
