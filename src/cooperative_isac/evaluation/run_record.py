"""What a live run saw, frame by frame, as columns in one file."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Sequence
from zipfile import BadZipFile

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import TargetState
from cooperative_isac.tracking.track import Track

FRAMES_KEPT = 36_000  # an hour at 10 frames/s


@dataclass(frozen=True)
class RunRecord:
    """Columns of a run. Rows of truth, detection and track columns belong to frame number *_frame, int64.

    frame_number, frame_stamp_ns: [num_frames], int64; frame_simulated: [num_frames], bool;
    *_state: [num_rows, 6], x y z vx vy vz in map, SI; *_covariance: [num_rows, 6, 6]; truth_name: str;
    *_class, track_status: the numbers of their enumerations.
    """

    frame_number: np.ndarray
    frame_stamp_ns: np.ndarray
    frame_simulated: np.ndarray
    truth_frame: np.ndarray
    truth_name: np.ndarray
    truth_class: np.ndarray
    truth_state: np.ndarray
    detection_frame: np.ndarray
    detection_state: np.ndarray
    detection_covariance: np.ndarray
    detection_snr_db: np.ndarray
    track_frame: np.ndarray
    track_id: np.ndarray
    track_status: np.ndarray
    track_class: np.ndarray
    track_state: np.ndarray
    track_covariance: np.ndarray

    def save(self, path: Path) -> None:
        """Write an .npz file, in one step; not compressed, for a node that is told to end has only seconds."""
        part = path.with_name(f"{path.stem}.part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        os.replace(part, path)


def load_run_record(path: Path) -> RunRecord:
    """Read what RunRecord.save wrote; ValueError says what is wrong with the file."""
    try:
        with np.load(path, allow_pickle=False) as columns:
            found = {item.name: columns[item.name] for item in fields(RunRecord) if item.name in columns}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (BadZipFile, EOFError, TypeError, ValueError):
        raise ValueError(f"{path}: not an .npz file of arrays; it is not the record of a run") from None
    missing = [item.name for item in fields(RunRecord) if item.name not in found]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it is not the record of a run")
    return RunRecord(**found)


class RunRecorder:
    """Collects the rows of a RunRecord: of a long run, those of its last FRAMES_KEPT frames."""

    def __init__(self):
        self._frames: deque[tuple[list[tuple], ...]] = deque(maxlen=FRAMES_KEPT)

    def add(self, number: int, stamp_ns: int, truths: Sequence[TargetState], detections: Sequence[Detection],
            tracks: Sequence[Track], simulated: bool) -> None:
        """Take in one frame. simulated: its echoes are."""
        self._frames.append((
            [(number, stamp_ns, simulated)],
            [(number, t.name, t.target_class.value, _state(t)) for t in truths],
            [(number, _state(d), d.covariance, d.snr_db) for d in detections],
            [(number, t.track_id, t.status.value, t.target_class.value, _state(t), t.covariance) for t in tracks]))

    def record(self) -> RunRecord:
        """Everything that is kept."""
        frames, truths, detections, tracks = ([row for frame in self._frames for row in frame[kind]]
                                              for kind in range(4))
        return RunRecord(*_columns(frames, ("i8", ()), ("i8", ()), ("?", ())),
                         *_columns(truths, ("i8", ()), ("U64", ()), ("i8", ()), ("f8", (6,))),
                         *_columns(detections, ("i8", ()), ("f8", (6,)), ("f8", (6, 6)), ("f8", ())),
                         *_columns(tracks, ("i8", ()), ("i8", ()), ("i8", ()), ("i8", ()), ("f8", (6,)),
                                   ("f8", (6, 6))))


def _state(item: TargetState | Detection | Track) -> np.ndarray:
    return np.concatenate([item.position_m, item.velocity_mps])


def _columns(rows: list[tuple], *columns: tuple[str, tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array([row[index] for row in rows], kind).reshape(-1, *shape)
            for index, (kind, shape) in enumerate(columns)]
