"""Whether results can be written, asked before anything starts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

# [bytes] Of a minute's report; a recording takes more, but how long it will be is unknown.
LEAST_FREE_BYTES = 50_000_000


def folder_fault(folder: Path, least_free_bytes: int = LEAST_FREE_BYTES) -> str | None:
    """What is wrong with a folder that results are to go to.

    Args:
        folder: it need not be there yet; nothing is made
        least_free_bytes: space that its disk must have left

    Returns:
        One phrase without the folder's name; None when files can be made there.
    """
    present = folder
    while not present.exists() and present != present.parent:
        present = present.parent
    if not present.is_dir():
        return f"cannot be made: {present} is not a folder"

    # Access rights are not all: a file system can be read-only.
    try:
        with tempfile.TemporaryFile(dir=present):
            pass
    except OSError as error:
        return f"cannot be written ({error.strerror})"

    free_bytes = shutil.disk_usage(present).free
    if free_bytes < least_free_bytes:
        return (
            f"is on a disk with {free_bytes * 1e-6:.0f} MB left; a run needs at least "
            f"{least_free_bytes * 1e-6:.0f} MB"
        )
    return None
