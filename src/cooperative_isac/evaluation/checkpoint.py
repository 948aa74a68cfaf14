"""Checkpoints of a run's report, written during the run, so that a killed process loses little.

The new frames of every checkpoint go to a file of their own, and the counts to a single file that
is replaced. So the cost of a checkpoint does not grow with the length of the run.
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
# Files of checkpoints, also the partial ones of a killed writer. Other files are the user's.
OWN_FILES = (FRAMES_FILES, f"{COUNTS_FILE}*")


@dataclass(frozen=True)
class Checkpoint:
    """State of a report that is not complete.

    run: number of the run
    counts: states of the RunLedger and of the BoundLog
    record: the frames so far
    """

    run: int
    counts: dict
    record: RunRecord


def write_checkpoint(
    folder: Path, run: int, counts: dict, new_frames: RunRecord, summary: dict
) -> None:
    """Add a checkpoint to the report in a folder. Each file is written in one step.

    folder: folder of the report
    run: number of the run
    counts: states of ledger and bounds, in types that JSON can hold
    new_frames: frames since the last checkpoint
    summary: summary of the run so far

    Raises OSError: a file cannot be written
    """
    parts = folder / CHECKPOINT_FOLDER
    parts.mkdir(parents=True, exist_ok=True)
    if new_frames.frame_number.size:
        new_frames.save(_frames_file(parts, new_frames.frame_number[0]))
        _remove_old(parts, new_frames.frame_number[-1])
    write_summary(parts / COUNTS_FILE, {"run": run, "counts": counts})
    write_summary(folder / SUMMARY_FILE, summary)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the checkpoints of an incomplete report. Returns None if there are none, or damaged."""
    parts = folder / CHECKPOINT_FOLDER
    try:
        content = json.loads((parts / COUNTS_FILE).read_text(encoding="utf-8"))
        return Checkpoint(
            run=int(content["run"]),
            counts=dict(content["counts"]),
            record=_frames(parts),
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None


def clear_checkpoint(folder: Path) -> None:
    """Remove the checkpoints of a report that is complete or starts again, but no other file."""
    parts = folder / CHECKPOINT_FOLDER
    try:
        for pattern in OWN_FILES:
            for path in list(parts.glob(pattern)):
                path.unlink(missing_ok=True)
        parts.rmdir()
    except OSError:
        # There is no such folder, it holds files of the user, or it may not be changed.
        pass


def recover_report(folder: Path) -> bool:
    """Write the record of a run from its checkpoints, if its evaluator did not complete it.

    The summary needs no recovery: every checkpoint writes it.

    Returns True if there were checkpoints.
    Raises OSError: the record cannot be written
    Raises ValueError: a checkpoint cannot be read
    """
    parts = folder / CHECKPOINT_FOLDER
    if not any(parts.glob(FRAMES_FILES)):
        return False
    _frames(parts).save(folder / RECORD_FILE)
    return True


def _frames_file(parts: Path, first: int) -> Path:
    """File of the frames from number `first` on. The names sort in the order of the frames."""
    return parts / f"frames-{first:020d}.npz"


def _remove_old(parts: Path, newest: int) -> None:
    """Remove files of frames beyond FRAMES_KEPT, so that a long run does not fill the disk."""
    oldest_kept = _frames_file(parts, max(newest - FRAMES_KEPT + 1, 0))
    older = sorted(path for path in parts.glob(FRAMES_FILES) if path.name < oldest_kept.name)

    # The last of these files may hold frames that are kept.
    for path in older[:-1]:
        path.unlink(missing_ok=True)


def _frames(parts: Path) -> RunRecord:
    """The frames of all checkpoints, in order, without partial files."""
    return merged_records(
        [
            load_run_record(path)
            for path in sorted(parts.glob(FRAMES_FILES))
            if not path.stem.endswith(".part")
        ]
    )
