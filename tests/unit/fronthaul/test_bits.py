"""Bit fields of any width, written and read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cooperative_isac.fronthaul.bits import BitReader, BitWriter, pack_labels, unpack_labels

FIELDS = st.lists(
    st.integers(0, 40).flatmap(
        lambda width: st.tuples(st.integers(0, (1 << width) - 1), st.just(width))
    )
)


@given(FIELDS)
def test_fields_are_restored_in_order(fields):
    writer = BitWriter()
    for value, width in fields:
        writer.write(value, width)
    data = writer.to_bytes()
    assert len(data) == -(-sum(width for _, width in fields) // 8)
    reader = BitReader(data)
    assert [reader.read(width) for _, width in fields] == [value for value, _ in fields]
    assert 0 <= reader.left < 8 and reader.read(reader.left) == 0


def test_the_most_significant_bit_comes_first():
    writer = BitWriter()
    writer.write(0b101, 3)
    writer.write(1, 2)
    writer.write(np.int64(255), 8)
    assert writer.to_bytes() == bytes([0b10101111, 0b11111000])


@pytest.mark.parametrize("value", [8, -1, 1 << 70])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match=f"{value} does not fit 3 bits"):
        BitWriter().write(value, 3)


def test_reading_past_the_end_is_an_error():
    reader = BitReader(b"\xff")
    assert reader.read(6) == 63
    with pytest.raises(EOFError, match="3 bits requested, 2 left"):
        reader.read(3)


@pytest.mark.parametrize("width", range(1, 17))
def test_labels_are_restored_from_their_bits(width):
    kind = np.uint8 if width <= 8 else np.uint16
    labels = np.random.default_rng(width).integers(1 << width, size=(3, 5, 7), dtype=kind)
    data = pack_labels(labels, width)
    assert len(data) == -(-105 * width // 8)
    found = unpack_labels(data, width, 105).reshape(3, 5, 7)
    assert found.dtype == kind and np.array_equal(found, labels)


def test_a_wide_type_packs_like_a_narrow_one():
    labels = np.arange(16, dtype=np.uint8)
    assert pack_labels(labels.astype(np.uint16), 5) == pack_labels(labels, 5)


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match="7 labels of 4 bits need 28 bits, got 24"):
        unpack_labels(b"abc", 4, 7)
