"""Trajectory files of data sets: TUM, CSV with a header, EuRoC ground truth, KITTI poses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Units of stamps, in s.
TIME_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
KNOWN_FORMATS = (
    "known are TUM (8 columns: time x y z qx qy qz qw), EuRoC (17), KITTI poses (12), or a "
    "header that names time_s, x_m, y_m, z_m"
)
CSV_COLUMNS = ("time_s", "x_m", "y_m", "z_m")
TUM_COLUMNS = ("time", "x", "y", "z", "qx", "qy", "qz", "qw")
TUM_HEADER = ("timestamp", "tx", "ty", "tz", "qx", "qy", "qz", "qw")
EUROC_COLUMNS = ("timestamp", "p_RS_R_x", "p_RS_R_y", "p_RS_R_z")
# Columns of a table without a header.
NUM_EUROC = 17
NUM_KITTI = 12

# Plausible steps between stamps, s, and largest speeds of a trajectory, m/s, by which a unit of
# time is recognized: recordings of 0.1 to 10000 Hz, of a drifting drone to a jet.
LEAST_POSE_STEP_S = 1e-4
MOST_POSE_STEP_S = 10.0
LEAST_TOP_SPEED_MPS = 0.01
MOST_TOP_SPEED_MPS = 300.0
# Seconds are implausible where steps are longer than this, s, and the largest speed is lower, m/s:
# a walk recorded in ms.
SLOW_POSE_STEP_S = 1.0
SLOW_TOP_SPEED_MPS = 0.1
# Stamps that count from 1970, s: of the years 2001 to 2103.
LEAST_EPOCH_S = 1e9
MOST_EPOCH_S = 4.2e9
# Largest coordinate, m: beyond every map projection.
FARTHEST_M = 1e8
# Largest entry of R^T R - I of a KITTI pose; poses of a data set are within 1e-3.
ROTATION_TOLERANCE = 0.3
# Longest cell of a table that a message quotes, characters.
LONGEST_QUOTED_CELL = 40
# Camera (x right, y down, z forward) to vehicle axes (x forward, y left, z up) of REP-103.
FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class TrajectoryError(ValueError):
    """A trajectory file that cannot be used; the message has file, line, fault and remedy."""


@dataclass(frozen=True)
class Trajectory:
    """Stamped positions.

    times_s: [num_poses], float64, s, strictly rising
    positions_m: [num_poses, 3], float64, m
    orientations: [num_poses, 4], float64, unit quaternions (x, y, z, w); None: the file has none
    note: assumptions made in reading the file, for people
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
    """Trajectory of a file of any known format, recognized by its header or number of columns.

    time_unit: of the stamps, s | ms | us | ns; None: that of the format, else recognized
    rate_hz: of KITTI poses without a times.txt
    axes: map | camera; None: camera for KITTI poses, else map
    Raises TrajectoryError: it cannot be used; the message is one line that names file and line.
    """
    path = Path(path)
    rows, header = _rows(path)

    # Names of the columns without units in brackets, such as "p_RS_R_x [m]".
    names = [re.sub(r"\s*\[.*?\]", "", name).strip() for name in header.cells]

    # Recognize the format.
    has_euroc_names = all(name in names for name in EUROC_COLUMNS)
    if has_euroc_names or (not names and _width(rows) == NUM_EUROC):
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

    # Camera axes to axes of the vehicle.
    positions_m = trajectory.positions_m @ FROM_CAMERA.T
    note = _joined(trajectory.note, "camera axes turned to z up")
    return Trajectory(trajectory.times_s, positions_m, None, note)


def _tum(path: Path, rows: list[_Row], names: list[str], time_unit: str | None) -> Trajectory:
    """Columns in the order of TUM, or as a header names them."""
    if names:
        table = _columns(path, rows, names, TUM_HEADER)
    elif rows and _width(rows) != len(TUM_COLUMNS):
        row = rows[0]
        raise TrajectoryError(f"{path}:{row.number}: has {len(row.cells)} columns; {KNOWN_FORMATS}")
    else:
        values = [_numbers(path, row, row.cells, TUM_COLUMNS) for row in rows]
        table = _checked_table(path, rows, values)
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
    # Without a header the first columns are stamp and position.
    unnamed = [f"column {i}" for i in range(4, NUM_EUROC)]
    table = _columns(path, rows, names or [*EUROC_COLUMNS, *unnamed], EUROC_COLUMNS)

    unit_s = TIME_UNITS_S[time_unit or "ns"]
    times_s = (table[:, 0] - table[0, 0]) * unit_s
    return Trajectory(times_s, table[:, 1:4], None, "EuRoC ground truth")


def _kitti(
    path: Path, rows: list[_Row], time_unit: str | None, rate_hz: float | None
) -> Trajectory:
    """Poses of KITTI odometry: rows of [R | t], the camera in its first frame, times apart."""
    columns = tuple(f"column {i + 1}" for i in range(NUM_KITTI))
    values = [_numbers(path, row, row.cells, columns) for row in rows]
    _require_two(path, rows)
    poses = np.array(values).reshape(-1, 3, 4)
    positions_m = poses[..., 3]

    # Twelve numbers that are no rotation and position are of another format.
    rotations = poses[..., :3]
    products = rotations.swapaxes(1, 2) @ rotations
    deviations = np.abs(products - np.eye(3)).max(axis=(1, 2))
    if deviations.max() > ROTATION_TOLERANCE:
        number = rows[int(deviations.argmax())].number
        fault = f"has 12 columns, but no rotation in them as KITTI's poses have; {KNOWN_FORMATS}"
        raise TrajectoryError(f"{path}:{number}: {fault}")

    # Stamps.
    if rate_hz is not None:
        times_s = np.arange(len(poses)) / rate_hz
        return Trajectory(times_s, positions_m, None, f"KITTI poses at {rate_hz:g} Hz")
    times_s = _kitti_times(path, len(poses), time_unit)
    return Trajectory(times_s, positions_m, None, "KITTI poses")


def _kitti_times(path: Path, count: int, time_unit: str | None) -> np.ndarray:
    """Stamps of the poses, of a times.txt beside them or at its place in the data set."""
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

    # One stamp for each pose.
    rows, _ = _rows(beside)
    values = [_numbers(beside, row, row.cells, ("time",)) for row in rows]
    table = _checked_table(beside, rows, values)
    if len(table) != count:
        raise TrajectoryError(f"{beside}: has {len(table)} stamps, {path.name} has {count} poses")
    return table[:, 0] * TIME_UNITS_S[time_unit or "s"]


def _seconds(
    path: Path, stamps: np.ndarray, positions_m: np.ndarray, time_unit: str | None
) -> tuple[np.ndarray, str]:
    """Stamps in s, from a unit that is given or recognized, and a note where it is not s.

    stamps: [num_poses], float64, rising, in an unknown unit
    positions_m: [num_poses, 3], float64, m
    Returns [num_poses], float64, s, and the note.
    """
    if time_unit is not None:
        return _in_seconds(stamps, time_unit), ""

    # Usual step and largest speed, as if the unit were s.
    steps = np.diff(stamps)
    step = float(np.median(steps))
    moved_m = np.linalg.norm(np.diff(positions_m, axis=0), axis=1)
    speed = float(np.max(moved_m / steps))

    # Seconds are the unit of the format, unless they are implausible.
    is_slow = step > SLOW_POSE_STEP_S and speed < SLOW_TOP_SPEED_MPS
    if step <= MOST_POSE_STEP_S and not is_slow and stamps[0] < MOST_EPOCH_S:
        return stamps, ""

    # Other units with plausible stamps, steps and speeds.
    counted_from_epoch = []
    counted_from_start = []
    for unit, unit_s in TIME_UNITS_S.items():
        has_steps = LEAST_POSE_STEP_S <= step * unit_s <= MOST_POSE_STEP_S
        has_speeds = LEAST_TOP_SPEED_MPS <= speed / unit_s <= MOST_TOP_SPEED_MPS
        if unit == "s" or not has_steps:
            continue
        if LEAST_EPOCH_S <= stamps[0] * unit_s <= MOST_EPOCH_S:
            counted_from_epoch.append(unit)
        elif stamps[0] * unit_s < LEAST_EPOCH_S and has_speeds:
            counted_from_start.append(unit)

    # The only one; stamps from 1970 identify it best.
    units = counted_from_epoch or counted_from_start
    if len(units) != 1:
        guesses = f" ({' or '.join(units)})" if units else ""
        raise TrajectoryError(
            f"{path}: stamps are {step:.3g} apart, which in s gives at most "
            f"{speed:.2g} m/s; give motion.time_unit: s, ms, us or ns{guesses}"
        )
    unit = units[0]
    note = f"stamps read as {unit} (motion.time_unit: {unit})"
    return _in_seconds(stamps, unit), note


def _in_seconds(stamps: np.ndarray, unit: str) -> np.ndarray:
    """Stamps of a unit in s; those in s keep their origin, others count from the first one.

    Long counts of ns would lose digits by conversion.

    stamps: [num_poses], float64
    """
    if unit == "s":
        return stamps
    return (stamps - stamps[0]) * TIME_UNITS_S[unit]


def _rows(path: Path) -> tuple[list[_Row], _Row]:
    """Lines that are neither empty nor comments, and the header, without cells if there is none."""
    text = _text(path)
    rows: list[_Row] = []
    header = _Row(1, [])
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()

        # The header of EuRoC is a comment.
        if content.startswith("#") and "p_RS_R_x" in content and not rows:
            header = _Row(number, _cells(content.lstrip("# ")))
            continue

        cells = _cells(content.split("#", 1)[0].strip())
        if not cells:
            continue
        if not rows and not header.cells and _is_header(path, cells):
            header = _Row(number, cells)
        else:
            rows.append(_Row(number, cells))

    # An empty CSV file lacks its header.
    if path.suffix.lower() == ".csv" and not header.cells and not rows:
        header = _Row(1, [""])
    return rows, header


def _text(path: Path) -> str:
    """The text of a file."""
    # A pipe or a device may never end.
    if path.exists() and not path.is_file():
        raise TrajectoryError(f"{path}: is not a file; name one")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TrajectoryError(f"{path}: no such trajectory file") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise TrajectoryError(f"{path}: cannot be read as text ({error})") from None


def _cells(line: str) -> list[str]:
    """Cells of a line between semicolons, commas or white space, without their quotation marks."""
    if not line:
        return []
    separator = next((mark for mark in ";," if mark in line), None)
    return [cell.strip().strip('"').strip() for cell in line.split(separator)]


def _is_header(path: Path, cells: list[str]) -> bool:
    """True where a first line names the columns: it may do so, and no cell is a number."""
    has_known_name = bool({*cells} & {*CSV_COLUMNS, *TUM_HEADER[:4]})
    is_csv = path.suffix.lower() == ".csv"
    return (has_known_name or is_csv) and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _width(rows: list[_Row]) -> int:
    """Number of columns of the first row."""
    return len(rows[0].cells) if rows else 0


def _columns(
    path: Path, rows: list[_Row], names: list[str], required: tuple[str, ...]
) -> np.ndarray:
    """Columns of a table by their names, [num_poses, num_wanted], float64."""
    repeated = [name for name in required if names.count(name) > 1]
    if repeated:
        raise TrajectoryError(f"{path}: the header names {repeated[0]} more than once; keep one")

    places = [names.index(name) for name in required]
    values = []
    for row in rows:
        if len(row.cells) < len(names):
            raise TrajectoryError(
                f"{path}:{row.number}: has {len(row.cells)} columns, the header names {len(names)}"
            )
        values.append(_numbers(path, row, [row.cells[place] for place in places], required))
    return _checked_table(path, rows, values)


def _numbers(path: Path, row: _Row, cells: list[str], names: tuple[str, ...]) -> list[float]:
    """Cells of a row as finite numbers.

    cells: texts of the cells
    names: of the columns
    Raises TrajectoryError with file, line and column.
    """
    if len(cells) != len(names):
        raise TrajectoryError(
            f"{path}:{row.number}: has {len(cells)} columns, needs {len(names)}: {' '.join(names)}"
        )

    values = []
    for name, cell in zip(names, cells):
        # the cell as messages quote it
        quoted = cell
        if len(cell) > LONGEST_QUOTED_CELL:
            quoted = cell[: LONGEST_QUOTED_CELL - 3] + "..."

        try:
            value = float(cell)
        except ValueError:
            raise TrajectoryError(
                f"{path}:{row.number}: {name} is '{quoted}'; it must be a number"
            ) from None
        if not math.isfinite(value):
            raise TrajectoryError(f"{path}:{row.number}: {name} is {quoted}; it must be finite")
        values.append(value)
    return values


def _require_two(path: Path, rows: list[_Row]) -> None:
    """Raise TrajectoryError for fewer than two poses."""
    if len(rows) < 2:
        raise TrajectoryError(f"{path}: has {len(rows)} poses, needs at least 2")


def _checked_table(path: Path, rows: list[_Row], values: list[list[float]]) -> np.ndarray:
    """Rows as an array [num_poses, num_columns], float64, with checked stamps and positions.

    path: of the file, for messages
    rows: of the file
    values: numbers of each row, the stamp first, then the position if there is one
    Raises TrajectoryError: stamps do not rise, or a position is beyond FARTHEST_M.
    """
    # A trajectory needs two poses; a file of stamps alone (of KITTI poses) may have one.
    has_positions = not values or len(values[0]) > 1
    if has_positions:
        _require_two(path, rows)

    # Each stamp is later than the one before.
    for before, after, row in zip(values, values[1:], rows[1:]):
        if after[0] <= before[0]:
            relation = "repeats the stamp" if after[0] == before[0] else "goes back from"
            fault = f"time {after[0]:.6f} {relation} {before[0]:.6f}"
            raise TrajectoryError(
                f"{path}:{row.number}: {fault}; stamps must rise: sort the file and drop duplicates"
            )

    # Positions in meters are not that far.
    table = np.array(values)
    is_far = np.abs(table[:, 1:4]).max(axis=1, initial=0.0) > FARTHEST_M
    if is_far.any():
        number = rows[int(is_far.argmax())].number
        raise TrajectoryError(
            f"{path}:{number}: is more than {FARTHEST_M:g} m from the origin; coordinates are in m"
        )
    return table


def _joined(first: str, second: str) -> str:
    """Two notes in one; the first may be empty."""
    return f"{first}, {second}" if first else second
