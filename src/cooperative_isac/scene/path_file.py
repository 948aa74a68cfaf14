"""Propagation paths of a ray tracer, frame by frame, and the motion of the targets in them.

docs/path_files.md describes the format.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.motion.motion import SplineMotion

PATH_KINDS = ("line_of_sight", "clutter", "targets", "multi_bounce")
STATIC_GROUPS = {"line_of_sight": ("los",), "clutter": ("spec", "diff")}
# Classes of targets; the numbers are those of cooperative_isac_msgs/Track.
KIND_WORDS = {0: "unknown", 1: "UAV", 2: "vehicle"}
# Names of targets in a file without names: uav1, uav2, car1.
NAME_STEMS = {0: "target", 1: "uav", 2: "car"}
# Time between frames of a file without `period_s`, s.
DEFAULT_PERIOD_S = 0.2
# Distance by which a site may differ from the scene's, m: rounding of floats and text.
SITE_TOLERANCE_M = 0.01
# Doppler shift below which a path of the static world counts as at rest, Hz: rounding, as over a
# frame it turns the phase by less than a thousandth of a cycle.
STILL_HZ = 1e-3
NANOSECOND = 1e-9
# Errors of reading a damaged or encrypted archive: in its directory, compressed data, headers.
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)


class PathFileError(ValueError):
    """A path file that cannot be used; the message has file, array, fault and remedy."""


@dataclass(frozen=True, eq=False)
class PathList:
    """Paths between sites, as a ray tracer writes them.

    receiver: [num_paths], int, row of PathFile.receivers_m
    transmitter: [num_paths], int, row of PathFile.transmitters_m
    delay_s: [num_paths], float64, s
    doppler_hz: [num_paths], float64, Hz, positive when the path shortens
    gain: [num_paths], complex128, amplitude between isotropic elements, without the phase of the
    delay
    departure: [num_paths, 3], float64, unit vectors in map from the transmitter towards the first
    point of the path
    arrival: [num_paths, 3], float64, unit vectors in map from the receiver towards its last point
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

    def chosen(self, mask: np.ndarray) -> PathList:
        """Some of the paths.

        mask: [num_paths], bool
        """
        return PathList(*(getattr(self, field.name)[mask] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class PathFile:
    """All frames of a path file.

    source: path of the file
    digest: of the file's bytes
    period_s: time between frames, s
    transmitters_m: [num_transmitters, 3], float64, m
    receivers_m: [num_receivers, 3], float64, m
    positions_m: [num_frames, num_targets, 3], float64, m, center of each target
    velocities_mps: [num_frames, num_targets, 3], float64, m/s
    kinds: [num_targets], int, class of each target, key of KIND_WORDS
    names: of the targets
    static: paths of the world at rest, the same in all frames, by kind (line_of_sight, clutter)
    moving: paths by way of targets
    frames: [num_moving], int, frame of each moving path
    targets: [num_moving], int, target of each moving path
    multi_bounce: [num_moving], bool, whether a wall is in the path, too
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
        """Number of links on which each target has a direct path, without a wall, in a frame.

        Returns [num_targets], int.
        """
        # Direct paths of the frame that have any power.
        has_gain = self.moving.gain != 0
        is_direct = (self.frames == frame) & ~self.multi_bounce & has_gain

        # Distinct links of each target.
        ends = np.stack([self.targets, self.moving.transmitter, self.moving.receiver], axis=1)
        links = np.unique(ends[is_direct], axis=0)
        return np.bincount(links[:, 0], minlength=len(self.kinds))

    def motion(self, target: int) -> SplineMotion:
        """Motion of a target: a cubic Hermite spline through the states of all frames.

        It goes on at constant velocity for one period after the last frame, so that it is defined
        at rounded stamps of that frame.

        target: index of the target, a column of positions_m
        """
        # Positions and velocities in all frames.
        times_s = np.arange(self.num_frames) * self.period_s
        positions_m = self.positions_m[:, target]
        velocities_mps = self.velocities_mps[:, target]

        # One period more at the last velocity.
        end_s = self.num_frames * self.period_s
        end_m = positions_m[-1] + velocities_mps[-1] * self.period_s
        spline = CubicHermiteSpline(
            np.append(times_s, end_s),
            np.vstack([positions_m, end_m]),
            np.vstack([velocities_mps, velocities_mps[-1]]),
        )
        return SplineMotion(spline, spline.derivative(), end_s)


def read_path_file(path: Path | str) -> PathFile:
    """The paths of an NPZ file.

    Raises PathFileError: it cannot be used; the message is one line that names file and array.
    """
    path = Path(path)
    content = _content(path)
    arrays = _Arrays(path, _loaded(path, content))

    # Sites.
    transmitters_m = arrays.real("tx", (None, 3))
    receivers_m = arrays.real("rx", (None, 3))

    # Targets.
    positions_m = arrays.real("pos", (None, None, 3))
    num_frames, num_targets = positions_m.shape[:2]
    if num_frames == 0:
        raise arrays.fault("pos", "has no frames; needs at least one")
    velocities_mps = arrays.real("vel", positions_m.shape)
    words = ", ".join(f"{kind} {word}" for kind, word in KIND_WORDS.items())
    kinds = arrays.index("kind", (num_targets,), len(KIND_WORDS), f": {words}")

    # Paths at rest.
    num_sites = (len(receivers_m), len(transmitters_m))
    static = {
        kind: joined_rows([arrays.static_paths(group, *num_sites) for group in groups])
        for kind, groups in STATIC_GROUPS.items()
    }

    # Paths by way of targets.
    moving = arrays.paths("dyn", *num_sites)
    shape = (len(moving),)
    frames = arrays.index("dyn_f", shape, num_frames)
    multi_bounce = arrays.flags("dyn_multi", shape)
    arrays.flags("dyn_glint", shape)  # not used, but refused where it does not fit the paths
    if num_targets == 1 and "dyn_who" not in arrays:
        targets = np.zeros(shape, int)
    else:
        targets = arrays.index("dyn_who", shape, num_targets)

    return PathFile(
        source=str(path),
        digest=hashlib.sha256(content).hexdigest(),
        carrier_hz=arrays.positive("fc", None),
        period_s=arrays.positive("period_s", DEFAULT_PERIOD_S),
        transmitters_m=transmitters_m,
        receivers_m=receivers_m,
        positions_m=positions_m,
        velocities_mps=velocities_mps,
        kinds=kinds,
        names=arrays.names(kinds),
        static=static,
        moving=moving,
        frames=frames,
        targets=targets,
        multi_bounce=multi_bounce,
    )


def direction(zenith_rad: np.ndarray, azimuth_rad: np.ndarray) -> np.ndarray:
    """Unit vectors of zenith and azimuth angles.

    zenith_rad: [...], float64, rad, from the z axis
    azimuth_rad: [...], float64, rad, from x towards y
    Returns [..., 3], float64, in map.
    """
    horizontal = np.sin(zenith_rad)
    x = horizontal * np.cos(azimuth_rad)
    y = horizontal * np.sin(azimuth_rad)
    return np.stack([x, y, np.cos(zenith_rad)], axis=-1)


def _content(path: Path) -> bytes:
    """The bytes of the file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PathFileError(f"{path}: no such path file") from None
    except OSError as error:
        raise PathFileError(f"{path}: cannot be read ({error.strerror})") from None


def _loaded(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file, by name."""
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
    """One array of the archive; only plain numbers and text are loaded, no pickled objects."""
    try:
        value = archive[name]
    except DAMAGED as error:
        raise PathFileError(f"{path}: {name}: cannot be read ({error})") from None
    if not isinstance(value, np.ndarray):
        raise PathFileError(f"{path}: {name}: is no array; write the file with numpy.savez")
    return value


class _Arrays:
    """The arrays of a file, which are checked as they are read."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        self._path = path
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def fault(self, name: str, text: str) -> PathFileError:
        return PathFileError(f"{self._path}: {name}: {text}")

    def _checked(
        self, name: str, shape: tuple[int | None, ...], dtype_kinds: str, type_words: str
    ) -> np.ndarray:
        """An array of a shape and type.

        shape: None: any size
        dtype_kinds: letters of numpy.dtype.kind that are allowed, in words: type_words
        """
        if name not in self._arrays:
            raise self.fault(name, "is missing; docs/path_files.md lists the arrays")
        value = self._arrays[name]

        has_shape = len(value.shape) == len(shape) and all(
            expected in (None, size) for expected, size in zip(shape, value.shape)
        )
        if not has_shape:
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise self.fault(name, f"has shape {list(value.shape)}; must be [{sizes}]")
        if value.dtype.kind not in dtype_kinds:
            raise self.fault(name, f"has type {value.dtype}; must be {type_words}")
        return value

    def real(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Finite real numbers, float64."""
        value = self._checked(name, shape, "fiu", "real numbers").astype(float)
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
        value = self._checked(name, shape, "iu", "whole numbers").astype(int)
        self._require(
            name, (value >= 0) & (value < end), value, f"must be within 0 and {end - 1}{remedy}"
        )
        return value

    def flags(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Booleans; all false if the array is missing."""
        if name not in self:
            return np.zeros(shape, bool)
        return self._checked(name, shape, "b", "booleans")

    def names(self, kinds: np.ndarray) -> tuple[str, ...]:
        """Names of the targets, from the file or counted by class.

        kinds: [num_targets], int
        """
        if "names" not in self:
            return _counted_names(kinds)

        # Valid as parts of the names of topics.
        names = tuple(str(name) for name in self._checked("names", kinds.shape, "U", "text"))
        for name in names:
            is_plain = name.isascii() and name.isidentifier()
            if not is_plain or name != name.lower() or name[0] == "_":
                raise self.fault(
                    "names",
                    f"has '{name}'; allowed: lower-case letters, digits and '_', beginning "
                    "with a letter",
                )
        if len(set(names)) < len(names):
            raise self.fault("names", f"is {list(names)}; names must differ")
        return names

    def static_paths(self, group: str, num_receivers: int, num_transmitters: int) -> PathList:
        """Paths at rest; none if the file has no array of the group."""
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
        """The paths of one group of arrays, with a common prefix of their names.

        Their suffixes: tau (delay, ns), theta_t, phi_t, theta_r, phi_r (zenith and azimuth at
        transmitter and receiver, rad), a (amplitude), nu (Doppler shift, Hz), rx, tx (sites).

        group: the prefix
        """
        # Delays.
        delays_ns = self.real(f"{group}_tau", (None,))
        self._require(f"{group}_tau", delays_ns >= 0, delays_ns, "a delay must be 0 or more")
        shape = delays_ns.shape

        # Directions at both ends.
        departure = direction(
            self.real(f"{group}_theta_t", shape), self.real(f"{group}_phi_t", shape)
        )
        arrival = direction(
            self.real(f"{group}_theta_r", shape), self.real(f"{group}_phi_r", shape)
        )

        # Amplitudes.
        gain = self._checked(f"{group}_a", shape, "fc", "real or complex numbers").astype(complex)
        self._require(f"{group}_a", np.isfinite(gain), gain, "must be finite")

        # Doppler shifts, which paths at rest may leave out.
        if group != "dyn" and f"{group}_nu" not in self:
            doppler_hz = np.zeros(shape)
        else:
            doppler_hz = self.real(f"{group}_nu", shape)

        return PathList(
            receiver=self.index(f"{group}_rx", shape, num_receivers),
            transmitter=self.index(f"{group}_tx", shape, num_transmitters),
            delay_s=delays_ns * NANOSECOND,
            doppler_hz=doppler_hz,
            gain=gain,
            departure=departure,
            arrival=arrival,
        )

    def _require(self, name: str, is_valid: np.ndarray, values: np.ndarray, text: str) -> None:
        """Raise the fault of the first value that is not valid."""
        if np.all(is_valid):
            return
        place = np.unravel_index(int(np.argmin(is_valid)), np.shape(values))
        index = f"[{', '.join(map(str, place))}]" if place else ""
        raise self.fault(f"{name}{index}", f"is {values[place]:g}; {text}")


def _counted_names(kinds: np.ndarray) -> tuple[str, ...]:
    """Names of targets of given classes: the stem of the class and a running number."""
    counts: Counter[int] = Counter()
    names = []
    for kind in map(int, kinds):
        counts[kind] += 1
        names.append(f"{NAME_STEMS[kind]}{counts[kind]}")
    return tuple(names)


def _no_paths() -> PathList:
    nothing = np.zeros(0)
    return PathList(
        receiver=nothing.astype(int),
        transmitter=nothing.astype(int),
        delay_s=nothing,
        doppler_hz=nothing,
        gain=nothing.astype(complex),
        departure=np.zeros((0, 3)),
        arrival=np.zeros((0, 3)),
    )
