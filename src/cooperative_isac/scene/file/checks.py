"""Checks between the keys of a scene file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from cooperative_isac.scene.file import motion_keys, schema, world_keys
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.fragment_checks import check_fragments
from cooperative_isac.scene.file.interferer_checks import interferer_faults, interferer_names
from cooperative_isac.scene.file.signal_checks import check_signals, check_symbols
from cooperative_isac.scene.motion_filters import allowed_motion_filters, is_motion_filter

# Least packet with a weak candidate, bits: envelope, lengths, a report packet without reports, and
# the 36 to 53 bits of a candidate.
LEAST_CANDIDATE_BITS = 300
# Cosine of the angle between a wall's edges up to which it counts as a right angle: rounding of
# written numbers.
RIGHT_ANGLE_COSINE = 1e-3


def check_file(file: schema.SceneFile, names: bool = True) -> list[Problem]:
    """Faults between keys, found before anything is built.

    names: whether the names of sites and targets are checked, too
    """
    checks = (
        _points,
        _users,
        _waveform,
        check_symbols,
        _candidates,
        _tracking,
        _clutter,
        _paths,
        interferer_faults,
        _draw,
        _waypoints,
        _noise,
        _world,
    )
    problems = [problem for check in checks for problem in check(file)]
    if names:
        problems += _names(file)
    return problems


def _points(file: schema.SceneFile) -> Iterator[Problem]:
    """Problems of points: in 3-D three numbers each; in a plane a third one is its height."""
    for key, values, height in _all_points(file):
        fault = point_fault(file.dimension, values, height)
        if fault is not None:
            yield Problem(key, fault)


def point_fault(dimension: int, values: list[float], height: float) -> str | None:
    """Fault of the numbers of a point or velocity, in words, or None.

    height: the z that a scene of dimension 2 allows
    """
    if dimension == 3 and len(values) != 3:
        return "has 2 numbers; a scene of dimension 3 needs x, y, z"
    if dimension == 2 and len(values) == 3 and values[2] != height:
        return f"has z = {values[2]:g}; a scene of dimension 2 allows x, y alone or z = {height:g}"
    return None


def _all_points(file: schema.SceneFile) -> Iterator[tuple[str, list[float], float]]:
    """Key, numbers, and the z that a plane allows, of every point and velocity."""
    height = file.plane_height_m

    # Area, sites and clutter.
    yield "area.low_m", file.area.low_m, height
    yield "area.high_m", file.area.high_m, height
    for group in ("transmitters", "receivers"):
        for i, site in enumerate(getattr(file, group)):
            yield f"{group}[{i}].position_m", site.position_m, height
    for i, position in enumerate(file.propagation.clutter.positions_m or []):
        yield f"propagation.clutter.positions_m[{i}]", position, height
    for i, interferer in enumerate(file.propagation.interferers):
        yield f"propagation.interferers[{i}].position_m", interferer.position_m, height

    # Motions of targets.
    for i, target in enumerate(file.targets):
        motion = target.motion
        key = f"targets[{i}].motion"
        if isinstance(motion, motion_keys.WaypointsEntry):
            for place, values in enumerate(motion.points_m):
                yield f"{key}.points_m[{place}]", values, height
        elif not isinstance(motion, motion_keys.TrajectoryEntry):
            yield f"{key}.position_m", motion.position_m, height
            yield f"{key}.velocity_mps", motion.velocity_mps, 0.0


def _users(file: schema.SceneFile) -> Iterator[Problem]:
    """Users of a plane are in it."""
    if file.dimension == 2 and file.users.height_m not in (None, file.plane_height_m):
        yield Problem(
            "users.height_m",
            f"is {file.users.height_m:g}; a scene of dimension 2 allows only "
            f"plane_height_m ({file.plane_height_m:g})",
        )


def _names(file: schema.SceneFile) -> Iterator[Problem]:
    """All sites have different names, and all targets."""
    sites = [
        (f"{group}[{i}].name", site.name)
        for group in ("transmitters", "receivers")
        for i, site in enumerate(getattr(file, group))
    ]
    sites += interferer_names(file.propagation)
    targets = [(f"targets[{i}].name", target.name) for i, target in enumerate(file.targets)]
    for named in (sites, targets):
        yield from repeated_names(named)


def repeated_names(named: list[tuple[str, str]]) -> Iterator[Problem]:
    """Names that occur at several keys.

    named: pairs of key and name
    """
    counts = Counter(name for _, name in named)
    for name, count in counts.items():
        if count == 1:
            continue
        keys = [key for key, other in named if other == name]
        yield Problem(keys[-1], f"'{name}' is already the name at {keys[0]}; names must differ")


def _waveform(file: schema.SceneFile) -> Iterator[Problem]:
    """Precoder groups and the comb of reference symbols divide the grid evenly."""
    wave = file.waveform
    if wave.num_subcarriers % wave.group_size:
        yield Problem(
            "waveform.group_size",
            f"is {wave.group_size}; must divide num_subcarriers ({wave.num_subcarriers})",
        )

    yield from check_fragments(file)

    # Reference symbols: a comb along both axes, or none.
    strides = {
        "reference_subcarrier_stride": "num_subcarriers",
        "reference_symbol_stride": "num_symbols",
    }
    for stride_key, count_key in strides.items():
        stride = getattr(wave, stride_key)
        count = getattr(wave, count_key)
        if stride and count % stride:
            yield Problem(
                f"waveform.{stride_key}",
                f"is {stride}; must divide {count_key} ({count}), or be 0 for no reference symbols",
            )
    if bool(wave.reference_subcarrier_stride) != bool(wave.reference_symbol_stride):
        yield Problem(
            "waveform.reference_symbol_stride",
            f"is {wave.reference_symbol_stride}; must be 0 "
            f"exactly when reference_subcarrier_stride ({wave.reference_subcarrier_stride}) is",
        )
    yield from check_signals(file)


def _candidates(file: schema.SceneFile) -> Iterator[Problem]:
    """A packet with weak candidates has room for one."""
    if 0 < file.sensing.candidate_bits < LEAST_CANDIDATE_BITS:
        yield Problem(
            "sensing.candidate_bits",
            f"is {file.sensing.candidate_bits}; must be at least {LEAST_CANDIDATE_BITS}, the size "
            "of a packet with one weak candidate, or 0 for none",
        )


def _tracking(file: schema.SceneFile) -> Iterator[Problem]:
    """The tracker's motion filter exists, and tracks can be confirmed."""
    if not is_motion_filter(file.tracking.model):
        yield Problem(
            "tracking.model",
            f"is '{file.tracking.model}'; must be one of {allowed_motion_filters()}",
        )
    if file.tracking.confirm_hits > file.tracking.confirm_window:
        yield Problem(
            "tracking.confirm_hits",
            f"is {file.tracking.confirm_hits}; must be at most "
            f"confirm_window ({file.tracking.confirm_window})",
        )


def _clutter(file: schema.SceneFile) -> Iterator[Problem]:
    """Scatterers are a number or a list of places."""
    clutter = file.propagation.clutter
    if clutter.positions_m is None:
        return
    if clutter.num_scatterers not in (None, len(clutter.positions_m)):
        yield Problem(
            "propagation.clutter.num_scatterers",
            f"is {clutter.num_scatterers}, but positions_m "
            f"lists {len(clutter.positions_m)}; give one of the two keys",
        )


def _paths(file: schema.SceneFile) -> Iterator[Problem]:
    """A path file replaces targets, clutter and world of the scene file."""
    propagation = file.propagation
    if propagation.paths is None:
        if propagation.path_kinds is not None:
            yield Problem(
                "propagation.path_kinds", "goes with propagation.paths only; leave it out"
            )
        return

    # Keys beside it.
    if file.targets:
        yield Problem(
            "targets",
            "lists targets, but those of a scene with propagation.paths come "
            "from that file; leave one of the two keys out",
        )
    clutter = propagation.clutter
    if clutter.num_scatterers or clutter.positions_m:
        yield Problem(
            "propagation.clutter",
            "draws scatterers, but with propagation.paths all "
            "paths come from that file; leave one of the two keys out",
        )
    if file.world is not None:
        yield Problem(
            "world",
            "places surfaces, but with propagation.paths all paths come from "
            "that file; leave one of the two keys out",
        )

    # Kinds of its paths.
    for kind, count in Counter(propagation.path_kinds or []).items():
        if count > 1:
            yield Problem("propagation.path_kinds", f"lists '{kind}' twice")


def _noise(file: schema.SceneFile) -> Iterator[Problem]:
    """Noise is a power or a noise figure."""
    propagation = file.propagation
    has_power = "noise_power_dbm" in propagation.model_fields_set
    if propagation.noise_figure_db is not None and has_power:
        yield Problem(
            "propagation.noise_figure_db",
            f"is {propagation.noise_figure_db:g} beside noise_power_dbm "
            f"({propagation.noise_power_dbm:g}); give one of the two keys",
        )


def _world(file: schema.SceneFile) -> Iterator[Problem]:
    """A world is for three dimensions; each of its walls and boxes has a size."""
    world = file.world
    if world is None:
        return
    if file.dimension == 2:
        yield Problem(
            "world", "is for scenes of dimension 3 only; set dimension: 3 or leave it out"
        )

    # Ground, walls and boxes.
    if world.ground:
        yield from _material(world.ground.material, "world.ground.material")
    for i, wall in enumerate(world.walls):
        yield from _wall(wall, f"world.walls[{i}]")
        yield from _material(wall.material, f"world.walls[{i}].material")
    for i, box in enumerate(world.boxes):
        if any(low >= high for low, high in zip(box.low_m, box.high_m)):
            yield Problem(
                f"world.boxes[{i}].high_m",
                f"is {box.high_m}; must be above low_m ({box.low_m}) on every axis",
            )
        yield from _material(box.material, f"world.boxes[{i}].material")


def _wall(wall: world_keys.WallEntry, key: str) -> Iterator[Problem]:
    """A wall is a rectangle of two edges, or an upright one between two points, and has an area."""
    # All keys of one form, and none of the other.
    edges = [part is not None for part in (wall.corner_m, wall.edges_m)]
    upright = [part is not None for part in (wall.from_m, wall.to_m, wall.height_m)]
    has_edges = all(edges) and not any(upright)
    is_upright = all(upright) and not any(edges)
    if not has_edges and not is_upright:
        yield Problem(key, "needs either corner_m and edges_m, or from_m, to_m and height_m")
        return

    if wall.edges_m is not None:
        first, second = wall.edges_m
        product = sum(a * b for a, b in zip(first, second))
        lengths = math.hypot(*first), math.hypot(*second)
        if not all(lengths) or abs(product) > RIGHT_ANGLE_COSINE * lengths[0] * lengths[1]:
            yield Problem(
                f"{key}.edges_m",
                f"is {wall.edges_m}; the two edges must have a length and be at right angles",
            )
    if wall.height_m is not None:
        lowest_m, highest_m = wall.height_m
        if wall.from_m == wall.to_m or lowest_m >= highest_m:
            yield Problem(key, "has no area: from_m and to_m must differ, and height_m must rise")


def _material(material: world_keys.MaterialEntry, key: str) -> Iterator[Problem]:
    """A material is given by its constants or by a loss."""
    has_constants = material.permittivity is not None or material.conductivity_spm is not None
    if material.reflection_loss_db is not None and has_constants:
        yield Problem(
            f"{key}.reflection_loss_db",
            "stands beside permittivity or conductivity_spm; give the loss, or of what it is made",
        )


def _draw(file: schema.SceneFile) -> Iterator[Problem]:
    """Drawn targets fit the scene's dimension, and are not more than the reported ones."""
    draw = file.draw
    if file.dimension == 2 and draw.max_climb_mps:
        yield Problem(
            "draw.max_climb_mps", f"is {draw.max_climb_mps:g}; must be 0 in a scene of dimension 2"
        )

    # Heights rise, in three dimensions.
    if draw.height_m and file.dimension == 2:
        yield Problem("draw.height_m", "is not for a scene of dimension 2; leave it out")
    elif draw.height_m and draw.height_m[0] > draw.height_m[1]:
        yield Problem(
            "draw.height_m", f"is {draw.height_m}; the first height must not be above the second"
        )

    if draw.num_targets > file.sensing.max_targets:
        yield Problem(
            "draw.num_targets",
            f"is {draw.num_targets}; must be at most sensing.max_targets "
            f"({file.sensing.max_targets})",
        )


def _waypoints(file: schema.SceneFile) -> Iterator[Problem]:
    """Waypoints of all targets."""
    for i, target in enumerate(file.targets):
        if isinstance(target.motion, motion_keys.WaypointsEntry):
            yield from _one_waypoints(target.motion, f"targets[{i}].motion")


def _one_waypoints(motion: motion_keys.WaypointsEntry, key: str) -> Iterator[Problem]:
    """Waypoints have a speed or times, and as many times as they need."""
    if (motion.speed_mps is None) == (motion.times_s is None):
        yield Problem(key, "needs exactly one of speed_mps and times_s")
    if motion.loop and len(motion.points_m) < 3:
        yield Problem(
            f"{key}.points_m", f"has {len(motion.points_m)} points; a loop needs at least 3"
        )
    if motion.times_s is None:
        return

    # Times: one for each point, rising.
    expected = len(motion.points_m) + motion.loop
    if motion.corner_radius_m is not None:
        yield Problem(
            f"{key}.corner_radius_m", "goes with speed_mps only; leave it out beside times_s"
        )
    if len(motion.times_s) != expected:
        yield Problem(
            f"{key}.times_s",
            f"has {len(motion.times_s)} times; needs {expected}: one a point"
            + (", and one for the return to the first" if motion.loop else ""),
        )
    elif motion.times_s[0] != 0 or any(b <= a for a, b in zip(motion.times_s, motion.times_s[1:])):
        yield Problem(f"{key}.times_s", "must begin with 0 and rise")
