"""Propagation paths of a ray tracer, frame by frame, and the motion of the targets in them.

docs/path_files.md describes the format.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from cooperative_isac.scene.motion.motion import SplineMotion

PATH_KINDS = ("line_of_sight", "clutter", "targets", "multi_bounce")
STATIC_GROUPS = {"line_of_sight": ("los",), "clutter": ("spec", "diff")}
KIND_WORDS = {0: "unknown", 1: "UAV", 2: "vehicle"}  # numbers of cooperative_isac_msgs/Track
# Of targets in a file without names: uav1, uav2, car1.
NAME_STEMS = {0: "target", 1: "uav", 2: "car"}
DEFAULT_PERIOD_S = 0.2  # files without `period_s` have 5 frames a second
SITE_TOLERANCE_M = 0.01  # by which a site may differ from the scene's: rounding of floats and text
STILL_HZ = 1e-3  # Doppler shift below which a path of the static world counts as still
NANOSECOND = 1e-9
# What reading a damaged or encrypted archive raises: in its directory, compressed data, headers.
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)


class PathFileError(ValueError):
    """A path file that cannot be used; says file, array and what is wrong."""


@dataclass(frozen=True, eq=False)
class PathList:
    """Paths between sites.

    receiver, transmitter: [num_paths], int, rows of PathFile.receivers_m and transmitters_m
    delay_s: [num_paths], float64, s
    doppler_hz: [num_paths], float64, Hz, positive when the path shortens
    gain: [num_paths], complex128, amplitude between isotropic elements, without the phase of the
    delay
    departure, arrival: [num_paths, 3], float64, unit vectors in map from the transmitter towards
    the first point of the path, and from the receiver towards its last
    """

    receiver: np.ndarray
    transmitter: np.ndarray
    delay_s: np.ndarray
    doppler_hz: np.ndarray
    gain: np.ndarray
    departure: np.ndarray
    arrival: np.ndarray

    def __len__(self) -> int:
        return len(self.delay_s)

    def chosen(self, chosen: np.ndarray) -> PathList:
        """Some of the paths. chosen: [num_paths], bool."""
        return PathList(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class PathFile:
    """All frames of a path file.

    transmitters_m, receivers_m: [num_sites, 3], float64, m
    positions_m, velocities_mps: [num_frames, num_targets, 3], float64, m and m/s, middle of each
    target
    kinds: [num_targets], int, 0 unknown, 1 UAV, 2 vehicle; names: one for each target
    static: paths of the world at rest, the same in all frames, by kind (line_of_sight, clutter)
    moving: paths by way of targets; frames, targets: [num_moving], int, of each
    multi_bounce: [num_moving], bool, a wall is in the path, too
    digest: of the file's bytes
    """

    source: str
    digest: str
    carrier_hz: float
    period_s: float
    transmitters_m: np.ndarray
    receivers_m: np.ndarray
    positions_m: np.ndarray
    velocities_mps: np.ndarray
    kinds: np.ndarray
    names: tuple[str, ...]
    static: Mapping[str, PathList]
    moving: PathList
    frames: np.ndarray
    targets: np.ndarray
    multi_bounce: np.ndarray

    @property
    def num_frames(self) -> int:
        """Number of frames of the file."""
        return len(self.positions_m)

    def links(self, frame: int) -> np.ndarray:
        """Number of (transmitter, receiver) pairs with a path by way of each target and no wall.

        Returns [num_targets], int.
        """
        chosen = (self.frames == frame) & ~self.multi_bounce & (self.moving.gain != 0)
        places = np.stack([self.targets, self.moving.transmitter, self.moving.receiver], axis=1)
        links = np.unique(places[chosen], axis=0)
        return np.bincount(links[:, 0], minlength=len(self.kinds))

    def motion(self, target: int) -> SplineMotion:
        """Motion of a target: a cubic through position and velocity of each frame.

        It goes on at constant velocity for one period after the last frame, so that rounded stamps
        of that frame find the target.
        """
        end_s = self.num_frames * self.period_s
        times = np.append(np.arange(self.num_frames) * self.period_s, end_s)
        position, velocity = self.positions_m[:, target], self.velocities_mps[:, target]
        after = position[-1] + velocity[-1] * self.period_s
        spline = CubicHermiteSpline(
            times, np.vstack([position, after]), np.vstack([velocity, velocity[-1]])
        )
        return SplineMotion(spline, spline.derivative(), end_s)


def read_path_file(path: Path | str) -> PathFile:
    """The paths of an NPZ file.

    Raises PathFileError with one line that names file and array.
    """
    path = Path(path)
    content = _content(path)
    arrays = _Arrays(path, _loaded(path, content))

    # Sites and truth.
    transmitters = arrays.real("tx", (None, 3))
    receivers = arrays.real("rx", (None, 3))
    positions = arrays.real("pos", (None, None, 3))
    num_frames, num_targets = positions.shape[:2]
    if num_frames == 0:
        raise arrays.fault("pos", "has no frames; needs at least one")
    velocities = arrays.real("vel", positions.shape)
    kinds = arrays.index(
        "kind",
        (num_targets,),
        len(KIND_WORDS),
        ": " + ", ".join(f"{kind} {word}" for kind, word in KIND_WORDS.items()),
    )

    # Paths.
    sites = len(receivers), len(transmitters)
    static = {
        kind: _joined([arrays.static_paths(group, *sites) for group in groups])
        for kind, groups in STATIC_GROUPS.items()
    }
    moving = arrays.paths("dyn", *sites)
    shape = (len(moving),)
    frames = arrays.index("dyn_f", shape, num_frames)
    multi_bounce = arrays.flags("dyn_multi", shape)
    arrays.flags("dyn_glint", shape)  # not used, but refused where it does not fit the paths
    if num_targets == 1 and "dyn_who" not in arrays:
        targets = np.zeros(shape, int)
    else:
        targets = arrays.index("dyn_who", shape, num_targets)

    # What has a default.
    carrier_hz = arrays.positive("fc", None)
    period_s = arrays.positive("period_s", DEFAULT_PERIOD_S)
    names = arrays.names(kinds)
    return PathFile(
        str(path),
        hashlib.sha256(content).hexdigest(),
        carrier_hz,
        period_s,
        transmitters,
        receivers,
        positions,
        velocities,
        kinds,
        names,
        static,
        moving,
        frames,
        targets,
        multi_bounce,
    )


def direction(zenith_rad: np.ndarray, azimuth_rad: np.ndarray) -> np.ndarray:
    """Unit vectors in map, [..., 3], float64.

    zenith_rad: [...], float64, rad, from the z axis
    azimuth_rad: [...], float64, rad, from x towards y
    """
    across = np.sin(zenith_rad)
    return np.stack(
        [across * np.cos(azimuth_rad), across * np.sin(azimuth_rad), np.cos(zenith_rad)], axis=-1
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PathFileError(f"{path}: no such path file") from None
    except OSError as error:
        raise PathFileError(f"{path}: cannot be read ({error.strerror})") from None


def _loaded(path: Path, content: bytes) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise PathFileError(f"{path}: is no NPZ file; write it with numpy.savez")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            names = archive.files
            return {name: _member(path, archive, name) for name in names}
    except PathFileError:
        raise
    except DAMAGED as error:
        raise PathFileError(
            f"{path}: is damaged ({error}); write it anew with numpy.savez"
        ) from None


def _member(path: Path, archive, name: str) -> np.ndarray:
    """One array; only those of plain numbers and text are read."""
    try:
        value = archive[name]
    except DAMAGED as error:
        raise PathFileError(f"{path}: {name}: cannot be read ({error})") from None
    if not isinstance(value, np.ndarray):
        raise PathFileError(f"{path}: {name}: is no array; write the file with numpy.savez")
    return value


class _Arrays:
    """The arrays of a file, checked one by one."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        self._path = path
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def fault(self, name: str, text: str) -> PathFileError:
        return PathFileError(f"{self._path}: {name}: {text}")

    def _take(
        self, name: str, shape: tuple[int | None, ...], dtype_kinds: str, what: str
    ) -> np.ndarray:
        if name not in self._arrays:
            raise self.fault(name, "is missing; docs/path_files.md lists the arrays")
        value = self._arrays[name]
        fits = len(value.shape) == len(shape) and all(
            want in (None, size) for want, size in zip(shape, value.shape)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise self.fault(name, f"has shape {list(value.shape)}; must be [{wanted}]")
        if value.dtype.kind not in dtype_kinds:
            raise self.fault(name, f"has type {value.dtype}; must be {what}")
        return value

    def real(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Finite real numbers as float64."""
        value = self._take(name, shape, "fiu", "real numbers").astype(float)
        self._require(name, np.isfinite(value), value, "must be finite")
        return value

    def positive(self, name: str, default: float | None) -> float:
        """A number above 0."""
        if default is not None and name not in self:
            return default
        value = self.real(name, ())
        if value <= 0:
            raise self.fault(name, f"is {value:g}; must be above 0")
        return float(value)

    def index(
        self, name: str, shape: tuple[int | None, ...], end: int, remedy: str = ""
    ) -> np.ndarray:
        """Whole numbers from 0 to end - 1."""
        value = self._take(name, shape, "iu", "whole numbers").astype(int)
        self._require(
            name, (value >= 0) & (value < end), value, f"must be within 0 and {end - 1}{remedy}"
        )
        return value

    def flags(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Booleans; false where the array is missing."""
        if name not in self:
            return np.zeros(shape, bool)
        return self._take(name, shape, "b", "booleans")

    def names(self, kinds: np.ndarray) -> tuple[str, ...]:
        """Names of the targets, from the file or counted by kind."""
        if "names" not in self:
            counts: Counter[int] = Counter()
            return tuple(_counted(int(kind), counts) for kind in kinds)
        names = tuple(str(name) for name in self._take("names", kinds.shape, "U", "text"))
        for name in names:
            if not (
                name.isascii() and name.isidentifier() and name == name.lower() and name[0] != "_"
            ):
                raise self.fault(
                    "names",
                    f"has '{name}'; allowed: lower-case letters, digits and '_', beginning "
                    "with a letter",
                )
        if len(set(names)) < len(names):
            raise self.fault("names", f"is {list(names)}; names must differ")
        return names

    def static_paths(self, group: str, num_receivers: int, num_transmitters: int) -> PathList:
        """Paths at rest; none where the file has no array of the group."""
        if not any(name.startswith(f"{group}_") for name in self._arrays):
            return _no_paths()
        paths = self.paths(group, num_receivers, num_transmitters)
        self._require(
            f"{group}_nu",
            abs(paths.doppler_hz) <= STILL_HZ,
            paths.doppler_hz,
            "must be 0: static paths have no Doppler shift, moving ones belong in dyn_*",
        )
        return paths

    def paths(self, group: str, num_receivers: int, num_transmitters: int) -> PathList:
        """The paths of one group of arrays."""
        delays = self.real(f"{group}_tau", (None,))
        self._require(f"{group}_tau", delays >= 0, delays, "a delay must be 0 or more")
        shape = delays.shape
        departure = direction(
            self.real(f"{group}_theta_t", shape), self.real(f"{group}_phi_t", shape)
        )
        arrival = direction(
            self.real(f"{group}_theta_r", shape), self.real(f"{group}_phi_r", shape)
        )
        gain = self._take(f"{group}_a", shape, "fc", "real or complex numbers").astype(complex)
        self._require(f"{group}_a", np.isfinite(gain), gain, "must be finite")
        still = group != "dyn" and f"{group}_nu" not in self
        doppler = np.zeros(shape) if still else self.real(f"{group}_nu", shape)
        return PathList(
            self.index(f"{group}_rx", shape, num_receivers),
            self.index(f"{group}_tx", shape, num_transmitters),
            delays * NANOSECOND,
            doppler,
            gain,
            departure,
            arrival,
        )

    def _require(self, name: str, good: np.ndarray, values: np.ndarray, text: str) -> None:
        """Complain of the first value that is not good."""
        if not np.all(good):
            place = np.unravel_index(int(np.argmin(good)), np.shape(values))
            index = f"[{', '.join(map(str, place))}]" if place else ""
            raise self.fault(f"{name}{index}", f"is {values[place]:g}; {text}")


def _counted(kind: int, counts: Counter[int]) -> str:
    counts[kind] += 1
    return f"{NAME_STEMS[kind]}{counts[kind]}"


def _no_paths() -> PathList:
    nothing = np.zeros(0)
    return PathList(
        nothing.astype(int),
        nothing.astype(int),
        nothing,
        nothing,
        nothing.astype(complex),
        np.zeros((0, 3)),
        np.zeros((0, 3)),
    )


def _joined(parts: list[PathList]) -> PathList:
    return PathList(*(np.concatenate(column) for column in zip(*map(_columns, parts))))


def _columns(paths: PathList) -> Iterator[np.ndarray]:
    return (getattr(paths, name) for name in paths.__dataclass_fields__)
