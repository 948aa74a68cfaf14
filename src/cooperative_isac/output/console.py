"""The console of all commands: whole names in pipes, folded tables in narrow terminals."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Width of a pipe or file, which has no edge, in columns: wider than any table.
UNBOUNDED = 10_000
# Least width of a terminal, in columns: some report none.
LEAST_WIDTH = 20
# Codec error handler for characters that the stream's encoding lacks.
UNENCODABLE = "backslashreplace"


class ReportConsole(Console):
    """A console that neither cuts off names nor breaks numbers in tables.

    A table that is too wide has its cells wrapped between words; where this is not enough, each row
    becomes a block of lines, one for each column.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects as rich does; tables are made to fit."""
        fitted = [fitting(item, self) if isinstance(item, Table) else item for item in objects]
        super().print(*fitted, **options)


def make_console(stderr: bool = False) -> ReportConsole:
    """The console of standard output or standard error.

    Without a terminal it is as wide as its lines, unless COLUMNS is set. Its least width is
    LEAST_WIDTH.
    """
    stream = sys.stderr if stderr else sys.stdout
    in_terminal = stream is not None and stream.isatty()
    bounded = in_terminal or os.environ.get("COLUMNS", "").isdigit()
    console = ReportConsole(stderr=stderr, width=None if bounded else UNBOUNDED)
    if console.width < LEAST_WIDTH:
        console.width = LEAST_WIDTH
    return console


def make_progress() -> Progress:
    """A progress bar on standard error: description, bar, steps done, and time that remains."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=make_console(stderr=True),
    )


def fitting(table: Table, console: Console) -> Table:
    """The table itself if it fits, else with wrapped cells or as blocks of lines."""
    width = console.width
    natural = Measurement.get(console, console.options.update(width=UNBOUNDED), table)
    if natural.maximum <= width:
        return table

    # Wrap cells; where their longest words still do not fit, stack the columns.
    for column in table.columns:
        column.no_wrap = False
        column.overflow = "fold"
    if natural.minimum <= width or not table.show_header:
        return table
    return _stacked(table)


def keep_unencodable() -> None:
    """Make the standard streams write characters that their encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=UNENCODABLE)


def _stacked(table: Table) -> Table:
    """The table with each row as a block of lines of header and value."""
    lines = Table.grid(padding=(0, 1))
    lines.title = table.title
    lines.title_justify = table.title_justify
    lines.add_column(overflow="fold")
    lines.add_column(overflow="fold")

    columns = [list(column.cells) for column in table.columns]
    headers = [_one_line(column.header) for column in table.columns]
    for row in zip(*columns):
        for header, cell in zip(headers, row):
            lines.add_row(header, cell)
        lines.add_row("", "")
    return lines


def _one_line(header: Any) -> Any:
    """A header in one line, without the line breaks that keep its column narrow."""
    text = header.plain if isinstance(header, Text) else header
    if not isinstance(text, str):
        return text
    return text.replace("-\n", "").replace("\n", " ")
