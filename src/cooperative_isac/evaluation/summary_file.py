"""The summary of a run as a JSON file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cooperative_isac.output.files import replace_file
from cooperative_isac.scene.file.errors import quoted

SUMMARY_FILE = "summary.json"
NOT_A_SUMMARY = "it is not the summary of a run"
# Longest name, characters: the limit of ROS for names of topics.
LONGEST_TEXT = 255


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be a text of printable characters")
    return text


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_printable)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=200)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
# A measured figure; None if nothing was measured.
Figure = float | None


class _Part(BaseModel):
    """A mapping in the file. Keys that are not listed here are kept."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class TargetScore(_Part):
    """Tracking accuracy of one target."""

    continuity: Figure
    rmse_m: Figure
    identity_switches: Count
    # Files of versions before this key lack it.
    frames: Count = 0


class Percentiles(_Part):
    """Percentiles of the processing time of one stage, ms."""

    p50: Figure
    p99: Figure


class Quality(_Part):
    """Sensing quality of the tracks by 3GPP TS 22.137, and the category that it reaches.

    Errors are 95th percentiles over the tracks of targets, shares are of targets and of tracks.
    """

    num_samples: Count
    horizontal_95_m: Figure
    vertical_95_m: Figure
    horizontal_95_mps: Figure
    vertical_95_mps: Figure
    missed_share: Figure
    false_share: Figure
    latency_99_ms: Figure
    refresh_s: Figure
    sensing_category: Count | None
    exceeded: list[Name]
    not_compared: list[Name]


class Summary(_Part):
    """The part of summary.json that `isac report` prints."""

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
    # Files of versions before these keys lack them.
    packets_undelivered: Count = 0
    frames_fused_at: dict[Text, Count] = {}
    frames_compared: Count = 0
    frames_without_truth: Count = 0
    odometry_late_s: dict[Text, float] = {}
    quality: Quality | None = None


def write_summary(path: Path, summary: dict) -> None:
    """Write a summary as JSON, in one step. Numbers that are not finite become null."""
    text = json.dumps(finite_or_none(summary), indent=2, allow_nan=False) + "\n"
    replace_file(path, text.encode())


def read_summary(path: Path) -> dict:
    """Read a file of write_summary.

    Raises ValueError: one line with the file and the key that is missing or wrong
    """
    # The file as JSON.
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

    # Keys and their values.
    if not isinstance(data, dict):
        raise ValueError(f"{path}: is no mapping of keys; {NOT_A_SUMMARY}")
    missing = [
        name
        for name, field in Summary.model_fields.items()
        if field.is_required() and name not in data
    ]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; {NOT_A_SUMMARY}")
    try:
        Summary.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = quoted(".".join(map(str, fault["loc"])))
        raise ValueError(f"{path}: {place}: {quoted(fault['msg'])}; {NOT_A_SUMMARY}") from None
    return data


def finite_or_none(value: Any) -> Any:
    """Replace numbers that are not finite by None, also in nested mappings and lists."""
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
