"""Threads of the tracer LTTng-UST, which rclpy loads, around a fork.

LTTng starts threads when it is loaded. During a fork they must hold no lock, and the child must
start threads of its own. LTTng has functions for this, which its manual calls through an
`LD_PRELOAD` of liblttng-ust-fork.so. Here they are called by name: `ust_…` in LTTng 2.12,
`lttng_ust_…` in newer versions.

Source: lttng-ust(3), section "Using LTTng-UST with daemons".
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

# Path of the library itself, also as wheels rename it, but not of its companions.
LIBRARY = re.compile(r"/.*/liblttng-ust(?:-[0-9a-f]{8})?\.so.*$", re.MULTILINE)
# Library that does the same around every fork, where it is preloaded.
WRAPPER = "liblttng-ust-fork"
# Prefixes of the functions' names, newer versions first.
PREFIXES = ("lttng_ust", "ust")
# Size of a sigset_t in bytes, rounded up.
SIGNAL_SET_BYTES = 256


class TraceThreads:
    """Threads of LTTng around a fork; without LTTng no call has an effect."""

    def __init__(self) -> None:
        self._signals = ctypes.create_string_buffer(SIGNAL_SET_BYTES)
        self._library: ctypes.CDLL | None = None
        self._prefix = ""

    def before_fork(self) -> None:
        """Stop the threads at a point where they hold no lock."""
        if self._library is None:
            self._library, self._prefix = _loaded_library()
        self._call("before_fork")

    def after_fork_parent(self) -> None:
        """Resume the threads in the parent."""
        self._call("after_fork_parent")

    def after_fork_child(self) -> None:
        """Start new threads in the child."""
        self._call("after_fork_child")

    def _call(self, name: str) -> None:
        if self._library is not None:
            getattr(self._library, f"{self._prefix}_{name}")(self._signals)


def _loaded_library() -> tuple[ctypes.CDLL | None, str]:
    """LTTng-UST as this process has loaded it, and the prefix of its functions' names.

    Returns (None, "") where it is not loaded, or where the preloaded wrapper serves every fork.
    """
    # find it among the files that are mapped into memory
    try:
        mapped = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return None, ""
    found = LIBRARY.search(mapped)
    if found is None or WRAPPER in mapped:
        return None, ""

    # find the prefix that its version uses
    library = ctypes.CDLL(found.group())
    for prefix in PREFIXES:
        if hasattr(library, f"{prefix}_before_fork"):
            return library, prefix
    return None, ""
