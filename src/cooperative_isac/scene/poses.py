"""Poses of stations at any time, from reported odometry or a tree of /tf frames."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from cooperative_isac.scene.odometry import (
    MAX_SAMPLES,
    OdometrySample,
    check_sample,
    extrapolate,
    hermite,
)
from cooperative_isac.scene.station import Pose

# Time on each side over which a velocity is taken from positions, s, as /tf has none. Twice it is a
# period of the slowest frames that follow a vehicle well.
VELOCITY_SPAN_S = 0.05
# Frames between a station's and the map: longer chains are circles.
LONGEST_CHAIN = 32
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class PoseSample:
    """One report of a pose.

    stamp_ns: time of validity, ns
    position_m: [3], float64, m in the parent's frame
    rotation: [3, 3], float64, from own axes to axes of the parent
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
    """The latest samples of one moving station, and its pose at any stamp between them.

    Between two samples its position is on the cubic that meets both states, and its rotation on the
    shortest turn at a constant rate. After the last one it moves at constant velocity, for
    timeout_s at most.

    max_samples: number of samples that are kept, the latest ones
    """

    def __init__(self, timeout_s: float = 1.0, max_samples: int = MAX_SAMPLES):
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._samples: deque[PoseSample] = deque(maxlen=max_samples)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the latest sample; None before the first."""
        return self._samples[-1].stamp_ns if self._samples else None

    def add(self, name: str, sample: PoseSample) -> bool:
        """Add a sample; a stamp that goes back by more than the timeout is a rewound clock.

        The samples before a rewound clock are dropped.

        name: of the station, for messages
        Returns whether the sample was used; it is not where it comes out of order.
        Raises ValueError: it is not finite, or beyond the limits of scene.odometry.
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
        """True where there is a sample at or after a stamp."""
        return self.newest_ns is not None and self.newest_ns >= stamp_ns

    def at(self, stamp_ns: int) -> Pose | None:
        """Pose at a stamp; None where no sample is near enough."""
        following = bisect_right(self._samples, stamp_ns, key=lambda sample: sample.stamp_ns)
        if following == 0:
            return None
        before = self._samples[following - 1]
        age_ns = stamp_ns - before.stamp_ns

        # After the last sample, or in a gap.
        is_last = following == len(self._samples)
        if is_last or self._samples[following].stamp_ns - before.stamp_ns > self._timeout_ns:
            if age_ns > self._timeout_ns:
                return None
            position_m, velocity_mps = extrapolate(before.motion, stamp_ns)
            return Pose(position_m, before.rotation, velocity_mps)

        # Between two samples.
        after = self._samples[following]
        position_m, velocity_mps = hermite(before.motion, after.motion, stamp_ns)
        share = age_ns / (after.stamp_ns - before.stamp_ns)
        return Pose(position_m, turned(before.rotation, after.rotation, share), velocity_mps)


class FrameTree:
    """Frames of /tf: each has one parent, and samples of its pose or a fixed pose.

    root: frame in which poses are given
    timeout_s: largest age of the latest sample of a moving frame that is used, s
    """

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
        """Add the pose of a frame in its parent.

        position_m: [3], float64, m in the parent
        rotation: [3, 3], float64, from axes of the child to axes of the parent
        is_fixed: for all time
        Returns whether the sample was used; it is not where it comes out of order.
        Raises ValueError: it is not finite, or beyond the limits of scene.odometry.
        """
        sample = OdometrySample(stamp_ns, position_m, np.zeros(3))
        check_sample(child, sample)

        # Poses in another parent are void.
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
        """True where all moving frames up to the root have a sample at or after a stamp."""
        chain = self._chain(frame)
        return chain is not None and all(
            self._moving[name].newest_ns >= stamp_ns for name in chain if name in self._moving
        )

    def newest_ns(self, frame: str) -> int | None:
        """Latest stamp with a pose of a frame in the root; None if it has none, or never moves."""
        chain = self._chain(frame) or ()
        stamps_ns = [self._moving[name].newest_ns for name in chain if name in self._moving]
        return min(stamps_ns, default=None)

    def missing_link(self, frame: str) -> str | None:
        """The frame on the way to the root that has no parent; None if the way is complete."""
        if self._chain(frame) is not None:
            return None

        # Up to the first frame without a parent; in a circle there is none, and any frame of it is
        # returned.
        for _ in range(LONGEST_CHAIN):
            if frame not in self._parents:
                break
            frame = self._parents[frame]
        return frame

    def at(self, frame: str, stamp_ns: int) -> Pose | None:
        """Pose of a frame in the root at a stamp, its velocity from positions before and after.

        Returns None where a frame on the way has no pose, or too old a one.
        """
        here = self._placed(frame, stamp_ns)
        if here is None:
            return None
        position_m, rotation = here

        # Positions on both sides; where there is none, the one at the stamp.
        span_ns = round(VELOCITY_SPAN_S * NS_PER_S)
        before = self._placed(frame, stamp_ns - span_ns)
        early_ns = stamp_ns
        early_m = position_m
        if before is not None:
            early_ns = stamp_ns - span_ns
            early_m, _ = before
        after = self._placed(frame, stamp_ns + span_ns)
        late_ns = stamp_ns
        late_m = position_m
        if after is not None:
            late_ns = stamp_ns + span_ns
            late_m, _ = after

        # Velocity between them; zero where there is a single position.
        velocity_mps = np.zeros(3)
        if late_ns > early_ns:
            velocity_mps = (late_m - early_m) / ((late_ns - early_ns) / NS_PER_S)
        return Pose(position_m, rotation, velocity_mps)

    def _chain(self, frame: str) -> list[str] | None:
        """Frames on the way to the root, without the root; None where the way ends before."""
        chain = []
        while frame != self._root:
            if frame not in self._parents or len(chain) >= LONGEST_CHAIN:
                return None
            chain.append(frame)
            frame = self._parents[frame]
        return chain

    def _placed(self, frame: str, stamp_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Position [3] and rotation [3, 3] of a frame in the root, or None."""
        chain = self._chain(frame)
        if chain is None:
            return None

        # From each frame into its parent.
        position_m = np.zeros(3)
        rotation = np.eye(3)
        for name in chain:
            log = self._moving.get(name)
            placed = self._fixed[name] if log is None else log.at(stamp_ns)
            if placed is None:
                return None
            origin_m, axes = placed
            position_m = origin_m + axes @ position_m
            rotation = axes @ rotation
        return position_m, rotation


class _FrameLog:
    """Poses of a coordinate frame in its parent, interpolated between their stamps.

    Beyond the latest sample the position goes on at its last velocity, and the rotation is kept.

    timeout_s: largest age of the latest sample that is used, s
    max_samples: number of samples that are stored, the latest ones
    """

    def __init__(self, timeout_s: float, max_samples: int = MAX_SAMPLES):
        self._timeout_ns = round(timeout_s * NS_PER_S)
        self._stamps_ns: deque[int] = deque(maxlen=max_samples)
        self._samples: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=max_samples)

    @property
    def newest_ns(self) -> int:
        return self._stamps_ns[-1]

    def add(self, stamp_ns: int, position_m: np.ndarray, rotation: np.ndarray) -> bool:
        """Add a sample; a stamp that goes back by the timeout or more is a rewound clock.

        The samples before a rewound clock are dropped.

        position_m: [3], float64, m in the parent
        rotation: [3, 3], float64, from axes of the frame to axes of the parent
        Returns whether the sample was used; it is not where it comes out of order.
        """
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            is_rewound = self._stamps_ns[-1] - stamp_ns >= self._timeout_ns
            if not is_rewound:
                return False
            self._stamps_ns.clear()
            self._samples.clear()
        self._stamps_ns.append(stamp_ns)
        self._samples.append((position_m, rotation))
        return True

    def at(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Position and rotation at a stamp, ns; None before the first sample and after timeout_s.

        Returns origin of the frame [3], float64, m, and its axes as columns [3, 3], float64, both
        in the parent.
        """
        # The latest sample at or before the stamp must not be too old.
        stamps_ns = self._stamps_ns
        following = bisect_right(stamps_ns, stamp_ns)
        if following == 0 or stamp_ns - stamps_ns[following - 1] > self._timeout_ns:
            return None

        # The two samples around the stamp, or the last two.
        if following < len(stamps_ns):
            first = following - 1
        elif following > 1 and stamps_ns[-1] - stamps_ns[-2] <= self._timeout_ns:
            first = following - 2
        else:
            return self._samples[-1]

        # Interpolate, or extrapolate the position alone.
        share = (stamp_ns - stamps_ns[first]) / (stamps_ns[first + 1] - stamps_ns[first])
        before_m, before_rotation = self._samples[first]
        after_m, after_rotation = self._samples[first + 1]
        position_m = before_m + share * (after_m - before_m)
        return position_m, turned(before_rotation, after_rotation, min(share, 1.0))


def turned(before: np.ndarray, after: np.ndarray, share: float) -> np.ndarray:
    """Rotation on the shortest turn between two, by spherical linear interpolation.

    before: [3, 3], float64
    after: [3, 3], float64
    share: of the turn, 0 to 1
    Returns [3, 3], float64.
    """
    ends = Rotation.from_matrix(np.stack([before, after]))
    return Slerp([0.0, 1.0], ends)(share).as_matrix()
