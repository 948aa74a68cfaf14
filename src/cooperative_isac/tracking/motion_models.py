"""Motion models of targets: transition matrices, coordinated turns and process noise.

States are [x y z vx vy vz] (SI, map), followed by the turn rate [rad/s] about z in the coordinated
turn. All functions of states broadcast over leading axes, so that they work on one target or on
many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Position and velocity, the first entries of every state.
NUM_OBSERVED = 6

# Correlation time of accelerations, s: short against a maneuver, about as long as a frame.
ACCELERATION_MEMORY_S = 0.25

# Correlation time of the turn rate, s: about as long as a turn, so that a track that coasts through
# one keeps its rate.
TURN_MEMORY_S = 4.0

# Angle below which the integrals of a turn are evaluated as series, rad: the closed forms cancel
# there.
SMALL_ANGLE_RAD = 1e-3


class MotionModel(Protocol):
    """Motion in one mode of a bank of filters.

    num_states: entries of a state, the first six of which are position and velocity
    """

    num_states: int

    def move(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """States after a duration.

        states: [..., num_states], float64, SI, map
        dt_s: duration, s
        Returns [..., num_states], float64.
        """
        ...

    def jacobian(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """Jacobian of `move` at states.

        states: [..., num_states], float64, SI, map
        dt_s: duration, s
        Returns [..., num_states, num_states], float64, or one [num_states, num_states] for all.
        """
        ...

    def noise(self, dt_s: float) -> np.ndarray:
        """Process noise over a duration.

        dt_s: duration, s
        Returns covariance [num_states, num_states], float64.
        """
        ...


@dataclass(frozen=True)
class ConstantVelocity:
    """Straight motion of position and velocity, disturbed by white acceleration.

    accel_std_mps2: standard deviation of the acceleration along each horizontal axis, m/s^2
    vertical_accel_std_mps2: along z, m/s^2
    """

    accel_std_mps2: float
    vertical_accel_std_mps2: float
    num_states = 6

    def move(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """States [..., 6] after dt_s."""
        return states @ constant_velocity_transition(dt_s).T

    def jacobian(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """Transition matrix [6, 6], the same for all states."""
        return constant_velocity_transition(dt_s)

    def noise(self, dt_s: float) -> np.ndarray:
        """Process noise [6, 6] of white acceleration."""
        return acceleration_noise(dt_s, self.accel_std_mps2, self.vertical_accel_std_mps2)


@dataclass(frozen=True)
class StraightMode:
    """Constant velocity, with a turn rate in the state as in TurnMode.

    The turn rate has no effect and is reset to its prior at every step, so that by mixing the turn
    mode starts from that prior when a turn begins.

    motion: of position and velocity
    turn_rate_std_radps: standard deviation of the prior of the turn rate, rad/s
    """

    motion: ConstantVelocity
    turn_rate_std_radps: float
    num_states = 7

    def move(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """States [..., 7] after dt_s."""
        return states @ self.jacobian(states, dt_s).T

    def jacobian(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """Transition matrix [7, 7], the same for all states."""
        return with_turn_rate(constant_velocity_transition(dt_s), 0.0)

    def noise(self, dt_s: float) -> np.ndarray:
        """Process noise [7, 7]: white acceleration, and the prior of the turn rate."""
        return with_turn_rate(self.motion.noise(dt_s), self.turn_rate_std_radps**2)


@dataclass(frozen=True)
class TurnMode:
    """Coordinated turn about z with a decaying rate, disturbed by white acceleration.

    motion: white acceleration of position and velocity
    turn_rate_std_radps: stationary standard deviation of the turn rate, rad/s
    """

    motion: ConstantVelocity
    turn_rate_std_radps: float
    num_states = 7

    def move(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """States [..., 7] after dt_s."""
        return coordinated_turn(states, dt_s)

    def jacobian(self, states: np.ndarray, dt_s: float) -> np.ndarray:
        """Jacobians [..., 7, 7] of the turn."""
        return coordinated_turn_jacobian(states, dt_s)

    def noise(self, dt_s: float) -> np.ndarray:
        """Process noise [7, 7]: white acceleration, and noise of the turn rate."""
        return with_turn_rate(self.motion.noise(dt_s), turn_noise(dt_s, self.turn_rate_std_radps))


def constant_velocity_transition(dt_s: float) -> np.ndarray:
    """Transition matrix [6, 6] of constant velocity over dt_s (Bar-Shalom 2001, sec. 6.2.2)."""
    transition = np.eye(6)
    transition[:3, 3:] = dt_s * np.eye(3)
    return transition


def acceleration_noise(
    dt_s: float, accel_std_mps2: float, vertical_accel_std_mps2: float
) -> np.ndarray:
    """Process noise [6, 6] of continuous white acceleration (Bar-Shalom 2001, sec. 6.2.2).

    Its density 2 a^2 T is that of an acceleration of standard deviation a and correlation time
    T = ACCELERATION_MEMORY_S; being continuous, two steps of dt add up to one of 2 dt.

    dt_s: duration, s
    accel_std_mps2: standard deviation of the acceleration along x and along y, m/s^2
    vertical_accel_std_mps2: along z, m/s^2
    """
    accel_stds = np.array([accel_std_mps2, accel_std_mps2, vertical_accel_std_mps2])
    densities = np.diag(2 * ACCELERATION_MEMORY_S * accel_stds**2)

    noise = np.empty((6, 6))
    noise[:3, :3] = densities * dt_s**3 / 3
    noise[:3, 3:] = densities * dt_s**2 / 2
    noise[3:, :3] = densities * dt_s**2 / 2
    noise[3:, 3:] = densities * dt_s
    return noise


def with_turn_rate(matrices: np.ndarray, rate_entry: float) -> np.ndarray:
    """Matrices extended by a diagonal entry for the turn rate.

    matrices: [..., 6, 6], float64, of position and velocity
    rate_entry: entry of the turn rate
    Returns [..., 7, 7], float64.
    """
    extended = np.zeros((*matrices.shape[:-2], 7, 7))
    extended[..., :6, :6] = matrices
    extended[..., 6, 6] = rate_entry
    return extended


def turn_decay(dt_s: float) -> float:
    """Factor by which a turn rate decays in dt_s, with time constant TURN_MEMORY_S."""
    return math.exp(-dt_s / TURN_MEMORY_S)


def turn_noise(dt_s: float, turn_rate_std_radps: float) -> float:
    """Process noise of a turn rate over dt_s that keeps its standard deviation, (rad/s)^2."""
    return turn_rate_std_radps**2 * (1 - turn_decay(dt_s) ** 2)


def coordinated_turn(states: np.ndarray, dt_s: float) -> np.ndarray:
    """States after a turn about z at their own rate (Bar-Shalom 2001, sec. 11.7.1).

    z keeps its velocity, and the turn rate decays towards 0.

    states: [..., 7], float64, SI
    dt_s: duration, s
    Returns [..., 7], float64, SI.
    """
    vx = states[..., 3]
    vy = states[..., 4]
    vz = states[..., 5]
    rates = states[..., 6]

    # Distance along the initial heading and to the left of it, per speed.
    along, across = _turn_integrals(rates, dt_s)
    cos = np.cos(rates * dt_s)
    sin = np.sin(rates * dt_s)

    # Position along the arc, velocity rotated by the turned angle, and the decayed rate.
    moved = np.empty_like(states, dtype=float)
    moved[..., 0] = states[..., 0] + along * vx - across * vy
    moved[..., 1] = states[..., 1] + across * vx + along * vy
    moved[..., 2] = states[..., 2] + dt_s * vz
    moved[..., 3] = cos * vx - sin * vy
    moved[..., 4] = sin * vx + cos * vy
    moved[..., 5] = vz
    moved[..., 6] = turn_decay(dt_s) * rates
    return moved


def coordinated_turn_jacobian(states: np.ndarray, dt_s: float) -> np.ndarray:
    """Jacobians of `coordinated_turn` (Bar-Shalom 2001, sec. 11.7.2).

    states: [..., 7], float64, SI
    dt_s: duration, s
    Returns [..., 7, 7], float64, derivatives of the moved state (rows) with the state (columns).
    """
    vx = states[..., 3]
    vy = states[..., 4]
    rates = states[..., 6]

    # Distances and rotation of the turn, and their derivatives with the rate.
    along, across = _turn_integrals(rates, dt_s)
    along_slope, across_slope = _turn_integral_slopes(rates, dt_s)
    cos = np.cos(rates * dt_s)
    sin = np.sin(rates * dt_s)

    jacobians = np.zeros((*states.shape, states.shape[-1]))
    jacobians[...] = np.eye(7)

    # Position with velocity.
    jacobians[..., 0, 3] = along
    jacobians[..., 0, 4] = -across
    jacobians[..., 1, 3] = across
    jacobians[..., 1, 4] = along
    jacobians[..., 2, 5] = dt_s

    # Velocity with velocity.
    jacobians[..., 3, 3] = cos
    jacobians[..., 3, 4] = -sin
    jacobians[..., 4, 3] = sin
    jacobians[..., 4, 4] = cos

    # Position and velocity with the turn rate.
    jacobians[..., 0, 6] = along_slope * vx - across_slope * vy
    jacobians[..., 1, 6] = across_slope * vx + along_slope * vy
    jacobians[..., 3, 6] = -dt_s * (sin * vx + cos * vy)
    jacobians[..., 4, 6] = dt_s * (cos * vx - sin * vy)
    jacobians[..., 6, 6] = turn_decay(dt_s)
    return jacobians


def _turn_integrals(rates_radps: np.ndarray, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Integrals of cos and sin of the turned angle over dt_s, each [...], s."""
    angles = rates_radps * dt_s
    is_small = np.abs(angles) < SMALL_ANGLE_RAD

    # Power series of small angles.
    along_series = dt_s * (1 - angles**2 / 6)
    across_series = dt_s * (angles / 2 - angles**3 / 24)

    # Closed forms of the others; a rate of 1 keeps them finite where they are not used.
    rates = np.where(is_small, 1.0, rates_radps)
    along = np.sin(angles) / rates
    across = (1 - np.cos(angles)) / rates
    return np.where(is_small, along_series, along), np.where(is_small, across_series, across)


def _turn_integral_slopes(rates_radps: np.ndarray, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `_turn_integrals` with the rate, each [...], s^2."""
    angles = rates_radps * dt_s
    is_small = np.abs(angles) < SMALL_ANGLE_RAD

    # Power series of small angles.
    along_series = -(dt_s**2) * angles / 3
    across_series = dt_s**2 * (0.5 - angles**2 / 8)

    # Closed forms of the others: quotients sin(w t) / w and (1 - cos(w t)) / w, derived with w.
    along, across = _turn_integrals(rates_radps, dt_s)
    rates = np.where(is_small, 1.0, rates_radps)
    along_slope = (dt_s * np.cos(angles) - along) / rates
    across_slope = (dt_s * np.sin(angles) - across) / rates
    return (
        np.where(is_small, along_series, along_slope),
        np.where(is_small, across_series, across_slope),
    )
