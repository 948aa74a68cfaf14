"""Trajectory files of data sets: TUM, CSV with a header, EuRoC ground truth, KITTI poses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TIME_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
KNOWN = (
    "known are TUM (8 columns: time x y z qx qy qz qw), EuRoC (17), KITTI poses (12), or a "
    "header that names time_s, x_m, y_m, z_m"
)
CSV_COLUMNS = ("time_s", "x_m", "y_m", "z_m")
TUM_COLUMNS = ("time", "x", "y", "z", "qx", "qy", "qz", "qw")
TUM_HEADER = ("timestamp", "tx", "ty", "tz", "qx", "qy", "qz", "qw")
EUROC_COLUMNS = ("timestamp", "p_RS_R_x", "p_RS_R_y", "p_RS_R_z")
NUM_EUROC, NUM_KITTI = 17, 12

# Steps between stamps and speeds of targets that are tracked: outside, a unit of time is doubted.
SHORTEST_STEP_S, LONGEST_STEP_S = 1e-4, 10.0
SLOWEST_MPS, FASTEST_MPS = 0.01, 300.0
# Seconds are doubted where steps are longer and all speeds lower: a walk recorded in ms.
DOUBTED_STEP_S, DOUBTED_SPEED_MPS = 1.0, 0.1
EPOCH_S = 1e9, 4.2e9  # 2001 to 2103, of stamps that count from 1970
# Largest coordinate, m: beyond every map projection.
FARTHEST_M = 1e8
ROTATION_TOLERANCE = 0.3  # of R^T R over the identity; poses of a data set are within 1e-3
# Camera (x right, y down, z forward) to vehicle axes (x forward, y left, z up) of REP-103.
FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class TrajectoryError(ValueError):
    """A trajectory file that cannot be used; says file, line and what is wrong."""


@dataclass(frozen=True)
class Trajectory:
    """Stamped positions, stamps strictly rising.

    times_s: [num_poses]; positions_m: [num_poses, 3];
    orientations: [num_poses, 4], unit quaternions (x, y, z, w), or None where the file has none;
    note: what was assumed in reading the file, for people.
    """

    times_s: np.ndarray
    positions_m: np.ndarray
    orientations: np.ndarray | None = None
    note: str = ""


@dataclass(frozen=True)
class _Row:
    """A line of a file: its number and its cells."""

    number: int
    cells: list[str]


def read_trajectory(
    path: Path | str,
    time_unit: str | None = None,
    rate_hz: float | None = None,
    axes: str | None = None,
) -> Trajectory:
    """Trajectory of a file of any known format, recognized by its header or its number of columns.

    time_unit: s | ms | us | ns of the stamps; None: as the format says, else recognized
    rate_hz: of KITTI poses without a times.txt
    axes: map | camera; None: camera for KITTI poses, else map
    """
    path = Path(path)
    rows, header = _rows(path)
    names = [re.sub(r"\s*\[.*?\]", "", name).strip() for name in header.cells]
    if all(name in names for name in EUROC_COLUMNS) or (not names and _width(rows) == NUM_EUROC):
        trajectory = _euroc(path, rows, names, time_unit)
    elif {*TUM_HEADER} <= {*names}:
        trajectory = _tum(path, rows, names, time_unit)
    elif names:
        trajectory = _csv(path, rows, header.number, names, time_unit)
    elif _width(rows) == NUM_KITTI:
        trajectory = _kitti(path, rows, time_unit, rate_hz)
        axes = axes or "camera"
    else:
        trajectory = _tum(path, rows, names, time_unit)
    if axes != "camera":
        return trajectory
    positions = trajectory.positions_m @ FROM_CAMERA.T
    note = _joined(trajectory.note, "camera axes turned to z up")
    return Trajectory(trajectory.times_s, positions, None, note)


def _tum(path: Path, rows: list[_Row], names: list[str], time_unit: str | None) -> Trajectory:
    """Columns in the order of TUM, or as a header names them."""
    if names:
        table = _columns(path, rows, names, TUM_HEADER)
    elif rows and _width(rows) != len(TUM_COLUMNS):
        raise TrajectoryError(f"{path}:{rows[0].number}: has {len(rows[0].cells)} columns; {KNOWN}")
    else:
        values = [_numbers(path, row, row.cells, TUM_COLUMNS) for row in rows]
        table = _rising(path, rows, values)
    times_s, note = _seconds(path, table[:, 0], table[:, 1:4], time_unit)
    return Trajectory(times_s, table[:, 1:4], table[:, 4:8], note)


def _csv(
    path: Path, rows: list[_Row], number: int, names: list[str], time_unit: str | None
) -> Trajectory:
    """A table whose header in line `number` names its columns with their units."""
    missing = [name for name in CSV_COLUMNS if name not in names]
    if missing:
        raise TrajectoryError(
            f"{path}:{number}: the header lacks {', '.join(missing)}; "
            f"it must name {', '.join(CSV_COLUMNS)}"
        )
    table = _columns(path, rows, names, CSV_COLUMNS)
    times_s = table[:, 0] * TIME_UNITS_S[time_unit or "s"]
    return Trajectory(times_s, table[:, 1:4])


def _euroc(path: Path, rows: list[_Row], names: list[str], time_unit: str | None) -> Trajectory:
    """Ground truth of EuRoC MAV: stamps in ns, positions of the body in the map, z up."""
    names = names or [*EUROC_COLUMNS, *(f"column {i}" for i in range(4, NUM_EUROC))]
    table = _columns(path, rows, names, EUROC_COLUMNS)
    times_s = (table[:, 0] - table[0, 0]) * TIME_UNITS_S[time_unit or "ns"]
    return Trajectory(times_s, table[:, 1:4], None, "EuRoC ground truth")


def _kitti(
    path: Path, rows: list[_Row], time_unit: str | None, rate_hz: float | None
) -> Trajectory:
    """Poses of KITTI odometry: rows of [R | t], the camera in its first frame, times apart."""
    columns = tuple(f"column {i + 1}" for i in range(NUM_KITTI))
    values = [_numbers(path, row, row.cells, columns) for row in rows]
    _enough(path, rows)
    poses = np.array(values).reshape(-1, 3, 4)
    rotations = poses[..., :3]
    apart = np.abs(rotations.swapaxes(1, 2) @ rotations - np.eye(3)).max(axis=(1, 2))
    if apart.max() > ROTATION_TOLERANCE:
        number = rows[int(apart.argmax())].number
        fault = f"has 12 columns, but no rotation in them as KITTI's poses have; {KNOWN}"
        raise TrajectoryError(f"{path}:{number}: {fault}")
    if rate_hz is not None:
        times_s = np.arange(len(poses)) / rate_hz
        return Trajectory(times_s, poses[..., 3], None, f"KITTI poses at {rate_hz:g} Hz")
    return Trajectory(_kitti_times(path, len(poses), time_unit), poses[..., 3], None, "KITTI poses")


def _kitti_times(path: Path, count: int, time_unit: str | None) -> np.ndarray:
    """Stamps of the poses: times.txt beside them, or where the data set has it."""
    places = (
        path.with_name("times.txt"),
        path.with_name(f"{path.stem}_times.txt"),
        path.parent.parent / "sequences" / path.stem / "times.txt",
    )
    beside = next((place for place in places if place.is_file()), None)
    if beside is None:
        raise TrajectoryError(
            f"{path}: KITTI poses have no stamps; put times.txt beside the file, "
            "or give motion.rate_hz (10 for KITTI odometry)"
        )
    rows, _ = _rows(beside)
    values = [_numbers(beside, row, row.cells, ("time",)) for row in rows]
    table = _rising(beside, rows, values)
    if len(table) != count:
        raise TrajectoryError(f"{beside}: has {len(table)} stamps, {path.name} has {count} poses")
    return table[:, 0] * TIME_UNITS_S[time_unit or "s"]


def _seconds(
    path: Path, stamps: np.ndarray, positions_m: np.ndarray, time_unit: str | None
) -> tuple[np.ndarray, str]:
    """Stamps in s, from a unit that is given or recognized, and a note where it is not s.

    stamps: [num_poses], rising, in an unknown unit; positions_m: [num_poses, 3]
    """
    if time_unit is not None:
        unit_s = TIME_UNITS_S[time_unit]
        return (stamps if unit_s == 1 else (stamps - stamps[0]) * unit_s), ""
    steps = np.diff(stamps)
    step = float(np.median(steps))
    moved_m = np.linalg.norm(np.diff(positions_m, axis=0), axis=1)
    speed = float(np.max(moved_m / steps))

    # Seconds are what the format says: believed unless nothing moves like that.
    is_slow = step > DOUBTED_STEP_S and speed < DOUBTED_SPEED_MPS
    if step <= LONGEST_STEP_S and not is_slow and stamps[0] < EPOCH_S[1]:
        return stamps, ""

    # Other units: the one by which stamps, steps and speeds are plausible.
    fitting = []
    for unit, unit_s in TIME_UNITS_S.items():
        since_epoch = EPOCH_S[0] <= stamps[0] * unit_s <= EPOCH_S[1]
        is_step = SHORTEST_STEP_S <= step * unit_s <= LONGEST_STEP_S
        is_speed = SLOWEST_MPS <= speed / unit_s <= FASTEST_MPS
        since_start = stamps[0] * unit_s < EPOCH_S[0] and is_speed
        if unit != "s" and is_step and (since_epoch or since_start):
            fitting.append((not since_epoch, unit))
    best = [unit for rank, unit in fitting if rank == min(fitting)[0]]
    if len(best) != 1:
        guesses = f" ({' or '.join(best)})" if best else ""
        raise TrajectoryError(
            f"{path}: stamps are {step:.3g} apart, which in s gives at most "
            f"{speed:.2g} m/s; give motion.time_unit: s, ms, us or ns{guesses}"
        )
    note = f"stamps read as {best[0]} (motion.time_unit: {best[0]})"
    return (stamps - stamps[0]) * TIME_UNITS_S[best[0]], note


def _rows(path: Path) -> tuple[list[_Row], _Row]:
    """Lines that are neither empty nor comments, and the header, without cells if there is none."""
    # A pipe or a device may never end.
    if path.exists() and not path.is_file():
        raise TrajectoryError(f"{path}: is not a file; name one")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TrajectoryError(f"{path}: no such trajectory file") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise TrajectoryError(f"{path}: cannot be read as text ({error})") from None
    rows: list[_Row] = []
    header = _Row(1, [])
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()
        if content.startswith("#") and "p_RS_R_x" in content and not rows:
            header = _Row(number, _cells(content.lstrip("# ")))
            continue
        cells = _cells(content.split("#", 1)[0].strip())
        if not rows and not header.cells and cells and _is_header(path, cells):
            header = _Row(number, cells)
        elif cells:
            rows.append(_Row(number, cells))
    if path.suffix.lower() == ".csv" and not header.cells and not rows:
        header = _Row(1, [""])
    return rows, header


def _cells(line: str) -> list[str]:
    """Cells of a line between semicolons, commas or white space, without their quotation marks."""
    if not line:
        return []
    separator = next((mark for mark in ";," if mark in line), None)
    return [cell.strip().strip('"').strip() for cell in line.split(separator)]


def _is_header(path: Path, cells: list[str]) -> bool:
    """Whether a first line names columns: none of its cells is a number."""
    is_named = bool({*cells} & {*CSV_COLUMNS, *TUM_HEADER[:4]}) or path.suffix.lower() == ".csv"
    return is_named and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _width(rows: list[_Row]) -> int:
    return len(rows[0].cells) if rows else 0


def _columns(path: Path, rows: list[_Row], names: list[str], wanted: tuple[str, ...]) -> np.ndarray:
    """Columns of a table by their names, [num_poses, num_wanted]."""
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise TrajectoryError(f"{path}: the header names {repeated[0]} more than once; keep one")
    picks = [names.index(name) for name in wanted]
    values = []
    for row in rows:
        if len(row.cells) < len(names):
            raise TrajectoryError(
                f"{path}:{row.number}: has {len(row.cells)} columns, the header names {len(names)}"
            )
        values.append(_numbers(path, row, [row.cells[pick] for pick in picks], wanted))
    return _rising(path, rows, values)


def _numbers(path: Path, row: _Row, cells: list[str], names: tuple[str, ...]) -> list[float]:
    """Finite numbers of a row's cells."""
    if len(cells) != len(names):
        raise TrajectoryError(
            f"{path}:{row.number}: has {len(cells)} columns, needs {len(names)}: {' '.join(names)}"
        )
    values = []
    for name, cell in zip(names, cells):
        shown = cell if len(cell) <= 40 else cell[:37] + "..."
        try:
            value = float(cell)
        except ValueError:
            text = f"{path}:{row.number}: {name} is '{shown}'; it must be a number"
            raise TrajectoryError(text) from None
        if not math.isfinite(value):
            raise TrajectoryError(f"{path}:{row.number}: {name} is {shown}; it must be finite")
        values.append(value)
    return values


def _enough(path: Path, rows: list[_Row]) -> None:
    if len(rows) < 2:
        raise TrajectoryError(f"{path}: has {len(rows)} poses, needs at least 2")


def _rising(path: Path, rows: list[_Row], values: list[list[float]]) -> np.ndarray:
    """Rows as an array [num_poses, columns], if stamps rise and places are on a map."""
    if values and len(values[0]) > 1:
        _enough(path, rows)
    for before, after, row in zip(values, values[1:], rows[1:]):
        if after[0] <= before[0]:
            relation = "repeats the stamp" if after[0] == before[0] else "goes back from"
            fault = f"time {after[0]:.6f} {relation} {before[0]:.6f}"
            raise TrajectoryError(
                f"{path}:{row.number}: {fault}; stamps must rise: sort the file and drop duplicates"
            )
    if not values:
        _enough(path, rows)
    table = np.array(values)
    far = np.abs(table[:, 1:4]).max(axis=1, initial=0.0) > FARTHEST_M
    if far.any():
        number = rows[int(far.argmax())].number
        raise TrajectoryError(
            f"{path}:{number}: is more than {FARTHEST_M:g} m from the origin; coordinates are in m"
        )
    return table


def _joined(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second
