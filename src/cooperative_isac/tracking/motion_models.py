"""How tracked targets are believed to move: transition matrices, turns and process noise.

States are [x y z vx vy vz] (SI, map), followed by the turn rate [rad/s] about z in the coordinated
turn.
"""

from __future__ import annotations

import math

import numpy as np

ACCELERATION_MEMORY_S = 0.25
TURN_MEMORY_S = 4.0  # s, about as long as a turn: a track that coasts through one keeps its rate
SMALL_ANGLE = 1e-3


def constant_velocity_transition(dt_s: float) -> np.ndarray:
    """Transition [6, 6] of constant velocity over dt_s (Bar-Shalom, Li, Kirubarajan 2001, sec.
    6.2.2).
    """
    transition = np.eye(6)
    transition[:3, 3:] = dt_s * np.eye(3)
    return transition


def acceleration_noise(
    dt_s: float, accel_std_mps2: float, vertical_accel_std_mps2: float
) -> np.ndarray:
    """Process noise [6, 6] of continuous white acceleration (Bar-Shalom 2001, sec. 6.2.2).

    Its density 2 a^2 T is that of an acceleration of standard deviation a which is remembered for
    T = ACCELERATION_MEMORY_S; being continuous, two steps of dt add up to one of 2 dt.
    """
    noise = np.zeros((6, 6))
    for axis, accel_std in enumerate((accel_std_mps2, accel_std_mps2, vertical_accel_std_mps2)):
        density = 2 * ACCELERATION_MEMORY_S * accel_std**2
        noise[axis, axis], noise[axis + 3, axis + 3] = density * dt_s**3 / 3, density * dt_s
        noise[axis, axis + 3] = noise[axis + 3, axis] = density * dt_s**2 / 2
    return noise


def turn_decay(dt_s: float) -> float:
    """Share of the turn rate that is left after dt_s: the rate forgets itself within
    TURN_MEMORY_S.
    """
    return math.exp(-dt_s / TURN_MEMORY_S)


def turn_noise(dt_s: float, turn_rate_std_radps: float) -> float:
    """Variance [rad^2/s^2] that a turn rate of stationary spread turn_rate_std_radps gains in
    dt_s.
    """
    return turn_rate_std_radps**2 * (1 - turn_decay(dt_s) ** 2)


def coordinated_turn(state: np.ndarray, dt_s: float) -> np.ndarray:
    """State [7] after a turn about z at its own rate for dt_s (Bar-Shalom 2001, sec. 11.7.1).

    state: [7], float64, SI; z keeps its velocity and the turn rate decays towards 0.
    """
    x, y, z, vx, vy, vz, rate = state
    along, across = _turn_integrals(rate, dt_s)
    cos, sin = math.cos(rate * dt_s), math.sin(rate * dt_s)
    return np.array(
        [
            x + along * vx - across * vy,
            y + across * vx + along * vy,
            z + dt_s * vz,
            cos * vx - sin * vy,
            sin * vx + cos * vy,
            vz,
            turn_decay(dt_s) * rate,
        ]
    )


def coordinated_turn_jacobian(state: np.ndarray, dt_s: float) -> np.ndarray:
    """Jacobian [7, 7] of `coordinated_turn` at state [7] (Bar-Shalom 2001, sec. 11.7.2)."""
    vx, vy, rate = state[3], state[4], state[6]
    along, across = _turn_integrals(rate, dt_s)
    cos, sin = math.cos(rate * dt_s), math.sin(rate * dt_s)
    along_rate, across_rate = _turn_integral_slopes(rate, dt_s)
    jacobian = np.eye(7)
    jacobian[:2, 3:5] = [[along, -across], [across, along]]
    jacobian[2, 5] = dt_s
    jacobian[3:5, 3:5] = [[cos, -sin], [sin, cos]]
    jacobian[:2, 6] = [along_rate * vx - across_rate * vy, across_rate * vx + along_rate * vy]
    jacobian[3:5, 6] = [-dt_s * (sin * vx + cos * vy), dt_s * (cos * vx - sin * vy)]
    jacobian[6, 6] = turn_decay(dt_s)
    return jacobian


def _turn_integrals(rate_radps: float, dt_s: float) -> tuple[float, float]:
    """Integrals of cos and sin of the turned angle over dt_s; a series where the closed form would
    cancel.
    """
    angle = rate_radps * dt_s
    if abs(angle) < SMALL_ANGLE:
        return dt_s * (1 - angle**2 / 6), dt_s * (angle / 2 - angle**3 / 24)
    return math.sin(angle) / rate_radps, (1 - math.cos(angle)) / rate_radps


def _turn_integral_slopes(rate_radps: float, dt_s: float) -> tuple[float, float]:
    """Derivatives of `_turn_integrals` with the rate."""
    angle = rate_radps * dt_s
    if abs(angle) < SMALL_ANGLE:
        return -(dt_s**2) * angle / 3, dt_s**2 * (0.5 - angle**2 / 8)
    along, across = _turn_integrals(rate_radps, dt_s)
    return (dt_s * math.cos(angle) - along) / rate_radps, (
        dt_s * math.sin(angle) - across
    ) / rate_radps
