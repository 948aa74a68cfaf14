"""The command `isac`.

Each command imports its libraries inside its function, so that `isac --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

# Set before numpy is imported. The matrices are small: several threads would only slow down the
# worker processes, which use all processors already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from cooperative_isac_ros.processes.interrupts import take_signals

if sys.argv[1:2] == ["run"]:
    # Before the slow imports, during which a Ctrl-C has nothing to save.
    _stop = take_signals()
    if "--help" not in sys.argv:
        from cooperative_isac_ros.processes.fork_server import begin_fork_server, end_fork_servers

        begin_fork_server()
        _stop.on_request(end_fork_servers)

import typer
from typer.core import TyperCommand

from cooperative_isac.evaluation.figures_app import app as figures_app
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
    str, typer.Argument(metavar="SCENE", help="Scene file, or name of a shipped scene.")
]
SceneOption = Annotated[
    str | None,
    Option(help="Scene file. Default: the shipped scene with the recorded name."),
]

# Options of `run`, some of them of other commands, too.
Duration = Annotated[
    float | None, Option(help="Length of the run in seconds. Default: until Ctrl-C.", min=0.1)
]
Scheme = Annotated[
    str | None, Option(help="Sensing scheme. Default: the scheme of the scene file.")
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
FrontEnd = Annotated[
    str,
    Option(
        help="Source of the echoes: simulated from odometry, or the topic of a radio.",
        metavar="simulated|topic",
    ),
]
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

# Options of `check`.
Coverage = Annotated[
    Path | None, Option(metavar="FILE.png", help="Draw a map of the SNR over the area.")
]
BandOption = Annotated[
    str | None, Option(metavar="NAME", help="Band of the map. Default: first band of the scene.")
]

# Options of `check-echo`.
EchoBag = Annotated[
    Path, typer.Argument(metavar="BAG", help="Folder of a bag with echoes and frames.")
]
SiteOption = Annotated[
    str | None, Option(metavar="NAME", help="Receiver to check. Default: all receivers.")
]
EchoFrames = Annotated[int, Option(help="Number of echoes to check per receiver.", min=1)]

# Options of `report`.
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that has ended.")]

# Options of `evaluate`.
Schemes = Annotated[
    str | None, Option(help="Comma-separated schemes. Default: the scheme of the scene file.")
]
Frames = Annotated[int | None, Option(help="Number of independent frames. Default: 200.", min=1)]
Sequence = Annotated[
    int | None,
    Option(
        help="Number of consecutive frames, which are tracked, instead of independent frames. "
        "Scenes with a path file always have consecutive frames, by default all of the file.",
        min=1,
    ),
]
Seed = Annotated[
    int | None,
    Option(
        help="Random seed. Default: 1, or with consecutive frames the seed of the scene file.",
        min=0,
    ),
]
Powers = Annotated[
    list[float] | None,
    Option(help="Transmit powers in dBm, one or several. Default: the power of the scene file."),
]
Json = Annotated[Path | None, Option(help="JSON file for the results.")]

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
# Exit code of `check-echo` for a bag that cannot be checked.
UNUSABLE = 2


class EvaluateCommand(TyperCommand):
    """The command `evaluate`, whose option --power-dbm takes several numbers.

    An option of click has a fixed number of values. So `--power-dbm 20 30` is parsed as
    `--power-dbm 20 --power-dbm 30`. The --power-dbm of `train` and `dataset` is a range of two
    values, which click parses itself.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command line."""
        return super().parse_args(ctx, repeat_option(args, "--power-dbm"))


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
    """Run all ROS 2 nodes of a scene, show their state, and report the tracking accuracy."""
    from cooperative_isac.output.console import make_console

    _set_discovery_range(network)
    loaded = _scene(scene)

    try:
        from cooperative_isac_ros.launching.choices import ChoiceError, chosen_for
        from cooperative_isac_ros.launching.graph import GraphOptions
        from cooperative_isac_ros.launching.run import run_scene
        from cooperative_isac_ros.launching.supervision import RespawnPolicy
    except ImportError as error:
        _no_ros(error)

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
            _fail(f"{scene}: {error}")
        value = getattr(options, error.option)
        shown = " ".join(value) if isinstance(value, tuple) else value
        # An option without a value stands for the value of the scene file.
        name = f"{RUN_OPTIONS[error.option]} {shown}" if shown else str(scene)
        _fail(f"{name}: {error}")

    _warn(loaded)
    if not loaded.targets:
        typer.echo(
            f"warning: scene '{loaded.name}' has no targets of its own: nothing is tracked until a "
            "robot publishes odometry on targets/<name>/odom (docs/nodes.md)",
            err=True,
        )
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
    """Record, play, inspect, repair and replay rosbag2 folders."""
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
    """Print the SROS 2 policy of a scene: the topics that each node may publish and subscribe to.

    docs/security.md describes its use.
    """
    loaded = _scene(scene)
    try:
        from cooperative_isac_ros.launching.graph import GraphOptions
        from cooperative_isac_ros.launching.policy import scene_policy
    except ImportError as error:
        _no_ros(error)
    options = GraphOptions(scheme=scheme or "", front_end=front_end, bag="bag" if recorder else "")
    try:
        typer.echo(scene_policy(loaded, options), nl=False)
    except ValueError as error:
        _fail(str(error))


@app.command()
def check(scene: SceneArgument, coverage: Coverage = None, band: BandOption = None) -> None:
    """Check a scene file: print its errors, or its resolution and link budget."""
    from rich.table import Table

    from cooperative_isac.output.console import make_console
    from cooperative_isac.output.files import OutputError, check_file
    from cooperative_isac.scene.describe import describe

    # Refuse options that cannot be used before the work begins.
    loaded = _scene(scene)
    if coverage is not None and coverage.suffix.lower() != ".png":
        _fail(f"--coverage is {coverage}; must be a file whose name ends in .png")
    names = [one.name for one in loaded.bands]
    if band is not None and band not in names:
        _fail(f"--band is '{band}'; the scene has {', '.join(names)}")
    if band is not None and coverage is None:
        _fail("--band is the band of the map of --coverage; give both")
    if coverage is not None:
        try:
            check_file(coverage)
        except OutputError as error:
            _fail(str(error))

    # The description, then the warnings.
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
    """Check recorded echoes of a radio for plausible signs, axis orders, levels and noise.

    Exit codes: 0, no fault; 1, a fault is found; 2, the bag cannot be used.
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
    """Print the report of an earlier run, and redraw its picture."""
    from cooperative_isac.evaluation.run_report import show_report
    from cooperative_isac.output.console import make_console

    try:
        show_report(folder, scene, make_console())
    except (ValueError, OSError) as error:
        _fail(str(error))


@app.command(cls=EvaluateCommand)
def evaluate(
    scene: SceneArgument,
    schemes: Schemes = None,
    frames: Frames = None,
    seed: Seed = None,
    power_dbm: Powers = None,
    json: Json = None,
    sequence: Sequence = None,
) -> None:
    """Measure the accuracy and cost of schemes, and compare it with the Cramer-Rao bound.

    The frames are independent draws, or consecutive (--sequence) and tracked. The errors that 95 %
    of the targets keep, missed and false shares are compared with 3GPP TS 22.137.
    """
    from cooperative_isac.schemes.registry import check_names

    # Scene, schemes and powers.
    loaded = _scene(scene)
    names = [name.strip() for name in (schemes or loaded.sensing.scheme).split(",")]
    try:
        check_names(names)
    except ValueError as error:
        _fail(str(error))
    _warn(loaded)
    _check_powers(power_dbm or [])

    # Consecutive frames, which are tracked.
    has_path_file = loaded.propagation.paths is not None
    if sequence is not None or has_path_file:
        from cooperative_isac.evaluation.sequence_command import evaluate_sequence

        if frames is not None:
            _refuse_frames(has_path_file)
        fault = _filter_fault(loaded)
        if fault is not None:
            _fail(fault)
        evaluate_sequence(loaded, names, sequence, seed, power_dbm, json)
        return

    # Independent frames.
    from cooperative_isac.evaluation.command import DRAWN_FRAMES, DRAWN_SEED
    from cooperative_isac.evaluation.command import evaluate as run_evaluation

    num_frames = frames or DRAWN_FRAMES
    drawn_seed = DRAWN_SEED if seed is None else seed
    run_evaluation(loaded, names, num_frames, drawn_seed, power_dbm, json)


app.add_typer(figures_app, name="figures")
app.command()(train)
app.command()(dataset)


def repeat_option(arguments: list[str], option: str) -> list[str]:
    """Expand `option 1 2 3` in a command line to `option 1 option 2 option 3`."""
    expanded: list[str] = []
    for argument in arguments:
        follows_value = expanded[-2:-1] == [option] and _is_number(expanded[-1])
        if follows_value and _is_number(argument):
            expanded.append(option)
        expanded.append(argument)
    return expanded


def main() -> None:
    """Entry point of the command."""
    run_command(app, sys.argv[1:])


def _check_powers(powers_dbm: list[float]) -> None:
    """End with an error for a transmit power outside the range of scene files."""
    from cooperative_isac.scene.file.schema import LEAST_LEVEL_DB, MOST_LEVEL_DB

    for power in powers_dbm:
        if not LEAST_LEVEL_DB <= power <= MOST_LEVEL_DB:
            _fail(
                f"--power-dbm is {power:g}; must be within {LEAST_LEVEL_DB:g} and {MOST_LEVEL_DB:g}"
            )


def _refuse_frames(has_path_file: bool) -> NoReturn:
    """End with an error for --frames where the frames are consecutive."""
    if has_path_file:
        _fail(
            "--frames draws independent frames, but the scene's echoes come from a path file; "
            "leave it out; --sequence sets the number of frames of the file"
        )
    _fail("--frames draws independent frames, but --sequence takes consecutive ones; leave it out")


def _set_discovery_range(network: bool) -> None:
    """Limit discovery to this machine, unless --network or the user's environment widens it."""
    if not network:
        os.environ.setdefault(DISCOVERY_RANGE, "LOCALHOST")
    elif os.environ.get(DISCOVERY_RANGE) in (None, "LOCALHOST"):
        os.environ[DISCOVERY_RANGE] = "SUBNET"


def _scene(name: str) -> Scene:
    """Load a scene, or end with its errors, one a line."""
    from cooperative_isac.scene.file.config import load_scene

    try:
        return load_scene(name)
    except ValueError as error:
        _fail(str(error))


def _warn_of_scheme(scene: Scene) -> None:
    """Warn if the scheme of the scene file cannot be made; --scheme may name another one."""
    from cooperative_isac.schemes.registry import check_scheme, station_schemes

    name = scene.sensing.scheme
    try:
        check_scheme(name, scene)
    except (ImportError, OSError, ValueError) as error:
        has_one_scheme = set(station_schemes(name, scene).values()) == {name}
        key = "sensing.scheme" if has_one_scheme else "scheme"
        typer.echo(f"warning: {key}: {error}", err=True)


def _filter_fault(scene: Scene) -> str | None:
    """Error message of a motion filter that cannot be made, or None."""
    from cooperative_isac.tracking.filters import make_filters

    try:
        make_filters(scene.tracking, scene.dimension)
    except ValueError as error:
        return str(error)
    return None


def _warn_of_filter(scene: Scene) -> None:
    """Warn if the motion filter of the scene cannot be made."""
    fault = _filter_fault(scene)
    if fault is not None:
        typer.echo(f"warning: {fault}", err=True)


def _warn(scene: Scene) -> None:
    """Print warnings about unusual values of a scene."""
    from cooperative_isac.scene.describe import warnings

    for line in warnings(scene):
        typer.echo(f"warning: {line}", err=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    """Print an error, whose every line is marked so, and end."""
    typer.echo("\n".join(f"error: {line}" for line in message.splitlines()), err=True)
    raise typer.Exit(code)


def _no_ros(error: ImportError) -> NoReturn:
    _fail(
        f"ROS 2 cannot be imported ({error}); run 'make setup', or source a workspace with this "
        "package"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    main()
