"""What a report needs, written while the run goes on, so that no death of a process costs it.

The frames go to a file for every checkpoint, the counts to one that is replaced: a checkpoint of
a long run costs no more than that of a short one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cooperative_isac.evaluation.run_record import (
    FRAMES_KEPT,
    RECORD_FILE,
    RunRecord,
    load_run_record,
    merged_records,
)
from cooperative_isac.evaluation.summary_file import SUMMARY_FILE, write_summary

CHECKPOINT_FOLDER = "checkpoint"
COUNTS_FILE = "counts.json"
FRAMES_FILES = "frames-*.npz"
# What a checkpoint's folder may hold, also of writers that were killed; all else is the user's.
OWN_FILES = (FRAMES_FILES, f"{COUNTS_FILE}*")


@dataclass(frozen=True)
class Checkpoint:
    """Where a report stands.

    run: number of the run; counts: states of its ledger and bounds; record: its frames
    """

    run: int
    counts: dict
    record: RunRecord


def write_checkpoint(
    folder: Path, run: int, counts: dict, new_frames: RunRecord, summary: dict
) -> None:
    """Add a checkpoint to the report in a folder; each file is written in one step.

    Args:
        folder: of the report
        run: number of the run
        counts: what JSON can hold
        new_frames: those since the last checkpoint
        summary: of the report so far

    Raises:
        OSError: a file cannot be written
    """
    parts = folder / CHECKPOINT_FOLDER
    parts.mkdir(parents=True, exist_ok=True)
    if new_frames.frame_number.size:
        new_frames.save(_frames_file(parts, new_frames.frame_number[0]))
        _remove_old(parts, new_frames.frame_number[-1])
    write_summary(parts / COUNTS_FILE, {"run": run, "counts": counts})
    write_summary(folder / SUMMARY_FILE, summary)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoints of a report that was not completed; None where none can be read."""
    parts = folder / CHECKPOINT_FOLDER
    try:
        content = json.loads((parts / COUNTS_FILE).read_text(encoding="utf-8"))
        return Checkpoint(int(content["run"]), dict(content["counts"]), _frames(parts))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def clear_checkpoint(folder: Path) -> None:
    """Remove all checkpoints of a report that is complete, or begins anew; no other file."""
    parts = folder / CHECKPOINT_FOLDER
    try:
        for path in [path for pattern in OWN_FILES for path in parts.glob(pattern)]:
            path.unlink(missing_ok=True)
        parts.rmdir()
    except OSError:
        pass  # not there, with files of the user, or not ours to remove


def recover_report(folder: Path) -> bool:
    """Write the record of a report whose evaluator did not complete it; the summary is there.

    Returns:
        Whether there was anything to recover.

    Raises:
        OSError: the record cannot be written
        ValueError: a checkpoint cannot be read
    """
    parts = folder / CHECKPOINT_FOLDER
    if not any(parts.glob(FRAMES_FILES)):
        return False
    _frames(parts).save(folder / RECORD_FILE)
    return True


def _frames_file(parts: Path, first: int) -> Path:
    """Where frames from number `first` on are written; names sort as numbers do."""
    return parts / f"frames-{first:020d}.npz"


def _remove_old(parts: Path, newest: int) -> None:
    """Remove files whose frames a record does not keep: a run of days must not fill the disk."""
    oldest_kept = _frames_file(parts, max(newest - FRAMES_KEPT + 1, 0))
    older = sorted(path for path in parts.glob(FRAMES_FILES) if path.name < oldest_kept.name)

    # The last of them may reach beyond.
    for path in older[:-1]:
        path.unlink(missing_ok=True)


def _frames(parts: Path) -> RunRecord:
    """All frames of the checkpoints, in order."""
    return merged_records(
        [
            load_run_record(path)
            for path in sorted(parts.glob(FRAMES_FILES))
            if not path.stem.endswith(".part")
        ]
    )
