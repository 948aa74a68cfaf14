"""Message types by name: their classes, and their full definitions as bags carry them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ENCODING = "ros2msg"
RULE = "=" * 80
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
    """A message type that is not installed here."""


def message_class(type_name: str):
    """Class of a type such as std_msgs/msg/String."""
    package, _, name = type_name.partition("/msg/")
    if not TYPE_NAME.fullmatch(type_name):
        raise UnknownTypeError(f"{type_name!r} is not the name of a message type")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError, ValueError):
        raise UnknownTypeError(f"message type {type_name} is not installed here") from None


def message_definition(type_name: str) -> str:
    """The .msg text of a type, followed by those of all types that it is made of, as rosbag2 joins
    them.
    """
    package, _, name = type_name.partition("/msg/")
    if not TYPE_NAME.fullmatch(type_name):
        raise UnknownTypeError(f"{type_name!r} is not the name of a message type")
    texts, open_names, known = [], [(f"{package}/{name}", "")], {f"{package}/{name}"}
    while open_names:
        full_name, heading = open_names.pop(0)
        text = _text(full_name)
        texts.append(heading + text)
        for part in _parts(text, full_name.split("/")[0]):
            if part not in known:
                known.add(part)
                open_names.append((part, f"{RULE}\nMSG: {part}\n"))
    return "\n".join(texts)


def _text(full_name: str) -> str:
    package, _, name = full_name.partition("/")
    spec = importlib.util.find_spec(package)
    # Beside the package's own Python modules, wherever that prefix is: no index of prefixes is
    # needed.
    for folder in Path(spec.origin).parents if spec is not None and spec.origin else ():
        path = folder / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UnknownTypeError(f"no definition of {full_name} is installed here")


def _parts(text: str, package: str) -> list[str]:
    names = [name.removesuffix("[]") for name in FIELD.findall(text)]
    return sorted(
        {name if "/" in name else f"{package}/{name}" for name in names if name not in PRIMITIVES}
    )
