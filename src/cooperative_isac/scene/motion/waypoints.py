"""Motions made from waypoints and from trajectories."""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import BSpline, CubicSpline, make_smoothing_spline

from cooperative_isac.scene.motion.curves import rounded_polyline, smooth_curve
from cooperative_isac.scene.motion.motion import CurveMotion, SplineMotion
from cooperative_isac.scene.motion.trajectory_file import Trajectory

# Distance between the ends of a trajectory that is looped, m: of a lap that ends where it began;
# more would be a jump.
MAX_LOOP_GAP_M = 1.0
# Least speed over that gap, m/s: a recording that begins and ends at rest closes in finite time.
MIN_CLOSING_SPEED_MPS = 0.1
# Poses that a smoothing spline needs at least (scipy's make_smoothing_spline).
MIN_SMOOTHED_POSES = 5
# Share of the usual step below which the closing step of a loop is left out, and with it the last
# pose: a lap's last pose often repeats its first, and a spline would swing over so short a step.
SHORTEST_STEP_SHARE = 0.2
# Time by which a pose may be outside of a stretch and still belong to it, s: rounding.
STRETCH_TOLERANCE_S = 1e-9


def waypoints_at_speed(
    points_m: np.ndarray, speed_mps: float, corner_radius_m: float | None = None, loop: bool = False
) -> CurveMotion:
    """Motion through points at constant speed.

    points_m: [num_points, 3], float64, m
    corner_radius_m: of straight lines with round corners, which pass inside the points, m; None: a
    smooth curve, which passes through every point
    loop: returns to the first point, without end
    """
    if corner_radius_m is None:
        return CurveMotion(smooth_curve(points_m, loop), speed_mps)
    return CurveMotion(rounded_polyline(points_m, corner_radius_m, loop), speed_mps)


def waypoints_at_times(
    points_m: np.ndarray, times_s: np.ndarray, loop: bool = False
) -> SplineMotion:
    """Smooth motion that is at given points at given times.

    points_m: [num_points, 3], float64, m
    times_s: [num_points], float64, s, the first 0; with loop [num_points + 1], the last one that at
    which the first point is reached again
    loop: returns to the first point, without end
    """
    through_m = np.vstack([points_m, points_m[:1]]) if loop else points_m
    spline = CubicSpline(times_s, through_m, bc_type="periodic" if loop else "natural")
    return SplineMotion(spline, spline.derivative(), float(times_s[-1]), loop)


def placed(
    trajectory: Trajectory,
    start_s: float = 0.0,
    stop_s: float = math.inf,
    yaw_rad: float = 0.0,
    origin_m: np.ndarray | None = None,
    translation_m: np.ndarray | None = None,
) -> Trajectory:
    """A stretch of a trajectory, turned and moved to another place.

    start_s: begin of the stretch after the first stamp, s
    stop_s: end of the stretch after the first stamp, s
    yaw_rad: turn about the vertical through origin_m, rad
    origin_m: [3], float64, m, point of the file that goes to translation_m; None: zeros
    translation_m: [3], float64, m; None: zeros
    Raises ValueError: the stretch has fewer than two poses.
    """
    origin_m = np.zeros(3) if origin_m is None else origin_m
    translation_m = np.zeros(3) if translation_m is None else translation_m

    # Poses of the stretch.
    elapsed_s = trajectory.times_s - trajectory.times_s[0]
    keep = (elapsed_s >= start_s - STRETCH_TOLERANCE_S) & (
        elapsed_s <= stop_s + STRETCH_TOLERANCE_S
    )
    if keep.sum() < 2:
        raise ValueError(
            f"start_s {start_s:g} and stop_s {stop_s:g} leave {keep.sum()} poses of a "
            f"trajectory that lasts {elapsed_s[-1]:g} s; at least 2 are needed"
        )
    times_s = elapsed_s[keep] - elapsed_s[keep][0]

    # Turn about the vertical, then move.
    cosine = math.cos(yaw_rad)
    sine = math.sin(yaw_rad)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    positions_m = (trajectory.positions_m[keep] - origin_m) @ rotation.T + translation_m
    return Trajectory(times_s, positions_m)


def at_height(trajectory: Trajectory, height_m: float) -> Trajectory:
    """The trajectory, moved into the horizontal plane of a height."""
    heights_m = np.full(len(trajectory.times_s), height_m)
    positions_m = np.column_stack([trajectory.positions_m[:, :2], heights_m])
    return Trajectory(trajectory.times_s, positions_m)


def trajectory_motion(
    trajectory: Trajectory, smoothing_s: float = 0.05, loop: bool = False
) -> SplineMotion:
    """Motion along a trajectory: a cubic spline, smoothed in time.

    smoothing_s: time constant of the smoothing, s: a motion of angular frequency w has the gain
    1 / (1 + (w smoothing_s)^4); 0: through each position
    loop: returns to the first pose, without end
    Raises ValueError: the ends of a loop are too far apart.
    """
    times_s = trajectory.times_s - trajectory.times_s[0]
    positions_m = trajectory.positions_m
    if not loop:
        spline = _spline(times_s, positions_m, smoothing_s)
        return SplineMotion(spline, spline.derivative(), float(times_s[-1]))

    # Time of the step back to the first pose; a last pose that repeats the first is left out.
    closing_s = _closing_time(times_s, positions_m)
    if closing_s < SHORTEST_STEP_SHARE * float(np.median(np.diff(times_s))):
        closing_s = float(times_s[-1] - times_s[-2])
        times_s = times_s[:-1]
        positions_m = positions_m[:-1]
    period_s = float(times_s[-1] + closing_s)

    # Periodic spline. A smoothing spline cannot be periodic: it is fitted to three laps, of which
    # the middle one, from time 0 on, is used, as its ends are smoothed like the rest.
    if smoothing_s == 0:
        lap_m = np.vstack([positions_m, positions_m[:1]])
        spline = CubicSpline(np.append(times_s, period_s), lap_m, bc_type="periodic")
    else:
        three_laps_s = np.concatenate([times_s - period_s, times_s, times_s + period_s])
        spline = _spline(three_laps_s, np.tile(positions_m, (3, 1)), smoothing_s)
    return SplineMotion(spline, spline.derivative(), period_s, loop=True)


def _closing_time(times_s: np.ndarray, positions_m: np.ndarray) -> float:
    """Duration of the step from the last pose back to the first, s.

    times_s: [num_poses], float64, s
    positions_m: [num_poses, 3], float64, m
    """
    gap_m = float(np.linalg.norm(positions_m[0] - positions_m[-1]))
    if gap_m > MAX_LOOP_GAP_M:
        raise ValueError(
            f"loop needs a trajectory that ends within {MAX_LOOP_GAP_M:g} m of its "
            f"beginning; the ends are {gap_m:.3g} m apart: set loop: false or choose other "
            "start_s and stop_s"
        )

    # At the mean of the first and the last speed.
    speeds_mps = np.linalg.norm(np.diff(positions_m, axis=0), axis=1) / np.diff(times_s)
    return gap_m / max(float(speeds_mps[0] + speeds_mps[-1]) / 2, MIN_CLOSING_SPEED_MPS)


def _spline(
    times_s: np.ndarray, positions_m: np.ndarray, smoothing_s: float
) -> BSpline | CubicSpline:
    """Cubic spline of positions over time, smoothed where there are enough poses.

    times_s: [num_poses], float64, s
    positions_m: [num_poses, 3], float64, m
    smoothing_s: time constant as in `trajectory_motion`, s; 0: through each position
    """
    if smoothing_s == 0 or len(times_s) < MIN_SMOOTHED_POSES:
        return CubicSpline(times_s, positions_m)

    # The spline f minimizes sum |p_i - f(t_i)|^2 + penalty * integral |f''|^2 dt. With samples dt
    # apart its gain is 1 / (1 + penalty dt w^4), which is to be 1 / (1 + (w smoothing_s)^4).
    step_s = float(np.median(np.diff(times_s)))
    penalty = smoothing_s**4 / step_s

    # Each axis by itself, then one spline of all.
    axes = [make_smoothing_spline(times_s, positions_m[:, axis], lam=penalty) for axis in range(3)]
    coefficients = np.column_stack([spline.c for spline in axes])
    return BSpline(axes[0].t, coefficients, axes[0].k)
