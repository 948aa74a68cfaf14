"""Peaks between grid points."""

import numpy as np
import pytest

from cooperative_isac.estimation.peaks import vertex


def test_the_vertex_of_a_parabola_is_exact():
    def parabola(x):
        return 5 - 3 * (x - 0.3) ** 2

    offset, height = vertex(parabola(-1), parabola(0), parabola(1))
    assert (offset, height) == (pytest.approx(0.3), pytest.approx(5))
    assert vertex(np.array([2.0]), np.array([1.0]), np.array([2.0]))[0] == 0
