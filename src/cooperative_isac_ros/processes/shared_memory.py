"""Removal of the shared memory that killed participants of Fast DDS left behind.

A segment `fastrtps_<id>` and a port `fastrtps_port<number>` have a lock file each, which their
owner keeps locked while it runs: `_el` (one owner) or `_sl` (several). The kernel releases the lock
of a killed process, but its files stay. `fastdds shm clean` does the same, but comes only with a
ROS 2 installation.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")
LOCK_NAME = re.compile(r"(?P<stem>fastrtps_(?:[0-9a-f]{16}|port\d{1,5}))_(?:el|sl)")
# Smallest age of a lock file that is removed, s: a starting participant creates its file before it
# locks it.
YOUNGEST_S = 5.0


@dataclass(frozen=True)
class Cleaned:
    """Number and size of the removed files."""

    num_files: int = 0
    num_bytes: int = 0


def clean_shared_memory(folder: Path = FOLDER) -> Cleaned:
    """Remove the files of dead participants; those of running ones are not touched.

    folder: where Fast DDS keeps its shared memory

    Returns the number and size of the removed files.
    """
    # lock files by segment or port
    locks: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("fastrtps_*_[es]l")):
        found = LOCK_NAME.fullmatch(path.name)
        if found is not None:
            locks.setdefault(found["stem"], []).append(path)

    num_files = 0
    num_bytes = 0
    for stem, paths in locks.items():
        removed = _remove_dead(folder, stem, paths)
        num_files += len(removed)
        num_bytes += sum(removed)
    return Cleaned(num_files, num_bytes)


def _remove_dead(folder: Path, stem: str, locks: list[Path]) -> list[int]:
    """Remove the files of one segment or port, unless an owner runs. Returns their sizes."""
    held = []
    try:
        # hold all its locks, so that no new participant takes them meanwhile
        held.extend(_locked(path) for path in locks)
        if None in held:
            return []

        semaphore = folder / f"sem.{stem}_mutex"
        return [size for path in (folder / stem, semaphore, *locks) for size in _removed(path)]
    finally:
        for descriptor in held:
            if descriptor is not None:
                os.close(descriptor)


def _locked(path: Path) -> int | None:
    """Lock a file. Returns its descriptor; None where another process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # another user's, or removed meanwhile

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime >= YOUNGEST_S:
            return descriptor
    except OSError:
        pass  # its owner runs
    os.close(descriptor)
    return None


def _removed(path: Path) -> list[int]:
    """Remove a file. Returns its size in bytes, in a list; an empty list where there is none."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return []
    return [size]
