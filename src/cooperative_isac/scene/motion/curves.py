"""Curves in space, parameterized by arc length, on which targets drive."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline

ARC_SAMPLES_PER_SPAN = 64


class Curve(Protocol):
    """A curve in space, by the distance along it."""

    @property
    def length_m(self) -> float:
        """Length of the curve, of a closed one that of a lap, m."""

    @property
    def closed(self) -> bool:
        """Whether the curve returns to its beginning."""

    def at(self, distance_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and unit tangent [3] after distance_m along the path."""


@dataclass(frozen=True)
class Piece:
    """A straight line or a circular arc that bends from direction towards normal (unit vectors
    [3]).
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
        """Position [3] m and unit tangent [3] after distance_m along the path."""
        distance_m = distance_m % self.length_m if self.closed else distance_m
        following = bisect_right(self.pieces, distance_m, key=lambda piece: piece.begin_m)
        piece = self.pieces[max(following - 1, 0)]
        along, bend = distance_m - piece.begin_m, piece.curvature
        if bend == 0:
            return piece.origin_m + along * piece.direction, piece.direction.copy()
        angle = along * bend
        sine, cosine = math.sin(angle), math.cos(angle)
        position = piece.origin_m + (sine * piece.direction + (1 - cosine) * piece.normal) / bend
        return position, cosine * piece.direction + sine * piece.normal


@dataclass(frozen=True)
class SmoothCurve:
    """A cubic spline through points; parameter_of maps arc length to the spline's parameter."""

    spline: CubicSpline
    tangent: CubicSpline
    parameter_of: CubicHermiteSpline
    parameter_slope: CubicHermiteSpline
    length_m: float
    closed: bool

    def at(self, distance_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and tangent [3] (unit length to about 1e-6) after distance_m along the
        path.
        """
        distance_m = distance_m % self.length_m if self.closed else distance_m
        parameter = self.parameter_of(distance_m)
        return self.spline(parameter), self.tangent(parameter) * self.parameter_slope(distance_m)


def rounded_polyline(points_m: np.ndarray, corner_radius_m: float, closed: bool) -> RoundedPolyline:
    """Polyline through points_m [num_points, 3] with rounded corners; closed returns to the first
    point.
    """
    corners = [_corner(points_m, i, corner_radius_m, closed) for i in range(len(points_m))]
    cuts = np.array([0.0 if corner is None else corner[0] for corner in corners])
    pieces: list[Piece] = []
    for i in range(len(points_m) if closed else len(points_m) - 1):
        following = (i + 1) % len(points_m)
        length, direction = _segment(points_m, i)
        straight = length - cuts[i] - cuts[following]
        if straight < -1e-9:
            raise ValueError(
                f"points {i} and {following} are {length:.4g} m apart; their corners of radius "
                f"{corner_radius_m:g} m need {cuts[i] + cuts[following]:.4g} m: move the points "
                "apart or reduce corner_radius_m"
            )
        origin = points_m[i] + cuts[i] * direction
        _append(pieces, max(straight, 0.0), origin, direction, np.zeros(3), 0.0)
        corner = corners[following]
        if corner is not None:
            cut, normal, angle = corner
            begin = points_m[following] - cut * direction
            _append(pieces, angle * corner_radius_m, begin, direction, normal, 1 / corner_radius_m)
    return RoundedPolyline(tuple(pieces), closed)


def smooth_curve(points_m: np.ndarray, closed: bool) -> SmoothCurve:
    """Smooth curve through points_m [num_points, 3]; closed returns to the first point."""
    through = np.vstack([points_m, points_m[:1]]) if closed else points_m
    knots = np.cumsum([0.0] + [_segment(points_m, i)[0] for i in range(len(through) - 1)])
    spline = CubicSpline(knots, through, bc_type="periodic" if closed else "natural")
    tangent = spline.derivative()
    spans = [
        np.linspace(begin, end, ARC_SAMPLES_PER_SPAN) for begin, end in itertools.pairwise(knots)
    ]
    fine = np.unique(np.concatenate(spans))
    speed = np.linalg.norm(tangent(fine), axis=1)
    middle = np.linalg.norm(tangent((fine[1:] + fine[:-1]) / 2), axis=1)
    arc = np.concatenate(
        [[0.0], np.cumsum(np.diff(fine) * (speed[1:] + speed[:-1] + 4 * middle) / 6)]
    )
    parameter_of = CubicHermiteSpline(arc, fine, 1 / speed)
    return SmoothCurve(
        spline, tangent, parameter_of, parameter_of.derivative(), float(arc[-1]), closed
    )


def _segment(points_m: np.ndarray, i: int) -> tuple[float, np.ndarray]:
    """Length and direction from point i to the next."""
    step = points_m[(i + 1) % len(points_m)] - points_m[i]
    length = float(np.linalg.norm(step))
    if length == 0:
        raise ValueError(
            f"points {i} and {(i + 1) % len(points_m)} are the same; neighbors must differ"
        )
    return length, step / length


def _corner(
    points_m: np.ndarray, i: int, radius_m: float, closed: bool
) -> tuple[float, np.ndarray, float] | None:
    """What a corner takes off its segments [m], the normal of its arc and its angle, or None if
    straight.
    """
    if not closed and i in (0, len(points_m) - 1):
        return None
    (_, before), (_, after) = _segment(points_m, i - 1), _segment(points_m, i)
    angle = math.acos(float(np.clip(before @ after, -1, 1)))
    if angle < 1e-9:
        return None
    if angle > math.pi - 1e-3:
        raise ValueError(f"the path turns straight back at point {i}; add a point beside it")
    across = after - (before @ after) * before
    return radius_m * math.tan(angle / 2), across / np.linalg.norm(across), angle


def _append(
    pieces: list[Piece],
    length_m: float,
    origin: np.ndarray,
    direction: np.ndarray,
    normal: np.ndarray,
    curvature: float,
) -> None:
    begin = pieces[-1].begin_m + pieces[-1].length_m if pieces else 0.0
    pieces.append(Piece(begin, length_m, origin, direction, normal, curvature))
