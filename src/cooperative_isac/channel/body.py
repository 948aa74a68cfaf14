"""Scattering points of a target with a size: a glint on its hull, and its corners."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.model import Body, TargetState

# Share of the radar cross section that the specular glint has; the visible corners share the rest
# evenly. Half and half is an assumption between a smooth hull (all glint) and the five separate
# scatterers of TR 38.901's vehicle.
GLINT_SHARE = 0.5
# Speed below which a target has no heading of its own, m/s: rounding of a target at rest.
STANDING_MPS = 1e-3
# Length of the sum of two unit vectors below which they count as opposite: rounding.
OPPOSITE = 1e-6
# Corners of the box at half height, over its half lengths along x and y.
CORNERS = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])


def body_axes(velocity_mps: np.ndarray) -> np.ndarray:
    """Rotation from body axes to map axes: x along the horizontal velocity, z up.

    A target at rest has the map's x axis.

    velocity_mps: [3], float64, m/s in map
    Returns [3, 3], float64.
    """
    cosine = 1.0
    sine = 0.0
    speed_mps = np.hypot(velocity_mps[0], velocity_mps[1])
    if speed_mps > STANDING_MPS:
        cosine, sine = velocity_mps[:2] / speed_mps
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def body_points(
    body: Body, state: TargetState, toward_tx: np.ndarray, toward_rx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points from which a body scatters on one link, and their shares of its radar cross section.

    The glint is where an ellipsoid that fills the box reflects specularly: there its normal halves
    the angle between the directions to both ends. The corners, at half height, are where rotors,
    lamps and wheel arches are; one is hidden from an end that it could only see through the box.

    toward_tx: [3], float64, unit vector in map from the target's center to the transmitter
    toward_rx: [3], float64, unit vector in map from the target's center to the receiver
    Returns points [num_points, 3], float64, m in map, the glint first, and shares [num_points],
    float64, which sum to 1.
    """
    # Directions to both ends in the axes of the body.
    axes = body_axes(state.velocity_mps)
    ends = np.stack([toward_tx, toward_rx]) @ axes
    half_m = body.size_m / 2

    # Glint: the point of the ellipsoid with its normal along the bisector; on top between opposite
    # ends.
    bisector = ends.sum(axis=0)
    if np.linalg.norm(bisector) < OPPOSITE:
        bisector = np.array([0.0, 0.0, 1.0])
    reach_m = np.linalg.norm(half_m * bisector)
    glint_m = half_m**2 * bisector / reach_m if reach_m > 0 else np.zeros(3)

    # Corners that both ends see: one on the far side along both axes is hidden from an end.
    is_behind = CORNERS[:, None, :2] * ends[None, :, :2] < 0
    is_hidden = np.all(is_behind, axis=-1).any(axis=-1)
    corners_m = CORNERS[~is_hidden] * half_m

    # Shares of the cross section.
    points_m = np.vstack([glint_m, corners_m])
    shares = np.full(len(points_m), (1 - GLINT_SHARE) / max(len(corners_m), 1))
    shares[0] = GLINT_SHARE if len(corners_m) else 1.0
    return state.position_m + points_m @ axes.T, shares
