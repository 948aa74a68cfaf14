"""Serialization with defined padding: equal messages are equal bytes.

The middleware leaves the bytes that align fields (CDR padding) as they were in memory.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Literal

from rclpy.serialization import serialize_message
from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractString,
    AbstractWString,
    Array,
    BasicType,
    NamespacedType,
)

Order = Literal["little", "big"]
# Size of the encapsulation header, after which alignment begins.
HEADER_BYTES = 4
# Byte order by the first bytes of the header, for plain CDR.
PLAIN_CDR: dict[bytes, Order] = {b"\x00\x00": "big", b"\x00\x01": "little"}
# Largest alignment of plain CDR (XCDR1), bytes: that of a long double, too.
MAX_ALIGNMENT = 8
# Sizes of the basic types, bytes.
TYPE_SIZES = {
    "boolean": 1,
    "octet": 1,
    "char": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "wchar": 4,
    "int32": 4,
    "uint32": 4,
    "float": 4,
    "int64": 8,
    "uint64": 8,
    "double": 8,
    "long double": 16,
}


def serialized(message) -> bytes:
    """Serialize a message, with zeros for padding."""
    data = zero_padding(serialize_message(message), type(message))

    # whole words: the middleware would add undefined bytes
    return data + bytes(-len(data) % 4)


def zero_padding(data: bytes, message_type: type) -> bytes:
    """Set the padding of a serialized message to zero.

    Returns the bytes unchanged where they are not plain CDR.
    """
    order = PLAIN_CDR.get(bytes(data[:2]))
    if order is None:
        return bytes(data)
    walk = _Walk(bytearray(data), order)
    for kind in message_type.SLOT_TYPES:
        walk.over(kind)
    walk.clear_rest()
    return bytes(walk.data)


@cache
def _slots(module: str, name: str) -> tuple:
    return getattr(importlib.import_module(module), name).SLOT_TYPES


class _Walk:
    """Position in serialized bytes that passes the fields and clears the padding between them."""

    def __init__(self, data: bytearray, order: Order):
        self.data = data
        self._order = order
        self._position = HEADER_BYTES

    def over(self, kind) -> None:
        """Move the position behind a value of a type."""
        if isinstance(kind, BasicType):
            self._over_numbers(kind, 1)
        elif isinstance(kind, AbstractWString):
            raise ValueError("wide strings are not supported")
        elif isinstance(kind, AbstractString):
            length = self._length()
            self._position += length
        elif isinstance(kind, NamespacedType):
            for slot in _slots(".".join(kind.namespaces), kind.name):
                self.over(slot)
        elif isinstance(kind, AbstractNestedType):
            # array or sequence
            number = kind.size if isinstance(kind, Array) else self._length()
            if isinstance(kind.value_type, BasicType):
                self._over_numbers(kind.value_type, number)
            else:
                for _ in range(number):
                    self.over(kind.value_type)

    def clear_rest(self) -> None:
        """Clear the padding after the last field."""
        self.data[self._position :] = bytes(len(self.data) - self._position)

    def _over_numbers(self, kind: BasicType, number: int) -> None:
        """Pass values of a basic type."""
        if number:
            self._align(TYPE_SIZES[kind.typename])
            self._position += number * TYPE_SIZES[kind.typename]

    def _length(self) -> int:
        """Pass the length of a string or sequence, and return it."""
        self._align(4)
        start = self._position
        self._position += 4
        return int.from_bytes(self.data[start : self._position], self._order)

    def _align(self, size: int) -> None:
        """Clear the padding before a value of a size in bytes."""
        # offsets from the end of the header are multiples of the alignment
        alignment = min(size, MAX_ALIGNMENT)
        num_padding = (HEADER_BYTES - self._position) % alignment
        self.data[self._position : self._position + num_padding] = bytes(num_padding)
        self._position += num_padding
