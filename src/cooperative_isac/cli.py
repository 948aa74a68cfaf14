"""The command `isac`. What a command needs is imported when it runs: help comes at once."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before numpy: matrices are small, and workers fight for processors

from cooperative_isac_ros.interrupts import take_signals

if sys.argv[1:2] == ["run"]:
    _stop = take_signals()  # before imports of a second, which have nothing to save
    if "--help" not in sys.argv:
        from cooperative_isac_ros.fork_server import begin_fork_server, end_fork_servers

        begin_fork_server()
        _stop.wakes(end_fork_servers)

import typer

from cooperative_isac.evaluation.paper.app import app as figures_app
from cooperative_isac.output.command import run_command
from cooperative_isac.training.app import dataset, train

if TYPE_CHECKING:
    from cooperative_isac.scene.model import Scene

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Cooperative integrated sensing and communication.",
)
Option = typer.Option
SceneArgument = Annotated[
    str, typer.Argument(metavar="SCENE", help="File, or name of a shipped scene.")
]
Duration = Annotated[
    float | None, Option(help="Seconds from frame 0 on; else until Ctrl-C.", min=0.1)
]
Scheme = Annotated[str | None, Option(help="Sensing scheme instead of the scene's.")]
Bag = Annotated[Path | None, Option(help="Record all topics into this new folder.")]
Rate = Annotated[float | None, Option(help="Frames a second, not the scene's.", min=0.1, max=100.0)]
Out = Annotated[Path | None, Option(help="Folder for the report; by default a new one in runs/.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that has ended.")]
SceneOption = Annotated[
    str | None, Option(help="Scene file; by default the shipped scene of that name.")
]
EchoBag = Annotated[
    Path, typer.Argument(metavar="BAG", help="Folder of a bag with echoes and frames.")
]
SiteOption = Annotated[str | None, Option(help="Only this receiver.")]
EchoFrames = Annotated[int, Option(help="Echoes of each receiver that are looked at.", min=1)]
UNUSABLE = 2
Coverage = Annotated[
    Path | None, Option(metavar="FILE.png", help="Draw a map of the area with its SNR.")
]
BandOption = Annotated[
    str | None, Option(metavar="NAME", help="Band of the map; by default the scene's first.")
]
Markers = Annotated[bool, Option(help="Draw for RViz.")]
Respawn = Annotated[bool, Option(help="Start nodes again that end by themselves or hang.")]
Schemes = Annotated[str | None, Option(help="Comma-separated; by default the scene's.")]
Frames = Annotated[
    int | None, Option(help="Independent frames to draw.", min=1, show_default="200")
]
Sequence = Annotated[
    int | None,
    Option(
        help="Consecutive frames, with the tracker, instead; a scene with a "
        "path file is always measured so, by default all of it.",
        min=1,
    ),
]
Seed = Annotated[
    int | None,
    Option(help="Of all draws; of a sequence by default the scene's.", min=0, show_default="1"),
]
Powers = Annotated[list[float] | None, Option(help="Transmit powers, dBm; by default the scene's.")]
Json = Annotated[Path | None, Option(help="Write the results to this file, too.")]

FrontEnd = Annotated[
    str,
    Option(
        help="Echoes: simulated from odometry, or from a radio's topic.", metavar="simulated|topic"
    ),
]
TargetClasses = Annotated[
    list[str] | None,
    Option(metavar="NAME:CLASS", help="Class of a target that publishes none; repeatable."),
]
OdometryOffsets = Annotated[
    list[str] | None,
    Option(
        metavar="NAME:SECONDS",
        help="Added to the stamps of a target whose clock is off; repeatable.",
    ),
]
ParamsFile = Annotated[
    Path | None, Option(help="Parameter file for all nodes; its values go first.")
]
LogLevel = Annotated[
    str, Option(help="Least severity that nodes log.", metavar="debug|info|warn|error|fatal")
]
Network = Annotated[bool, Option("--network", help="Meet nodes of other machines, too.")]
Recorder = Annotated[bool, Option("--recorder", help="With a recorder, which may read all topics.")]
# Options by the field of GraphOptions that they set.
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
# Read by ROS 2 when a node starts.
DISCOVERY_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


@app.command()
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
    """Start a whole scene of ROS 2 nodes, show it, and report how well it tracked."""
    from cooperative_isac.output.console import make_console

    _set_discovery_range(network)
    loaded = _scene(scene)
    try:
        from cooperative_isac_ros.choices import ChoiceError, chosen_for
        from cooperative_isac_ros.graph import GraphOptions
        from cooperative_isac_ros.run import run_scene
        from cooperative_isac_ros.supervision import RespawnPolicy
    except ImportError as error:
        _no_ros(error)
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
            _fail(f"{scene}: {error}")
        value = getattr(options, error.option)
        shown = " ".join(value) if isinstance(value, tuple) else value
        # Without a value it is the scene's that cannot be taken.
        name = f"{RUN_OPTIONS[error.option]} {shown}" if shown else str(scene)
        _fail(f"{name}: {error}")
    _warn(loaded)
    raise typer.Exit(run_scene(loaded, options, duration, make_console(), RespawnPolicy(respawn)))


@app.command(
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
def bag(context: typer.Context) -> None:
    """Record, play, look into and replay rosbag2 folders."""
    try:
        from cooperative_isac_ros.bag.app import app as bag_app
    except ImportError as error:
        _no_ros(error)
    bag_app(context.args, prog_name="isac bag")


@app.command()
def policy(
    scene: SceneArgument,
    scheme: Scheme = None,
    front_end: FrontEnd = "simulated",
    recorder: Recorder = False,
) -> None:
    """Print the SROS 2 policy of a scene: who may publish and subscribe what; docs/security.md."""
    loaded = _scene(scene)
    try:
        from cooperative_isac_ros.graph import GraphOptions
        from cooperative_isac_ros.policy import scene_policy
    except ImportError as error:
        _no_ros(error)
    options = GraphOptions(scheme=scheme or "", front_end=front_end, bag="bag" if recorder else "")
    try:
        typer.echo(scene_policy(loaded, options), nl=False)
    except ValueError as error:
        _fail(str(error))


@app.command()
def check(scene: SceneArgument, coverage: Coverage = None, band: BandOption = None) -> None:
    """Read a scene file; print its faults, or its resolution and link budget."""
    from rich.table import Table

    from cooperative_isac.output.console import make_console
    from cooperative_isac.output.files import OutputError, check_file
    from cooperative_isac.scene.describe import describe

    loaded = _scene(scene)
    if coverage is not None and coverage.suffix.lower() != ".png":
        _fail(f"--coverage is {coverage}; must be a file whose name ends in .png")
    names = [one.name for one in loaded.bands]
    if band is not None and band not in names:
        _fail(f"--band is '{band}'; the scene has {', '.join(names)}")
    if band is not None and coverage is None:
        _fail("--band says of which band --coverage draws the map; give both")
    if coverage is not None:
        try:
            check_file(coverage)
        except OutputError as error:
            _fail(str(error))
    from cooperative_isac.evaluation.coverage import coverage_rows

    table = Table.grid(padding=(0, 2))
    for label, value in describe(loaded) + coverage_rows(loaded):
        table.add_row(f"[bold]{label}[/]", value)
    make_console().print(table, highlight=False)
    _warn(loaded)
    _warn_of_scheme(loaded)
    _warn_of_filter(loaded)
    if coverage is not None:
        from cooperative_isac.evaluation.coverage_picture import draw_coverage

        try:
            draw_coverage(loaded.on(band or names[0]), coverage)
        except OSError as error:
            _fail(f"cannot write {coverage}: {error.strerror}; name another place")


@app.command()
def check_echo(
    bag: EchoBag, scene: SceneOption = None, site: SiteOption = None, frames: EchoFrames = 8
) -> None:
    """Say whether recorded echoes of a radio have plausible signs, orders, levels and noise.

    Exit code 0: nothing is wrong; 1: something is; 2: the bag cannot be used.
    """
    try:
        from cooperative_isac_ros.bag.echoes import check_bag
    except ImportError as error:
        _no_ros(error)
    from cooperative_isac.output.console import make_console

    try:
        code = check_bag(bag, scene, site, frames, make_console())
    except (ValueError, OSError) as error:
        _fail(str(error), UNUSABLE)
    raise typer.Exit(code)


@app.command()
def report(folder: Folder, scene: SceneOption = None) -> None:
    """Show the report of a run again, and draw its picture anew."""
    from cooperative_isac.evaluation.run_report import show_report
    from cooperative_isac.output.console import make_console

    try:
        show_report(folder, scene, make_console())
    except (ValueError, OSError) as error:
        _fail(str(error))


@app.command()
def evaluate(
    scene: SceneArgument,
    schemes: Schemes = None,
    frames: Frames = None,
    seed: Seed = None,
    power_dbm: Powers = None,
    json: Json = None,
    sequence: Sequence = None,
) -> None:
    """Measure schemes on random frames, beside the Cramer-Rao bound, or on consecutive ones."""
    from cooperative_isac.scene.file.schema import LEAST_LEVEL_DB, MOST_LEVEL_DB
    from cooperative_isac.schemes.registry import check_names

    loaded = _scene(scene)
    names = [name.strip() for name in (schemes or loaded.sensing.scheme).split(",")]
    try:
        check_names(names)
    except ValueError as error:
        _fail(str(error))
    _warn(loaded)
    for power in power_dbm or []:
        if not LEAST_LEVEL_DB <= power <= MOST_LEVEL_DB:
            _fail(
                f"--power-dbm is {power:g}; must be within {LEAST_LEVEL_DB:g} and {MOST_LEVEL_DB:g}"
            )
    recorded = loaded.propagation.paths is not None
    if frames is not None and (sequence is not None or recorded):
        reason = (
            "the scene's echoes come from a path file"
            if recorded
            else "--sequence takes consecutive ones"
        )
        _fail(
            f"--frames draws independent frames, but {reason}; leave it out"
            + ("; --sequence says how many frames of the file" if recorded else "")
        )
    if sequence is not None or recorded:
        from cooperative_isac.evaluation.sequence_command import evaluate_sequence

        fault = _filter_fault(loaded)
        if fault is not None:
            _fail(fault)
        evaluate_sequence(loaded, names, sequence, seed, power_dbm, json)
        return
    from cooperative_isac.evaluation.command import DRAWN_FRAMES, DRAWN_SEED
    from cooperative_isac.evaluation.command import evaluate as run_evaluation

    run_evaluation(
        loaded, names, frames or DRAWN_FRAMES, DRAWN_SEED if seed is None else seed, power_dbm, json
    )


app.add_typer(figures_app, name="figures")
app.command()(train)
app.command()(dataset)


def repeat_option(arguments: list[str], option: str) -> list[str]:
    """Arguments in which `option 1 2 3` is written `option 1 option 2 option 3`."""
    repeated: list[str] = []
    for argument in arguments:
        if _is_number(argument) and repeated[-2:-1] == [option] and _is_number(repeated[-1]):
            repeated.append(option)
        repeated.append(argument)
    return repeated


def main() -> None:
    """Entry point of the command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["evaluate"]:
        arguments = repeat_option(arguments, "--power-dbm")
    run_command(app, arguments)


def _set_discovery_range(network: bool) -> None:
    """Nodes of this machine only, unless the user asks for the network or has set the variable."""
    if not network:
        os.environ.setdefault(DISCOVERY_RANGE, "LOCALHOST")
    elif os.environ.get(DISCOVERY_RANGE) in (None, "LOCALHOST"):
        os.environ[DISCOVERY_RANGE] = "SUBNET"


def _scene(name: str) -> Scene:
    from cooperative_isac.scene.file.config import load_scene

    try:
        return load_scene(name)
    except ValueError as error:
        _fail(str(error))


def _warn_of_scheme(scene: Scene) -> None:
    """Print why the scene's own scheme cannot be made; others may be named on the command line."""
    from cooperative_isac.schemes.registry import check_scheme, station_schemes

    name = scene.sensing.scheme
    try:
        check_scheme(name, scene)
    except (ImportError, OSError, ValueError) as error:
        is_one = set(station_schemes(name, scene).values()) == {name}
        typer.echo(f"warning: {'sensing.scheme' if is_one else 'scheme'}: {error}", err=True)


def _filter_fault(scene: Scene) -> str | None:
    """Why a motion filter of the user's own cannot be made, or None."""
    from cooperative_isac.tracking.filters import make_filters

    try:
        make_filters(scene.tracking, scene.dimension)
    except ValueError as error:
        return str(error)
    return None


def _warn_of_filter(scene: Scene) -> None:
    """Print why the scene's motion filter cannot be made."""
    fault = _filter_fault(scene)
    if fault is not None:
        typer.echo(f"warning: {fault}", err=True)


def _warn(scene: Scene) -> None:
    """Print what is hardly meant in a scene."""
    from cooperative_isac.scene.describe import warnings

    for line in warnings(scene):
        typer.echo(f"warning: {line}", err=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo("\n".join(f"error: {line}" for line in message.splitlines()), err=True)
    raise typer.Exit(code)


def _no_ros(error: ImportError) -> NoReturn:
    _fail(
        f"ROS 2 is not there ({error}); run 'make setup', or source a workspace with this package"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    main()
