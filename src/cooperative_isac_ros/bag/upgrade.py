"""Conversion of messages of older definitions to the installed ones.

A bag holds the definition of each type. Where its fields differ from those of the installed one, a
message is deserialized by the definition of the bag and serialized by the installed one: fields
keep their names, or are renamed, and new fields have their defaults.
"""

from __future__ import annotations

import array
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from mcap.records import Schema
from rclpy.serialization import deserialize_message

from cooperative_isac_ros.bag.definitions import (
    ENCODING,
    UnknownTypeError,
    message_class,
    message_definition,
)
from cooperative_isac_ros.messages.cdr import serialized

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

# Former names of fields, by type and present name.
RENAMED = {("cooperative_isac_msgs/msg/Accuracy", "gospa_localization_m"): "gospa_localisation_m"}
# Largest difference of two computations of one number by rounding, relative and in SI units.
RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-6

# Type and name of fields that the installed definition has and that of the bag has not.
Fields = frozenset[tuple[str, str]]


class UpgradeError(ValueError):
    """The message contradicts the definition of its bag, or cannot be converted."""


@dataclass(frozen=True)
class Upgrade:
    """Conversion of the messages of one type of a bag to the installed definition.

    store: types of the bag
    """

    type_name: str
    store: Typestore

    @cached_property
    def added(self) -> Fields:
        """Installed fields of this type and its parts that the bag does not have."""
        return frozenset(self._added(message_class(self.type_name)))

    def __call__(self, data: bytes) -> bytes:
        """Convert a serialized message. Raises UpgradeError where it is damaged."""
        try:
            old = self.store.deserialize_cdr(data, self.type_name)
            new = message_class(self.type_name)()
            _fill(new, old)
        except Exception as error:  # any error of the library or a setter
            raise UpgradeError(f"{self.type_name}: {error}") from None
        return serialized(new)

    def _added(self, kind: type) -> Iterable[tuple[str, str]]:
        type_name = _type_name(kind)
        old_fields = self.store.fielddefs.get(type_name)
        if old_fields is None:
            return  # the whole type is new
        old_names = {name for name, _ in old_fields[1]}
        for name, slot in zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES):
            if RENAMED.get((type_name, name), name) not in old_names:
                yield type_name, name
            elif (part := _part(slot)) is not None:
                yield from self._added(part)


def upgrade_of(schema: Schema) -> Upgrade | None:
    """Conversion of the messages of a type in a bag.

    Returns None where the fields are the same, the type is not installed, or its definition cannot
    be read.
    """
    # equal texts
    if schema.encoding != ENCODING or not schema.data:
        return None
    try:
        text = schema.data.decode()
        installed_text = message_definition(schema.name)
    except (UnicodeDecodeError, UnknownTypeError):
        return None
    if text == installed_text:
        return None

    # equal fields, with other comments or constants
    store = _typestore(text, schema.name)
    installed = _typestore(installed_text, schema.name)
    if store is None or installed is None or _layout(store) == _layout(installed):
        return None
    return Upgrade(schema.name, store)


def agree(recorded: bytes, computed: bytes, kind: type, added: Fields) -> bool:
    """Return whether two messages are equal up to rounding, except for added fields.

    recorded, computed: serialized messages
    kind: their class
    """
    first = deserialize_message(recorded, kind)
    second = deserialize_message(computed, kind)
    return _agree(first, second, added)


def _agree(first: Any, second: Any, added: Fields) -> bool:
    """Compare messages, lists and values recursively."""
    if hasattr(first, "get_fields_and_field_types"):
        type_name = _type_name(type(first))
        return all(
            _agree(getattr(first, name), getattr(second, name), added)
            for name in first.get_fields_and_field_types()
            if (type_name, name) not in added
        )
    if isinstance(first, float | np.ndarray):
        return bool(np.allclose(first, second, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE))
    if isinstance(first, list):
        pairs = zip(first, second)
        return len(first) == len(second) and all(_agree(*pair, added) for pair in pairs)
    return first == second


def _typestore(text: str, name: str) -> Typestore | None:
    """Types of a definition and its parts; None where it cannot be parsed."""
    # imported here, since it is slow and most bags do not need it
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(text, name))
        store.generate_msgdef(name, ros_version=2)
    except Exception:  # any error of the parser, or of a missing part
        return None
    return store


def _layout(store: Typestore) -> Mapping[str, Any]:
    """Fields by type."""
    return {name: fields for name, (_, fields) in store.fielddefs.items()}


def _type_name(kind: type) -> str:
    """Name of a message class, such as std_msgs/msg/String."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _part(slot: Any) -> type | None:
    """Message class of a field or of its elements; None where they are no messages."""
    kind = getattr(slot, "value_type", slot)
    namespaces = getattr(kind, "namespaces", None)
    if namespaces is None:
        return None
    return getattr(importlib.import_module(".".join(namespaces)), kind.name)


def _fill(new: Any, old: Any) -> None:
    """Copy fields from a message of the bag; others keep their defaults."""
    type_name = _type_name(type(new))
    for name, slot in zip(new.get_fields_and_field_types(), new.SLOT_TYPES):
        old_name = RENAMED.get((type_name, name), name)
        if not hasattr(old, old_name):
            continue
        value = getattr(old, old_name)
        part = _part(slot)
        if part is None:
            setattr(new, name, _value(value, getattr(new, name)))
        elif isinstance(value, list):
            setattr(new, name, [_filled(part, item) for item in value])
        else:
            setattr(new, name, _filled(part, value))


def _filled(kind: type, old: Any) -> Any:
    """Message of a class, with the fields of a message of the bag."""
    new = kind()
    _fill(new, old)
    return new


def _value(value: Any, default: Any) -> Any:
    """Value converted to the type of a field, which its default shows."""
    if isinstance(default, array.array):
        # codes of array.array are also codes of numpy
        numbers = array.array(default.typecode)
        items = np.ascontiguousarray(value, np.dtype(str(default.typecode)))
        numbers.frombytes(items.tobytes())
        return numbers
    if isinstance(default, np.ndarray):
        return np.asarray(value, default.dtype)
    if isinstance(default, list):
        return list(value.tolist() if isinstance(value, np.ndarray) else value)
    if isinstance(default, bytes):  # of the ROS type byte
        return bytes([int(value)])
    return type(default)(value)
