"""The commands `check` and `check-echo`: faults of scene files and of recorded echoes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cooperative_isac.cli.common import (
    Option,
    SceneArgument,
    SceneOption,
    fail,
    filter_fault,
    load_or_end,
    no_ros,
    print_warnings,
    scheme_fault,
)

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
# Exit code of `check-echo` for a bag that cannot be checked.
UNUSABLE = 2


def check(scene: SceneArgument, coverage: Coverage = None, band: BandOption = None) -> None:
    """Check a scene file: print its errors, or its resolution and link budget."""
    from rich.table import Table

    from cooperative_isac.output.console import make_console
    from cooperative_isac.output.files import OutputError, check_file
    from cooperative_isac.scene.describe import describe

    # Refuse options that cannot be used before the work begins.
    loaded = load_or_end(scene)
    if coverage is not None and coverage.suffix.lower() != ".png":
        fail(f"--coverage is {coverage}; must be a file whose name ends in .png")
    names = [one.name for one in loaded.bands]
    if band is not None and band not in names:
        fail(f"--band is '{band}'; the scene has {', '.join(names)}")
    if band is not None and coverage is None:
        fail("--band is the band of the map of --coverage; give both")
    if coverage is not None:
        try:
            check_file(coverage)
        except OutputError as error:
            fail(str(error))

    # The description, then the warnings.
    from cooperative_isac.evaluation.coverage import coverage_rows
    from cooperative_isac.evaluation.interference_report import interference_rows
    from cooperative_isac.evaluation.migration_report import migration_rows

    table = Table.grid(padding=(0, 2))
    rows = describe(loaded) + coverage_rows(loaded) + interference_rows(loaded)
    rows += migration_rows(loaded, [loaded.sensing.scheme])
    for label, value in rows:
        table.add_row(f"[bold]{label}[/]", value)
    make_console().print(table, highlight=False)
    print_warnings(loaded)
    if coverage is not None:
        from cooperative_isac.evaluation.coverage_picture import draw_coverage

        try:
            draw_coverage(loaded.on(band or names[0]), coverage)
        except OSError as error:
            fail(f"cannot write {coverage}: {error.strerror}; name another place")

    # What `run` refuses is an error here, too.
    for fault in (scheme_fault([loaded.sensing.scheme], loaded), filter_fault(loaded)):
        if fault is not None:
            fail(f"{scene}: {fault}")


def check_echo(
    bag: EchoBag, scene: SceneOption = None, site: SiteOption = None, frames: EchoFrames = 8
) -> None:
    """Check recorded echoes of a radio for plausible signs, axis orders, levels and noise.

    Exit codes: 0, no fault; 1, a fault is found; 2, the bag cannot be used.
    """
    try:
        from cooperative_isac_ros.bag.echoes import check_bag
    except ImportError as error:
        no_ros(error)
    from cooperative_isac.output.console import make_console

    try:
        code = check_bag(bag, scene, site, frames, make_console())
    except (ValueError, OSError) as error:
        fail(str(error), UNUSABLE)
    raise typer.Exit(code)
