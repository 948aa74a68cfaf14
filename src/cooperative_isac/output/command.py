"""Entry point of all commands: exit codes, and faults of streams and of the disk."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from cooperative_isac.output.console import keep_unencodable


def run_command(command: Callable[[Sequence[str]], object], arguments: Sequence[str]) -> None:
    """Run a command; end the process with exit code 1 on a fault of its streams or of the disk.

    A closed pipe ends it silently; any other fault of the operating system that was not caught is
    reported in one line.
    """
    # Characters that the terminal's encoding lacks are written as escapes.
    keep_unencodable()

    # Without a folder for its cache matplotlib works, but warns of it at each start.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

    # Flush here, as a fault at exit could not be caught.
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
    """Discard the buffer of standard output, so that the process ends without a fault."""
    if sys.stdout is None:
        return
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, sys.stdout.fileno())
    os.close(null_device)
