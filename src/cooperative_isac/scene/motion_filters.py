"""Names of motion filters: the built-in ones, and those that users add."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

BUILT_IN_FILTERS = ("cv", "imm")
FILTERS_GROUP = "cooperative_isac.motion_filters"
# module:factory of a user's own filter.
PATH_PATTERN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

# Called with the scene's tracking settings and its dimension.
Factory = Callable[..., Any]

_registered: dict[str, Factory] = {}


def register_motion_filter(name: str, factory: Factory) -> None:
    """Register a motion filter in this process, under a name for a scene's tracking.model.

    name: any but that of a built-in filter
    factory: factory(settings, dimension) returns a new filter, which keeps the protocol of
    cooperative_isac.tracking.own_filters.MotionFilter
    Raises ValueError: a built-in filter has this name.
    """
    if name in BUILT_IN_FILTERS:
        raise ValueError(f"motion filter '{name}' is built in; choose another name")
    _registered[name] = factory


def motion_filter_names() -> tuple[str, ...]:
    """Names of all motion filters: built in, registered, and of installed entry points."""
    installed = entry_points(group=FILTERS_GROUP).names
    return tuple(sorted({*BUILT_IN_FILTERS, *_registered, *installed}))


def is_motion_filter(name: str) -> bool:
    """True where a name is valid for a scene's tracking.model.

    name: one of `motion_filter_names`, or module:factory, of which only the form is checked
    """
    return (
        name in BUILT_IN_FILTERS
        or PATH_PATTERN.fullmatch(name) is not None
        or name in motion_filter_names()
    )


def allowed_motion_filters() -> str:
    """Valid names for a scene's tracking.model, in words."""
    return f"{', '.join(motion_filter_names())}, or module:factory of a filter of your own"


def load_factory(name: str) -> Factory:
    """The factory of a motion filter that is not built in.

    name: registered, of an entry point, or module:factory
    Raises ValueError: there is none of this name, or it cannot be imported.
    """
    if name in _registered:
        return _registered[name]

    # Entry points of installed packages first, then the name as a path.
    try:
        for point in entry_points(group=FILTERS_GROUP, name=name):
            return point.load()
        if PATH_PATTERN.fullmatch(name):
            return _imported(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"tracking model '{name}' cannot be imported: {error}") from error
    raise ValueError(f"tracking model '{name}' is unknown; allowed: {allowed_motion_filters()}")


def _imported(path: str) -> Factory:
    """The object that module:attribute names."""
    module, _, attribute = path.partition(":")
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
