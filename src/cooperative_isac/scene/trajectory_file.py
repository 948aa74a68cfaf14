"""Trajectory files, TUM and CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CSV_COLUMNS = ("time_s", "x_m", "y_m", "z_m")
TUM_COLUMNS = ("time", "x", "y", "z", "qx", "qy", "qz", "qw")


class TrajectoryError(ValueError):
    """A trajectory file that cannot be used; says file, line and what is wrong."""


@dataclass(frozen=True)
class Trajectory:
    """Stamped positions, stamps strictly rising. times_s: [num_poses]; positions_m: [num_poses, 3];

    orientations: [num_poses, 4], unit quaternions (x, y, z, w), or None where the file has none.
    """

    times_s: np.ndarray
    positions_m: np.ndarray
    orientations: np.ndarray | None = None


def read_trajectory(path: Path | str) -> Trajectory:
    """Trajectory of a file: CSV when its name ends in .csv, else TUM."""
    path = Path(path)
    return read_csv(path) if path.suffix.lower() == ".csv" else read_tum(path)


def read_tum(path: Path | str) -> Trajectory:
    """Trajectory of a TUM file: `time x y z qx qy qz qw` a line, `#` comments."""
    path, rows = Path(path), []
    for number, line in _content_lines(path):
        rows.append((number, _numbers(path, number, line.split(), TUM_COLUMNS)))
    values = _checked(path, rows)
    return Trajectory(values[:, 0], values[:, 1:4], values[:, 4:8])


def read_csv(path: Path | str) -> Trajectory:
    """Trajectory of a CSV file whose header names at least time_s, x_m, y_m, z_m; others are ignored."""
    path = Path(path)
    lines = _content_lines(path)
    number, header = next(lines, (1, ""))
    names = [name.strip() for name in header.split(",")]
    missing = [name for name in CSV_COLUMNS if name not in names]
    if missing:
        raise TrajectoryError(f"{path}:{number}: the header lacks {', '.join(missing)}; "
                              f"it must name {', '.join(CSV_COLUMNS)}")
    picks, rows = [names.index(name) for name in CSV_COLUMNS], []
    for number, line in lines:
        cells = line.split(",")
        if len(cells) < len(names):
            raise TrajectoryError(f"{path}:{number}: has {len(cells)} columns, the header names {len(names)}")
        rows.append((number, _numbers(path, number, [cells[i] for i in picks], CSV_COLUMNS)))
    values = _checked(path, rows)
    return Trajectory(values[:, 0], values[:, 1:4])


def _content_lines(path: Path):
    """Line numbers and lines that are neither empty nor comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TrajectoryError(f"{path}: no such trajectory file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TrajectoryError(f"{path}: cannot be read as text ({error})") from None
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.split("#", 1)[0].strip()
        if line:
            yield number, line


def _numbers(path: Path, number: int, cells: list[str], columns: tuple[str, ...]) -> list[float]:
    if len(cells) < len(columns):
        raise TrajectoryError(f"{path}:{number}: has {len(cells)} columns, needs {len(columns)}: "
                              f"{' '.join(columns)}")
    values = []
    for name, cell in zip(columns, cells):
        try:
            values.append(float(cell))
        except ValueError:
            text = f"{path}:{number}: {name} is '{cell.strip()}'; it must be a number"
            raise TrajectoryError(text) from None
        if not np.isfinite(values[-1]):
            raise TrajectoryError(f"{path}:{number}: {name} is {cell.strip()}; it must be finite")
    return values


def _checked(path: Path, rows: list[tuple[int, list[float]]]) -> np.ndarray:
    """Rows as an array [num_poses, columns], once their stamps rise."""
    if len(rows) < 2:
        raise TrajectoryError(f"{path}: has {len(rows)} poses, needs at least 2")
    for (_, before), (number, after) in zip(rows, rows[1:]):
        if after[0] <= before[0]:
            fault = "repeats the stamp" if after[0] == before[0] else "goes back from"
            raise TrajectoryError(f"{path}:{number}: time {after[0]:.6f} {fault} {before[0]:.6f}; stamps "
                                  "must rise: sort the file and drop duplicates")
    return np.array([values for _, values in rows])
