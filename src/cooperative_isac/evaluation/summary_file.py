"""The report of a run as a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cooperative_isac.output.files import replace_file
from cooperative_isac.scene.file.errors import quoted

NOT_A_SUMMARY = "it is not the summary of a run"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be a text of printable characters")
    return text


LONGEST_TEXT = 255  # characters, of names: the longest that ROS allows
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_printable)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=200)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = float | None  # None: not measured


class _Part(BaseModel):
    """A mapping of the file; keys beyond those shown are kept."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class TargetScore(_Part):
    """How one target was tracked."""

    continuity: Figure
    rmse_m: Figure
    identity_switches: Count


class Percentiles(_Part):
    """Of the times of one stage, ms."""

    p50: Figure
    p99: Figure


class Summary(_Part):
    """What `isac report` shows of summary.json."""

    scene: Text
    scene_fingerprint: Text
    scheme: Name
    targets: dict[Text, TargetScore]
    frames: Count
    frames_late: Count
    frames_lost: Count
    false_tracks: Count
    error_to_bound_location: Figure
    error_to_bound_velocity: Figure
    error_to_bound_samples: Count
    fronthaul_bits_per_s: dict[Text, Figure]
    fronthaul_downlink_bits_per_s: Figure
    latency_ms: dict[Text, Percentiles]


SUMMARY_FILE = "summary.json"


def write_summary(path: Path, summary: dict) -> None:
    """Write a summary as JSON, in one step; null stands for a number that is not finite."""
    text = json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n"
    replace_file(path, text.encode())


def read_summary(path: Path) -> dict:
    """Read what write_summary wrote.

    Raises ValueError: one line with the file and the key that is missing or wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; name the folder of a run that has ended") from None
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; name the folder of a run that has ended"
        ) from None
    except RecursionError:
        raise ValueError(f"{path}: too deeply nested; {NOT_A_SUMMARY}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {quoted(error)}; {NOT_A_SUMMARY}") from None

    if not isinstance(data, dict):
        raise ValueError(f"{path}: is no mapping of keys; {NOT_A_SUMMARY}")
    missing = [name for name in Summary.model_fields if name not in data]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; {NOT_A_SUMMARY}")
    try:
        Summary.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = quoted(".".join(map(str, fault["loc"])))
        raise ValueError(f"{path}: {place}: {quoted(fault['msg'])}; {NOT_A_SUMMARY}") from None
    return data


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
