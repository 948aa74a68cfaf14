"""Schemes by name: the built-in ones, those of installed entry points, and mixtures of both."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points

from cooperative_isac.scene.file.errors import suggestion
from cooperative_isac.scene.model import Scene, Sensing
from cooperative_isac.scene.noise import has_unknown_symbols
from cooperative_isac.schemes.catalog import BUILT_IN
from cooperative_isac.schemes.contract import Scheme

SCHEMES_GROUP = "cooperative_isac.schemes"
# Keys of `sensing` that only some schemes use (Scheme.uses).
SCHEME_SETTINGS = (
    "candidate_bits",
    "report_bits",
    "symbol_bits",
    "interference",
    "range_migration",
    "directions",
    "num_sources",
    "recovery",
)


def scheme_names() -> tuple[str, ...]:
    """Names of all schemes that can be made."""
    installed = (point.name for point in entry_points(group=SCHEMES_GROUP))
    return tuple(sorted({*BUILT_IN, *installed}))


def check_names(names: Sequence[str]) -> None:
    """Refuse names of schemes that cannot be made; ValueError lists those that can."""
    known = scheme_names()
    for name in names:
        if name not in known:
            hint = suggestion(name, known)
            raise ValueError(f"scheme '{name}' is not known; {hint}use some of {', '.join(known)}")


def check_synchronization(names: Sequence[str], scene: Scene) -> None:
    """Refuse schemes that cannot correct the clocks of a scene; ValueError lists those that can."""
    for name in names:
        for own_name in sorted(set(station_schemes(name, scene).values())):
            _loaded_for(scene, own_name)


def station_schemes(name: str, scene: Scene) -> dict[str, str]:
    """Name of the scheme of every receiving station, in a run with scheme `name`.

    A station that has a scheme in the scene file keeps it.
    """
    return {station.name: station.scheme or name for station in scene.receiving_stations}


def ignoring(names: Sequence[str], scene: Scene, key: str) -> list[str]:
    """Names of the built-in schemes in use that do not use a key of `sensing` (SCHEME_SETTINGS).

    names: schemes of a run
    """
    in_use = {own_name for name in names for own_name in station_schemes(name, scene).values()}
    return sorted(name for name in in_use & BUILT_IN.keys() if key not in _load(name).uses)


def counting(names: Sequence[str]) -> str:
    """Names of schemes as the subject of a warning: `a counts`, or `a and b count`."""
    verb = "counts" if len(names) == 1 else "count"
    return f"{' and '.join(names)} {verb}"


def unused_settings(names: Sequence[str], scene: Scene) -> Iterator[str]:
    """Warnings of keys of `sensing` that the scene sets, and none of some built-in schemes uses.

    Schemes of one's own may use all keys.
    """
    in_use = {own_name for name in names for own_name in station_schemes(name, scene).values()}
    if not in_use <= BUILT_IN.keys():
        return
    verb = "does" if len(in_use) == 1 else "do"
    defaults = {item.name: item.default for item in fields(Sensing)}
    for key in SCHEME_SETTINGS:
        value = getattr(scene.sensing, key)
        is_used = any(key in _load(name).uses for name in in_use)
        if value == defaults[key] or is_used:
            continue
        able = [name for name in _classical() if key in _load(name).uses]
        yield (
            f"sensing.{key} is {value}, and {' and '.join(sorted(in_use))} {verb} not use it; "
            f"leave it out, or use scheme {' or '.join(able)}"
        )


def unmeasured_interference(names: Sequence[str], scene: Scene) -> Iterator[str]:
    """Warnings of built-in schemes that take interference by unknown symbols for thermal noise."""
    unknown = [view.band for view in scene.views if has_unknown_symbols(view)]
    in_use = {own_name for name in names for own_name in station_schemes(name, scene).values()}
    others = sorted(name for name in in_use & BUILT_IN.keys() if not _load(name).whitens)
    if unknown and others:
        able = [name for name in _classical() if _load(name).whitens]
        take = "takes" if len(others) == 1 else "take"
        yield (
            f"waveform.signals has code beside data, receivers use {scene.sensing.symbols}, and "
            f"{' and '.join(others)} {take} the other symbols for thermal noise: expect false "
            f"alarms where echoes are strong; use scheme {' or '.join(able)}, or symbols: all"
        )


def make_scheme(name: str, scene: Scene) -> Scheme:
    """Make the scheme of a name for a scene.

    name: for all stations but those with a scheme of their own in the scene file
    scene: scene of the stations
    Returns the scheme, whose ends encode at stations and decode at the center.
    Raises ValueError for an unknown name, or a scheme that cannot work with the scene.
    """
    # One scheme for all stations.
    by_station = station_schemes(name, scene)
    names = sorted(set(by_station.values()))
    if names == [name]:
        return _loaded_for(scene, name)(scheme_scene(name, scene), name)

    # Several schemes, which must leave the scene as it is.
    schemes = {}
    for scheme_name in names:
        with _named_stations(name, scheme_name, by_station):
            schemes[scheme_name] = _loaded_for(scene, scheme_name)(scene, scheme_name)
    for scheme_name in names:
        if _arranged(scheme_name, scene) is not scene:
            raise ValueError(
                f"scheme '{scheme_name}' works with stations of its own, and cannot share scene "
                f"'{scene.name}' with others: {', '.join(schemes)}"
            )

    # Imported here: it loads slowly, and most scenes have one scheme.
    from cooperative_isac.schemes.mixed import MixedScheme

    own_schemes = {station: schemes[own_name] for station, own_name in by_station.items()}
    return MixedScheme(scene, name, own_schemes)


def scheme_scene(name: str, scene: Scene) -> Scene:
    """The scene with the stations that a scheme works with (Scheme.arranged).

    Raises ValueError where the scheme has stations of its own, and the scene a path file.
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
    """Import the schemes of a run, for processes that are forked later.

    Raises ValueError for an unknown name.
    """
    by_station = station_schemes(name, scene)
    for scheme_name in sorted(set(by_station.values())):
        with _named_stations(name, scheme_name, by_station):
            _load(scheme_name)


def check_scheme(name: str, scene: Scene) -> None:
    """Make a scheme for a scene with all its encoders and its decoder, as a run does.

    Raises ImportError, OSError or ValueError where that fails.
    """
    scheme = make_scheme(name, scheme_scene(name, scene))
    for station in scheme.scene.receiving_stations:
        scheme.at(station.name)
    scheme.center()


@contextmanager
def _named_stations(name: str, scheme: str, by_station: dict[str, str]) -> Generator[None]:
    """Add the names of the stations to a fault of a scheme that only they have."""
    try:
        yield
    except ValueError as error:
        if scheme == name:
            raise
        stations = ", ".join(
            f"'{station}'" for station, own_name in by_station.items() if own_name == scheme
        )
        raise ValueError(f"of station {stations}: {error}") from error


def _arranged(name: str, scene: Scene) -> Scene:
    """The scene as the scheme of a name arranges it."""
    return _load(name).arranged(scene)


def _loaded_for(scene: Scene, name: str) -> type[Scheme]:
    """The class of the scheme of a name, which does what the scene asks of schemes.

    That is to correct clock offsets, to choose links by zones, to use known reflectors, and to work
    on a fragmented spectrum.
    """
    scheme = _load(name)
    mode = scene.sensing.synchronization
    if mode not in ("none", *scheme.synchronizes):
        able = ", ".join(_synchronizing(mode))
        others = " or ".join(scheme.synchronizes) or "none"
        raise ValueError(
            f"scheme '{name}' does not correct clock offsets by '{mode}', the "
            f"sensing.synchronization of scene '{scene.name}'; use one of the schemes {able}, or "
            f"set {others}"
        )
    if scene.cooperation is not None and not scheme.cooperates:
        raise ValueError(
            f"scheme '{name}' does not choose links by the zones of scene '{scene.name}' "
            "(cooperation); use scheme local_ml, or remove the key"
        )
    if scene.sensing.reflections == "use" and "reflections" not in scheme.uses:
        raise ValueError(
            f"scheme '{name}' does not locate targets by way of walls, which scene "
            f"'{scene.name}' asks for (sensing.reflections: use); use scheme local_ml, or remove "
            "the key"
        )
    is_network = name in BUILT_IN and BUILT_IN[name].needs_weights
    if is_network and any(view.grid.fragments for view in scene.views):
        raise ValueError(
            f"scheme '{name}' transforms a whole grid of subcarriers, of which scene "
            f"'{scene.name}' uses parts (waveform.fragments); use one of the schemes "
            f"{', '.join(_classical())}, or remove the key"
        )
    return scheme


def _synchronizing(mode: str) -> list[str]:
    """Names of the built-in schemes that correct clock offsets in a mode; no network does."""
    return [name for name in _classical() if mode in _load(name).synchronizes]


def _classical() -> list[str]:
    """Names of the built-in schemes that are no networks."""
    return [name for name, scheme in BUILT_IN.items() if not scheme.needs_weights]


def _load(name: str) -> type[Scheme]:
    """The class of the scheme of a name."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].home.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=SCHEMES_GROUP, name=name):
        return checked_class(name, point.value, point.load())
    known = scheme_names()
    hint = suggestion(name, known)
    raise ValueError(f"scheme '{name}' is not known; {hint}use one of {', '.join(known)}")


def checked_class(name: str, home: str, loaded: object) -> type[Scheme]:
    """A class of a scheme of one's own, which has the two ends of schemes.contract.

    home: where the class is, for the message
    Raises ValueError, with the remedy: it is not derived from Scheme, or lacks methods.
    """
    fault = "is not derived from cooperative_isac.schemes.contract.Scheme"
    if isinstance(loaded, type) and issubclass(loaded, Scheme):
        missing = sorted(loaded.__abstractmethods__)
        if not missing:
            return loaded
        fault = f"has no {', '.join(missing)}"
    raise ValueError(
        f"scheme '{name}' ({home}) {fault}: "
        "schemes have two ends now; instead of encode(echo, frame, receiver) and "
        "decode(packets, frame), give it at(station), which returns an encoder, and center(), "
        "which returns a decoder, as docs/own_scheme.md shows"
    )
