"""Forking a process that has loaded LTTng-UST, the tracer that rclpy loads with its first import.

LTTng starts threads of its own as it is loaded. Before a fork they must hold no lock, and a child
must start its own: LTTng has functions for it, which its manual calls by an `LD_PRELOAD` of
liblttng-ust-fork.so. Here they are called by name, `ust_…` of LTTng 2.12
or `lttng_ust_…` of newer ones.

Source: lttng-ust(3), section "Using LTTng-UST with daemons".
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

# The library itself, also as wheels rename it, not its companions.
LIBRARY = re.compile(r"/.*/liblttng-ust(?:-[0-9a-f]{8})?\.so.*$", re.MULTILINE)
WRAPPER = "liblttng-ust-fork"
PREFIXES = ("lttng_ust", "ust")
# Bytes of a sigset_t, rounded up.
SIGNAL_SET_BYTES = 256


class TraceThreads:
    """The threads of LTTng around a fork; without LTTng all calls do nothing."""

    def __init__(self) -> None:
        self._signals = ctypes.create_string_buffer(SIGNAL_SET_BYTES)
        self._library: ctypes.CDLL | None = None
        self._prefix = ""

    def before_fork(self) -> None:
        """Let the threads hold no lock until the fork is over."""
        if self._library is None:
            self._library, self._prefix = _loaded()
        self._call("before_fork")

    def after_fork_parent(self) -> None:
        """Let the threads go on."""
        self._call("after_fork_parent")

    def after_fork_child(self) -> None:
        """Start threads of the child's own."""
        self._call("after_fork_child")

    def _call(self, name: str) -> None:
        if self._library is not None:
            getattr(self._library, f"{self._prefix}_{name}")(self._signals)


def _loaded() -> tuple[ctypes.CDLL | None, str]:
    """The library, where this process has loaded it, and how its functions' names begin."""
    try:
        mapped = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return None, ""
    found = LIBRARY.search(mapped)
    if found is None or WRAPPER in mapped:
        return None, ""
    library = ctypes.CDLL(found[0])
    for prefix in PREFIXES:
        if hasattr(library, f"{prefix}_before_fork"):
            return library, prefix
    return None, ""
