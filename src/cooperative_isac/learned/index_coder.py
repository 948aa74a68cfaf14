"""Entropy coding of codeword indices: asymmetric numeral systems with static tables.

Every part of a latent has a table with the frequencies of its codewords. Both ends use the same
integers, so that decoding is exact on every machine; a packet is decoded without any other.
"""

from __future__ import annotations

import numpy as np
import torch
from constriction import stream
from torch import Tensor

# Sum of the frequencies of a table: with a power of two their shares are exact as floats, and 2^16
# leaves the rarest codeword 16 bits.
TABLE_TOTAL = 2**16
# Words of the coder, in this byte order on the fronthaul.
WORD = np.dtype("<u4")
# First word on the coder's stack, which is left when all indices are decoded: an empty stack would
# give some truncated data a valid end. A number without pattern.
SENTINEL = np.array([0x9E3779B9], np.uint32)


def frequency_tables(counts: Tensor) -> Tensor:
    """Tables of frequencies from numbers of uses; no frequency is zero.

    counts: [num_parts, size], float32 or int64, uses of each codeword
    Returns [num_parts, size], int32, each row with sum TABLE_TOTAL.
    """
    # One for each codeword, and the rest by its share.
    size = counts.shape[1]
    uses = counts.double().cpu()
    shares = uses / uses.sum(1, keepdim=True)
    tables = 1 + (shares * (TABLE_TOTAL - size)).floor().to(torch.int32)

    # What rounding left goes to the most frequent codeword.
    missing = TABLE_TOTAL - tables.sum(1, dtype=torch.int32)
    tables[torch.arange(len(tables)), tables.argmax(1)] += missing
    return tables


def are_tables(tables: Tensor) -> bool:
    """True for tables that frequency_tables can return.

    tables: [num_parts, size], int32
    """
    return bool((tables > 0).all() and (tables.sum(1) == TABLE_TOTAL).all())


def encode_indices(indices: np.ndarray, tables: np.ndarray) -> bytes:
    """Code indices, most bits for the least frequent ones.

    indices: [count, num_parts], int32
    tables: [num_parts, size], int32
    Returns whole words of four bytes.
    Source: J. Duda, "Asymmetric numeral systems", arXiv:1311.2540.
    """
    # The coder is a stack: the decoder sees the parts in their order.
    coder = stream.stack.AnsCoder(SENTINEL)
    for part, table in reversed(list(zip(indices.T, tables))):
        coder.encode_reverse(np.ascontiguousarray(part, np.int32), _model(table))
    return coder.get_compressed().astype(WORD).tobytes()


def decode_indices(data: bytes, tables: np.ndarray, count: int) -> np.ndarray:
    """Decode indices; the inverse of encode_indices.

    tables: [num_parts, size], int32
    Returns [count, num_parts], int32.
    Raises ValueError for data that encode_indices cannot have returned.
    """
    # Whole words; the last one is never zero.
    if len(data) % WORD.itemsize:
        raise ValueError(f"they are {len(data)} bytes, not words of {WORD.itemsize} bytes")
    words = np.frombuffer(data, WORD)
    if not len(words) or not words[-1]:
        raise ValueError("they have no last word")

    # Part by part; the last one leaves the first word.
    coder = stream.stack.AnsCoder(words.astype(np.uint32))
    parts = [coder.decode(_model(table), count) for table in tables]
    if not np.array_equal(coder.get_compressed(), SENTINEL):
        raise ValueError("they do not end with the last index")
    return np.stack(parts, axis=1)


def _model(table: np.ndarray) -> stream.model.Categorical:
    """Model of one part's indices; its arithmetic is exact for frequencies of TABLE_TOTAL."""
    return stream.model.Categorical(table / TABLE_TOTAL, lazy=False, perfect=False)
