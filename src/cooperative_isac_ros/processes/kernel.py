"""Linux calls for a process: end with its parent, adopt orphans, scheduling, set its title."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

IS_LINUX = sys.platform.startswith("linux")
# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
# Places in /proc/PID/stat after the name of the program (proc(5): fields 48 and 49).
ARG_START = 45
ARG_END = 46

_LIBC = ctypes.CDLL(None) if IS_LINUX else None


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Send this process a signal when its parent dies.

    number: the signal
    """
    _control(PR_SET_PDEATHSIG, number)


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent ends. Returns False where unsupported."""
    return _control(PR_SET_CHILD_SUBREAPER, 1)


def interrupt_no_other() -> None:
    """Schedule this thread, and those that it starts, so that their wake-up preempts no other.

    They get the processor when it is free, or others have used up their time slice (SCHED_BATCH).
    """
    if IS_LINUX:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def set_title(name: str, words: Sequence[str]) -> None:
    """Set the name and command line of this process that `ps`, `top` and /proc show.

    The command line is truncated to the length of the one that the process was started with.

    name: the first 15 bytes are shown
    words: command line, beginning with the program
    """
    if not IS_LINUX:
        return
    _control(PR_SET_NAME, name.encode())
    start, size = _argument_room()
    if size <= 0:
        return

    # the kernel reads the command line from the memory of the process itself
    text = b"\0".join(map(os.fsencode, words))[: size - 1]
    ctypes.memset(start, 0, size)
    ctypes.memmove(start, text, len(text))


def _argument_room() -> tuple[int, int]:
    """Address and size in bytes of the command line; size 0 where the kernel hides it."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        start = int(fields[ARG_START])
        return start, int(fields[ARG_END]) - start
    except (OSError, IndexError):
        return 0, 0


def _control(option: int, value: int | bytes) -> bool:
    """Call prctl(2). Returns whether it succeeded."""
    return _LIBC is not None and _LIBC.prctl(option, value, 0, 0, 0) == 0
