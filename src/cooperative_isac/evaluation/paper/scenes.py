"""Scenes with some of their file's values changed, checked as any scene file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from cooperative_isac.scene.file.config import load_scene, parse_scene
from cooperative_isac.scene.model import Scene


def changed_scene(name: str, changes: Mapping[str, object]) -> Scene:
    """A scene with other values. changes: dotted keys, `*` for every entry of a list, to values."""
    path = Path(load_scene(name).source)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        _set(content, key.split("."), value)
    return parse_scene(yaml.safe_dump(content), path)


def _set(place, keys: list[str], value) -> None:
    first, *rest = keys
    if first == "*":
        for entry in place:
            _set(entry, rest, value)
    elif rest:
        _set(place.setdefault(first, {}), rest, value)
    else:
        place[first] = value
