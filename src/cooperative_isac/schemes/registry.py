"""Schemes by name: the built-in ones and those of installed entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Scheme, SchemeClass, arranged_scene

ENTRY_POINT_GROUP = "cooperative_isac.schemes"


def scheme_names() -> tuple[str, ...]:
    """Names of all schemes that can be made."""
    return tuple(sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP)))


def make_scheme(name: str, scene: Scene) -> Scheme:
    """The scheme of that name for a scene. ValueError lists the names there are."""
    return _load(name)(scene)


def scheme_scene(name: str, scene: Scene) -> Scene:
    """The scene with the sites that the scheme of that name works with, mostly the scene itself."""
    return arranged_scene(_load(name), scene)


def _load(name: str) -> SchemeClass:
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return point.load()
    raise ValueError(f"scheme '{name}' is not known; use one of {', '.join(scheme_names())}")
