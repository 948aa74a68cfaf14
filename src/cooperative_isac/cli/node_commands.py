"""The commands `run`, `bag` and `policy`: the ROS 2 nodes of a scene and their recordings."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from cooperative_isac.cli.common import (
    FrontEnd,
    Option,
    SceneArgument,
    Scheme,
    fail,
    load_or_end,
    no_ros,
    print_warnings,
)

# Options of `run`.
Duration = Annotated[
    float | None, Option(help="Length of the run in seconds. Default: until Ctrl-C.", min=0.1)
]
Bag = Annotated[Path | None, Option(help="New folder of a bag that records all topics.")]
Rate = Annotated[
    float | None,
    Option(
        help="Frame rate in frames per second. Default: the rate of the scene file.",
        min=0.1,
        max=100.0,
    ),
]
Out = Annotated[Path | None, Option(help="Folder of the report. Default: a new folder in runs/.")]
Markers = Annotated[bool, Option(help="Publish markers for RViz.")]
TargetClasses = Annotated[
    list[str] | None,
    Option(
        metavar="NAME:CLASS",
        help="Class of a target that publishes no class. Repeat the option for more targets.",
    ),
]
OdometryOffsets = Annotated[
    list[str] | None,
    Option(
        metavar="NAME:SECONDS",
        help="Correction in seconds that is added to the odometry stamps of a target. "
        "Repeat the option for more targets.",
    ),
]
ParamsFile = Annotated[
    Path | None, Option(help="ROS parameter file for all nodes. Its values take precedence.")
]
LogLevel = Annotated[
    str, Option(help="Lowest severity that nodes log.", metavar="debug|info|warn|error|fatal")
]
Network = Annotated[
    bool, Option("--network", help="Discover nodes of other machines, not only of this one.")
]
Respawn = Annotated[bool, Option(help="Restart nodes that end unexpectedly or do not respond.")]

# Options of `policy`.
Recorder = Annotated[
    bool, Option("--recorder", help="Include a bag recorder, which may subscribe to all topics.")
]

# Option that sets each field of GraphOptions, for error messages.
RUN_OPTIONS = {
    "scheme": "--scheme",
    "rate_hz": "--rate",
    "out": "--out",
    "bag": "--bag",
    "front_end": "--front-end",
    "target_classes": "--target-class",
    "odometry_offsets": "--odometry-offset",
    "params_file": "--params-file",
    "log_level": "--log-level",
}
# Environment variable of ROS 2 that limits discovery; read when a node starts.
DISCOVERY_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def run(
    scene: SceneArgument = "campus",
    duration: Duration = None,
    scheme: Scheme = None,
    bag: Bag = None,
    rate: Rate = None,
    out: Out = None,
    markers: Markers = True,
    front_end: FrontEnd = "simulated",
    target_class: TargetClasses = None,
    odometry_offset: OdometryOffsets = None,
    params_file: ParamsFile = None,
    log_level: LogLevel = "",
    network: Network = False,
    respawn: Respawn = True,
) -> None:
    """Run all ROS 2 nodes of a scene, show their state, and report the tracking accuracy."""
    from cooperative_isac.output.console import make_console

    _set_discovery_range(network)
    loaded = load_or_end(scene)

    try:
        from cooperative_isac_ros.launching.choices import ChoiceError, chosen_for
        from cooperative_isac_ros.launching.graph import GraphOptions
        from cooperative_isac_ros.launching.run import run_scene
        from cooperative_isac_ros.launching.supervision import RespawnPolicy
    except ImportError as error:
        no_ros(error)

    # Options of the graph of nodes, with the defaults of the scene.
    folder = out or Path("runs") / f"{loaded.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    options = GraphOptions(
        scheme=scheme or "",
        rate_hz=rate or 0.0,
        out=str(folder),
        bag=str(bag or ""),
        markers=markers,
        front_end=front_end,
        target_classes=tuple(target_class or ()),
        odometry_offsets=tuple(odometry_offset or ()),
        params_file=str(params_file or ""),
        log_level=log_level,
    )
    try:
        options = chosen_for(loaded, options)
    except ChoiceError as error:
        if error.option == "scene":
            fail(f"{scene}: {error}")

        # The option with its value; without a value, that of the scene file is meant.
        value = getattr(options, error.option)
        shown = " ".join(value) if isinstance(value, tuple) else value
        name = f"{RUN_OPTIONS[error.option]} {shown}" if shown else str(scene)
        fail(f"{name}: {error}")

    print_warnings(loaded, [options.scheme] if options.scheme else [])
    if not loaded.targets:
        typer.echo(
            f"warning: scene '{loaded.name}' has no targets of its own: nothing is tracked until a "
            "robot publishes odometry on targets/<name>/odom (docs/nodes.md)",
            err=True,
        )
    raise typer.Exit(run_scene(loaded, options, duration, make_console(), RespawnPolicy(respawn)))


def bag(context: typer.Context) -> None:
    """Record, play, inspect, repair and replay rosbag2 folders."""
    try:
        from cooperative_isac_ros.bag.app import app as bag_app
    except ImportError as error:
        no_ros(error)
    bag_app(context.args, prog_name="isac bag")


def policy(
    scene: SceneArgument,
    scheme: Scheme = None,
    front_end: FrontEnd = "simulated",
    recorder: Recorder = False,
) -> None:
    """Print the SROS 2 policy of a scene: the topics that each node may publish and subscribe to.

    docs/security.md describes its use.
    """
    loaded = load_or_end(scene)
    try:
        from cooperative_isac_ros.launching.graph import GraphOptions
        from cooperative_isac_ros.launching.policy import scene_policy
    except ImportError as error:
        no_ros(error)
    options = GraphOptions(scheme=scheme or "", front_end=front_end, bag="bag" if recorder else "")
    try:
        typer.echo(scene_policy(loaded, options), nl=False)
    except ValueError as error:
        fail(str(error))


def _set_discovery_range(network: bool) -> None:
    """Limit discovery to this machine, unless --network or the user's environment widens it."""
    if not network:
        os.environ.setdefault(DISCOVERY_RANGE, "LOCALHOST")
    elif os.environ.get(DISCOVERY_RANGE) in (None, "LOCALHOST"):
        os.environ[DISCOVERY_RANGE] = "SUBNET"
