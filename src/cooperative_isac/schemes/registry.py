"""Schemes by name: the built-in ones, those of installed entry points, and mixtures of both."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points

from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.catalog import BUILT_IN
from cooperative_isac.schemes.contract import Scheme

ENTRY_POINT_GROUP = "cooperative_isac.schemes"


def scheme_names() -> tuple[str, ...]:
    """Names of all schemes that can be made."""
    installed = (point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return tuple(sorted({*BUILT_IN, *installed}))


def check_names(names: Sequence[str]) -> None:
    """Refuse names of schemes that cannot be made; ValueError lists those that can."""
    known = scheme_names()
    for name in names:
        if name not in known:
            raise ValueError(f"scheme '{name}' is not known; use some of {', '.join(known)}")


def station_schemes(name: str, scene: Scene) -> dict[str, str]:
    """Name of the scheme of every receiving station, where the scene is run with one by name.

    A station of the scene file that names a scheme keeps it.
    """
    return {station.name: station.scheme or name for station in scene.receiving_stations}


def make_scheme(name: str, scene: Scene) -> Scheme:
    """The scheme of that name for a scene; stations that name another one keep theirs.

    ValueError lists the names there are, or says why the scheme cannot work with the scene.
    """
    chosen = station_schemes(name, scene)
    if set(chosen.values()) == {name}:
        return _load(name)(scheme_scene(name, scene), name)
    schemes = {}
    for each in sorted(set(chosen.values())):
        with _named_stations(name, each, chosen):
            schemes[each] = _load(each)(scene, each)
    for each in schemes:
        if _arranged(each, scene) is not scene:
            raise ValueError(
                f"scheme '{each}' works with stations of its own, and cannot share scene "
                f"'{scene.name}' with others: {', '.join(schemes)}"
            )
    # Loads slowly, and most scenes have one scheme.
    from cooperative_isac.schemes.mixed import MixedScheme

    return MixedScheme(scene, name, {station: schemes[each] for station, each in chosen.items()})


def scheme_scene(name: str, scene: Scene) -> Scene:
    """The scene with the stations that the scheme of that name works with, mostly the scene itself.

    ValueError: they are its own, and the scene's echoes come from a path file.
    """
    if set(station_schemes(name, scene).values()) != {name}:
        return scene
    arranged = _arranged(name, scene)
    if arranged is not scene and scene.propagation.paths is not None:
        raise ValueError(
            f"scheme '{name}' works with sites of its own, but "
            f"{scene.propagation.paths.source} has paths between those of scene "
            f"'{scene.name}' only; use another scheme"
        )
    return arranged


def load_schemes(name: str, scene: Scene) -> None:
    """Import the schemes that a scene is run with, for processes that are forked later.

    ValueError lists the names there are.
    """
    chosen = station_schemes(name, scene)
    for each in sorted(set(chosen.values())):
        with _named_stations(name, each, chosen):
            _load(each)


def check_scheme(name: str, scene: Scene) -> None:
    """Make the scheme of that name for a scene with all its ends, as a run does.

    ImportError, OSError or ValueError say why that cannot be.
    """
    scheme = make_scheme(name, scheme_scene(name, scene))
    for station in scheme.scene.receiving_stations:
        scheme.at(station.name)
    scheme.center()


@contextmanager
def _named_stations(name: str, scheme: str, chosen: dict[str, str]) -> Generator[None]:
    """Name the stations in a fault of a scheme that they alone have."""
    try:
        yield
    except ValueError as error:
        if scheme == name:
            raise
        stations = ", ".join(f"'{station}'" for station, each in chosen.items() if each == scheme)
        raise ValueError(f"of station {stations}: {error}") from error


def _arranged(name: str, scene: Scene) -> Scene:
    return _load(name).arranged(scene)


def _load(name: str) -> type[Scheme]:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].home.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _checked(name, point.value, point.load())
    raise ValueError(f"scheme '{name}' is not known; use one of {', '.join(scheme_names())}")


def _checked(name: str, home: str, loaded: object) -> type[Scheme]:
    """ValueError where an entry point names no class of the contract, with what to change."""
    if isinstance(loaded, type) and issubclass(loaded, Scheme):
        return loaded
    raise ValueError(
        f"scheme '{name}' ({home}) is not derived from cooperative_isac.schemes.contract.Scheme: "
        "schemes have two ends now; instead of encode(echo, frame, receiver) and "
        "decode(packets, frame), give it at(station), which returns an encoder, and center(), "
        "which returns a decoder, as docs/own_scheme.md shows"
    )
