"""Scene files: find, read, validate, and turn into a Scene."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from cooperative_isac.scene.band import Waveform
from cooperative_isac.scene.file.build import (
    build_parts,
    build_paths,
    dbm_to_w,
    recorded_targets,
    with_paths,
)
from cooperative_isac.scene.file.build_motion import build_targets
from cooperative_isac.scene.file.checks import check_file
from cooperative_isac.scene.file.cooperation_checks import synchronization_faults
from cooperative_isac.scene.file.errors import (
    ONE_BAND_KEYS,
    Problem,
    SceneError,
    problems_of,
    suggestion,
)
from cooperative_isac.scene.file.network import build_network, distinct
from cooperative_isac.scene.file.physics import check_scene
from cooperative_isac.scene.file.schema import CommonKeys, NetworkFile, SceneFile
from cooperative_isac.scene.file.signal_checks import unknown_symbol_faults
from cooperative_isac.scene.file.sizes import size_problems
from cooperative_isac.scene.file.station_physics import check_stations
from cooperative_isac.scene.file.yaml_text import Document, parse_yaml
from cooperative_isac.scene.model import Scene

# Hexadecimal digits of a fingerprint: 64 bits, which no two scenes of a site share by chance.
FINGERPRINT_DIGITS = 16
# Keys that make a file one of bands and stations, and those that such a file alone may have.
NETWORK_PARTS = {"bands", "stations"}
NETWORK_ONLY_KEYS = ("links", "cooperation")

AnyFile = TypeVar("AnyFile", bound=CommonKeys)


def load_scene(name_or_path: str | Path) -> Scene:
    """Load a scene file, or a shipped scene.

    name_or_path: path of a scene file, or the name of a shipped scene
    Raises SceneError: the scene cannot be used; the message lists all faults.
    """
    path = scene_path(name_or_path)
    return parse_scene(_text_of(path), path)


def parse_scene(text: str, path: Path) -> Scene:
    """The scene of a YAML text.

    path: of its file, for messages; relative paths in the text are relative to its folder
    Raises SceneError: it cannot be used; the message lists all faults.
    """
    source = str(path)
    document = parse_yaml(text, source)
    try:
        return _built(document, path)
    except _Faults as faults:
        raise SceneError(source, faults.problems, document.line) from None


def _built(document: Document, path: Path) -> Scene:
    """The scene of a document; raises _Faults if it cannot be used."""
    _refuse(_misplaced(document.data))
    if document.data.keys() & {*NETWORK_PARTS, *NETWORK_ONLY_KEYS}:
        return _built_network(document, path)

    # Check the file before anything is built.
    file = _validated(document.data, SceneFile)
    _refuse(check_file(file))
    _refuse(size_problems(file))

    # Build, and take paths and targets of a path file.
    targets, problems = build_targets(file, path.parent)
    paths, path_problems = build_paths(file, path.parent)
    _refuse(path_problems)
    parts = build_parts(file)
    digest = fingerprint(file)
    if paths is not None:
        parts["propagation"] = with_paths(parts["propagation"], paths, file.propagation.path_kinds)
        targets = recorded_targets(paths)
        digest = _digest(f"{digest} paths={paths.digest}")
    scene = Scene(
        name=file.name or path.stem, targets=targets, fingerprint=digest, source=str(path), **parts
    )

    # Check the scene.
    _refuse([*problems, *check_scene(scene), *unknown_symbol_faults(scene)])
    return scene


def _built_network(document: Document, path: Path) -> Scene:
    """The scene of a document with bands and stations, seen on its first band."""
    # Check and build bands and stations.
    file = _validated(document.data, NetworkFile)
    fields, band_files, faults = build_network(file, path.parent)
    _refuse(faults)

    # Build the scene.
    targets, problems = build_targets(file, path.parent)
    scene = Scene(
        name=file.name or path.stem,
        targets=targets,
        fingerprint=fingerprint(file),
        source=str(path),
        **fields,
    )

    # Check it on each band, then its stations.
    for view, part in zip(scene.views, band_files):
        problems.extend(part.renamed(problem) for problem in check_scene(view))
    problems.extend(check_stations(scene))
    problems.extend(synchronization_faults(scene))
    problems.extend(unknown_symbol_faults(scene))
    _refuse(distinct(problems))
    return scene


def with_power(scene: Scene, power_dbm: float) -> Scene:
    """The scene with another transmit power, and another fingerprint.

    power_dbm: of the scene's band, dBm; those of other bands change by as many dB
    """
    power_w = dbm_to_w(power_dbm)
    if math.isclose(power_w, scene.waveform.power_w, rel_tol=1e-9):
        return scene
    digest = _digest(f"{scene.fingerprint} power_dbm={power_dbm:.6f}")
    waveform = replace(scene.waveform, power_w=power_w)

    # All bands of a scene that names them, others by the same factor.
    factor = power_w / scene.waveform.power_w
    layout = scene.layout
    if layout is not None:
        bands = tuple(
            replace(band, waveform=waveform)
            if band.name == scene.band
            else replace(band, waveform=_scaled(band.waveform, factor))
            for band in layout.bands
        )
        layout = replace(layout, bands=bands)
    return replace(scene, waveform=waveform, layout=layout, fingerprint=digest)


def _scaled(waveform: Waveform, factor: float) -> Waveform:
    """A waveform with its power times a factor."""
    return replace(waveform, power_w=factor * waveform.power_w)


def fingerprint(file: CommonKeys) -> str:
    """Digest of a file's content, not of its layout.

    Processes compare it to make sure that they have the same scene.
    """
    return _digest(json.dumps(file.model_dump(mode="json"), sort_keys=True))


def scene_path(name_or_path: str | Path) -> Path:
    """The file of a scene: a path as it is, a bare name among the shipped scenes.

    Raises SceneError: there is no such file.
    """
    path = Path(os.path.expanduser(name_or_path))
    if path.is_file():
        return path
    if path.suffix or len(path.parts) != 1:
        raise SceneError(str(path), [Problem("", _missing_file(path))])

    # A shipped scene, or the names that exist.
    for folder in scene_folders():
        if (folder / f"{path}.yaml").is_file():
            return folder / f"{path}.yaml"
    known = scene_names()
    hint = suggestion(path, known)
    raise SceneError(
        str(path), [Problem("", f"no scene of that name; {hint}known: {', '.join(known)}")]
    )


def _missing_file(path: Path) -> str:
    """The fault of a path that is no file, with a similar name beside it or among the scenes."""
    if path.is_dir():
        return "is a folder; name a scene file"
    beside = [file.name for file in path.parent.glob("*.yaml")]
    hint = suggestion(path.name, beside) or suggestion(path.stem, scene_names())
    return f"no such scene file; {hint.rstrip()}" if hint else "no such scene file"


def scene_names() -> tuple[str, ...]:
    """Names of the shipped scenes, sorted."""
    files = [file for folder in scene_folders() for file in folder.glob("*.yaml")]
    return tuple(sorted({file.stem for file in files}))


def scene_folders() -> list[Path]:
    """Folders of shipped scenes: beside the source, under each ROS prefix, and under Python's."""
    repository = Path(__file__).resolve().parents[4]
    beside_source = repository / "config" / "scenes"
    ros_prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    installed = [
        Path(prefix) / "share" / "cooperative_isac" / "config" / "scenes"
        for prefix in (*ros_prefixes, sys.prefix)
    ]
    return [beside_source, *installed]


class _Faults(Exception):
    """Faults of a scene file, still without their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def _text_of(path: Path) -> str:
    """The text of a scene file, without the mark that some editors put before UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SceneError(str(path), [Problem("", f"cannot be read ({error.strerror})")]) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"cannot be read as text (byte {content[error.start]:#x}); save it as UTF-8"
        raise SceneError(f"{path}:{line}", [Problem("", problem)]) from None


def _validated(data: dict, model: type[AnyFile]) -> AnyFile:
    """The file with the keys, types and limits of a schema; raises _Faults."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _Faults(problems_of(error, model, data)) from None


def _misplaced(data: dict) -> list[Problem]:
    """The fault of a file of one band with keys of files of bands and stations, or none."""
    keys = [key for key in NETWORK_ONLY_KEYS if key in data]
    one_band_keys = [key for key in ONE_BAND_KEYS if key in data]
    if not keys or not one_band_keys or data.keys() & NETWORK_PARTS:
        return []
    return [
        Problem(
            keys[0],
            f"goes with `bands` and `stations` only; leave out {' and '.join(keys)}, or describe "
            f"the scene by bands and stations instead of {', '.join(one_band_keys)}",
        )
    ]


def _refuse(problems: list[Problem]) -> None:
    """Raise _Faults if there are any problems."""
    if problems:
        raise _Faults(problems)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]
