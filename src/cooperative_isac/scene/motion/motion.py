"""Motions of targets and stations: one protocol, several kinds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import BSpline, PPoly

from cooperative_isac.scene.motion.curves import Curve


class Motion(Protocol):
    """Position and velocity over time, defined from start_s on for duration_s."""

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3], m, and velocity [3], m/s, in map at a time after the scene's start."""

    @property
    def start_s(self) -> float:
        """Time after the scene's start at which the motion begins, s."""

    @property
    def duration_s(self) -> float:
        """Duration over which the motion is defined, s; inf for one without end."""


def is_defined(motion: Motion, time_s: float) -> bool:
    """True where the motion has a state at time_s, s."""
    return motion.start_s <= time_s <= motion.start_s + motion.duration_s


@dataclass(frozen=True)
class ConstantVelocity:
    """A straight line at constant speed.

    position_m: [3], float64, m in map at time 0
    velocity_mps: [3], float64, m/s in map
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    duration_s: float = math.inf
    start_s: float = 0.0

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s."""
        _require_defined(self, time_s)
        return self.position_m + self.velocity_mps * time_s, self.velocity_mps.copy()


@dataclass(frozen=True)
class CoordinatedTurn:
    """A turn about the vertical at a constant rate, counter-clockwise when positive.

    position_m: [3], float64, m in map at time 0
    velocity_mps: [3], float64, m/s in map at time 0; a vertical component makes a helix
    """

    position_m: np.ndarray
    velocity_mps: np.ndarray
    turn_rate_radps: float
    duration_s: float = math.inf
    start_s: float = 0.0

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s."""
        _require_defined(self, time_s)
        angle_rad = self.turn_rate_radps * time_s
        sine = math.sin(angle_rad)
        cosine = math.cos(angle_rad)
        rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

        # Integral of the rotation over time.
        along_s = sine / self.turn_rate_radps
        across_s = (1 - cosine) / self.turn_rate_radps
        integral = np.array([[along_s, -across_s, 0], [across_s, along_s, 0], [0, 0, time_s]])
        return self.position_m + integral @ self.velocity_mps, rotation @ self.velocity_mps


@dataclass(frozen=True)
class CurveMotion:
    """A curve at constant speed; a closed curve is repeated without end."""

    path: Curve
    speed_mps: float
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """Time until the end of an open curve, s."""
        return math.inf if self.path.closed else self.path.length_m / self.speed_mps

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s."""
        _require_defined(self, time_s)
        position, tangent = self.path.at(self.speed_mps * time_s)
        return position, self.speed_mps * tangent


@dataclass(frozen=True)
class SplineMotion:
    """Positions over time as a spline.

    position: [3], m, from time 0 to period_s
    velocity: its derivative, m/s
    loop: the spline repeats without end
    note: assumptions made in reading the file of a trajectory, for people
    """

    position: BSpline | PPoly
    velocity: BSpline | PPoly
    period_s: float
    loop: bool = False
    start_s: float = 0.0
    note: str = ""

    @property
    def duration_s(self) -> float:
        """Duration of the spline, s; inf for a loop."""
        return math.inf if self.loop else self.period_s

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s, the derivative of the position."""
        _require_defined(self, time_s)
        if self.loop:
            time_s = time_s % self.period_s
        return np.array(self.position(time_s), float), np.array(self.velocity(time_s), float)


@dataclass(frozen=True)
class Delayed:
    """Another motion that begins at start_s instead of the scene's start."""

    motion: Motion
    start_s: float

    @property
    def duration_s(self) -> float:
        """Duration of the motion itself, s."""
        return self.motion.duration_s

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s."""
        _require_defined(self, time_s)
        return self.motion.state(time_s - self.start_s)


def cycle_s(motion: Motion) -> float:
    """Duration of a motion, or of one lap of it, s; inf for a motion without either."""
    if isinstance(motion, Delayed):
        return cycle_s(motion.motion)
    if isinstance(motion, SplineMotion):
        return motion.period_s
    if isinstance(motion, CurveMotion):
        return motion.path.length_m / motion.speed_mps
    return motion.duration_s


def note_of(motion: Motion) -> str:
    """Assumptions made in reading the file of a motion; empty if there were none."""
    if isinstance(motion, Delayed):
        return note_of(motion.motion)
    return motion.note if isinstance(motion, SplineMotion) else ""


def _require_defined(motion: Motion, time_s: float) -> None:
    if not is_defined(motion, time_s):
        raise ValueError(
            f"motion: no state at {time_s} s; it is defined from {motion.start_s} s "
            f"for {motion.duration_s} s"
        )
