"""States of targets at any time, from the odometry that they report, simulated or real."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.model import TargetClass, TargetState

# Limits of a robot's report, m from the map's origin and m/s: beyond every network of
# stations and every drone; larger values are wrong units or a fault of its localization.
MAX_DISTANCE_M = 100e3
MAX_SAMPLE_SPEED_MPS = 1000.0
# Samples of a target or station that are kept: at 100 Hz some seconds, more than any frame waits.
MAX_SAMPLES = 256
# Sample periods of a target after its latest sample at which the next one is overdue: a period, and
# half of one for jitter.
OVERDUE_PERIODS = 1.5
# Latest samples over which the period of a target is taken.
PERIOD_SAMPLES = 10


@dataclass(frozen=True)
class OdometrySample:
    """One report of a target's state.

    stamp_ns: time of validity, ns
    position_m: [3], float64, m in map
    velocity_mps: [3], float64, m/s in map
    """

    stamp_ns: int
    position_m: np.ndarray
    velocity_mps: np.ndarray


class TargetRegistry:
    """The latest samples of every target, and their states at any stamp between them.

    Nodes that have the same samples on both sides of a stamp get the same state, bit by bit. A
    target without a sample for longer than timeout_s is gone.

    timeout_s: longest time from a sample to a stamp at which it is still used, s
    max_samples: number of samples of each target that are kept, the latest ones
    """

    def __init__(self, timeout_s: float = 1.0, max_samples: int = MAX_SAMPLES):
        self._timeout_ns = round(timeout_s * 1e9)
        self._max_samples = max_samples
        self._samples: dict[str, deque[OdometrySample]] = {}
        self._classes: dict[str, TargetClass] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all targets that have samples, in order."""
        return tuple(sorted(self._samples))

    def set_class(self, name: str, target_class: TargetClass) -> None:
        """Set the class of a target, which is UNKNOWN until then."""
        self._classes[name] = target_class

    def add(self, name: str, sample: OdometrySample) -> bool:
        """Add a sample; a stamp that goes back by the timeout or more is a rewound clock.

        The samples before a rewound clock are dropped.

        Returns whether the sample was used; it is not where it comes out of order.
        Raises ValueError: it is not finite, or beyond MAX_DISTANCE_M or MAX_SAMPLE_SPEED_MPS.
        """
        check_sample(name, sample)
        samples = self._samples.setdefault(name, deque(maxlen=self._max_samples))
        if samples and sample.stamp_ns <= samples[-1].stamp_ns:
            is_rewound = samples[-1].stamp_ns - sample.stamp_ns >= self._timeout_ns
            if not is_rewound:
                return False
            samples.clear()
        samples.append(sample)
        return True

    def remove(self, name: str) -> None:
        """Drop the samples of a target that is gone for good."""
        self._samples.pop(name, None)

    def is_complete(self, stamp_ns: int) -> bool:
        """True where every target that is present at a stamp has a sample at or after it."""
        return all(
            samples[-1].stamp_ns >= stamp_ns
            for samples in self._samples.values()
            if _state_at(samples, stamp_ns, self._timeout_ns) is not None
        )

    def overdue_s(self, stamp_ns: int) -> dict[str, float]:
        """Ages of the latest samples at a stamp, by target, where the next one is overdue, s.

        Until it arrives, the target's state at the stamp is not known, nor whether it is there.
        """
        ages_s = {}
        for name in self.names:
            samples = self._samples[name]
            age_ns = stamp_ns - samples[-1].stamp_ns
            if age_ns > OVERDUE_PERIODS * _period_ns(samples, self._timeout_ns):
                ages_s[name] = age_ns * 1e-9
        return ages_s

    def at(self, stamp_ns: int) -> tuple[TargetState, ...]:
        """The targets that are present at a stamp, in the order of their names."""
        targets = []
        for name in self.names:
            state = _state_at(self._samples[name], stamp_ns, self._timeout_ns)
            if state is not None:
                target_class = self._classes.get(name, TargetClass.UNKNOWN)
                targets.append(TargetState(name, target_class, *state))
        return tuple(targets)


def check_sample(name: str, sample: OdometrySample) -> None:
    """Raise ValueError for a position or velocity that is not finite, or beyond its limit."""
    _check_vector(name, "position", sample.position_m, "m", MAX_DISTANCE_M)
    _check_vector(name, "velocity", sample.velocity_mps, "m/s", MAX_SAMPLE_SPEED_MPS)


def _check_vector(name: str, quantity: str, vector: np.ndarray, unit: str, longest: float) -> None:
    """Raise ValueError for a vector [3] that is not finite, or longer than the longest."""
    if not np.isfinite(vector).all():
        raise ValueError(f"odometry of '{name}' is not finite: {quantity} {vector} {unit}")
    if math.hypot(*vector) > longest:
        raise ValueError(
            f"odometry of '{name}' has {quantity} {vector} {unit}; its length may be {longest:g} "
            f"{unit} at most"
        )


def _period_ns(samples: deque[OdometrySample], timeout_ns: int) -> float:
    """Median period of the latest samples, ns, at most the timeout, which a single one has."""
    stamps_ns = [sample.stamp_ns for sample in list(samples)[-PERIOD_SAMPLES:]]
    if len(stamps_ns) < 2:
        return timeout_ns
    return min(float(np.median(np.diff(stamps_ns))), timeout_ns)


def _state_at(
    samples: deque[OdometrySample], stamp_ns: int, timeout_ns: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Position and velocity [3] at a stamp, m and m/s; None where no sample is near enough."""
    following = bisect_right(samples, stamp_ns, key=lambda sample: sample.stamp_ns)
    if following == 0:
        return None
    before = samples[following - 1]

    # Between two samples.
    if following < len(samples):
        after = samples[following]
        if after.stamp_ns - before.stamp_ns <= timeout_ns:
            return hermite(before, after, stamp_ns)

    # After the last one, or in a gap.
    if stamp_ns - before.stamp_ns > timeout_ns:
        return None
    return extrapolate(before, stamp_ns)


def extrapolate(sample: OdometrySample, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity [3] after a sample at constant velocity, m and m/s."""
    age_s = (stamp_ns - sample.stamp_ns) * 1e-9
    position_m = sample.position_m + sample.velocity_mps * age_s
    return position_m, sample.velocity_mps


def hermite(
    before: OdometrySample, after: OdometrySample, stamp_ns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity [3] between two samples, m and m/s.

    They are on the cubic Hermite spline, which meets position and velocity of both samples.
    """
    if stamp_ns == before.stamp_ns:
        return before.position_m, before.velocity_mps

    # Time since the first sample, as a share u of the span.
    span_s = (after.stamp_ns - before.stamp_ns) * 1e-9
    u = (stamp_ns - before.stamp_ns) * 1e-9 / span_s

    # Slopes with u at both samples, and the coefficients of u^2 and u^3.
    step_m = after.position_m - before.position_m
    begin_slope_m = span_s * before.velocity_mps
    end_slope_m = span_s * after.velocity_mps
    square_m = 3 * step_m - 2 * begin_slope_m - end_slope_m
    cube_m = begin_slope_m + end_slope_m - 2 * step_m

    # The polynomial and its derivative, by Horner's rule.
    position_m = before.position_m + u * (begin_slope_m + u * (square_m + u * cube_m))
    slope_m = begin_slope_m + u * (2 * square_m + 3 * u * cube_m)
    return position_m, slope_m / span_s
