"""Arguments, errors and warnings that commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from cooperative_isac.scene.model import Scene

Option = typer.Option
SceneArgument = Annotated[
    str, typer.Argument(metavar="SCENE", help="Scene file, or name of a shipped scene.")
]
SceneOption = Annotated[
    str | None,
    Option(help="Scene file. Default: the shipped scene with the recorded name."),
]
Scheme = Annotated[
    str | None, Option(help="Sensing scheme. Default: the scheme of the scene file.")
]
FrontEnd = Annotated[
    str,
    Option(
        help="Source of the echoes: simulated from odometry, or the topic of a radio.",
        metavar="simulated|topic",
    ),
]


def load_or_end(name: str) -> Scene:
    """Load a scene, or end with its errors, one a line."""
    from cooperative_isac.scene.file.config import load_scene

    try:
        return load_scene(name)
    except ValueError as error:
        fail(str(error))


def print_warnings(scene: Scene, schemes: Sequence[str] = ()) -> None:
    """Print warnings about unusual values of a scene."""
    from cooperative_isac.scene.warnings import warnings

    for line in [*warnings(scene), *_warnings_of_schemes(scene, schemes)]:
        typer.echo(f"warning: {line}", err=True)


def _warnings_of_schemes(scene: Scene, schemes: Sequence[str]) -> list[str]:
    """Likely mistakes in the cooperation of stations, and settings that schemes do not use.

    schemes: names of the schemes in use; empty: that of the scene file
    """
    from cooperative_isac.evaluation.migration_report import migration_warnings
    from cooperative_isac.scene.cooperation_warnings import cooperation_warnings
    from cooperative_isac.schemes.registry import unmeasured_interference, unused_settings

    in_use = schemes or [scene.sensing.scheme]
    lines = [
        *cooperation_warnings(scene),
        *unused_settings(in_use, scene),
        *unmeasured_interference(in_use, scene),
        *migration_warnings(scene, in_use),
    ]

    # Interference, whose module loads slowly, where there may be some.
    has_interferers = any(band.propagation.interferers for band in scene.bands)
    if has_interferers or scene.sensing.interference != "noise":
        from cooperative_isac.evaluation.interference_report import interference_warnings

        lines += interference_warnings(scene, in_use)
    return lines


def scheme_fault(names: Sequence[str], scene: Scene) -> str | None:
    """Error message of the first scheme that cannot work with a scene, else None."""
    from cooperative_isac.schemes.registry import check_scheme

    for name in names:
        try:
            check_scheme(name, scene)
        except (ImportError, OSError, ValueError) as error:
            return str(error)
    return None


def filter_fault(scene: Scene) -> str | None:
    """Error message if the motion filter of a scene cannot be made, else None."""
    from cooperative_isac.tracking.filters import make_filters

    try:
        make_filters(scene.tracking, scene.dimension)
    except ValueError as error:
        return str(error)
    return None


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error, each of its lines marked as one, and end the command with an exit code."""
    lines = [f"error: {line}" for line in message.splitlines()]
    typer.echo("\n".join(lines), err=True)
    raise typer.Exit(code)


def no_ros(error: ImportError) -> NoReturn:
    """End with an error: ROS 2 is missing."""
    fail(
        f"ROS 2 cannot be imported ({error}); run 'make setup', or source a workspace with this "
        "package"
    )
