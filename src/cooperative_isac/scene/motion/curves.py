"""Curves in space, parameterized by arc length, along which targets move."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline

# Samples between two points of a smooth curve at which its arc length is integrated: enough for an
# error of the tangent's length of about 1e-6.
ARC_SAMPLES_PER_SPAN = 64
# Turn of a corner below which it counts as straight, and distance of it from a half turn that
# counts as one, rad: the arc of its radius would vanish, or be without end.
STRAIGHT_RAD = 1e-9
REVERSAL_RAD = 1e-3
# Length by which the corners of a segment may overlap, m: rounding.
OVERLAP_M = 1e-9


class Curve(Protocol):
    """A curve in space, as a function of the distance along it."""

    @property
    def length_m(self) -> float:
        """Length of the curve, of a closed one that of a lap, m."""

    @property
    def closed(self) -> bool:
        """True where the curve returns to its beginning."""

    def at(self, distance_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3], m, and unit tangent [3] at a distance along the curve."""


@dataclass(frozen=True)
class Piece:
    """A straight line, or a circular arc that bends from direction towards normal.

    begin_m: distance along the curve at which it begins, m
    length_m: of the piece, m
    origin_m: [3], float64, m in map, its first point
    direction: [3], float64, unit tangent at the origin
    normal: [3], float64, unit vector from the origin towards the arc's center
    curvature: one over the arc's radius, 1/m; 0 for a straight line
    """

    begin_m: float
    length_m: float
    origin_m: np.ndarray
    direction: np.ndarray
    normal: np.ndarray
    curvature: float


@dataclass(frozen=True)
class RoundedPolyline:
    """Straight lines joined by circular arcs: the tangent is continuous, the curvature bounded."""

    pieces: tuple[Piece, ...]
    closed: bool

    @property
    def length_m(self) -> float:
        """Length of all pieces, m."""
        return self.pieces[-1].begin_m + self.pieces[-1].length_m

    def at(self, distance_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3], m, and unit tangent [3] at a distance along the curve."""
        if self.closed:
            distance_m = distance_m % self.length_m
        following = bisect_right(self.pieces, distance_m, key=lambda piece: piece.begin_m)
        piece = self.pieces[max(following - 1, 0)]
        along_m = distance_m - piece.begin_m
        if piece.curvature == 0:
            return piece.origin_m + along_m * piece.direction, piece.direction.copy()

        # On the arc.
        angle_rad = along_m * piece.curvature
        sine = math.sin(angle_rad)
        cosine = math.cos(angle_rad)
        chord = sine * piece.direction + (1 - cosine) * piece.normal
        tangent = cosine * piece.direction + sine * piece.normal
        return piece.origin_m + chord / piece.curvature, tangent


@dataclass(frozen=True)
class SmoothCurve:
    """A cubic spline through points.

    spline: position [3], m, as a function of the spline's parameter
    tangent: derivative of the spline
    parameter_of: the parameter as a function of the arc length
    parameter_slope: derivative of parameter_of
    """

    spline: CubicSpline
    tangent: CubicSpline
    parameter_of: CubicHermiteSpline
    parameter_slope: CubicHermiteSpline
    length_m: float
    closed: bool

    def at(self, distance_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3], m, and tangent [3], of unit length to 1e-6, at a distance along it."""
        if self.closed:
            distance_m = distance_m % self.length_m
        parameter = self.parameter_of(distance_m)
        return self.spline(parameter), self.tangent(parameter) * self.parameter_slope(distance_m)


def rounded_polyline(points_m: np.ndarray, corner_radius_m: float, closed: bool) -> RoundedPolyline:
    """Polyline through points, with corners rounded by circular arcs inside of them.

    points_m: [num_points, 3], float64, m
    closed: returns to the first point
    Raises ValueError: two neighbors are the same point, are too near for the radius, or the
    polyline turns straight back.
    """
    corners = [_corner(points_m, i, corner_radius_m, closed) for i in range(len(points_m))]
    cuts_m = [0.0 if corner is None else corner.cut_m for corner in corners]

    pieces: list[Piece] = []
    for i in range(len(points_m) if closed else len(points_m) - 1):
        # Straight line to the next point, shortened by both corners.
        following = (i + 1) % len(points_m)
        length_m, direction = _segment(points_m, i)
        straight_m = length_m - cuts_m[i] - cuts_m[following]
        if straight_m < -OVERLAP_M:
            raise ValueError(
                f"points {i} and {following} are {length_m:.4g} m apart; their corners of radius "
                f"{corner_radius_m:g} m need {cuts_m[i] + cuts_m[following]:.4g} m: move the "
                "points apart or reduce corner_radius_m"
            )
        origin_m = points_m[i] + cuts_m[i] * direction
        _append(pieces, max(straight_m, 0.0), origin_m, direction, np.zeros(3), 0.0)

        # Arc around that point.
        corner = corners[following]
        if corner is not None:
            origin_m = points_m[following] - corner.cut_m * direction
            arc_m = corner.angle_rad * corner_radius_m
            _append(pieces, arc_m, origin_m, direction, corner.normal, 1 / corner_radius_m)
    return RoundedPolyline(tuple(pieces), closed)


def smooth_curve(points_m: np.ndarray, closed: bool) -> SmoothCurve:
    """Smooth curve through points.

    points_m: [num_points, 3], float64, m
    closed: returns to the first point
    Raises ValueError: two neighbors are the same point.
    """
    # Cubic spline, its parameter the length of the polyline.
    through_m = np.vstack([points_m, points_m[:1]]) if closed else points_m
    lengths_m = [_segment(points_m, i)[0] for i in range(len(through_m) - 1)]
    knots = np.cumsum([0.0, *lengths_m])
    spline = CubicSpline(knots, through_m, bc_type="periodic" if closed else "natural")
    tangent = spline.derivative()

    # Parameters at which the arc length is integrated.
    spans = [
        np.linspace(begin, end, ARC_SAMPLES_PER_SPAN) for begin, end in itertools.pairwise(knots)
    ]
    parameters = np.unique(np.concatenate(spans))

    # Arc length by Simpson's rule, from the length of the tangent at ends and middles.
    at_ends = np.linalg.norm(tangent(parameters), axis=1)
    middles = (parameters[1:] + parameters[:-1]) / 2
    at_middles = np.linalg.norm(tangent(middles), axis=1)
    steps_m = np.diff(parameters) * (at_ends[1:] + at_ends[:-1] + 4 * at_middles) / 6
    arc_m = np.concatenate([[0.0], np.cumsum(steps_m)])

    # Its inverse.
    parameter_of = CubicHermiteSpline(arc_m, parameters, 1 / at_ends)
    return SmoothCurve(
        spline=spline,
        tangent=tangent,
        parameter_of=parameter_of,
        parameter_slope=parameter_of.derivative(),
        length_m=float(arc_m[-1]),
        closed=closed,
    )


def _segment(points_m: np.ndarray, i: int) -> tuple[float, np.ndarray]:
    """Length, m, and direction [3] from point i to the next."""
    following = (i + 1) % len(points_m)
    step_m = points_m[following] - points_m[i]
    length_m = float(np.linalg.norm(step_m))
    if length_m == 0:
        raise ValueError(f"points {i} and {following} are the same; neighbors must differ")
    return length_m, step_m / length_m


@dataclass(frozen=True)
class _Corner:
    """The arc of a rounded corner.

    cut_m: length that it takes off both segments, m
    normal: [3], float64, unit vector at its beginning towards its center
    angle_rad: between both segments, rad
    """

    cut_m: float
    normal: np.ndarray
    angle_rad: float


def _corner(points_m: np.ndarray, i: int, radius_m: float, closed: bool) -> _Corner | None:
    """The corner at point i; None where the polyline is straight, begins or ends.

    points_m: [num_points, 3], float64, m
    """
    if not closed and i in (0, len(points_m) - 1):
        return None

    # Angle between the segments before and after the point.
    _, before = _segment(points_m, i - 1)
    _, after = _segment(points_m, i)
    cosine = before @ after
    angle_rad = math.acos(float(np.clip(cosine, -1, 1)))
    if angle_rad < STRAIGHT_RAD:
        return None
    if angle_rad > math.pi - REVERSAL_RAD:
        raise ValueError(f"the path turns straight back at point {i}; add a point beside it")

    across = after - cosine * before
    return _Corner(
        cut_m=radius_m * math.tan(angle_rad / 2),
        normal=across / np.linalg.norm(across),
        angle_rad=angle_rad,
    )


def _append(
    pieces: list[Piece],
    length_m: float,
    origin_m: np.ndarray,
    direction: np.ndarray,
    normal: np.ndarray,
    curvature: float,
) -> None:
    """Add a piece at the end of others."""
    begin_m = pieces[-1].begin_m + pieces[-1].length_m if pieces else 0.0
    pieces.append(Piece(begin_m, length_m, origin_m, direction, normal, curvature))
