"""From the validated file to the scene that the stages use: decibels to watts, degrees to
rotations.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cooperative_isac.scene import arrays
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build_world import build_world
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import (
    Body,
    Box,
    Clutter,
    OfdmGrid,
    Propagation,
    Sensing,
    Site,
    Target,
    TargetClass,
    TargetDraw,
    Tracking,
    Users,
    Waveform,
)
from cooperative_isac.scene.motion.motion import ConstantVelocity, CoordinatedTurn, Delayed, Motion
from cooperative_isac.scene.motion.trajectory_file import read_trajectory
from cooperative_isac.scene.motion.waypoints import (
    at_height,
    placed,
    trajectory_motion,
    waypoints_at_speed,
    waypoints_at_times,
)
from cooperative_isac.scene.path_file import PATH_KINDS, PathFile, PathFileError, read_path_file

DEADLINE_SHARE = 0.8
USER_HEIGHT_M = 1.5
BOLTZMANN_J_PER_K = 1.380649e-23
REFERENCE_TEMPERATURE_K = 290.0
# Mean radar cross section in dBsm and deviation in dB of each class: 3GPP TR 38.901 section 7.9
# (release 19), small UAV, passenger car (without its directional lobes), and for targets of no
# class a person.
USUAL_RCS = {"uav": (-12.81, 3.74), "vehicle": (11.25, 3.41), "unknown": (-1.37, 3.94)}
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class UnsetVariable(ValueError):
    """A path uses an environment variable that is not set and has no default."""


def dbm_to_w(power_dbm: float) -> float:
    """Power in W."""
    return 1e-3 * 10 ** (power_dbm / 10)


def w_to_dbm(power_w: float) -> float:
    """Power in dBm."""
    return 10 * math.log10(power_w / 1e-3)


def rotation_matrix(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Array axes to map axes, [3, 3]: roll about x, pitch (positive looks up), yaw about z
    (REP-103).
    """
    (cy, cp, cr), (sy, sp, sr) = (
        f(np.radians([yaw_deg, -pitch_deg, roll_deg])) for f in (np.cos, np.sin)
    )
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return yaw @ pitch @ roll


def point(values: list[float], height_m: float) -> np.ndarray:
    """A point of the file as [3]; one of two numbers lies at height_m."""
    return np.array([*values, height_m][:3], float)


def array_elements(
    entry: schema.Ula | schema.Planar | schema.Custom, wavelength_m: float
) -> np.ndarray:
    """Offsets of an array's elements along its own axes, [num_ant, 3], m."""
    if isinstance(entry, schema.Custom):
        return np.array(entry.elements_m)
    spacing_m = entry.spacing_wavelengths * wavelength_m
    if isinstance(entry, schema.Ula):
        return arrays.ula(entry.num_elements, spacing_m)
    return arrays.planar(entry.num_horizontal, entry.num_vertical, spacing_m)


def build_site(entry: schema.SiteEntry, wavelength_m: float, height_m: float) -> Site:
    """A site with its elements turned into map axes."""
    spec, turn = entry.array, entry.orientation
    elements = array_elements(spec, wavelength_m)
    rotation = rotation_matrix(turn.yaw_deg, turn.pitch_deg, turn.roll_deg)
    return Site(
        entry.name,
        point(entry.position_m, height_m),
        rotation,
        elements @ rotation.T,
        spec.kind,
        spec.pattern,
    )


def build_waveform(entry: schema.WaveformEntry) -> Waveform:
    """The grid and what is sent on it."""
    grid = OfdmGrid(
        entry.carrier_hz,
        entry.subcarrier_spacing_hz,
        entry.num_subcarriers,
        entry.num_symbols,
        entry.cyclic_prefix_s,
        entry.subcarrier_stride,
        entry.symbol_stride,
    )
    return Waveform(
        grid,
        entry.modulation,
        entry.precoder,
        entry.group_size,
        dbm_to_w(entry.power_dbm),
        entry.reference_subcarrier_stride,
        entry.reference_symbol_stride,
    )


def thermal_noise_w(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Noise power k T0 B F of a receiver at 290 K, W."""
    return BOLTZMANN_J_PER_K * REFERENCE_TEMPERATURE_K * bandwidth_hz * 10 ** (noise_figure_db / 10)


def build_body(name: str, entry: schema.BodyEntry) -> Body:
    """The body of a target class; what the file leaves out has the class's usual value."""
    usual_dbsm, usual_std_db = USUAL_RCS[name]
    rcs_dbsm = usual_dbsm if entry.rcs_dbsm is None else entry.rcs_dbsm
    rcs_std_db = usual_std_db if entry.rcs_std_db is None else entry.rcs_std_db
    return Body(np.array(entry.size_m), 10 ** (rcs_dbsm / 10), rcs_std_db)


def build_propagation(
    entry: schema.PropagationEntry, height_m: float, subcarrier_spacing_hz: float
) -> Propagation:
    """The sensing channel's constants."""
    noise_w = dbm_to_w(entry.noise_power_dbm)
    if entry.noise_figure_db is not None:
        noise_w = thermal_noise_w(subcarrier_spacing_hz, entry.noise_figure_db)
    clutter, positions = entry.clutter, None
    if clutter.positions_m is not None:
        positions = np.array([point(p, height_m) for p in clutter.positions_m]).reshape(-1, 3)
    count = clutter.num_scatterers or 0 if positions is None else len(positions)
    return Propagation(
        10 ** (entry.reference_gain_db / 10),
        entry.reference_distance_m,
        entry.pathloss_exponent,
        entry.reflection_variance,
        noise_w,
        Clutter(count, clutter.reflection_variance, positions),
        entry.timing_offset_std_s,
        entry.frequency_offset_std_hz,
        entry.model,
        coherence_time_s=entry.coherence_time_s,
    )


def static_suppression(file: schema.SceneFile) -> str:
    """What happens to static paths: as the file says, else `project` where its echoes have some."""
    if file.sensing.static_paths is not None:
        return file.sensing.static_paths
    traced_kinds = set()
    if file.propagation.paths is not None:
        traced_kinds = {*(file.propagation.path_kinds or PATH_KINDS)}
    has_static_world = file.world is not None or bool(traced_kinds & {"line_of_sight", "clutter"})
    return "project" if has_static_world else "keep"


def build_parts(file: schema.SceneFile) -> dict:
    """The fields of Scene that need no file beside the scene file."""
    height, waveform = file.plane_height_m, build_waveform(file.waveform)
    wavelength = SPEED_OF_LIGHT_MPS / file.waveform.carrier_hz
    users, draw, sensing = file.users, file.draw, file.sensing
    usual_height = height if file.dimension == 2 else USER_HEIGHT_M
    user_height = usual_height if users.height_m is None else users.height_m
    deadline = sensing.deadline_s or DEADLINE_SHARE / file.update_rate_hz
    static_paths = static_suppression(file)
    box = Box(point(file.area.low_m, height), point(file.area.high_m, height))
    transmitters = tuple(build_site(site, wavelength, height) for site in file.transmitters)
    receivers = tuple(build_site(site, wavelength, height) for site in file.receivers)
    places = np.array(
        [box.low_m, box.high_m, *(site.position_m for site in transmitters + receivers)]
    )
    return {
        "dimension": file.dimension,
        "plane_height_m": height,
        "height_std_m": file.height_std_m,
        "seed": file.seed,
        "update_rate_hz": file.update_rate_hz,
        "continuity_threshold_m": file.continuity_threshold_m,
        "box": box,
        "transmitters": transmitters,
        "receivers": receivers,
        "users": Users(
            users.num_users,
            user_height,
            dbm_to_w(users.noise_power_dbm),
            users.rician_factor,
            users.delay_spread_s,
        ),
        "waveform": waveform,
        "propagation": build_propagation(
            file.propagation, height, file.waveform.subcarrier_spacing_hz
        ),
        "draw": TargetDraw(
            draw.num_targets,
            draw.max_speed_mps,
            draw.max_climb_mps,
            (draw.height_m[0], draw.height_m[1]) if draw.height_m else None,
        ),
        "sensing": Sensing(
            **(sensing.model_dump() | {"deadline_s": deadline, "static_paths": static_paths})
        ),
        "tracking": Tracking(**file.tracking.model_dump()),
        "bodies": {
            TargetClass[name.upper()]: build_body(name, getattr(file.bodies, name))
            for name in schema.BodiesEntry.model_fields
        },
        "world": build_world(file.world, file.waveform.carrier_hz, places) if file.world else None,
    }


def build_paths(file: schema.SceneFile, folder: Path) -> tuple[PathFile | None, list[Problem]]:
    """The path file of the scene, and the fault of one that cannot be used.

    folder: what the file's name is relative to
    """
    name = file.propagation.paths
    if name is None:
        return None, []
    try:
        return read_path_file(folder / os.path.expanduser(expand_variables(name))), []
    except (UnsetVariable, PathFileError) as error:
        return None, [Problem("propagation.paths", str(error))]


def with_paths(
    propagation: Propagation, paths: PathFile, kinds: Sequence[str] | None
) -> Propagation:
    """The channel with the paths of a file; kinds: those that are used, all when None."""
    chosen = tuple(kind for kind in PATH_KINDS if kinds is None or kind in kinds)
    return replace(propagation, paths=paths, path_kinds=chosen)


def recorded_targets(paths: PathFile) -> tuple[Target, ...]:
    """The live targets of a path file."""
    return tuple(
        Target(name, TargetClass(int(kind)), paths.motion(index))
        for index, (name, kind) in enumerate(zip(paths.names, paths.kinds))
    )


def build_targets(
    file: schema.CommonKeys, folder: Path
) -> tuple[tuple[Target, ...], list[Problem]]:
    """The live targets, and the faults of those that cannot be built; optional ones may be left
    out.
    """
    targets, problems = [], []
    for i, entry in enumerate(file.targets):
        try:
            motion = build_motion(entry.motion, folder, file.plane_height_m)
        except UnsetVariable as error:
            if not entry.optional:
                remedy = f"{error}, or mark the target optional: true"
                problems.append(Problem(f"targets[{i}].motion.file", remedy))
            continue
        except ValueError as error:
            problems.append(Problem(f"targets[{i}].motion", str(error)))
            continue
        motion = Delayed(motion, entry.appears_s) if entry.appears_s else motion
        rcs_m2 = None if entry.rcs_dbsm is None else 10 ** (entry.rcs_dbsm / 10)
        target_class = TargetClass[entry.target_class.upper()]
        targets.append(Target(entry.name, target_class, motion, rcs_m2))
    return tuple(targets), problems


def build_motion(entry: schema.MotionEntry, folder: Path, height_m: float) -> Motion:
    """The motion that an entry of the file describes; trajectory paths are relative to folder."""
    if isinstance(entry, schema.TrajectoryEntry):
        return _trajectory(entry, folder)
    if isinstance(entry, schema.WaypointsEntry):
        return _waypoints(entry, height_m)
    duration = entry.duration_s or math.inf
    position, velocity = point(entry.position_m, height_m), point(entry.velocity_mps, 0.0)
    if isinstance(entry, schema.ConstantVelocityEntry) or entry.turn_rate_degps == 0:
        return ConstantVelocity(position, velocity, duration)
    return CoordinatedTurn(position, velocity, math.radians(entry.turn_rate_degps), duration)


def expand_variables(text: str) -> str:
    """Text with ${NAME} and ${NAME:-default} replaced from the environment; empty counts as
    unset.
    """

    def value(match: re.Match) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise UnsetVariable(
                f"environment variable {match[1]} is not set; set it, give a default "
                f"(${{{match[1]}:-FILE}})"
            )
        return found

    return VARIABLE.sub(value, text)


def _trajectory(entry: schema.TrajectoryEntry, folder: Path) -> Motion:
    path = folder / os.path.expanduser(expand_variables(entry.file))
    read = read_trajectory(path, entry.time_unit, entry.rate_hz, entry.axes)
    stretch = placed(
        read,
        entry.start_s,
        entry.stop_s or math.inf,
        math.radians(entry.yaw_deg),
        np.array(entry.origin_m),
        np.array(entry.translation_m),
    )
    if entry.height_m is not None:
        stretch = at_height(stretch, entry.height_m)
    motion = trajectory_motion(stretch, entry.smoothing_s, entry.loop)
    return replace(motion, note=read.note)


def _waypoints(entry: schema.WaypointsEntry, height_m: float) -> Motion:
    points = np.array([point(p, height_m) for p in entry.points_m])
    if entry.speed_mps is not None:
        return waypoints_at_speed(points, entry.speed_mps, entry.corner_radius_m, entry.loop)
    return waypoints_at_times(points, np.array(entry.times_s), entry.loop)
