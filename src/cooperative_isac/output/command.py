"""A command from its arguments to its exit code, whatever becomes of its streams and of the
disk.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from cooperative_isac.output.console import keep_unencodable


def run_command(command: Callable[[Sequence[str]], object], arguments: Sequence[str]) -> None:
    """Run a command and end the process.

    A reader that leaves early ends it without a word; a fault of the operating system that nothing
    else has caught is one line.
    """
    keep_unencodable()
    # Without a folder for its cache matplotlib works, and warns of it at each start.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

    try:
        try:
            command(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise SystemExit(1) from None
    except OSError as error:
        _discard_output()
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Send what standard output still holds nowhere, so that nothing fails as the process ends."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
