"""Message types by name: their classes, and their full definitions as in bags."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

# Encoding of definitions in .msg syntax.
ENCODING = "ros2msg"
# Line between the definitions of a type and its parts.
RULE = "=" * 80
# Type and name of a field.
FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]", re.MULTILINE)
TYPE_NAME = re.compile(r"[a-z]\w*/msg/[A-Z]\w*", re.ASCII)
PRIMITIVES = {
    "bool",
    "byte",
    "char",
    "string",
    "wstring",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


class UnknownTypeError(ValueError):
    """The message type is not installed."""


def message_class(type_name: str):
    """Class of a message type such as std_msgs/msg/String.

    Raises UnknownTypeError where it is not installed.
    """
    package, _, name = type_name.partition("/msg/")
    if not TYPE_NAME.fullmatch(type_name):
        raise UnknownTypeError(f"{type_name!r} is not the name of a message type")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError):
        raise UnknownTypeError(f"message type {type_name} is not installed here") from None


def message_definition(type_name: str) -> str:
    """Text of a type's .msg file and those of all its parts, joined as rosbag2 does.

    Raises UnknownTypeError where one of them is not installed.
    """
    package, _, name = type_name.partition("/msg/")
    if not TYPE_NAME.fullmatch(type_name):
        raise UnknownTypeError(f"{type_name!r} is not the name of a message type")

    # breadth first from the type to its parts
    texts = []
    pending = [(f"{package}/{name}", "")]
    known = {f"{package}/{name}"}
    while pending:
        full_name, heading = pending.pop(0)
        text = _text(full_name)
        texts.append(heading + text)
        for part in _parts(text, full_name.split("/")[0]):
            if part not in known:
                known.add(part)
                pending.append((part, f"{RULE}\nMSG: {part}\n"))
    return "\n".join(texts)


def _text(full_name: str) -> str:
    """Text of an installed .msg file."""
    # folders above the package's Python modules, one of which is the installation prefix
    package, _, name = full_name.partition("/")
    spec = importlib.util.find_spec(package)
    folders = Path(spec.origin).parents if spec is not None and spec.origin else ()

    for folder in folders:
        path = folder / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UnknownTypeError(f"no definition of {full_name} is installed here")


def _parts(text: str, package: str) -> list[str]:
    """Full names of the message types of a definition's fields."""
    names = [name.removesuffix("[]") for name in FIELD.findall(text)]
    return sorted(
        {name if "/" in name else f"{package}/{name}" for name in names if name not in PRIMITIVES}
    )
