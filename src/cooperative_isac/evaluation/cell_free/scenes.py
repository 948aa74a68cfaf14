"""Scenes with changed values, which are checked as those of any scene file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cooperative_isac.scene.file.config import load_scene, parse_scene
from cooperative_isac.scene.model import Scene


def changed_scene(name: str, changes: Mapping[str, object]) -> Scene:
    """Load a scene with changed values.

    name: scene file, or name of a shipped scene
    changes: new values by their dotted keys; `*` stands for every entry of a list

    Raises SceneError: a value is not valid
    """
    path = Path(load_scene(name).source)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        _set(content, key.split("."), value)
    return parse_scene(yaml.safe_dump(content), path)


def _set(place: Any, keys: list[str], value: object) -> None:
    """Set the value of a key below a mapping or list of a scene file."""
    first, *rest = keys
    if first == "*":
        for entry in place:
            _set(entry, rest, value)
    elif rest:
        _set(place.setdefault(first, {}), rest, value)
    else:
        place[first] = value
