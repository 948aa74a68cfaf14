"""Build the live targets of a scene, and their motions, from the validated file."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from cooperative_isac.scene.file import motion_keys, schema
from cooperative_isac.scene.file.build import point
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.variables import UnsetVariable, expand_variables
from cooperative_isac.scene.model import Target, TargetClass
from cooperative_isac.scene.motion.motion import ConstantVelocity, CoordinatedTurn, Delayed, Motion
from cooperative_isac.scene.motion.trajectory_file import read_trajectory
from cooperative_isac.scene.motion.waypoints import (
    at_height,
    placed,
    trajectory_motion,
    waypoints_at_speed,
    waypoints_at_times,
)


def build_targets(
    file: schema.CommonKeys, folder: Path
) -> tuple[tuple[Target, ...], list[Problem]]:
    """The live targets, and the faults of those that cannot be built.

    An optional target is left out if an environment variable in its path is not set.

    folder: of the scene file, to which trajectory files are relative
    """
    targets = []
    problems = []
    for index, entry in enumerate(file.targets):
        try:
            motion = build_motion(entry.motion, folder, file.plane_height_m)
        except UnsetVariable as error:
            if not entry.optional:
                remedy = f"{error}, or mark the target optional: true"
                problems.append(Problem(f"targets[{index}].motion.file", remedy))
            continue
        except ValueError as error:
            problems.append(Problem(f"targets[{index}].motion", str(error)))
            continue

        if entry.appears_s:
            motion = Delayed(motion, entry.appears_s)
        rcs_m2 = None if entry.rcs_dbsm is None else 10 ** (entry.rcs_dbsm / 10)
        target_class = TargetClass[entry.target_class.upper()]
        targets.append(Target(entry.name, target_class, motion, rcs_m2))
    return tuple(targets), problems


def build_motion(entry: motion_keys.MotionEntry, folder: Path, height_m: float) -> Motion:
    """The motion of an entry of the file.

    folder: of the scene file, to which trajectory files are relative
    height_m: z of points without one, m
    """
    if isinstance(entry, motion_keys.TrajectoryEntry):
        return _trajectory(entry, folder)
    if isinstance(entry, motion_keys.WaypointsEntry):
        return _waypoints(entry, height_m)

    duration_s = entry.duration_s or math.inf
    position_m = point(entry.position_m, height_m)
    velocity_mps = point(entry.velocity_mps, 0.0)
    if isinstance(entry, motion_keys.ConstantVelocityEntry) or entry.turn_rate_degps == 0:
        return ConstantVelocity(position_m, velocity_mps, duration_s)
    turn_rate_radps = math.radians(entry.turn_rate_degps)
    return CoordinatedTurn(position_m, velocity_mps, turn_rate_radps, duration_s)


def _trajectory(entry: motion_keys.TrajectoryEntry, folder: Path) -> Motion:
    """Motion along a stretch of a recorded trajectory."""
    path = folder / os.path.expanduser(expand_variables(entry.file))
    recorded = read_trajectory(path, entry.time_unit, entry.rate_hz, entry.axes)

    # The stretch that is used, turned and moved.
    stretch = placed(
        recorded,
        entry.start_s,
        entry.stop_s or math.inf,
        math.radians(entry.yaw_deg),
        np.array(entry.origin_m),
        np.array(entry.translation_m),
    )
    if entry.height_m is not None:
        stretch = at_height(stretch, entry.height_m)

    motion = trajectory_motion(stretch, entry.smoothing_s, entry.loop)
    return replace(motion, note=recorded.note)


def _waypoints(entry: motion_keys.WaypointsEntry, height_m: float) -> Motion:
    """Motion through waypoints, at a constant speed or at given times."""
    points_m = np.array([point(values, height_m) for values in entry.points_m])
    if entry.speed_mps is not None:
        return waypoints_at_speed(points_m, entry.speed_mps, entry.corner_radius_m, entry.loop)
    return waypoints_at_times(points_m, np.array(entry.times_s), entry.loop)
