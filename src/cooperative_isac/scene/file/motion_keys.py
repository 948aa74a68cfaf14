"""Keys of the motions of targets and stations in scene files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.file.keys import (
    Finite,
    NotNegative,
    Point,
    Positive,
    Section,
    Vector,
    later,
)


class ConstantVelocityEntry(Section):
    """A motion along a straight line."""

    kind: Literal["constant_velocity"]
    position_m: Point
    """Position at the beginning."""
    velocity_mps: Point
    """Velocity at the beginning."""
    duration_s: Positive | None = None
    """Duration; by default without end. The motion must not leave the area."""


class CoordinatedTurnEntry(Section):
    """A motion along a circle, at a constant rate of turn."""

    kind: Literal["coordinated_turn"]
    position_m: Point
    """Position at the beginning."""
    velocity_mps: Point
    """Velocity at the beginning."""
    turn_rate_degps: Finite
    """Turn rate about the vertical, counter-clockwise when positive."""
    duration_s: Positive | None = None
    """Duration; by default without end. The motion must not leave the area."""


class WaypointsEntry(Section):
    """A motion through points, at a constant speed or at given times."""

    kind: Literal["waypoints"]
    points_m: Annotated[list[Point], Field(min_length=2)]
    """Waypoints."""
    speed_mps: Positive | None = None
    """Constant speed along the path; either this or `times_s`."""
    times_s: list[Finite] | None = None
    """Times at which the points are reached, the first at 0 (with `loop` one time more, for the
    return).
    """
    corner_radius_m: Positive | None = None
    """Straight lines with corners of this radius, which pass inside the points; by default a smooth
    curve through the points.
    """
    loop: bool = False
    """Return to the first point, and repeat the motion without end."""


class TrajectoryEntry(Section):
    """A motion recorded in a file, or a stretch of it."""

    kind: Literal["trajectory"]
    file: Annotated[str, Field(min_length=1)]
    """Trajectory file, relative to the scene file; `${NAME}` and `${NAME:-default}` are taken from
    the environment.
    """
    start_s: NotNegative = 0.0
    """Beginning of the stretch that is used, as time since the file's first stamp."""
    stop_s: Positive | None = None
    """End of that stretch, likewise; by default the file's last stamp."""
    origin_m: Vector = [0.0, 0.0, 0.0]
    """Point of the file that is put at `translation_m`."""
    translation_m: Vector = [0.0, 0.0, 0.0]
    """Position of that point in the map."""
    yaw_deg: Finite = 0.0
    """Rotation about the vertical through that point, counter-clockwise."""
    height_m: Finite | None = None
    """Height of the whole trajectory, instead of the heights in the file."""
    smoothing_s: NotNegative = 0.05
    """Time constant of a smoothing that keeps the noise of positions out of the velocities; 0: no
    smoothing.
    """
    loop: bool = False
    """Repeat the motion without end; the trajectory must end within 1 m of its beginning."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = later(None)
    """Unit of the stamps; by default that of the format."""
    rate_hz: Positive | None = later(None)
    """Rate of KITTI poses without `times.txt`."""
    axes: Literal["map", "camera"] | None = later(None)
    """`map`: z up; `camera`: x right, y down, z forward, turned to x forward, y left, z up. By
    default that of the format.
    """


MotionEntry = Annotated[
    ConstantVelocityEntry | CoordinatedTurnEntry | WaypointsEntry | TrajectoryEntry,
    Field(discriminator="kind"),
]
