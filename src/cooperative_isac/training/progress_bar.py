"""The progress bar of `isac train` and `isac dataset`."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cooperative_isac.output.console import make_console


def progress() -> Progress:
    """A progress bar on standard error, with the field `note` at its end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=make_console(stderr=True),
    )
