"""Curves: their length is the distance along them, and they meet their points."""

import math
import re

import numpy as np
import pytest

from cooperative_isac.scene.motion.curves import rounded_polyline, smooth_curve

SQUARE = np.array([[0.0, 0, 1], [40, 0, 1], [40, 30, 1], [0, 30, 1]])
ZIGZAG = np.array([[0.0, 0, 0], [10, 0, 4], [20, 10, 0], [30, 10, 8]])


def walked(path):
    """Positions [n, 3] along a path at equal distances."""
    return np.array([path.at(s)[0] for s in np.linspace(0, path.length_m, 4001)])


def test_length_of_a_rectangle_with_round_corners():
    path = rounded_polyline(SQUARE, 5.0, closed=True)
    # Four corners: each loses 2 r of straight line and gains a quarter of a circle.
    assert path.length_m == pytest.approx(140 - 8 * 5 + 2 * math.pi * 5)


@pytest.mark.parametrize(
    "path",
    [
        rounded_polyline(SQUARE, 5.0, True),
        rounded_polyline(ZIGZAG, 3.0, False),
        smooth_curve(SQUARE, True),
        smooth_curve(ZIGZAG, False),
    ],
)
def test_length_is_the_distance_driven(path):
    steps = np.linalg.norm(np.diff(walked(path), axis=0), axis=1)
    assert steps.sum() == pytest.approx(path.length_m, rel=1e-4)
    assert steps.max() < 1.001 * path.length_m / 4000


@pytest.mark.parametrize(
    ("points", "closed"), [(SQUARE, True), (ZIGZAG, False), (SQUARE[:2], False)]
)
def test_a_smooth_curve_passes_through_its_points(points, closed):
    positions = walked(smooth_curve(points, closed))
    for point in points:
        assert np.linalg.norm(positions - point, axis=1).min() < 0.05


def test_a_round_corner_stays_inside_its_corner():
    path = rounded_polyline(SQUARE, 5.0, closed=True)
    positions = walked(path)
    assert (positions >= SQUARE.min(0) - 1e-9).all() and (positions <= SQUARE.max(0) + 1e-9).all()
    # The arc passes a right angle at (sqrt(2) - 1) r.
    nearest = np.linalg.norm(positions - SQUARE[1], axis=1).min()
    assert nearest == pytest.approx((math.sqrt(2) - 1) * 5, abs=1e-3)


def test_a_straight_point_makes_no_corner():
    path = rounded_polyline(np.array([[0.0, 0, 0], [5, 0, 0], [10, 0, 0]]), 3.0, closed=False)
    assert path.length_m == 10 and np.allclose(path.at(7.0)[0], [7, 0, 0])


@pytest.mark.parametrize(
    ("points", "radius", "message"),
    [
        (
            SQUARE,
            20.0,
            "points 1 and 2 are 30 m apart; their corners of radius 20 m need 40 m: move the "
            "points apart or reduce corner_radius_m",
        ),
        (SQUARE[[0, 1, 1, 2]], 1.0, "points 1 and 2 are the same; neighbors must differ"),
        (SQUARE[[0, 1, 0]], 1.0, "the path turns straight back at point 1; add a point beside it"),
    ],
)
def test_impossible_corners_are_refused(points, radius, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rounded_polyline(points, radius, closed=False)


def test_a_smooth_curve_refuses_repeated_points():
    with pytest.raises(ValueError, match="points 1 and 2 are the same"):
        smooth_curve(SQUARE[[0, 1, 1, 2]], closed=True)
