"""Motions made from waypoints and from trajectories."""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import BSpline, CubicSpline, make_smoothing_spline

from cooperative_isac.scene.motion.curves import rounded_polyline, smooth_curve
from cooperative_isac.scene.motion.motion import CurveMotion, SplineMotion
from cooperative_isac.scene.motion.trajectory_file import Trajectory

MAX_LOOP_GAP_M = 1.0
MIN_CLOSING_SPEED_MPS = 0.1
MIN_SMOOTHED_POSES = 5
SHORTEST_STEP = 0.2


def waypoints_at_speed(
    points_m: np.ndarray, speed_mps: float, corner_radius_m: float | None = None, loop: bool = False
) -> CurveMotion:
    """Constant speed along points_m [num_points, 3]: straight lines with round corners, or a smooth
    curve.

    The curve (corner_radius_m None) passes through every point, round corners pass inside theirs.
    """
    if corner_radius_m is None:
        return CurveMotion(smooth_curve(points_m, loop), speed_mps)
    return CurveMotion(rounded_polyline(points_m, corner_radius_m, loop), speed_mps)


def waypoints_at_times(
    points_m: np.ndarray, times_s: np.ndarray, loop: bool = False
) -> SplineMotion:
    """Smooth motion that is at points_m [num_points, 3] at times_s [num_points] (first 0).

    With loop, times_s has one time more: when the first point is reached again.
    """
    through = np.vstack([points_m, points_m[:1]]) if loop else points_m
    spline = CubicSpline(times_s, through, bc_type="periodic" if loop else "natural")
    return SplineMotion(spline, spline.derivative(), float(times_s[-1]), loop)


def placed(
    trajectory: Trajectory,
    start_s: float = 0.0,
    stop_s: float = math.inf,
    yaw_rad: float = 0.0,
    origin_m: np.ndarray | None = None,
    translation_m: np.ndarray | None = None,
) -> Trajectory:
    """The stretch of a trajectory between start_s and stop_s after its first stamp, put somewhere
    else.

    The file's point origin_m [3] goes to translation_m [3]; yaw_rad turns about the vertical
    through it.
    """
    origin = np.zeros(3) if origin_m is None else origin_m
    target = np.zeros(3) if translation_m is None else translation_m
    since = trajectory.times_s - trajectory.times_s[0]
    keep = (since >= start_s - 1e-9) & (since <= stop_s + 1e-9)
    if keep.sum() < 2:
        raise ValueError(
            f"start_s {start_s:g} and stop_s {stop_s:g} leave {keep.sum()} poses of a "
            f"trajectory that lasts {since[-1]:g} s; at least 2 are needed"
        )
    cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    positions = (trajectory.positions_m[keep] - origin) @ rotation.T + target
    return Trajectory(since[keep] - since[keep][0], positions)


def at_height(trajectory: Trajectory, height_m: float) -> Trajectory:
    """The trajectory in the horizontal plane of height_m."""
    flat = np.column_stack(
        [trajectory.positions_m[:, :2], np.full(len(trajectory.times_s), height_m)]
    )
    return Trajectory(trajectory.times_s, flat)


def trajectory_motion(
    trajectory: Trajectory, smoothing_s: float = 0.05, loop: bool = False
) -> SplineMotion:
    """Motion along a trajectory: a cubic spline, smoothed over about smoothing_s (0: through each
    position).

    Smoothing passes a motion of angular frequency w with gain 1 / (1 + (w smoothing_s)^4).
    """
    times, positions = trajectory.times_s - trajectory.times_s[0], trajectory.positions_m
    if not loop:
        spline = _spline(times, positions, smoothing_s)
        return SplineMotion(spline, spline.derivative(), float(times[-1]))
    closing = _closing_time(times, positions)
    if closing < SHORTEST_STEP * float(np.median(np.diff(times))):
        times, positions, closing = times[:-1], positions[:-1], float(times[-1] - times[-2])
    period = float(times[-1] + closing)
    if smoothing_s == 0:
        lap = np.vstack([positions, positions[:1]])
        closed = CubicSpline(np.append(times, period), lap, bc_type="periodic")
        return SplineMotion(closed, closed.derivative(), period, loop=True)
    laps = np.concatenate([times - period, times, times + period])
    spline = _spline(laps, np.tile(positions, (3, 1)), smoothing_s)
    return SplineMotion(spline, spline.derivative(), period, loop=True)


def _closing_time(times_s: np.ndarray, positions_m: np.ndarray) -> float:
    """How long the step from the last pose back to the first takes."""
    gap = float(np.linalg.norm(positions_m[0] - positions_m[-1]))
    if gap > MAX_LOOP_GAP_M:
        raise ValueError(
            f"loop needs a trajectory that ends within {MAX_LOOP_GAP_M:g} m of its "
            f"beginning; the ends are {gap:.3g} m apart: set loop: false or choose other "
            "start_s and stop_s"
        )
    speeds = np.linalg.norm(np.diff(positions_m, axis=0), axis=1) / np.diff(times_s)
    return gap / max(float(speeds[0] + speeds[-1]) / 2, MIN_CLOSING_SPEED_MPS)


def _spline(
    times_s: np.ndarray, positions_m: np.ndarray, smoothing_s: float
) -> BSpline | CubicSpline:
    if smoothing_s == 0 or len(times_s) < MIN_SMOOTHED_POSES:
        return CubicSpline(times_s, positions_m)
    penalty = smoothing_s**4 / float(np.median(np.diff(times_s)))
    axes = [make_smoothing_spline(times_s, positions_m[:, axis], lam=penalty) for axis in range(3)]
    return BSpline(axes[0].t, np.column_stack([spline.c for spline in axes]), axes[0].k)
