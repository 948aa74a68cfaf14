"""Shared memory that killed participants of Fast DDS left behind.

A segment `fastrtps_<id>` and a port `fastrtps_port<number>` each have a file that their owner
holds locked while it lives: `_el` (one owner) or `_sl` (several). The kernel drops the lock of a
process that was killed; its files stay. `fastdds shm clean` goes by the same; it comes only with
ROS 2 itself.
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
# [s] Between making its lock file and locking it, a participant that starts has a moment.
YOUNGEST_S = 5.0


@dataclass(frozen=True)
class Cleaned:
    """What was removed."""

    num_files: int = 0
    num_bytes: int = 0


def clean_shared_memory(folder: Path = FOLDER) -> Cleaned:
    """Remove the files of participants that are dead; those of living ones are never touched.

    Args:
        folder: where Fast DDS keeps shared memory

    Returns:
        The files that were removed and the memory that this gave back.
    """
    locks: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("fastrtps_*_[es]l")):
        found = LOCK_NAME.fullmatch(path.name)
        if found is not None:
            locks.setdefault(found["stem"], []).append(path)

    num_files = num_bytes = 0
    for stem, paths in locks.items():
        removed = _remove_dead(folder, stem, paths)
        num_files += len(removed)
        num_bytes += sum(removed)
    return Cleaned(num_files, num_bytes)


def _remove_dead(folder: Path, stem: str, locks: list[Path]) -> list[int]:
    """Sizes of the removed files of one segment or port: all, or none if its owner lives."""
    held = []
    try:
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
    """A descriptor that holds a lock file, so that nobody takes it; None where another does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None  # of another user, or gone

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime >= YOUNGEST_S:
            return descriptor
    except OSError:
        pass  # its owner lives
    os.close(descriptor)
    return None


def _removed(path: Path) -> list[int]:
    """The size of a file that was removed [bytes]; nothing where there is none to remove."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return []
    return [size]
