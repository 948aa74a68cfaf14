"""Checks that files and folders can be written, before the work whose results they take."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

ELSEWHERE = "name another place"  # remedy of a place that cannot be written


class OutputError(ValueError):
    """An output that cannot be written; the message is one line with its path and the remedy."""


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written; an existing one is not changed.

    path: file to write; its folder must exist
    Raises OutputError: it is a folder, has no folder, may not be written, or the disk is full.
    """
    try:
        mode = _mode(path)
        if mode is None:
            _probe_folder(path, path.resolve().parent)
        elif stat.S_ISDIR(mode):
            raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
        elif stat.S_ISREG(mode):
            # Replaced as a whole, so that both the file and its folder must be writable.
            with path.open("r+b"):
                pass
            _probe_folder(path, path.resolve().parent)
        elif stat.S_ISCHR(mode):
            _probe_device(path)
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from None


def check_folder(path: Path, least_free_bytes: int = 0) -> None:
    """Refuse a folder that cannot be made or written into; it is not made.

    path: folder to write into; it and folders above it may be missing
    least_free_bytes: free space that its disk must have
    Raises OutputError: a part of the path is a file, may not be written, or the disk is full.
    """
    try:
        # The nearest part of the path that exists.
        place = path.resolve()
        while (mode := _mode(place)) is None and place != place.parent:
            place = place.parent

        if mode is None or not stat.S_ISDIR(mode):
            raise OutputError(f"cannot write {path}: {place} is a file; {ELSEWHERE}")
        _probe_folder(path, place)
        free_bytes = shutil.disk_usage(place).free
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from None
    if free_bytes < least_free_bytes:
        raise OutputError(
            f"cannot write {path}: its disk has {free_bytes * 1e-6:.0f} MB left, and "
            f"{least_free_bytes * 1e-6:.0f} MB are needed; {ELSEWHERE}"
        )


def check_new_folder(path: Path) -> None:
    """Refuse a folder that exists, or that cannot be made.

    Raises OutputError.
    """
    try:
        exists = os.path.lexists(path)
    except ValueError as error:
        raise _refusal(path, error) from None
    if exists:
        raise OutputError(f"{path} exists; name a folder that does not")
    check_folder(path)


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: a regular one is replaced in one step, a device is written to.

    Raises OutputError; the file that was there before stays.
    """
    try:
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            path.write_bytes(content)
            return
        replace_file(path.resolve(), content)  # a link stays a link
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the file before or after it, never a part.

    Raises OSError; the file that was there before stays.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """Mode of a path, as of os.stat; None if it does not exist."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _probe_folder(path: Path, folder: Path) -> None:
    """Write a byte into a nameless file, which fails without permission or on a full disk."""
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {folder}")
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(b"\n")


def _probe_device(path: Path) -> None:
    """Write a line end, unless it is a terminal; the formats used here ignore it."""
    with path.open("wb", buffering=0) as device:
        if not device.isatty():
            device.write(b"\n")


def _refusal(path: Path, error: Exception) -> OutputError:
    """The OutputError for a fault of the operating system."""
    if isinstance(error, OutputError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(f"cannot write {path}: {reason}; {ELSEWHERE}")
