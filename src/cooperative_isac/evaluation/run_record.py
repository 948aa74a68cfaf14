"""What a live run saw, frame by frame, as columns in one file."""

from __future__ import annotations

import re
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from itertools import islice
from pathlib import Path

import numpy as np

from cooperative_isac.fusion.detection import Detection, complete
from cooperative_isac.scene.limits import LARGEST_VARIANCE, SYMMETRY_TOLERANCE, TRACK_MARGIN
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.tracking.track import Track, TrackStatus

RECORD_FILE = "run.npz"
FRAMES_KEPT = 36_000  # an hour at 10 frames/s
# Of a detection, which a record does not hold: it has complete detections only.
SOME_PATHS = 1
NOT_A_RECORD = "it is not the record of a run"
# Columns by the rows that they share: type and shape of a row.
COLUMNS = {
    "frame": {"number": ("i8", ()), "stamp_ns": ("i8", ()), "simulated": ("?", ())},
    "truth": {"frame": ("i8", ()), "name": ("U64", ()), "class": ("i8", ()), "state": ("f8", (6,))},
    "detection": {
        "frame": ("i8", ()),
        "state": ("f8", (6,)),
        "covariance": ("f8", (6, 6)),
        "snr_db": ("f8", ()),
    },
    "track": {
        "frame": ("i8", ()),
        "id": ("i8", ()),
        "status": ("i8", ()),
        "class": ("i8", ()),
        "state": ("f8", (6,)),
        "covariance": ("f8", (6, 6)),
    },
}
ENUMERATIONS = {"class": TargetClass, "status": TrackStatus}
# Beyond what any scene holds, m or m/s: larger numbers are damage, and no picture can show them.
LARGEST_STATE = 1e9
# A part of a topic's name; other texts of a damaged file could steer a terminal or a picture.
TARGET_NAME = re.compile(r"[\w./ -]+")
# Time of a stamp, ns since 1970: differences of two stay within 64 bits.
LARGEST_STAMP_NS = 2**62


@dataclass(frozen=True)
class RunRecord:
    """Columns of a run. Rows of truth, detection and track columns belong to frame number *_frame,
    int64.

    frame_number, frame_stamp_ns: [num_frames], int64; frame_simulated: [num_frames], bool;
    *_state: [num_rows, 6], x y z vx vy vz in map, SI; *_covariance: [num_rows, 6, 6]; truth_name:
    str;
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
        """Write an .npz file, in one step; not compressed, for a node that is told to end has only
        seconds.
        """
        part = path.with_name(f"{path.stem}.part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        part.replace(path)


def load_run_record(path: Path) -> RunRecord:
    """Read what RunRecord.save wrote.

    Raises ValueError: one line with the file, and the column that is missing or wrong.
    """
    found = _read_columns(path)
    missing = [item.name for item in fields(RunRecord) if item.name not in found]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; {NOT_A_RECORD}")
    for rows, columns in COLUMNS.items():
        num_rows = np.shape(found[f"{rows}_{next(iter(columns))}"])[:1]
        for name, (kind, shape) in columns.items():
            values = found[f"{rows}_{name}"]
            fault = _type_fault(values, kind, (*num_rows, *shape)) or _value_fault(name, values)
            if fault is not None:
                raise ValueError(f"{path}: {rows}_{name} {fault}; {NOT_A_RECORD}")
        if rows != "frame" and not np.isin(found[f"{rows}_frame"], found["frame_number"]).all():
            raise ValueError(f"{path}: {rows}_frame has frames beside frame_number; {NOT_A_RECORD}")
        fault = _order_fault(rows, found)
        if fault is not None:
            raise ValueError(f"{path}: {fault}; {NOT_A_RECORD}")
    return RunRecord(**found)


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    try:
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as columns:
            warnings.simplefilter("ignore")
            names = [item.name for item in fields(RunRecord)]
            return {name: columns[name] for name in names if name in columns}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception:  # whatever zipfile, zlib and numpy raise for damaged bytes
        raise ValueError(
            f"{path}: not an .npz file of arrays, or damaged; {NOT_A_RECORD}"
        ) from None


def _type_fault(values: np.ndarray, kind: str, shape: tuple[int, ...]) -> str | None:
    """What is wrong with type or shape of a column, in words."""
    wanted = np.dtype(kind)
    if values.ndim == 0:
        return "is a single value, must have one for each row"
    if values.shape != shape:
        return f"is {_sizes(values.shape)}, must be {_sizes(shape)}"
    if values.dtype.kind != wanted.kind or (wanted.kind in "if" and values.dtype != wanted):
        return f"is of type {values.dtype}, must be {wanted}"
    return None


def _order_fault(rows: str, columns: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the order of rows, in words: frames rise, and the rows of others with
    them.
    """
    if rows == "frame":
        is_rising = (columns["frame_number"][1:] > columns["frame_number"][:-1]).all()
        return None if is_rising else "frame_number does not rise"
    frames = columns[f"{rows}_frame"]
    return None if (frames[1:] >= frames[:-1]).all() else f"{rows}_frame goes back"


def _covariance_fault(covariances: np.ndarray) -> str | None:
    """What is wrong with covariances [num_rows, 6, 6], in words."""
    if not np.isfinite(covariances).all():
        return "has numbers that are not finite"
    sizes = np.abs(covariances).max(axis=(1, 2))
    if (sizes > TRACK_MARGIN * LARGEST_VARIANCE).any():
        return f"has variances beyond {TRACK_MARGIN * LARGEST_VARIANCE:g}"
    tolerances = SYMMETRY_TOLERANCE * sizes
    asymmetries = np.abs(covariances - covariances.swapaxes(1, 2)).max(axis=(1, 2))
    is_negative = np.linalg.eigvalsh(covariances)[:, 0] < -tolerances
    if (asymmetries > tolerances).any() or is_negative.any():
        return "has matrices that are no covariances"
    return None


def _value_fault(name: str, values: np.ndarray) -> str | None:
    """What is wrong with the values of a column, in words."""
    if name in ENUMERATIONS and not np.isin(values, _numbers(ENUMERATIONS[name])).all():
        return f"has numbers beside {', '.join(map(str, _numbers(ENUMERATIONS[name])))}"
    if name == "stamp_ns" and not ((values >= 0) & (values < LARGEST_STAMP_NS)).all():
        return "has times that are none"
    if name == "state" and not (np.abs(values) <= LARGEST_STATE).all():
        return f"has numbers beyond {LARGEST_STATE:g}, or none"
    if name == "covariance":
        return _covariance_fault(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "has numbers that are not finite"
    if name == "name" and not all(map(TARGET_NAME.fullmatch, values.tolist())):
        return "has texts that are no names"
    return None


def _numbers(enumeration: type[Enum]) -> list[int]:
    return [item.value for item in enumeration]


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def merged_records(records: Sequence[RunRecord]) -> RunRecord:
    """The records of consecutive parts of a run as one, of its last FRAMES_KEPT frames."""
    columns = {
        item.name: np.concatenate(
            [getattr(part, item.name) for part in (RunRecorder().record(), *records)]
        )
        for item in fields(RunRecord)
    }

    # Rows of frames before the first that is kept
    numbers = columns["frame_number"][-FRAMES_KEPT:]
    first = numbers[0] if numbers.size else 0
    kept = {
        kind: columns[f"{kind}_{key}"] >= first
        for kind, key in (
            ("frame", "number"),
            ("truth", "frame"),
            ("detection", "frame"),
            ("track", "frame"),
        )
    }
    return RunRecord(
        **{name: column[kept[name.partition("_")[0]]] for name, column in columns.items()}
    )


@dataclass(frozen=True)
class RecordedFrame:
    """One frame of a record; its tracks have no age, its detections no sites and paths."""

    number: int
    stamp_ns: int
    simulated: bool
    truths: tuple[TargetState, ...]
    detections: tuple[Detection, ...]
    tracks: tuple[Track, ...]


def recorded_frames(record: RunRecord) -> Iterator[RecordedFrame]:
    """The frames of a record one after the other, as they were added to it."""
    for index, number in enumerate(record.frame_number):
        truths = _rows(record.truth_frame, number)
        detections = _rows(record.detection_frame, number)
        tracks = _rows(record.track_frame, number)
        yield RecordedFrame(
            int(number),
            int(record.frame_stamp_ns[index]),
            bool(record.frame_simulated[index]),
            tuple(
                TargetState(
                    str(record.truth_name[row]),
                    TargetClass(int(record.truth_class[row])),
                    record.truth_state[row, :3],
                    record.truth_state[row, 3:],
                )
                for row in truths
            ),
            tuple(
                Detection(
                    record.detection_state[row, :3],
                    record.detection_state[row, 3:],
                    record.detection_covariance[row],
                    float(record.detection_snr_db[row]),
                    (),
                    SOME_PATHS,
                )
                for row in detections
            ),
            tuple(
                Track(
                    int(record.track_id[row]),
                    TrackStatus(int(record.track_status[row])),
                    TargetClass(int(record.track_class[row])),
                    0.0,
                    record.track_state[row, :3],
                    record.track_state[row, 3:],
                    record.track_covariance[row],
                    0.0,
                    0.0,
                    0,
                )
                for row in tracks
            ),
        )


def _rows(frames: np.ndarray, number: int) -> range:
    """Rows that belong to a frame; frames: [num_rows], int64, growing."""
    return range(*np.searchsorted(frames, [number, number + 1]))


class RunRecorder:
    """Collects the rows of a RunRecord: of a long run, those of its last FRAMES_KEPT frames."""

    def __init__(self):
        self._frames: deque[tuple[list[tuple], ...]] = deque(maxlen=FRAMES_KEPT)

    def add(
        self,
        number: int,
        stamp_ns: int,
        truths: Sequence[TargetState],
        detections: Sequence[Detection],
        tracks: Sequence[Track],
        simulated: bool,
    ) -> None:
        """Take in one frame, without its partial detections. simulated: its echoes are."""
        self._frames.append(
            (
                [(number, stamp_ns, simulated)],
                [(number, t.name, t.target_class.value, _state(t)) for t in truths],
                [(number, _state(d), d.covariance, d.snr_db) for d in complete(detections)],
                [
                    (
                        number,
                        t.track_id,
                        t.status.value,
                        t.target_class.value,
                        _state(t),
                        t.covariance,
                    )
                    for t in tracks
                ],
            )
        )

    def record(self, last: int = FRAMES_KEPT) -> RunRecord:
        """Everything that is kept of the last frames, so many at most."""
        chosen = tuple(islice(self._frames, max(len(self._frames) - last, 0), None))
        columns: list[np.ndarray] = []
        for kind, of_rows in enumerate(COLUMNS.values()):
            rows = [row for frame in chosen for row in frame[kind]]
            columns += _columns(rows, *of_rows.values())
        return RunRecord(*columns)


def _state(item: TargetState | Detection | Track) -> np.ndarray:
    return np.concatenate([item.position_m, item.velocity_mps])


def _columns(rows: list[tuple], *columns: tuple[str, tuple[int, ...]]) -> list[np.ndarray]:
    return [
        np.array([row[index] for row in rows], kind).reshape(-1, *shape)
        for index, (kind, shape) in enumerate(columns)
    ]
