"""Scenes that a fork server has loaded for its nodes: a changed file does not change them."""

from __future__ import annotations

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene

_held: dict[str, Scene] = {}


def hold_scene(source: str) -> Scene:
    """Load the scene of a file and keep it. Raises ValueError where it cannot be used."""
    _held[source] = load_scene(source)
    return _held[source]


def node_scene(name_or_path: str) -> Scene:
    """Scene of a file or name, from memory where it was kept.

    Raises ValueError where it cannot be used.
    """
    return _held.get(name_or_path) or load_scene(name_or_path)
