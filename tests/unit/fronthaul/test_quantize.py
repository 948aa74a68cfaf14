"""Quantizers, and the code of information matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import eigh

from cooperative_isac.fronthaul.quantize import (
    PARTIAL_CORRELATION,
    SCALE_DB,
    Quantizer,
    information_fields,
    information_matrix,
    information_widths,
)

LINE = Quantizer(-5.0, 105.0, 16)
SIZES = (1, 2, 3)


@given(st.floats(-5, 105))
def test_a_value_inside_is_at_most_half_a_step_off(value):
    assert abs(LINE.decode(LINE.encode(value)) - value) <= LINE.step / 2 * (1 + 1e-9)


@given(st.integers(0, 65535))
def test_every_level_is_its_own_code(index):
    assert LINE.encode(LINE.decode(index)) == index


def test_ends_are_levels_and_values_outside_are_clipped():
    assert [LINE.decode(LINE.encode(value)) for value in (-9, -5, 105, 1e9)] == [-5, -5, 105, 105]


def bits_of(size):
    return st.tuples(*(st.integers(0, (1 << width) - 1) for width in information_widths(size)))


@given(st.sampled_from(SIZES).flatmap(lambda size: st.tuples(st.just(size), bits_of(size))))
def test_any_bits_are_a_positive_definite_matrix(case):
    size, indices = case
    matrix = information_matrix(list(indices), size)
    assert np.array_equal(matrix, matrix.T)
    scale = np.sqrt(np.diag(matrix))
    assert np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] > 0
    assert np.all(np.isfinite(np.linalg.inv(matrix)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])
def test_a_matrix_is_restored_within_a_few_per_cent_in_every_direction(size, spread):
    generator = np.random.default_rng(size)
    for _ in range(50):
        turn, _ = np.linalg.qr(generator.standard_normal((size, size)))
        matrix = (
            turn
            @ np.diag(generator.uniform(1, spread, size))
            @ turn.T
            * 10 ** generator.uniform(0, 4)
        )
        fields = information_fields(matrix)
        assert [width for _, width in fields] == information_widths(size)
        found = information_matrix([index for index, _ in fields], size)
        assert np.all(np.abs(eigh(found, matrix, eigvals_only=True) - 1) < 0.05)


def test_a_weak_direction_stays_weak():
    # Two axes in step: location is known across their diagonal a million times better than along
    # it.
    across = np.array([1, -1]) / np.sqrt(2)
    matrix = 1e4 * np.outer(across, across) + 1e-2 * np.eye(2)
    found = information_matrix([index for index, _ in information_fields(matrix)], 2)
    assert across @ found @ across == pytest.approx(1e4, rel=0.03)
    along = np.array([1, 1]) / np.sqrt(2)
    assert 0 < along @ found @ along < 10


def test_a_negative_eigenvalue_by_rounding_becomes_weak():
    """A case from a run: a correlation of -1.0000016 at an information of 2e8 1/m^2."""
    information = np.array([[2.01009902e8, -2.47195049e6], [-2.47195049e6, 3.03990981e4]])
    assert np.linalg.eigvalsh(information)[0] < 0
    indices = [index for index, _ in information_fields(information)]
    least, most = np.linalg.eigvalsh(information_matrix(indices, 2))
    assert 0 < least < 1e-3 * most and most == pytest.approx(10 ** (SCALE_DB.high / 10), rel=0.01)


@pytest.mark.parametrize(
    "information",
    [
        [[2e8, 0], [0, -1e-9]],
        [[2e8, 1e-4], [1e-4, -1e-8]],
        [[0, 0], [0, 0]],
        [[1e4, 50], [50, -1e-3]],
    ],
)
def test_zero_information_along_an_axis_has_a_code(information):
    indices = [index for index, _ in information_fields(np.array(information, float))]
    assert np.all(np.linalg.eigvalsh(information_matrix(indices, 2)) > 0)


def test_widths_are_those_of_the_packet():
    assert information_widths(2) == [10, 10, 11] and information_widths(3) == [10] * 3 + [11] * 3
    assert (SCALE_DB.width, PARTIAL_CORRELATION.width) == (10, 11)
