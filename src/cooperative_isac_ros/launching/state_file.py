"""Small files from which a node that is started again takes up its work."""

from __future__ import annotations

import json
from pathlib import Path

from cooperative_isac.output.files import replace_file


def write_state(path: Path, state: dict) -> None:
    """Write a state in one step: a reader sees the one before or this one, never a part.

    Args:
        path: file, in a folder that is made if it is not there
        state: numbers, texts, lists and dictionaries

    Raises:
        OSError: the file cannot be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(state).encode())


def read_state(path: Path) -> dict | None:
    """The state that was written last; None where there is none that can be read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
