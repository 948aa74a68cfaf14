"""Serialized messages that are the same bytes whenever they say the same.

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
HEADER_BYTES = 4  # alignment counts from behind the encapsulation header
PLAIN_CDR: dict[bytes, Order] = {b"\x00\x00": "big", b"\x00\x01": "little"}
SIZES = {
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
    """A message as bytes, its padding zero."""
    data = zero_padding(serialize_message(message), type(message))
    return data + bytes(-len(data) % 4)  # or the middleware fills the last word up


def zero_padding(data: bytes, message_type: type) -> bytes:
    """Serialized bytes of that type with zeros for padding; unchanged where they are not plain
    CDR.
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
    """A place in serialized bytes, that moves over one field after the other and clears what it
    skips.
    """

    def __init__(self, data: bytearray, order: Order):
        self.data, self._order, self._place = data, order, HEADER_BYTES

    def over(self, kind) -> None:
        """Move behind a value of that kind."""
        if isinstance(kind, BasicType):
            self._over_numbers(kind, 1)
        elif isinstance(kind, AbstractWString):
            raise ValueError("wide strings are not supported")
        elif isinstance(kind, AbstractString):
            length = self._length()
            self._place += length
        elif isinstance(kind, NamespacedType):
            for slot in _slots(".".join(kind.namespaces), kind.name):
                self.over(slot)
        elif isinstance(kind, AbstractNestedType):
            number = kind.size if isinstance(kind, Array) else self._length()
            if isinstance(kind.value_type, BasicType):
                self._over_numbers(kind.value_type, number)
            else:
                for _ in range(number):
                    self.over(kind.value_type)

    def clear_rest(self) -> None:
        """Clear what fills the last word up."""
        self.data[self._place :] = bytes(len(self.data) - self._place)

    def _over_numbers(self, kind: BasicType, number: int) -> None:
        if number:
            self._align(SIZES[kind.typename])
            self._place += number * SIZES[kind.typename]

    def _length(self) -> int:
        self._align(4)
        self._place += 4
        return int.from_bytes(self.data[self._place - 4 : self._place], self._order)

    def _align(self, size: int) -> None:
        skipped = (HEADER_BYTES - self._place) % min(size, 8)
        self.data[self._place : self._place + skipped] = bytes(skipped)
        self._place += skipped
