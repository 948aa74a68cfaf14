"""Where targets were at any time, from the odometry that they report, simulated or real."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import TargetClass, TargetState

MAX_DISTANCE_M, MAX_SPEED_MPS = 100e3, 1000.0


@dataclass(frozen=True)
class OdometrySample:
    """One report. stamp_ns: time of validity; position_m, velocity_mps: [3] in map."""

    stamp_ns: int
    position_m: np.ndarray
    velocity_mps: np.ndarray


class TargetRegistry:
    """The latest samples of every target, and the state at a stamp between them.

    Nodes that hold the same samples on both sides of a stamp get the same state, bit by bit. A
    target that was silent for longer than timeout_s is gone.
    """

    def __init__(self, timeout_s: float = 1.0, max_samples: int = 256):
        self._timeout_ns = round(timeout_s * 1e9)
        self._max_samples = max_samples
        self._samples: dict[str, deque[OdometrySample]] = {}
        self._classes: dict[str, TargetClass] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all targets that were heard and not forgotten, in order."""
        return tuple(sorted(self._samples))

    def set_class(self, name: str, target_class: TargetClass) -> None:
        """Say what a target is; UNKNOWN until then."""
        self._classes[name] = target_class

    def add(self, name: str, sample: OdometrySample) -> bool:
        """Take in one sample; False for one that comes out of order. ValueError when it cannot be
        true.

        Time that goes back by more than the timeout is a rewound clock: the target's past is
        forgotten.
        """
        check_sample(name, sample)
        samples = self._samples.setdefault(name, deque(maxlen=self._max_samples))
        if samples and sample.stamp_ns <= samples[-1].stamp_ns:
            if samples[-1].stamp_ns - sample.stamp_ns < self._timeout_ns:
                return False
            samples.clear()
        samples.append(sample)
        return True

    def forget(self, name: str) -> None:
        """Drop the samples of a target that is gone for good."""
        self._samples.pop(name, None)

    def is_complete(self, stamp_ns: int) -> bool:
        """Whether every target that is alive at a stamp has reported at or after it."""
        return all(
            samples[-1].stamp_ns >= stamp_ns
            for samples in self._samples.values()
            if _state_at(samples, stamp_ns, self._timeout_ns) is not None
        )

    def at(self, stamp_ns: int) -> tuple[TargetState, ...]:
        """The targets that are alive at a stamp, in the order of their names."""
        found = (
            (name, _state_at(self._samples[name], stamp_ns, self._timeout_ns))
            for name in self.names
        )
        return tuple(
            TargetState(name, self._classes.get(name, TargetClass.UNKNOWN), *state)
            for name, state in found
            if state is not None
        )


def check_sample(name: str, sample: OdometrySample) -> None:
    """ValueError when a target cannot be there, or cannot be so fast."""
    for what, vector, unit, limit in (
        ("position", sample.position_m, "m", MAX_DISTANCE_M),
        ("velocity", sample.velocity_mps, "m/s", MAX_SPEED_MPS),
    ):
        if not np.isfinite(vector).all():
            raise ValueError(f"odometry of '{name}' is not finite: {what} {vector} {unit}")
        if math.hypot(*vector) > limit:
            raise ValueError(
                f"odometry of '{name}' has {what} {vector} {unit}; its length may be {limit:g} "
                f"{unit} at most"
            )


def _state_at(samples, stamp_ns: int, timeout_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
    following = bisect_right(samples, stamp_ns, key=lambda sample: sample.stamp_ns)
    if following == 0:
        return None
    before = samples[following - 1]
    if following < len(samples) and samples[following].stamp_ns - before.stamp_ns <= timeout_ns:
        return hermite(before, samples[following], stamp_ns)
    return extrapolate(before, stamp_ns) if stamp_ns - before.stamp_ns <= timeout_ns else None


def extrapolate(sample: OdometrySample, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity [3] after a sample at constant velocity."""
    age_s = (stamp_ns - sample.stamp_ns) * 1e-9
    return sample.position_m + sample.velocity_mps * age_s, sample.velocity_mps


def hermite(
    before: OdometrySample, after: OdometrySample, stamp_ns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity [3] between two samples, on the cubic that meets both states."""
    if stamp_ns == before.stamp_ns:
        return before.position_m, before.velocity_mps
    span = (after.stamp_ns - before.stamp_ns) * 1e-9
    u = (stamp_ns - before.stamp_ns) * 1e-9 / span
    step = after.position_m - before.position_m
    leave, arrive = span * before.velocity_mps, span * after.velocity_mps
    square, cube = 3 * step - 2 * leave - arrive, leave + arrive - 2 * step
    position = before.position_m + u * (leave + u * (square + u * cube))
    return position, (leave + u * (2 * square + 3 * u * cube)) / span
