"""Coding of codeword indices: exact, as short as their entropy, and refused where damaged."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cooperative_isac.learned.index_coder import (
    TABLE_TOTAL,
    are_tables,
    decode_indices,
    encode_indices,
    frequency_tables,
)

# Uses of four codewords in two parts.
COUNTS = torch.tensor([[90, 9, 1, 0], [10, 20, 30, 40]])


@pytest.fixture
def tables():
    return frequency_tables(COUNTS).numpy()


def drawn(tables, count, generator):
    """Indices [count, num_parts] with the frequencies of tables."""
    columns = [generator.choice(len(row), count, p=row / TABLE_TOTAL) for row in tables]
    return np.stack(columns, 1)


def test_frequencies_are_the_shares_of_the_uses(tables):
    free = TABLE_TOTAL - 4
    assert tables[0].tolist() == [TABLE_TOTAL - 5898 - 656 - 1, 5898, 656, 1]
    assert tables[1, :3].tolist() == [1 + free // 10, 1 + free // 5, 1 + 3 * free // 10]
    assert (tables.sum(1) == TABLE_TOTAL).all()


@settings(max_examples=30)
@given(st.data())
def test_every_index_is_decoded_exactly(data):
    num_parts = data.draw(st.integers(1, 3))
    size = data.draw(st.sampled_from([2, 16, 512]))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    counts = generator.exponential(size=(num_parts, size)) ** data.draw(st.integers(1, 9))
    tables = frequency_tables(torch.from_numpy(counts))
    assert are_tables(tables)
    count = data.draw(st.integers(1, 200))
    indices = generator.integers(size, size=(count, num_parts))
    coded = encode_indices(indices, tables.numpy())
    assert (decode_indices(coded, tables.numpy(), count) == indices).all()


def test_the_code_is_as_long_as_the_entropy(tables, generator):
    count = 5000
    indices = drawn(tables, count, generator)
    bits = -np.log2(tables[np.arange(2), indices] / TABLE_TOTAL).sum()
    assert bits <= 8 * len(encode_indices(indices, tables)) <= bits + 64


def decoded_by_the_book(data, tables, count):
    """Indices by whole numbers alone: a state of 64 bits, words of 32, and shares of 24."""
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    state = words.pop()
    if words:
        state = state << 32 | words.pop()
    parts = []
    for table in tables.tolist():
        # First quantile of each codeword: one each, and the rest by its share.
        sums = np.cumsum([0, *table]).tolist()
        free = 2**24 - len(table)
        first = [total * free // TABLE_TOTAL + index for index, total in enumerate(sums)]
        part = []
        for _ in range(count):
            quantile = state % 2**24
            index = max(place for place in range(len(table)) if first[place] <= quantile)
            state = state // 2**24 * (first[index + 1] - first[index]) + quantile - first[index]
            if state < 2**32 and words:
                state = state << 32 | words.pop()
            part.append(index)
        parts.append(part)
    return np.array(parts).T


def test_whole_numbers_alone_decode_the_same(tables, generator):
    indices = drawn(tables, 300, generator)
    coded = encode_indices(indices, tables)
    assert (decoded_by_the_book(coded, tables, 300) == indices).all()


def test_the_bytes_stay_what_they_are(tables):
    indices = np.array([[0, 3], [1, 2], [0, 1], [3, 0], [2, 2]])
    assert encode_indices(indices, tables).hex() == "3498fd838c6340e611000000"


def test_damage_is_refused(tables, generator):
    coded = encode_indices(drawn(tables, 400, generator), tables)
    flips = [bytearray(coded) for _ in range(50)]
    for flipped in flips:
        flipped[generator.integers(len(coded))] ^= 1 << generator.integers(8)
    truncated = [coded[:size] for size in range(len(coded))]
    longer = [coded + b"\1", coded + bytes(4), coded + b"\1\0\0\0", generator.bytes(200)]
    for damaged in (*map(bytes, flips), *truncated, *longer):
        with pytest.raises(ValueError, match="they"):
            decode_indices(damaged, tables, 400)
    with pytest.raises(ValueError, match="they do not end with the last index"):
        decode_indices(coded, tables, 399)


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables + 1,
        lambda tables: -tables,
        lambda tables: torch.tensor([[TABLE_TOTAL, 0, 0, 0]]),
        lambda tables: torch.tensor([[TABLE_TOTAL + 2, -1, -1]]),
    ],
)
def test_other_tables_are_none(tables, change):
    assert are_tables(torch.from_numpy(tables))
    assert not are_tables(change(torch.from_numpy(tables)))
