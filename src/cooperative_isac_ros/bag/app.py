"""`isac bag`: record, play, inspect, repair and replay bags."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cooperative_isac.output.console import make_console
from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.reader import BagReader, BagSummary
from cooperative_isac_ros.messages.plain_text import LONGEST_LINE, plain_text
from cooperative_isac_ros.processes.interrupts import Stopped, stop_request

# Time after Ctrl-C in which a command that has nothing to save must end, s.
ENDS_WITHIN_S = 1.5

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Record, play, inspect, repair and replay rosbag2 folders (MCAP), as 'ros2 bag' reads.",
)
BagArgument = Annotated[Path, typer.Argument(metavar="BAG", help="Folder of a bag.")]
NewBag = Annotated[Path, typer.Argument(metavar="BAG", help="New folder for the bag.")]
Topics = Annotated[
    list[str] | None, typer.Option(help="Topic by its full name; may be repeated. Default: all.")
]
Rate = Annotated[
    float,
    typer.Option(help="Playback speed as a multiple of the recorded one.", min=0.01, max=1000.0),
]
Offset = Annotated[
    float, typer.Option(help="Start this many seconds after the first message.", min=0.0)
]
Loop = Annotated[bool, typer.Option("--loop", help="Start again at the end, until Ctrl-C.")]
ClockOption = Annotated[
    bool, typer.Option("--clock", help="Publish /clock for nodes with use_sim_time.")
]
Wait = Annotated[
    float,
    typer.Option(help="Longest wait for a subscription before the first message, s.", min=0.0),
]
SimTime = Annotated[
    bool,
    typer.Option(
        "--use-sim-time", help="Log messages at the time of /clock instead of the system clock."
    ),
]
Duration = Annotated[
    float | None, typer.Option(help="Seconds to record. Default: until Ctrl-C.", min=0.1)
]
SceneOption = Annotated[
    str | None, typer.Option(help="Scene file. Default: the shipped scene of the recorded name.")
]
NewBagOption = Annotated[Path, typer.Option("--out", metavar="NEW", help="New folder for the bag.")]
Out = Annotated[
    Path | None, typer.Option(help="Write the replayed detections and tracks to this new bag.")
]


@app.command()
def record(
    bag: NewBag, topics: Topics = None, duration: Duration = None, use_sim_time: SimTime = False
) -> None:
    """Record all topics, or the named ones, including those that are advertised later."""
    with _faults(), _node("isac_bag_recorder", use_sim_time) as (node, executor, stop):
        from cooperative_isac_ros.bag.recorder import Recorder

        recorder = Recorder(node, bag, topics or ())
        stop.allow(None)
        typer.echo(f"recording into {bag}, Ctrl-C ends it")
        try:
            _spin(executor, duration, lambda: bool(recorder.stopped) or stop.requested)
        finally:
            recorder.close()

    # what was recorded, and what was not
    with _faults():
        _show(BagReader(bag).summary())
        for name in recorder.missing():
            typer.echo(f"{name} has had no publisher", err=True)
        if recorder.stopped:
            raise BagError(recorder.stopped)


@app.command()
def play(
    bag: BagArgument,
    topics: Topics = None,
    rate: Rate = 1.0,
    start_offset: Offset = 0.0,
    loop: Loop = False,
    clock: ClockOption = False,
    wait: Wait = 10.0,
) -> None:
    """Publish the messages of a bag, with the recorded quality of service and timing."""
    with _faults(), _node("isac_bag_player") as (node, _, stop):
        from cooperative_isac_ros.bag.player import Pace, Player, chosen_topics, play_once

        # bag
        reader = BagReader(bag, as_installed=True)
        summary = reader.summary()
        _show_remarks(summary)

        # publishers
        player = Player(node, chosen_topics(summary.topics, topics or ()))
        for name, reason in player.skipped.items():
            typer.echo(plain_text(f"{name} is left out: {reason}", LONGEST_LINE), err=True)
        pace = Pace(node, rate, clock, stop.check)
        if not player.wait_for_subscribers(wait, stop.check):
            typer.echo(f"no subscription within {wait:g} s; playing all the same", err=True)

        # messages, once or until Ctrl-C
        while True:
            number = play_once(reader, player, pace, summary.passes, start_offset)
            typer.echo(f"{number} messages played")
            for line in summary.damage:
                typer.echo(plain_text(f"missing: {line}", LONGEST_LINE), err=True)
            if not loop or not number:
                break


@app.command()
def info(bag: BagArgument) -> None:
    """Show the topics of a bag, and whether it was closed properly."""
    with _faults():
        _show(BagReader(bag).summary())


@app.command()
def repair(bag: BagArgument, out: NewBagOption) -> None:
    """Write the readable messages of a bag to a new one, complete and with an index."""
    with _faults():
        from cooperative_isac_ros.bag.repair import repair_bag

        reader = BagReader(bag)
        _show_remarks(repair_bag(reader, out))
    _show(BagReader(out).summary())


@app.command()
def replay(bag: BagArgument, scene: SceneOption = None, out: Out = None) -> None:
    """Process the recorded features again; exit code 1 unless the detections are identical.

    The detections of a bag with older message definitions are compared up to rounding.
    """
    with _faults(), _node("isac_bag_replay") as (node, executor, stop):
        from cooperative_isac.evaluation.run_report import recorded_scene
        from cooperative_isac_ros.bag.recording import read_recording, with_poses
        from cooperative_isac_ros.bag.replay import ATTEMPTS, Replay

        if out is not None and out.exists():
            raise BagError(f"{out} exists; name a folder that does not")

        # recording and its scene
        reader = BagReader(bag, as_installed=True)
        recording = read_recording(reader)
        _show_remarks(reader.summary())
        loaded = recorded_scene(recording.scene, recording.fingerprint, scene, bag)
        recording = with_poses(recording, reader, loaded)

        # nodes that process it, repeatedly where an answer was lost
        with (
            tempfile.TemporaryDirectory(prefix="isac_replay_") as folder,
            Progress(console=make_console(stderr=True), transient=True) as progress,
        ):
            task = progress.add_task("frames", total=len(recording.frames))
            stop.allow(None)  # the nodes take their time to end
            attempt = 0
            while True:
                attempt += 1
                progress.reset(task)
                repeated = Replay(recording, loaded, node, executor, stop.check)
                complete = repeated.run(Path(folder), lambda: progress.advance(task))
                if complete or attempt == ATTEMPTS:
                    break

        # comparison
        if out is not None:
            repeated.save(out)
        compared = repeated.comparisons()
        for item in compared:
            num_same = item.recorded - len(item.frames_different)
            manner = "agree to rounding" if item.is_older else "identical"
            typer.echo(f"{num_same} of {item.recorded} {item.topic} messages {manner}")
            if item.frames_different:
                typer.echo(
                    "  different or missing: frames "
                    f"{', '.join(map(str, item.frames_different[:20]))}"
                )

        # the first comparison is that of the detections, which every replay has
        raise typer.Exit(1 if compared[0].frames_different else 0)
    raise typer.Exit(1)  # ended before all frames were compared


def _show_remarks(summary: BagSummary) -> None:
    """Print the damage and other peculiarities of a bag."""
    for line in (*summary.damage, *summary.remarks):
        typer.echo(plain_text(line, LONGEST_LINE), err=True)


def _show(summary: BagSummary) -> None:
    """Print the topics and the state of a bag."""
    # topics
    table = Table("topic", "type", "messages", "rate (Hz)")
    for topic in summary.topics:
        rate = topic.num_messages / summary.duration_s if summary.duration_s else 0.0
        table.add_row(
            Text(plain_text(topic.name)),
            Text(plain_text(topic.type_name)),
            str(topic.num_messages),
            f"{rate:.1f}",
        )
    console = make_console()
    console.print(table)
    console.print(
        f"{summary.num_messages} messages in {summary.duration_s:.1f} s, {summary.size * 1e-6:.1f} "
        "MB",
        highlight=False,
    )

    # damage, and how to repair it
    _show_remarks(summary)
    if not summary.closed:
        console.print(
            "not closed: its recorder was killed or still records, or its end was cut off; all "
            "messages up to there are shown",
            highlight=False,
        )
    if summary.num_messages and (summary.damage or not summary.closed):
        name = shlex.quote(str(summary.folder))
        typer.echo(f"isac bag repair {name} --out NEW  # writes what can be read to a new bag")


@contextmanager
def _faults():
    """Print errors of bags and scenes in one line, and exit with code 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of the output has ended: the command line ends silently
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {place}{error.strerror or error}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _node(name: str, use_sim_time: bool = False):
    """Create a node, its executor, and the request that Ctrl-C and SIGTERM make."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    from cooperative_isac_ros.launching.graph import node_variables
    from cooperative_isac_ros.processes.startup import start_ros

    os.environ.update(node_variables())
    with stop_request() as stop:
        stop.allow(ENDS_WITHIN_S)
        start_ros(signals=SignalHandlerOptions.NO)
        clock = Parameter("use_sim_time", value=use_sim_time)
        node = rclpy.create_node(name, parameter_overrides=[clock])
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            yield node, executor, stop
        except Stopped:
            pass
        finally:
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
        if stop.requested:
            typer.echo("ended")


def _spin(executor, duration_s: float | None, has_ended: Callable[[], bool]) -> None:
    """Spin until a condition holds, or for a duration in s."""
    deadline_s = time.monotonic() + duration_s if duration_s else None
    while not has_ended() and (deadline_s is None or time.monotonic() < deadline_s):
        executor.spin_once(timeout_sec=0.1)
