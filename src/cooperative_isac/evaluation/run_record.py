"""Record of a live run: truth, detections and tracks of every frame, as columns of one file."""

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
# Latest frames that a record keeps: an hour at 10 frames/s, some tens of megabytes.
FRAMES_KEPT = 36_000
# Number of paths of a detection that is read from a record, which holds no paths. Any number above
# zero marks a complete detection.
SOME_PATHS = 1
NOT_A_RECORD = "it is not the record of a run"
# Columns of the four tables of a record: data type, and shape of the entry of one row.
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
# Largest coordinate, m or m/s. It is beyond any scene: larger numbers are damage of the file, and
# matplotlib cannot draw them.
LARGEST_STATE = 1e9
# Names of targets are parts of topic names. Other texts of a damaged file could contain control
# sequences of a terminal or markup of a picture.
TARGET_NAME = re.compile(r"[\w./ -]+")
# Largest time stamp, ns since 1970, so that the difference of two stamps fits 64 bits.
LARGEST_STAMP_NS = 2**62


@dataclass(frozen=True)
class RunRecord:
    """Tables of frames, truth, detections and tracks of a run, as columns.

    frame_number: [num_frames], int64
    frame_stamp_ns: [num_frames], int64, ns since 1970
    frame_simulated: [num_frames], bool, the echoes of the frame are simulated
    truth_frame, detection_frame, track_frame: [num_rows], int64, frame number of each row
    truth_name: [num_rows], str, name of the target
    truth_class, track_class: [num_rows], int64, value of the TargetClass
    track_status: [num_rows], int64, value of the TrackStatus
    truth_state, detection_state, track_state: [num_rows, 6], float64, m and m/s, position and
        velocity in the frame `map`
    detection_covariance, track_covariance: [num_rows, 6, 6], float64, of the state
    detection_snr_db: [num_rows], float64, dB
    track_id: [num_rows], int64
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
        """Write an .npz file in one step.

        It is not compressed: a node that has to end has a few seconds only.
        """
        part = path.with_name(f"{path.stem}.part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        part.replace(path)


def load_run_record(path: Path) -> RunRecord:
    """Read a file of RunRecord.save.

    Raises ValueError: one line with the file, and the column that is missing or wrong
    """
    arrays = _read_columns(path)
    missing = [item.name for item in fields(RunRecord) if item.name not in arrays]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; {NOT_A_RECORD}")

    for table, columns in COLUMNS.items():
        # Type, shape and values of each column.
        first_column = next(iter(columns))
        num_rows = np.shape(arrays[f"{table}_{first_column}"])[:1]
        for name, (kind, shape) in columns.items():
            values = arrays[f"{table}_{name}"]
            fault = _type_fault(values, kind, (*num_rows, *shape)) or _value_fault(name, values)
            if fault is not None:
                raise ValueError(f"{path}: {table}_{name} {fault}; {NOT_A_RECORD}")

        # Frame numbers of the rows.
        if table != "frame" and not np.isin(arrays[f"{table}_frame"], arrays["frame_number"]).all():
            raise ValueError(
                f"{path}: {table}_frame has frames beside frame_number; {NOT_A_RECORD}"
            )
        fault = _order_fault(table, arrays)
        if fault is not None:
            raise ValueError(f"{path}: {fault}; {NOT_A_RECORD}")
    return RunRecord(**arrays)


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a file that a record has, not checked."""
    try:
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as columns:
            warnings.simplefilter("ignore")
            names = [item.name for item in fields(RunRecord)]
            return {name: columns[name] for name in names if name in columns}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception:
        # zipfile, zlib and numpy raise many types of errors for damaged bytes.
        raise ValueError(
            f"{path}: not an .npz file of arrays, or damaged; {NOT_A_RECORD}"
        ) from None


def _type_fault(values: np.ndarray, kind: str, shape: tuple[int, ...]) -> str | None:
    """Error message for the type or the shape of a column, or None.

    kind: data type
    shape: shape that the column must have
    """
    expected = np.dtype(kind)
    if values.ndim == 0:
        return "is a single value, must have one for each row"
    if values.shape != shape:
        return f"is {_sizes(values.shape)}, must be {_sizes(shape)}"
    # Texts and flags may have any size, numbers have 64 bits.
    is_number = expected.kind in "if"
    if values.dtype.kind != expected.kind or (is_number and values.dtype != expected):
        return f"is of type {values.dtype}, must be {expected}"
    return None


def _order_fault(table: str, arrays: dict[str, np.ndarray]) -> str | None:
    """Error message for rows that are not in the order of their frames, or None."""
    if table == "frame":
        numbers = arrays["frame_number"]
        return None if (numbers[1:] > numbers[:-1]).all() else "frame_number does not rise"
    frames = arrays[f"{table}_frame"]
    return None if (frames[1:] >= frames[:-1]).all() else f"{table}_frame goes back"


def _covariance_fault(covariances: np.ndarray) -> str | None:
    """Error message for covariances [num_rows, 6, 6], or None."""
    # Size of the entries.
    if not np.isfinite(covariances).all():
        return "has numbers that are not finite"
    largest_variance = TRACK_MARGIN * LARGEST_VARIANCE
    sizes = np.abs(covariances).max(axis=(1, 2))
    if (sizes > largest_variance).any():
        return f"has variances beyond {largest_variance:g}"

    # Symmetric and positive semidefinite, except for rounding.
    tolerances = SYMMETRY_TOLERANCE * sizes
    asymmetries = np.abs(covariances - covariances.swapaxes(1, 2)).max(axis=(1, 2))
    is_negative = np.linalg.eigvalsh(covariances)[:, 0] < -tolerances
    if (asymmetries > tolerances).any() or is_negative.any():
        return "has matrices that are no covariances"
    return None


def _value_fault(name: str, values: np.ndarray) -> str | None:
    """Error message for the values of a column, or None."""
    if name in ENUMERATIONS:
        numbers = _numbers(ENUMERATIONS[name])
        if not np.isin(values, numbers).all():
            return f"has numbers beside {', '.join(map(str, numbers))}"
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
    """Join the records of consecutive parts of a run, and keep its last FRAMES_KEPT frames."""
    # An empty record gives the columns their types, also without any parts.
    parts = (RunRecorder().record(), *records)
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(RunRecord)
    }

    # Remove the rows of frames before the first one that is kept.
    numbers = columns["frame_number"][-FRAMES_KEPT:]
    first = numbers[0] if numbers.size else 0
    is_kept = {
        "frame": columns["frame_number"] >= first,
        "truth": columns["truth_frame"] >= first,
        "detection": columns["detection_frame"] >= first,
        "track": columns["track_frame"] >= first,
    }
    kept = {}
    for name, column in columns.items():
        table, _, _ = name.partition("_")
        kept[name] = column[is_kept[table]]
    return RunRecord(**kept)


@dataclass(frozen=True)
class RecordedFrame:
    """One frame of a record. A record holds no ages of tracks, and no paths of detections."""

    number: int
    stamp_ns: int
    simulated: bool
    truths: tuple[TargetState, ...]
    detections: tuple[Detection, ...]
    tracks: tuple[Track, ...]


def recorded_frames(record: RunRecord) -> Iterator[RecordedFrame]:
    """Yield the frames of a record, one after the other."""
    for index, number in enumerate(record.frame_number):
        truths = _rows(record.truth_frame, number)
        detections = _rows(record.detection_frame, number)
        tracks = _rows(record.track_frame, number)
        yield RecordedFrame(
            number=int(number),
            stamp_ns=int(record.frame_stamp_ns[index]),
            simulated=bool(record.frame_simulated[index]),
            truths=tuple(_truth(record, row) for row in truths),
            detections=tuple(_detection(record, row) for row in detections),
            tracks=tuple(_track(record, row) for row in tracks),
        )


def _truth(record: RunRecord, row: int) -> TargetState:
    """The target of a row of the truth table."""
    return TargetState(
        name=str(record.truth_name[row]),
        target_class=TargetClass(int(record.truth_class[row])),
        position_m=record.truth_state[row, :3],
        velocity_mps=record.truth_state[row, 3:],
    )


def _detection(record: RunRecord, row: int) -> Detection:
    """The detection of a row, without its stations and links."""
    return Detection(
        position_m=record.detection_state[row, :3],
        velocity_mps=record.detection_state[row, 3:],
        covariance=record.detection_covariance[row],
        snr_db=float(record.detection_snr_db[row]),
        sites=(),
        num_paths=SOME_PATHS,
    )


def _track(record: RunRecord, row: int) -> Track:
    """The track of a row, without its age and class probability."""
    return Track(
        track_id=int(record.track_id[row]),
        status=TrackStatus(int(record.track_status[row])),
        target_class=TargetClass(int(record.track_class[row])),
        class_probability=0.0,
        position_m=record.track_state[row, :3],
        velocity_mps=record.track_state[row, 3:],
        covariance=record.track_covariance[row],
        age_s=0.0,
        since_update_s=0.0,
        num_detections=0,
    )


def _rows(frames: np.ndarray, number: int) -> range:
    """Rows of a frame.

    frames: [num_rows], int64, frame number of each row, not falling
    """
    first, end = np.searchsorted(frames, [number, number + 1])
    return range(first, end)


class RunRecorder:
    """Collects the rows of a RunRecord, those of the last FRAMES_KEPT frames of a long run."""

    def __init__(self):
        # Rows of the four tables of each frame, in the order of COLUMNS.
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
        """Add one frame, without its partial detections.

        number: number of the frame
        stamp_ns: time stamp of the frame, ns since 1970
        simulated: the echoes of the frame are simulated
        """
        # Rows of the four tables.
        frame_rows = [(number, stamp_ns, simulated)]
        truth_rows = [
            (number, truth.name, truth.target_class.value, _state(truth)) for truth in truths
        ]
        detection_rows = [
            (number, _state(detection), detection.covariance, detection.snr_db)
            for detection in complete(detections)
        ]
        track_rows = [
            (
                number,
                track.track_id,
                track.status.value,
                track.target_class.value,
                _state(track),
                track.covariance,
            )
            for track in tracks
        ]

        self._frames.append((frame_rows, truth_rows, detection_rows, track_rows))

    def record(self, last: int = FRAMES_KEPT) -> RunRecord:
        """Return the record of the last frames, of at most that number."""
        # Columns of all tables, in the order of the fields of RunRecord.
        first = max(len(self._frames) - last, 0)
        frames = tuple(islice(self._frames, first, None))
        arrays: list[np.ndarray] = []
        for table, columns in enumerate(COLUMNS.values()):
            rows = [row for frame in frames for row in frame[table]]
            for index, (kind, shape) in enumerate(columns.values()):
                values = np.array([row[index] for row in rows], kind)
                arrays.append(values.reshape(-1, *shape))
        return RunRecord(*arrays)


def _state(item: TargetState | Detection | Track) -> np.ndarray:
    """Position and velocity, [6], m and m/s."""
    return np.concatenate([item.position_m, item.velocity_mps])
