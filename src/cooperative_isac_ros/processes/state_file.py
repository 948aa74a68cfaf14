"""State files, from which a restarted node resumes its work."""

from __future__ import annotations

import json
from pathlib import Path

from cooperative_isac.output.files import replace_file


def write_state(path: Path, state: dict) -> None:
    """Write a state atomically: a reader finds the former state or this one, never a part.

    path: file, whose folder is created where it does not exist
    state: numbers, texts, lists and dictionaries

    Raises OSError where the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(state).encode())


def read_state(path: Path) -> dict | None:
    """Read the latest state; None where the file is missing or damaged."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
