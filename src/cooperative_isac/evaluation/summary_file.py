"""The report of a run as a file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

SUMMARY_FILE = "summary.json"


def write_summary(path: Path, summary: dict) -> None:
    """Write a summary as JSON, in one step; null stands for a number that is not finite."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
