"""Scenes that a process holds for the nodes that are forked from it, as they were when it began."""

from __future__ import annotations

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene

_held: dict[str, Scene] = {}


def hold_scene(source: str) -> Scene:
    """Load the scene of a file for good; ValueError where it cannot be used."""
    _held[source] = load_scene(source)
    return _held[source]


def node_scene(name_or_path: str) -> Scene:
    """The scene of a file or name; the file is not read again where its scene is held.

    Raises ValueError: the scene cannot be used
    """
    return _held.get(name_or_path) or load_scene(name_or_path)
