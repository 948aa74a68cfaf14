"""Constellations: power, spacing, Gray code."""

from itertools import combinations

import numpy as np
import pytest

from cooperative_isac.waveform.qam import ORDERS, constellation


@pytest.mark.parametrize("order", ORDERS)
def test_points_differ_and_have_unit_mean_power(order):
    points = constellation(order)
    assert points.dtype == np.complex64 and len(set(points.tolist())) == order
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_nearest_neighbors_differ_in_one_bit(order):
    points = constellation(order)
    distances = {(a, b): abs(points[a] - points[b]) for a, b in combinations(range(order), 2)}
    least = min(distances.values())
    nearest = [pair for pair, distance in distances.items() if distance < least * 1.001]
    side = int(np.sqrt(order))
    assert len(nearest) == 2 * side * (side - 1)
    assert all((a ^ b).bit_count() == 1 for a, b in nearest)


def test_qpsk_is_that_of_the_textbook():
    assert np.allclose(constellation(4) * np.sqrt(2), [-1 - 1j, -1 + 1j, 1 - 1j, 1 + 1j])


def test_other_orders_are_refused():
    with pytest.raises(
        ValueError, match=r"order 8 is not supported; use one of \(4, 16, 64, 256\)"
    ):
        constellation(8)
