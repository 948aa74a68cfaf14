"""Arguments, errors and warnings that commands share."""

from __future__ import annotations

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


def print_warnings(scene: Scene) -> None:
    """Print warnings about unusual values of a scene."""
    from cooperative_isac.scene.warnings import warnings

    for line in warnings(scene):
        typer.echo(f"warning: {line}", err=True)


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
