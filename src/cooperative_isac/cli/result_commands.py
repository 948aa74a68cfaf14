"""The commands `evaluate` and `report`: accuracy of schemes, and of runs that have ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from cooperative_isac.cli.common import (
    Option,
    SceneArgument,
    SceneOption,
    fail,
    filter_fault,
    load_or_end,
    print_warnings,
    scheme_fault,
)

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
    Option(
        help="Transmit powers in dBm, one or several: of the first band; others change by as many "
        "dB. Default: the power of the scene file."
    ),
]
Json = Annotated[Path | None, Option(help="JSON file for the results.")]


class EvaluateCommand(TyperCommand):
    """The command `evaluate`, whose option --power-dbm takes several numbers.

    An option of click has a fixed number of values. So `--power-dbm 20 30` is parsed as
    `--power-dbm 20 --power-dbm 30`. The --power-dbm of `train` and `dataset` is a range of two
    values, which click parses itself.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command line."""
        return super().parse_args(ctx, repeat_option(args, "--power-dbm"))


def report(folder: Folder, scene: SceneOption = None) -> None:
    """Print the report of an earlier run, and redraw its picture."""
    from cooperative_isac.evaluation.run_report import show_report
    from cooperative_isac.output.console import make_console

    try:
        show_report(folder, scene, make_console())
    except (ValueError, OSError) as error:
        fail(str(error))


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

    The frames are independent draws, or consecutive (--sequence) and tracked. The 95th percentiles
    of the errors, and the shares of missed and false targets, are compared with 3GPP TS 22.137.
    """
    from cooperative_isac.schemes.registry import check_names

    # Scene, schemes and powers.
    loaded = load_or_end(scene)
    names = [name.strip() for name in (schemes or loaded.sensing.scheme).split(",")]
    try:
        check_names(names)
    except ValueError as error:
        fail(str(error))
    print_warnings(loaded, names)
    _check_powers(power_dbm or [])
    fault = scheme_fault(names, loaded)
    if fault is not None:
        fail(fault)

    # Consecutive frames, which are tracked.
    has_path_file = loaded.propagation.paths is not None
    if sequence is not None or has_path_file:
        from cooperative_isac.evaluation.sequence_command import evaluate_sequence

        if frames is not None:
            _refuse_frames(has_path_file)
        fault = filter_fault(loaded)
        if fault is not None:
            fail(fault)
        evaluate_sequence(loaded, names, sequence, seed, power_dbm, json)
        return

    # Independent frames.
    from cooperative_isac.evaluation.command import DRAWN_FRAMES, DRAWN_SEED
    from cooperative_isac.evaluation.command import evaluate as run_evaluation

    num_frames = frames or DRAWN_FRAMES
    drawn_seed = DRAWN_SEED if seed is None else seed
    run_evaluation(loaded, names, num_frames, drawn_seed, power_dbm, json)


def repeat_option(arguments: list[str], option: str) -> list[str]:
    """Expand `option 1 2 3` in a command line to `option 1 option 2 option 3`."""
    expanded: list[str] = []
    for argument in arguments:
        follows_value = expanded[-2:-1] == [option] and _is_number(expanded[-1])
        if follows_value and _is_number(argument):
            expanded.append(option)
        expanded.append(argument)
    return expanded


def _check_powers(powers_dbm: list[float]) -> None:
    """End with an error for a transmit power outside the range of scene files."""
    from cooperative_isac.scene.file.keys import LEAST_LEVEL_DB, MOST_LEVEL_DB

    for power in powers_dbm:
        if not LEAST_LEVEL_DB <= power <= MOST_LEVEL_DB:
            fail(
                f"--power-dbm is {power:g}; must be within {LEAST_LEVEL_DB:g} and {MOST_LEVEL_DB:g}"
            )


def _refuse_frames(has_path_file: bool) -> NoReturn:
    """End with an error for --frames where the frames are consecutive."""
    if has_path_file:
        fail(
            "--frames draws independent frames, but the scene's echoes come from a path file; "
            "leave it out; --sequence sets the number of frames of the file"
        )
    fail("--frames draws independent frames, but --sequence takes consecutive ones; leave it out")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
