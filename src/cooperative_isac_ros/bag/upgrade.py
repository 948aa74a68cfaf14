"""Messages of older definitions as those of today.

A bag carries the definition of each type. Where it is laid out otherwise than the installed one, a
message is read by the definition of the bag and written by that of today: fields keep their names,
or get those that they have now, and new fields have their defaults.
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

# Fields that had another name, by type and name of today.
RENAMED = {("cooperative_isac_msgs/msg/Accuracy", "gospa_localization_m"): "gospa_localisation_m"}
# What rounding leaves of two computations of one number: relative, and in SI units.
RELATIVE, ABSOLUTE = 1e-5, 1e-6

# Fields by type: of those that a message has today and did not have in the bag.
Fields = frozenset[tuple[str, str]]


class UpgradeError(ValueError):
    """A message that does not fit the definition of its bag, or of which none of today can be
    made.
    """


@dataclass(frozen=True)
class Upgrade:
    """How messages of one type of a bag become messages of today.

    store: types of the bag
    """

    type_name: str
    store: Typestore

    @cached_property
    def added(self) -> Fields:
        """Fields of today, in this type and its parts, that the bag does not have."""
        return frozenset(self._added(message_class(self.type_name)))

    def __call__(self, data: bytes) -> bytes:
        """A serialized message of today. UpgradeError: it cannot be made of these bytes."""
        try:
            old = self.store.deserialize_cdr(data, self.type_name)
            new = message_class(self.type_name)()
            _fill(new, old)
        except Exception as error:  # damaged bytes make the library and the setters raise anything
            raise UpgradeError(f"{self.type_name}: {error}") from None
        return serialized(new)

    def _added(self, kind: type) -> Iterable[tuple[str, str]]:
        type_name = _type_name(kind)
        old_fields = self.store.fielddefs.get(type_name)
        if old_fields is None:
            return  # a part that is new as a whole
        old_names = {name for name, _ in old_fields[1]}
        for name, slot in zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES):
            if RENAMED.get((type_name, name), name) not in old_names:
                yield type_name, name
            elif (part := _part(slot)) is not None:
                yield from self._added(part)


def upgrade_of(schema: Schema) -> Upgrade | None:
    """How messages of a type in a bag become messages of today; None where they are so already.

    They are left as they are, too, where the type is not installed, or the bag does not define it
    in a way that is known here.
    """
    if schema.encoding != ENCODING or not schema.data:
        return None
    try:
        text = schema.data.decode()
        installed_text = message_definition(schema.name)
    except (UnicodeDecodeError, UnknownTypeError):
        return None
    if text == installed_text:
        return None

    # Comments and constants may differ; only fields are laid out in messages.
    store = _typestore(text, schema.name)
    installed = _typestore(installed_text, schema.name)
    if store is None or installed is None or _layout(store) == _layout(installed):
        return None
    return Upgrade(schema.name, store)


def agree(recorded: bytes, computed: bytes, kind: type, added: Fields) -> bool:
    """Whether two messages are equal to rounding, but for fields that the recorded one lacked.

    recorded, computed: serialized messages of that kind
    """
    first = deserialize_message(recorded, kind)
    second = deserialize_message(computed, kind)
    return _agree(first, second, added)


def _agree(first: Any, second: Any, added: Fields) -> bool:
    """The same of messages, lists and values."""
    if hasattr(first, "get_fields_and_field_types"):
        type_name = _type_name(type(first))
        return all(
            _agree(getattr(first, name), getattr(second, name), added)
            for name in first.get_fields_and_field_types()
            if (type_name, name) not in added
        )
    if isinstance(first, float | np.ndarray):
        return bool(np.allclose(first, second, RELATIVE, ABSOLUTE))
    if isinstance(first, list):
        pairs = zip(first, second)
        return len(first) == len(second) and all(_agree(*pair, added) for pair in pairs)
    return first == second


def _typestore(text: str, name: str) -> Typestore | None:
    """Types of a definition and its parts; None where it cannot be parsed."""
    # Loads slowly, and bags of today need nothing of it.
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(text, name))
        store.generate_msgdef(name, ros_version=2)
    except Exception:  # of a grammar that any text may meet, or a part that is not defined
        return None
    return store


def _layout(store: Typestore) -> Mapping[str, Any]:
    return {name: fields for name, (_, fields) in store.fielddefs.items()}


def _type_name(kind: type) -> str:
    """Name of a message class, such as std_msgs/msg/String."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _part(slot: Any) -> type | None:
    """Class of the messages that a field, or each element of it, holds; None for other values."""
    kind = getattr(slot, "value_type", slot)
    namespaces = getattr(kind, "namespaces", None)
    if namespaces is None:
        return None
    return getattr(importlib.import_module(".".join(namespaces)), kind.name)


def _fill(new: Any, old: Any) -> None:
    """Set the fields of a message of today from one of the bag; others keep their defaults."""
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
    new = kind()
    _fill(new, old)
    return new


def _value(value: Any, default: Any) -> Any:
    """A number, a text or an array as the field wants it whose default is given."""
    if isinstance(default, array.array):
        numbers = array.array(default.typecode)
        kind = np.dtype(f"{default.typecode}")
        numbers.frombytes(np.ascontiguousarray(value, kind).tobytes())
        return numbers
    if isinstance(default, np.ndarray):
        return np.asarray(value, default.dtype)
    if isinstance(default, list):
        return list(value.tolist() if isinstance(value, np.ndarray) else value)
    if isinstance(default, bytes):  # ROS's byte
        return bytes([int(value)])
    return type(default)(value)
