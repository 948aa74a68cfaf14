"""Bit packing: unsigned fields of any width, most significant bit first."""

from __future__ import annotations

import numpy as np


class BitWriter:
    """Collects fields, and returns them as bytes, zero-padded to a whole byte."""

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def write(self, value: int, width: int) -> None:
        """Append an unsigned field; ValueError where the value does not fit."""
        if not 0 <= value < 1 << width:
            raise ValueError(f"{value} does not fit {width} bits")
        self._value = (self._value << width) | int(value)
        self._length += width

    def to_bytes(self) -> bytes:
        """All fields so far."""
        padding = -self._length % 8
        return (self._value << padding).to_bytes((self._length + padding) // 8, "big")


class BitReader:
    """Reads fields in the order in which they were written."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, width: int) -> int:
        """The next unsigned field; EOFError where the data end before it."""
        if width > self._left:
            raise EOFError(f"{width} bits requested, {self._left} left")
        self._left -= width
        mask = (1 << width) - 1
        return (self._value >> self._left) & mask

    @property
    def left(self) -> int:
        """Number of bits that are not read yet."""
        return self._left


def pack_labels(labels: np.ndarray, width: int) -> bytes:
    """Pack labels at `width` bits each, in C order.

    labels: [...], uint8 or uint16
    """
    # Bits of each label from the most significant one, without leading ones beyond the width.
    big_endian = labels.astype(labels.dtype.newbyteorder(">")).reshape(-1, 1).view(np.uint8)
    bits = np.unpackbits(big_endian, axis=1)[:, -width:]
    return np.packbits(bits).tobytes()


def unpack_labels(data: bytes, width: int, count: int) -> np.ndarray:
    """Unpack labels; the inverse of pack_labels.

    Returns [count], uint8 for widths up to 8 bits, else uint16.
    Raises ValueError where there are too few bits.
    """
    num_bits = 8 * len(data)
    if num_bits < count * width:
        raise ValueError(
            f"{count} labels of {width} bits need {count * width} bits, got {num_bits}"
        )
    octets = np.frombuffer(data, np.uint8)

    # Several whole labels in each byte: shift each of them down.
    if 8 % width == 0:
        shifts = np.arange(8 - width, -1, -width, dtype=np.uint8)
        mask = np.uint8((1 << width) - 1)
        labels = (octets[:, None] >> shifts) & mask
        return labels.ravel()[:count]

    # Bits of all labels, one after another; some padding may follow.
    bits = np.unpackbits(octets)

    # Pad each label with leading zeros to whole bytes.
    is_one_byte = width <= 8
    padded = np.zeros((count, 8 if is_one_byte else 16), np.uint8)
    padded[:, -width:] = bits[: count * width].reshape(count, width)

    # Whole bytes as numbers.
    packed = np.packbits(padded, axis=1)
    if is_one_byte:
        return packed[:, 0]
    return packed.view(">u2")[:, 0].astype(np.uint16)
