"""Poses of stations at any time, from odometry or a tree of frames that they report."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from cooperative_isac.scene.odometry import (
    OdometrySample,
    check_sample,
    extrapolate,
    hermite,
)
from cooperative_isac.scene.station import Pose

# s on each side over which a velocity is taken from positions: /tf has none. Twice it is a period
# of the slowest frames that follow a vehicle well.
VELOCITY_SPAN_S = 0.05
# Frames between a station's and the map: longer chains are circles.
LONGEST_CHAIN = 32
NS_PER_S = 1e9


@dataclass(frozen=True)
class PoseSample:
    """One report of where something is and how it is turned.

    stamp_ns: time of validity, ns
    position_m: [3], float64, m in the parent's frame
    rotation: [3, 3], float64, its axes to axes of the parent
    velocity_mps: [3], float64, m/s in the parent's frame
    """

    stamp_ns: int
    position_m: np.ndarray
    rotation: np.ndarray
    velocity_mps: np.ndarray

    @property
    def motion(self) -> OdometrySample:
        """The sample without its rotation."""
        return OdometrySample(self.stamp_ns, self.position_m, self.velocity_mps)


class PoseLog:
    """The latest samples of one thing that moves, and its pose at a stamp between them.

    Between two samples its position follows the cubic that meets both states, and its rotation the
    shortest turn at a constant rate. After the last one it goes on at constant velocity, for
    timeout_s at most.
    """

    def __init__(self, timeout_s: float = 1.0, max_samples: int = 256):
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._samples: deque[PoseSample] = deque(maxlen=max_samples)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the latest sample; None before the first."""
        return self._samples[-1].stamp_ns if self._samples else None

    def add(self, name: str, sample: PoseSample) -> bool:
        """Take in a sample; False for one that comes out of order. ValueError: it cannot be true.

        Time that goes back by more than the timeout is a rewound clock: the past is forgotten.
        """
        check_sample(name, sample.motion)
        newest_ns = self.newest_ns
        if newest_ns is not None and sample.stamp_ns <= newest_ns:
            if newest_ns - sample.stamp_ns < self._timeout_ns:
                return False
            self._samples.clear()
        self._samples.append(sample)
        return True

    def is_complete(self, stamp_ns: int) -> bool:
        """Whether a sample at or after a stamp is there."""
        return self.newest_ns is not None and self.newest_ns >= stamp_ns

    def at(self, stamp_ns: int) -> Pose | None:
        """Pose at a stamp; None where no sample is near enough."""
        following = bisect_right(self._samples, stamp_ns, key=lambda sample: sample.stamp_ns)
        if following == 0:
            return None
        before = self._samples[following - 1]
        age_ns = stamp_ns - before.stamp_ns

        # After the last sample, or in a gap
        is_last = following == len(self._samples)
        if is_last or self._samples[following].stamp_ns - before.stamp_ns > self._timeout_ns:
            if age_ns > self._timeout_ns:
                return None
            position_m, velocity_mps = extrapolate(before.motion, stamp_ns)
            return Pose(position_m, before.rotation, velocity_mps)

        # Between two samples
        after = self._samples[following]
        position_m, velocity_mps = hermite(before.motion, after.motion, stamp_ns)
        share = age_ns / (after.stamp_ns - before.stamp_ns)
        return Pose(position_m, turned(before.rotation, after.rotation, share), velocity_mps)


class FrameTree:
    """Frames of /tf: each has one parent, and is given by samples or fixed for all time."""

    def __init__(self, root: str = "map", timeout_s: float = 1.0):
        self._root = root
        self._timeout_s = timeout_s
        self._parents: dict[str, str] = {}
        self._moving: dict[str, _FrameLog] = {}
        self._fixed: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        position_m: np.ndarray,
        rotation: np.ndarray,
        is_fixed: bool = False,
    ) -> bool:
        """Take in where a frame is in its parent; False out of order. ValueError: it cannot be.

        position_m: [3], float64, m
        rotation: [3, 3], float64, axes of the child to axes of the parent
        """
        sample = OdometrySample(stamp_ns, position_m, np.zeros(3))
        check_sample(child, sample)
        if self._parents.get(child, parent) != parent:
            self._moving.pop(child, None)
            self._fixed.pop(child, None)
        self._parents[child] = parent
        if is_fixed:
            self._fixed[child] = position_m, rotation
            return True
        log = self._moving.setdefault(child, _FrameLog(self._timeout_s))
        return log.add(stamp_ns, position_m, rotation)

    def is_complete(self, frame: str, stamp_ns: int) -> bool:
        """Whether every moving frame from the root to a frame has a sample at or after a stamp."""
        chain = self._chain(frame)
        return chain is not None and all(
            self._moving[name].newest_ns >= stamp_ns for name in chain if name in self._moving
        )

    def newest_ns(self, frame: str) -> int | None:
        """Stamp up to which a frame is known in the root; None where it is not, or never moves."""
        moving = [name for name in self._chain(frame) or () if name in self._moving]
        return min((self._moving[name].newest_ns for name in moving), default=None)

    def missing_link(self, frame: str) -> str | None:
        """The frame on the way to the root whose parent nobody says; None where all are known."""
        if self._chain(frame) is not None:
            return None
        for _ in range(LONGEST_CHAIN):
            if frame not in self._parents:
                break
            frame = self._parents[frame]
        return frame

    def at(self, frame: str, stamp_ns: int) -> Pose | None:
        """Pose of a frame in the root at a stamp, its velocity from positions around it.

        None where a frame on the way is not known, or too old.
        """
        here = self._placed(frame, stamp_ns)
        if here is None:
            return None
        position_m, rotation = here

        # Both sides as far as they are known
        span_ns = round(VELOCITY_SPAN_S * NS_PER_S)
        before = self._placed(frame, stamp_ns - span_ns)
        after = self._placed(frame, stamp_ns + span_ns)
        early_ns = stamp_ns if before is None else stamp_ns - span_ns
        late_ns = stamp_ns if after is None else stamp_ns + span_ns
        velocity_mps = np.zeros(3)
        if late_ns > early_ns:
            step_m = (after or here)[0] - (before or here)[0]
            velocity_mps = step_m / ((late_ns - early_ns) / NS_PER_S)
        return Pose(position_m, rotation, velocity_mps)

    def _chain(self, frame: str) -> list[str] | None:
        """Frames from one to the root, without the root; None where the way ends before."""
        chain = []
        while frame != self._root:
            if frame not in self._parents or len(chain) >= LONGEST_CHAIN:
                return None
            chain.append(frame)
            frame = self._parents[frame]
        return chain

    def _placed(self, frame: str, stamp_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Position [3] and rotation [3, 3] of a frame in the root."""
        chain = self._chain(frame)
        if chain is None:
            return None
        position_m = np.zeros(3)
        rotation = np.eye(3)
        for name in chain:
            log = self._moving.get(name)
            placed = self._fixed[name] if log is None else log.at(stamp_ns)
            if placed is None:
                return None
            position_m = placed[0] + placed[1] @ position_m
            rotation = placed[1] @ rotation
        return position_m, rotation


class _FrameLog:
    """Samples of a frame in its parent: linear in between, and beyond the last one as before it."""

    def __init__(self, timeout_s: float, max_samples: int = 256):
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._stamps_ns: deque[int] = deque(maxlen=max_samples)
        self._samples: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=max_samples)

    @property
    def newest_ns(self) -> int:
        return self._stamps_ns[-1]

    def add(self, stamp_ns: int, position_m: np.ndarray, rotation: np.ndarray) -> bool:
        """Take in a sample; False for one that comes out of order."""
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            if self._stamps_ns[-1] - stamp_ns < self._timeout_ns:
                return False
            self._stamps_ns.clear()
            self._samples.clear()
        self._stamps_ns.append(stamp_ns)
        self._samples.append((position_m, rotation))
        return True

    def at(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Position and rotation at a stamp; None where no sample is near enough."""
        following = bisect_right(self._stamps_ns, stamp_ns)
        if following == 0 or stamp_ns - self._stamps_ns[following - 1] > self._timeout_ns:
            return None
        stamps_ns = self._stamps_ns
        if following < len(stamps_ns):
            first = following - 1
        elif following > 1 and stamps_ns[-1] - stamps_ns[-2] <= self._timeout_ns:
            first = following - 2
        else:
            return self._samples[-1]
        share = (stamp_ns - stamps_ns[first]) / (stamps_ns[first + 1] - stamps_ns[first])
        before, after = self._samples[first], self._samples[first + 1]
        position_m = before[0] + share * (after[0] - before[0])
        return position_m, turned(before[1], after[1], min(share, 1.0))


def turned(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """Rotation [3, 3] on the shortest turn from one to another, by spherical linear interpolation.

    share: of the turn, 0 to 1
    """
    ends = Rotation.from_matrix(np.stack([before, after]))
    return Slerp([0.0, 1.0], ends)(share).as_matrix()
